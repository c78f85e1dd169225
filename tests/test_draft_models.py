"""Drafters made of small models, and drafters that are shown no placeholder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from latticework.speculative.chance import Row
from latticework.speculative.draft import Draft, DraftKind
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.model_drafter import Method, ModelDrafter, binary_levels
from latticework.speculative.ngram_pool import NgramPoolDrafter
from latticework.speculative.placeholders import TextOnlyDrafter
from latticework.speculative.prompt_lookup import PromptLookupDrafter

V = 5


class Markov:
    """A small model whose rows depend on the last two tokens; it counts its passes."""

    def __init__(self) -> None:
        self.passes = 0

    def rows(self, request: RequestView, paths: Sequence[tuple[int, ...]]) -> list[Row]:
        self.passes += 1
        ends = [tuple([*request.tokens[-2:].tolist(), *path][-2:]) for path in paths]
        return [np.random.default_rng(end).dirichlet(np.full(V, 0.4)) for end in ends]

    def end(self, request: RequestView) -> None:
        pass


MAKERS = {method.value: (lambda method=method: ModelDrafter(Markov(), method)) for method in Method} | {
    "staged": lambda: ModelDrafter(Markov(), Method.LIKELIEST, PromptLookupDrafter(1)),
    "staged chain": lambda: ModelDrafter(Markov(), Method.CHAIN, NgramPoolDrafter()),
    "text only": lambda: TextOnlyDrafter(NgramPoolDrafter(), {3}, 4),
}


@pytest.mark.parametrize("name", MAKERS)
class TestLaws(DrafterLaws):
    @pytest.fixture
    def make_drafter(self, name: str) -> MakeDrafter:
        return MAKERS[name]


def view(tokens: Sequence[int], prompt_length: int | None = None) -> RequestView:
    return RequestView("r", np.array(tokens, np.int32), len(tokens) if prompt_length is None else prompt_length)


@pytest.mark.parametrize("method", Method)
def test_kinds_and_shapes(method: Method) -> None:
    draft = ModelDrafter(Markov(), method).draft(view([1, 2]), DraftBudget(14, 3))
    expected = {
        Method.LIKELIEST: DraftKind.DETERMINISTIC,
        Method.CHAIN: DraftKind.SAMPLED_IID,
    }.get(method, DraftKind.SAMPLED_WITHOUT_REPLACEMENT)
    assert draft.kind is expected
    assert (draft.q is None) == (expected is DraftKind.DETERMINISTIC)
    assert len(draft) == {Method.CHAIN: 3, Method.RSD_S: 12}.get(method, 14)


def test_a_second_drafter_saves_passes_and_changes_no_draft() -> None:
    text = [1, 2, 3, 4, 1, 2]
    plain = Markov()
    tree = ModelDrafter(plain).draft(view(text), DraftBudget(10, 8))
    likeliest = ModelDrafter(Markov()).draft(view(text), DraftBudget(8, 8, branching=False)).token.tolist()
    staged = Markov()
    drafter = ModelDrafter(staged, second=PromptLookupDrafter(2))
    again = drafter.draft(view([*text, *likeliest, *text]), DraftBudget(10, 8))
    assert again.token.tolist() == tree.token.tolist()
    assert again.parent.tolist() == tree.parent.tolist()
    assert staged.passes < plain.passes


@pytest.mark.parametrize(
    ("nodes", "depth", "levels"), [(14, 3, [2, 2, 2]), (5, 9, [2, 1]), (1, 3, [1]), (7, 2, [2, 2])]
)
def test_binary_trees_fit_their_budget(nodes: int, depth: int, levels: list[int]) -> None:
    assert binary_levels(DraftBudget(nodes, depth)) == levels


class Witness:
    """A drafter that writes down what it is shown."""

    verified_top_k = 3

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[int], int]] = []

    def _note(self, what: str, request: RequestView) -> None:
        self.seen.append((what, request.tokens.tolist(), request.prompt_length))

    def begin(self, request: RequestView) -> None:
        self._note("begin", request)

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        self._note("observe", request)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        self._note("draft", request)
        return Draft.chain([1])

    def end(self, request: RequestView) -> None:
        self._note("end", request)


def test_no_placeholder_is_shown() -> None:
    inner = Witness()
    drafter = TextOnlyDrafter(inner, {7, 9}, 100)
    assert drafter.verified_top_k == 3
    request = view([1, 7, 7, 2, 9, 3, 500, -1])
    drafter.begin(request)
    request.tokens = np.array([*request.tokens.tolist(), 4, 5], np.int32)
    drafter.observe(request, [4, 5], None)
    assert drafter.draft(request, DraftBudget(1, 1)).token.tolist() == [1]
    drafter.end(request)
    text = [1, 2, 3, 4, 5]
    assert inner.seen == [("begin", text[:3], 3), ("observe", text, 3), ("draft", text, 3), ("end", text, 3)]
    assert request.prompt_length == 8


def test_repeated_placeholders_are_no_text_that_repeats() -> None:
    prompt = [1, 2, *[7] * 30]
    assert PromptLookupDrafter().draft(view(prompt), DraftBudget(4, 4)).token.tolist() == [7] * 4
    drafter, request = TextOnlyDrafter(PromptLookupDrafter(), {7}, 100), view([1, 2, 3, *[7] * 30, 1, 2])
    drafter.begin(request)
    assert drafter.draft(request, DraftBudget(4, 4)).token.tolist() == [3, 1, 2, 3]
    drafter.end(request)
