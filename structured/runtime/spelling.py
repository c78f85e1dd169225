"""Vocabularies that cannot spell every byte: which configurations does no sequence of tokens complete?

Most tokenizers have a token for each byte, and then a text that can be completed in bytes can be completed in tokens.
Some lack a few (control characters, lead bytes of rare scripts). A grammar that needs such a byte could lead a model to
a position from which no token is allowed, so those positions are found beforehand and made unreachable. The search is
exhaustive over the configurations that tokens reach, hence exact, and refuses what it cannot finish.
"""

from __future__ import annotations

import time

from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.runtime.graph import ConfigurationGraph
from latticework.structured.runtime.kernels import DEAD


def block_unspellable(graph: ConfigurationGraph, limits: GrammarLimits, field: str) -> None:
    """Block every configuration of ``graph`` that no sequence of tokens completes.

    Raises:
        GrammarError: The start is one of them.
        UnsupportedGrammarError: The grammar is too large to be searched within ``limits.compile_seconds``.
    """
    deadline = time.monotonic() + limits.compile_seconds
    sources: dict[int, set[int]] = {graph.start: set()}
    todo = [graph.start]
    while todo:
        if time.monotonic() > deadline:
            raise UnsupportedGrammarError(
                field,
                "the vocabulary lacks single-byte tokens that it needs, and it is too large to be checked",
            )
        source = todo.pop()
        for target in {target for _, target in graph.successors(source) if target != DEAD}:
            if target not in sources:
                sources[target] = set()
                todo.append(target)
            sources[target].add(source)
    completable = [configuration for configuration in sources if graph.accepts(configuration)]
    seen = set(completable)
    while completable:
        for source in sources[completable.pop()]:
            if source not in seen:
                seen.add(source)
                completable.append(source)
    if graph.start not in seen:
        raise GrammarError(field, "no sequence of the vocabulary's tokens spells any text of it")
    graph.block(frozenset(sources) - seen)
