"""Vocabularies that cannot spell every byte: what becomes of texts that no sequence of tokens completes?

Most tokenizers have a token for each byte, and then a text that can be completed in bytes can be completed in tokens.
Some lack a few (control characters, lead bytes of rare scripts), and a grammar that needs such a byte could lead a
model to a position from which no token is allowed.

For most lexemes that cannot happen: from every state, each result can still be reached by bytes that are tokens of
their own (a string may hold a rare character, but it can also end). Then the source's promise, that whatever it enters
can be completed, holds in tokens too, and nothing needs to be done. This is checked once for every table.

If it fails for some table, all positions that tokens reach are searched, and those that no sequence of tokens completes
are made unreachable. That is exact, and refuses what it cannot finish.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from latticework.structured.runtime.lexeme_masks import TableForm


def is_spelled(form: TableForm, usable: npt.NDArray[np.bool_]) -> bool:
    """Whether from each state of a table all its outcomes can be reached by ``usable`` bytes (``bool[256]``) alone."""
    columns = np.unique(form.classes[usable])
    reached = np.zeros_like(form.outcomes)
    states = np.arange(len(reached))
    for results in (form.result, form.end):
        some = results >= 0
        reached[states[some], results[some] >> 6] |= np.uint64(1) << (results[some] & 63).astype(np.uint64)
    for state, _, result in form.specials.tolist():
        reached[state, result >> 6] |= np.uint64(1 << (result & 63))
    _close(form.delta, columns, reached)
    return bool((reached == form.outcomes).all())


@numba.njit(cache=True, nogil=True)
def _close(delta, columns, reached):  # type: ignore[no-untyped-def]
    """Add to the bit set of each state those of its targets, until nothing changes."""
    changed = True
    while changed:
        changed = False
        for state in range(delta.shape[0] - 1, -1, -1):
            for column in columns:
                target = delta[state, column]
                if target >= 0:
                    for word in range(reached.shape[1]):
                        joined = reached[state, word] | reached[target, word]
                        if joined != reached[state, word]:
                            reached[state, word] = joined
                            changed = True
