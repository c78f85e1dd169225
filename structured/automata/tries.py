"""Machines of finite sets of strings."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from latticework.structured.automata.moore import Moore, minimal, partition


def trie_machine(texts: Collection[str]) -> Moore:
    """The minimal machine with label 1 for ``texts`` and 0 for all others. Texts with lone surrogates are left out."""
    alphabet = sorted({character for text in texts for character in text if not 0xD800 <= ord(character) <= 0xDFFF})
    cuts, kinds, classes = partition([((ord(character),) * 2,) for character in alphabet])
    column = {character: members[0] for character, members in zip(alphabet, classes, strict=True)}
    children: list[dict[str, int]] = [{}, {}]  # state 1: none of the texts
    accepting = set()
    for text in texts:
        if not column.keys() >= set(text):
            continue
        state = 0
        for character in text:
            target = children[state].get(character)
            if target is None:
                target = children[state][character] = len(children)
                children.append({})
            state = target
        accepting.add(state)
    delta = np.ones((len(children), int(kinds.max()) + 1), np.int32)
    for state, edges in enumerate(children):
        for character, target in edges.items():
            delta[state, column[character]] = target
    label = np.zeros(len(children), np.int32)
    label[list(accepting)] = 1
    return minimal(Moore(cuts, kinds, delta, label))


def length_machine(low: int, high: int | None) -> Moore:
    """Label 1 for the texts of ``low`` to ``high`` characters; ``None`` is no upper bound."""
    states = low + 1 if high is None else high + 2
    delta = np.minimum(np.arange(1, states + 1, dtype=np.int32), states - 1)[:, None]
    label = np.zeros(states, np.int32)
    label[low : states if high is None else high + 1] = 1
    zero = np.zeros(1, np.int32)
    return Moore(zero, zero, np.ascontiguousarray(delta), label)
