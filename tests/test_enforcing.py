"""A constraint that cannot be enforced any further ends its request, and nothing else."""

import numpy as np
import pytest

from latticework.plugins.enforcing import Enforcement
from latticework.structured import GrammarSpec, Vocabulary, compile_grammar
from latticework.structured.bitmask import indices, words

VOCABULARY = Vocabulary([b"a", b"b", b"ab", b"", b""], eos_ids={3}, special_ids={3, 4})
A, B, AB, END, SPECIAL = range(5)


class Broken:
    """A matcher that fails where it is told to."""

    def __init__(self, inner, failing):
        self._inner, self._failing = inner, failing

    def __getattr__(self, name):
        if name in self._failing:
            raise RuntimeError(f"{name} is broken")
        return getattr(self._inner, name)

    def fork(self):
        return Broken(self._inner.fork(), self._failing)


@pytest.fixture
def failing():
    return set()


@pytest.fixture
def position(failing):
    compiled = compile_grammar(GrammarSpec.regex("a*b"), VOCABULARY, "lattice")
    position = Enforcement(compiled)
    position._matcher = Broken(position._matcher, failing)
    return position


def allowed(position):
    row = np.full(words(VOCABULARY.size) + 1, -1, np.int32)
    position.fill(row)
    return set(indices(row).tolist())


def test_it_follows_the_grammar_and_back(position):
    assert allowed(position) == {A, B, AB}
    assert position.accept(A)
    assert position.accept(AB)
    assert allowed(position) == {END}
    assert position.accept(END)
    assert position.finished
    position.rollback(2)
    assert not position.finished
    assert allowed(position) == {A, B, AB}


def test_a_forbidden_token_names_itself(position):
    assert not position.accept(END)
    assert "token 3" in position.failure


@pytest.mark.parametrize("written", [SPECIAL, END, A])
def test_a_mask_that_fails_allows_no_text_and_nothing_is_accepted(position, failing, written):
    position.accept(A)
    failing.add("fill_bitmask")
    assert allowed(position) == {SPECIAL}, "an end token would make the text look complete"
    assert not position.accept(written)
    assert "fill_bitmask is broken" in position.failure


def test_without_special_tokens_anything_but_the_end_may_be_written(failing):
    vocabulary = Vocabulary([b"a", b"b", b""], eos_ids={2})
    position = Enforcement(compile_grammar(GrammarSpec.regex("a*b"), vocabulary, "lattice"))
    position._matcher = Broken(position._matcher, {"fill_bitmask"})
    found = allowed(position)
    assert {0, 1} <= found
    assert 2 not in found
    assert not position.accept(0)


def test_a_dead_end_is_left_by_going_back(position, failing):
    position.accept(A)
    failing.add("fill_bitmask")
    allowed(position)
    failing.clear()
    position.rollback(1)
    assert allowed(position) == {A, B, AB}
    assert position.accept(A)
    assert not position.accept(A), "the mask that the target saw here allowed no text"


def test_a_lost_position_is_never_trusted_again(position, failing):
    position.accept(A)
    position.accept(A)
    failing.add("rollback")
    position.rollback(1)
    failing.clear()
    position.rollback(1)
    assert allowed(position) == {SPECIAL}
    assert not position.accept(A)


@pytest.mark.parametrize("method", ["accept", "count_valid", "forced_tokens"])
def test_nothing_raises(position, failing, method):
    failing.add(method)
    assert not position.accept(A) or method != "accept"
    assert position.count_valid([A]) in (0, 1)
    assert position.forced_tokens() == []


def test_forks_are_independent(position):
    position.accept(A)
    fork = position.fork()
    assert fork.accept(B)
    assert allowed(fork) == {END}
    assert allowed(position) == {A, B, AB}


def test_rows_narrower_than_the_vocabulary_are_filled(position):
    """A tokenizer may know more tokens than the model has logits for."""
    wide = Enforcement(
        compile_grammar(
            GrammarSpec.regex("a"),
            VOCABULARY.__class__([b"a", *[b"x"] * 70, b""], eos_ids={71}, special_ids={71}),
            "lattice",
        )
    )
    row = np.zeros(1, np.int32)
    wide.fill(row)
    assert indices(row).tolist() == [0]
