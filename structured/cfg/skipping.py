"""Ignored terminals as part of the lexeme after them.

What is ignored leads back to the place where it was read, so a table may go on from its start at once, without a result
that changes nothing. White space before a word is then read by the table that reads the word.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from latticework.structured.automata.moore_kernels import outcomes
from latticework.structured.cfg.give_back import Codes
from latticework.structured.cfg.lexer import own_results
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table


def skipping(table: Table, ignored: frozenset[int], codes: Codes) -> Table:
    """The table of a place without results that are ignored.

    Args:
        table: Results are terminals or codes; nothing leads back to its start.
        ignored: Terminals.
        codes: A lexeme given back to an ignored terminal goes on from the start too, where that is one lexeme.
    """
    result = table.result.copy()
    end = table.end.copy()
    delta = table.delta.copy()
    over = np.flatnonzero(np.isin(result, list(ignored)))
    given = {state: codes[int(r)].again for state, r in enumerate(result) if _gives(codes, r, ignored)}
    again = {state: target for state, text in given.items() if (target := _after(table, text)) is not None}
    if not len(over) and not again:
        return table
    delta[over] = np.where(delta[over] == DEAD, table.delta[table.start], delta[over])
    result[over] = NO_RESULT
    end[over] = table.end[table.start]
    for state, target in again.items():
        # The state in which the shorter lexeme was given back is the one after what is read again.
        delta[delta == state] = target
    return replace(table, delta=delta, result=result, end=end, outcomes=outcomes(delta, own_results(result, end)))


def _gives(codes: Codes, result: int, ignored: frozenset[int]) -> bool:
    return int(result) in codes and codes[int(result)].terminal in ignored


def _after(table: Table, text: bytes) -> int | None:
    """The state after ``text``, if it is all of one lexeme so far."""
    state = table.start
    for byte in text:
        state = table.step(state, byte)
        if state == DEAD:
            return None
    return None if table.closed(state) else state
