"""Every drafter that comes with the package, with small bounds, so that they are reached."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from toy_decoding import HIDDEN

from latticework.plugins.drafters import (
    AutoPlugin,
    FusionPlugin,
    GrammarPlugin,
    GuidedPlugin,
    JacobiPlugin,
    NgramPoolPlugin,
    NgramTriePlugin,
    PromptLookupPlugin,
    SuffixPlugin,
    TokenRecyclingPlugin,
    TrigramPlugin,
)
from latticework.speculative.combine import CascadeDrafter
from latticework.speculative.datastore import Datastore
from latticework.speculative.dense_index import DenseIndex
from latticework.speculative.dense_retrieval import DenseRetrievalDrafter
from latticework.speculative.drafter import Drafter, RequestView
from latticework.speculative.model_drafter import Method, ModelDrafter
from latticework.speculative.placeholders import TextOnlyDrafter
from latticework.speculative.retrieval import RetrievalDrafter
from latticework.speculative.suffix_array import BETWEEN, sort_suffixes

#: A tenant writes only tokens of its own hundred. This one is the datastores'.
PUBLIC = 9


class TenantsModel:
    """A small model of which each tenant has its own: it says nothing but that tenant's tokens."""

    def rows(self, request: RequestView, paths: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        own = 100 * int(request.scope or 0)
        found = []
        for path in paths:
            row = np.zeros(1000)
            end = [*request.tokens[-2:].tolist(), *path][-2:]
            row[own : own + 12] = np.random.default_rng(end).dirichlet(np.full(12, 0.4))
            found.append(row)
        return found

    def end(self, request: RequestView) -> None: ...


def _store() -> Datastore:
    """Text of the public hundred, with a random hidden state at each position."""
    chance = np.random.default_rng(0)
    tokens = np.array([*(100 * PUBLIC + chance.integers(0, 6, 300)), BETWEEN], np.int32)
    positions = np.arange(1, len(tokens) - 1)
    hidden = chance.normal(size=(len(positions), HIDDEN)).astype(np.float32)
    return Datastore(tokens, sort_suffixes(tokens), DenseIndex.fit(hidden, positions, tokens[positions], width=HIDDEN))


MAKERS: dict[str, Callable[[], Drafter]] = {
    "auto": lambda: AutoPlugin().create(AutoPlugin.options()),
    "dense_retrieval": lambda: CascadeDrafter(DenseRetrievalDrafter(_store())),
    "fusion": lambda: FusionPlugin().create(FusionPlugin.options(own_rows=1 << 10, shared_rows=1 << 10)),
    "grammar": lambda: GrammarPlugin().create(GrammarPlugin.options()),
    "guided": lambda: GuidedPlugin().create(GuidedPlugin.options(places=1 << 8)),
    "jacobi": lambda: JacobiPlugin().create(JacobiPlugin.options(window=5)),
    "jacobi in blocks": lambda: JacobiPlugin().create(JacobiPlugin.options(block=4, fill=False)),
    "model": lambda: CascadeDrafter(ModelDrafter(TenantsModel())),
    "model, a chain": lambda: CascadeDrafter(ModelDrafter(TenantsModel(), Method.CHAIN)),
    "model, siblings": lambda: CascadeDrafter(ModelDrafter(TenantsModel(), Method.RSD_C)),
    "model, beams": lambda: CascadeDrafter(ModelDrafter(TenantsModel(), Method.RSD_S)),
    "ngram_pool": lambda: NgramPoolPlugin().create(NgramPoolPlugin.options(grams=3)),
    "ngram_trie": lambda: NgramTriePlugin().create(NgramTriePlugin.options(depth=5)),
    "prompt_lookup": lambda: PromptLookupPlugin().create(PromptLookupPlugin.options()),
    "retrieval": lambda: CascadeDrafter(RetrievalDrafter(_store())),
    "suffix": lambda: SuffixPlugin().create(SuffixPlugin.options(finished_tokens=500)),
    "text only": lambda: TextOnlyDrafter(FusionPlugin().create(FusionPlugin.options(own_rows=1 << 10)), {950}, 1000),
    "token_recycling": lambda: TokenRecyclingPlugin().create(TokenRecyclingPlugin.options(tokens=20)),
    "token_recycling, template": lambda: TokenRecyclingPlugin().create(
        TokenRecyclingPlugin.options(tokens=20, growth="template")
    ),
    "trigram": lambda: TrigramPlugin().create(TrigramPlugin.options(iterations=30, rows=1 << 8)),
}


def registered() -> set[str]:
    """The drafters that the package installs."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    return set(project["project"]["entry-points"]["latticework.drafters"])
