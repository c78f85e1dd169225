"""The example plugins of the manual: installed by pip, found by the registry, and lawful."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from integration.capabilities import ROOT
from integration.examples import SOURCE, installed_examples
from latticework.plugins.base import Processor, Role
from latticework.plugins.inputs import RequestInput
from latticework.plugins.laws import ProcessorLaws
from latticework.plugins.options import RequestOptions
from latticework.plugins.registry import Registry
from latticework.plugins.settings import Settings
from latticework.speculative.drafter import DraftBudget, Drafter, RequestView
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.structured import GrammarSpec, Vocabulary, compile_grammar
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.errors import LatticeworkError
from latticework.structured.search.driver import run
from latticework.structured.search.laws import SearchPolicyLaws, ToyWorld
from latticework.structured.search.protocol import SearchPolicy, SearchTask

EXAMPLES = {
    Role.DRAFTER: "successor",
    Role.PROCESSOR: "no_repeat_ngram",
    Role.GRAMMAR: "listed_answer",
    Role.SEARCH: "shortest",
}


@pytest.fixture(scope="module")
def found() -> Iterator[Registry]:
    """What is installed, the example package included."""
    folder = str(installed_examples())
    sys.path.insert(0, folder)
    yield Registry()
    sys.path.remove(folder)


def create(found: Registry, role: Role, **options: Any) -> Any:
    """The example of a role, as a request gets it."""
    factory = found.factory(role, EXAMPLES[role])
    return factory.create(factory.options(**options))


def test_the_registry_finds_what_pip_installed(found: Registry) -> None:
    for role, name in EXAMPLES.items():
        assert name in found.names(role)
        assert found.factory(role, name).summary
    assert found.broken == ()
    module = sys.modules["latticework_examples.drafter"].__file__ or ""
    assert module.startswith(str(installed_examples())), "the installed package is meant, not its source"


def test_requests_select_them_with_options_within_bounds(found: Registry) -> None:
    asked = {"lw_drafter": "successor", "lw_drafter_length": 3, "lw_search": "shortest", "lw_search_n": 2}
    options = RequestOptions.parse(asked, Settings(), found)
    assert options.drafter is not None
    assert options.drafter.options.model_dump() == {"length": 3}
    with pytest.raises(LatticeworkError, match="lw_drafter_length"):
        RequestOptions.parse({**asked, "lw_drafter_length": 33}, Settings(), found)
    with pytest.raises(LatticeworkError, match="lw_search_n"):
        RequestOptions.parse({**asked, "lw_search_n": 17}, Settings(), found)


class TestSuccessor(DrafterLaws):
    @pytest.fixture
    def make_drafter(self, found: Registry) -> MakeDrafter:
        return lambda: create(found, Role.DRAFTER)


class TestSuccessorUnderAGrammar(TestSuccessor):
    @pytest.fixture
    def grammar(self) -> CompiledGrammar:
        vocabulary = Vocabulary([b"a", b"b", b"c", b"d", b"e", None], [5])
        return compile_grammar(GrammarSpec.regex("(ab(c|d)*e)+"), vocabulary)


class TestNoRepeat(ProcessorLaws):
    @pytest.fixture
    def processor(self, found: Registry) -> Processor:
        processor: Processor = create(found, Role.PROCESSOR, n=2)
        return processor


class TestShortest(SearchPolicyLaws):
    @pytest.fixture
    def policy(self, found: Registry) -> SearchPolicy:
        policy: SearchPolicy = create(found, Role.SEARCH)
        return policy


def test_the_drafter_guesses_what_followed_last(found: Registry) -> None:
    drafter: Drafter = create(found, Role.DRAFTER, length=4)
    view = RequestView("r", np.array([1, 2, 3, 1], np.int32), 4)
    drafter.begin(view)
    assert drafter.draft(view, DraftBudget(8, 8)).token.tolist() == [2, 3, 1, 2]
    view.tokens = np.array([1, 2, 3, 1, 5, 1], np.int32)
    drafter.observe(view, [5, 1], None)
    assert drafter.draft(view, DraftBudget(2, 8)).token.tolist() == [5, 1]


def test_the_processor_forbids_what_was_written_and_nothing_else(found: Registry) -> None:
    session = create(found, Role.PROCESSOR, n=3).begin([7, 8, 9, 7, 8])
    session.advance([7, 8, 4, 7, 8])
    row = torch.zeros(10)
    session.apply(row)
    assert torch.isneginf(row).nonzero().flatten().tolist() == [4], "9 followed in the prompt, which may be repeated"
    row.fill_(-torch.inf)
    row[4] = 0.0
    session.apply(row)
    assert row[4] == 0.0, "the only token left"


def test_the_constraint_is_made_of_the_prompt(found: Registry) -> None:
    factory = create(found, Role.GRAMMAR)
    spec = factory.grammar(RequestInput(text="Which one?\n- red\n- blue\n- red\n"))
    assert spec == GrammarSpec.choice(["red", "blue"])
    with pytest.raises(LatticeworkError, match="bullet"):
        factory.grammar(RequestInput(text="Which one?"))


def test_the_search_gives_the_shortest_complete_answer(found: Registry) -> None:
    worlds = [ToyWorld(seed) for seed in range(10)]
    for world in worlds:
        best = run(create(found, Role.SEARCH), SearchTask(), world.perform).best
        complete = [candidate for candidate in world.candidates if candidate.complete]
        assert len(best.token_ids) == min(len(each.token_ids) for each in complete or world.candidates)
    assert any(not candidate.complete for world in worlds for candidate in world.candidates), "some must be cut"


def test_the_test_of_the_manual_is_one(found: Registry) -> None:
    """What the page shows imports what it needs, and inherits the laws."""
    page = (ROOT / "docs" / "writing-plugins.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(import pytest\n.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(shown, "writing-plugins.md", "exec"), names)
    assert issubclass(names["TestSuccessor"], DrafterLaws)
    assert issubclass(names["TestNoRepeat"], ProcessorLaws)


def test_nothing_is_built_in_the_source(found: Registry) -> None:
    assert not [path for path in SOURCE.rglob("*") if path.suffix == ".egg-info" or path.name == "build"]
