"""Drafters: the laws, and what each one is for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.plugins.drafters import AutoPlugin, GrammarPlugin, PromptLookupPlugin
from latticework.speculative.best_path import best_path
from latticework.speculative.combine import CascadeDrafter, append, prune
from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft, DraftKind
from latticework.speculative.drafter import DraftBudget, Drafter, RequestView, VerifiedRows
from latticework.speculative.grammar_drafter import GrammarDrafter
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.ngram_pool import NgramPoolDrafter
from latticework.speculative.prompt_lookup import PromptLookupDrafter, continuation
from latticework.speculative.verify import sample_and_match
from latticework.structured import GrammarLimits, GrammarSpec, Vocabulary
from latticework.structured.engines.base import CompiledGrammar, Matcher
from latticework.structured.engines.lattice import LatticeEngine
from latticework.structured.laws import mask_of

EOS = 0
#: 0 ends; then single bytes a-e and a few longer tokens.
VOCABULARY = Vocabulary([None, b"a", b"b", b"c", b"d", b"e", b"ab", b"abc", b"cd"], [EOS])
A, B, C, D, E, AB, ABC, CD = range(1, 9)
PATTERN = "(?:[ab]c{3}|d(?:e|ab)*e)*"


def compiled(pattern: str) -> CompiledGrammar:
    return LatticeEngine().compile(GrammarSpec.regex(pattern), VOCABULARY, GrammarLimits())


def view(tokens: Sequence[int], matcher: Matcher | None = None) -> RequestView:
    return RequestView("r", np.array(tokens, np.int32), len(tokens), matcher)


class FixedDrafter:
    """Always the same draft, cut to the budget."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def begin(self, request: RequestView) -> None: ...
    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None: ...
    def end(self, request: RequestView) -> None: ...

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        draft = self._draft if budget.branching else best_path(self._draft)
        return draft.within(budget.max_nodes, budget.max_depth)


TREE = Draft(
    np.array([A, D, C, E, C, B, C], np.int32),
    np.array([ROOT, ROOT, 0, 1, 2, ROOT, 5], np.int32),
    np.array([1, 1, 2, 2, 3, 1, 2], np.int32),
)

MAKERS = {
    "prompt_lookup": lambda: PromptLookupPlugin().create(PromptLookupPlugin.options(min_match=1, max_match=4)),
    "grammar": lambda: GrammarPlugin().create(GrammarPlugin.options()),
    "auto": lambda: AutoPlugin().create(AutoPlugin.options()),
    "cascade of a tree": lambda: CascadeDrafter(FixedDrafter(TREE)),
}


@pytest.mark.parametrize("name", MAKERS)
class TestFreeText(DrafterLaws):
    @pytest.fixture
    def make_drafter(self, name: str) -> MakeDrafter:
        return MAKERS[name]


@pytest.mark.parametrize("name", MAKERS)
class TestUnderAGrammar(DrafterLaws):
    @pytest.fixture
    def make_drafter(self, name: str) -> MakeDrafter:
        return MAKERS[name]

    @pytest.fixture
    def grammar(self) -> CompiledGrammar:
        return compiled(PATTERN)


class Leaky(PromptLookupDrafter):
    """Keeps its requests: what the law must catch."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def begin(self, request: RequestView) -> None:
        self.kept.append(request.request_id)


class Gossip(NgramPoolDrafter):
    """Takes all requests for one scope's."""

    def begin(self, request: RequestView) -> None:
        request.scope = "everybody"
        super().begin(request)


@pytest.mark.parametrize("scope", [None, "tenant b"])
def test_the_law_against_learning_across_scopes_can_fail(scope: str | None) -> None:
    with pytest.raises(AssertionError):
        DrafterLaws().test_nothing_is_learnt_across_scopes(Gossip, None, scope)


def test_the_law_against_leaks_can_fail() -> None:
    with pytest.raises(AssertionError):
        DrafterLaws().test_nothing_is_kept_after_the_end(Leaky, None, None)


def brute_force_lookup(tokens: list[int], min_match: int, max_match: int, length: int) -> list[int]:
    """The rule as the spec writes it: longest suffix first, most recent occurrence, copied on into itself."""
    for n in range(min(max_match, len(tokens) - 1), min_match - 1, -1):
        for end in range(len(tokens) - 1, n - 1, -1):
            if tokens[end - n : end] == tokens[-n:]:
                text = list(tokens)
                for _ in range(length):
                    text.append(text[len(text) - (len(tokens) - end)])
                return text[len(tokens) :]
    return []


@given(
    tokens=st.lists(st.integers(0, 3), max_size=24),
    bounds=st.tuples(st.integers(1, 5), st.integers(0, 4)),
    length=st.integers(0, 9),
)
def test_prompt_lookup_equals_brute_force(tokens: list[int], bounds: tuple[int, int], length: int) -> None:
    low, high = bounds[0], bounds[0] + bounds[1]
    found = continuation(np.array(tokens, np.int32), low, high, length).tolist()
    assert found == brute_force_lookup(tokens, low, high, length)


def test_prompt_lookup_looks_no_further_than_its_window() -> None:
    tokens = [7, 8, 9, 9, 1, 2, 3, 4, 5, 7, 8]
    budget = DraftBudget(2, 2)
    assert PromptLookupDrafter(window=11).draft(view(tokens), budget).token.tolist() == [9, 9]
    assert len(PromptLookupDrafter(window=10).draft(view(tokens), budget)) == 0


def test_prompt_lookup_reads_a_read_only_strided_buffer() -> None:
    buffer = np.zeros((9, 2), np.int32)
    buffer[:, 0] = [1, 2, 3, 4, 5, 6, 1, 2, 3]
    buffer.setflags(write=False)
    request = RequestView("r", buffer[:, 0], 9)
    assert PromptLookupDrafter().draft(request, DraftBudget(3, 3)).token.tolist() == [4, 5, 6]


def test_forced_text_is_drafted_to_the_end_token() -> None:
    matcher = compiled("abd").matcher()
    draft = GrammarDrafter().draft(view([], matcher), DraftBudget(8, 8))
    assert b"".join(VOCABULARY.tokens[t] for t in draft.token) == b"abd"
    assert draft.token[-1] == EOS
    assert draft.score is not None
    assert (draft.score == 1.0).all()


def test_every_choice_left_stops_the_forced_run() -> None:
    assert GrammarDrafter().draft(view([], compiled("a|b").matcher()), DraftBudget(8, 8)).token.tolist() == []
    assert GrammarDrafter().draft(view([1, 2]), DraftBudget(8, 8)).token.tolist() == []


class ShortSighted:
    """A matcher whose engine reports forced tokens one at a time."""

    def __init__(self, inner: Matcher) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def forced_tokens(self, limit: int = 32) -> list[int]:
        return self._inner.forced_tokens(1)

    def fork(self) -> ShortSighted:
        return ShortSighted(self._inner.fork())


def test_forced_run_goes_on_where_the_engine_stops() -> None:
    grammar = compiled("eeeed")
    short: Matcher = ShortSighted(grammar.matcher())  # type: ignore[assignment]
    long = GrammarDrafter().draft(view([], grammar.matcher()), DraftBudget(8, 8))
    assert GrammarDrafter().draft(view([], short), DraftBudget(8, 8)).token.tolist() == long.token.tolist()
    assert len(long) == 6


def legal_by_replay(draft: Draft, grammar: CompiledGrammar) -> list[bool]:
    """For each node, whether a fresh matcher takes its whole path."""
    legal = []
    for node in range(len(draft)):
        path: list[int] = []
        at = node
        while at != ROOT:
            path.append(int(draft.token[at]))
            at = int(draft.parent[at])
        legal.append(grammar.matcher().count_valid(path[::-1]) == len(path))
    return legal


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    for i in range(draw(st.integers(0, 10))):
        parent = draw(st.integers(-1, i - 1))
        tokens.append(draw(st.integers(0, VOCABULARY.size - 1)))
        parents.append(parent)
        depths.append(1 if parent == ROOT else depths[parent] + 1)
    return Draft(*(np.array(values, np.int32) for values in (tokens, parents, depths)))


@given(draft=drafts())
def test_prune_keeps_exactly_the_legal_paths(draft: Draft) -> None:
    grammar = compiled(PATTERN)
    matcher = grammar.matcher()
    pruned = prune(draft, matcher)
    pruned.check()
    legal = legal_by_replay(draft, grammar)
    assert pruned.token.tolist() == [token for token, kept in zip(draft.token.tolist(), legal, strict=True) if kept]
    assert all(legal_by_replay(pruned, grammar))
    assert np.array_equal(mask_of(grammar, matcher), mask_of(grammar, grammar.matcher())), "the matcher was moved"


@given(draft=drafts(), seed=st.integers(0, 200))
def test_pruning_never_changes_what_is_emitted(draft: Draft, seed: int) -> None:
    """With noise keyed by position the pruned and the unpruned draft emit the same tokens."""
    grammar = compiled(PATTERN)
    uniforms = np.random.default_rng(seed).random(12)

    def emitted(guess: Draft) -> tuple[int, ...]:
        rows = np.zeros((len(guess) + 1, VOCABULARY.size))
        for node in range(-1, len(guess)):
            matcher, path, at = grammar.matcher(), list[int](), node
            while at != ROOT:
                path.append(int(guess.token[at]))
                at = int(guess.parent[at])
            if all(matcher.accept(token) for token in reversed(path)):
                allowed = np.unpackbits(mask_of(grammar, matcher).view(np.uint8), bitorder="little")
                rows[node + 1] = allowed[: VOCABULARY.size] * np.arange(1, VOCABULARY.size + 1)
        return sample_and_match(guess, rows, uniforms, VOCABULARY.eos_ids).tokens

    assert emitted(draft) == emitted(prune(draft, grammar.matcher()))


def test_sampled_drafts_are_not_pruned() -> None:
    """Dropping illegal tokens while the others keep their raw ``q`` would bias the output."""
    q = np.full((2, VOCABULARY.size), 1 / VOCABULARY.size, np.float32)
    chain = Draft.chain([E, E])
    sampled = Draft(chain.token, chain.parent, chain.depth, DraftKind.SAMPLED_IID, q)
    assert prune(sampled, compiled("abd").matcher()) is sampled


def test_cascade_forces_then_guesses_then_forces_again() -> None:
    """``d``, then a free choice that the context answers, then ``ccc`` is forced, and so is the end."""
    grammar = compiled("dd[ab]eeed")
    prompt = [D, D, A, E]
    draft = CascadeDrafter(PromptLookupDrafter()).draft(view(prompt, grammar.matcher()), DraftBudget(16, 16))
    draft.check()
    assert draft.is_chain
    assert draft.token.tolist() == [D, D, A, E, E, E, D, EOS]
    assert draft.score is not None
    assert draft.score[:2].tolist() == [1.0, 1.0]
    assert np.isnan(draft.score[2:]).all(), "beyond a guess nothing is certain"
    assert draft.origin == "grammar+prompt_lookup"


def test_cascade_keeps_to_the_grammar_and_the_budget() -> None:
    grammar = compiled("dd[ab]eeed")
    inner: Drafter = FixedDrafter(TREE)
    draft = CascadeDrafter(inner).draft(view([C], grammar.matcher()), DraftBudget(9, 4))
    draft.check()
    assert draft.token.tolist() == [D, D, A, B], "of the tree only its two legal roots are left"
    assert draft.parent.tolist() == [-1, 0, 1, 1]


def test_cascade_without_a_grammar_is_the_inner_drafter() -> None:
    tokens = [1, 2, 3, 1, 2]
    budget = DraftBudget(4, 4)
    plain = PromptLookupDrafter().draft(view(tokens), budget)
    assert CascadeDrafter(PromptLookupDrafter()).draft(view(tokens), budget).token.tolist() == plain.token.tolist()


def test_nothing_follows_the_end_token() -> None:
    grammar = compiled("dd")
    draft = CascadeDrafter(FixedDrafter(Draft.chain([E, E, E]))).draft(view([], grammar.matcher()), DraftBudget(9, 9))
    assert draft.token.tolist() == [D, D, EOS]


def test_append_renumbers_and_multiplies() -> None:
    head = Draft(*(np.array(v, np.int32) for v in ([A], [ROOT], [1])), score=np.array([0.5], np.float32))
    tail = Draft(TREE.token, TREE.parent, TREE.depth, score=np.full(len(TREE), 0.5, np.float32))
    both = append(head, tail)
    both.check()
    assert both.parent.tolist() == [-1, 0, 0, 1, 2, 3, 0, 6]
    assert both.score is not None
    assert both.score.tolist() == [0.5] + [0.25] * len(TREE)
    assert append(EMPTY_DRAFT, tail) is tail
    assert append(head, EMPTY_DRAFT) is head


def test_a_text_goes_along_the_nodes_that_it_is_made_of() -> None:
    tree = Draft(*(np.array(v, np.int32) for v in ([A, B, A, C], [ROOT, 0, 0, 2], [1, 2, 2, 3])))
    assert tree.along([A, A, C, D]) == (0, 2, 3)
    assert tree.along([A, C]) == (0,)
    assert tree.along([B]) == tree.along([]) == EMPTY_DRAFT.along([A]) == ()


@pytest.mark.parametrize(
    ("token", "parent", "depth", "reason"),
    [
        ([1, 2], [-1, 1], [1, 2], "parent must come before"),
        ([1, 2], [-1, -2], [1, 1], "parent must come before"),
        ([1, 2], [-1, 0], [1, 1], "depth"),
        ([1, 2], [-1], [1, 1], "one entry a node"),
    ],
)
def test_check_refuses_what_is_no_tree(token: list[int], parent: list[int], depth: list[int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Draft(*(np.array(values, np.int32) for values in (token, parent, depth))).check()
