"""Lexemes of plain text: a regular expression, or one of a list of texts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from latticework.structured.automata.regex_characters import Dialect
from latticework.structured.automata.regex_machine import regex_machine
from latticework.structured.automata.spelling import raw_table
from latticework.structured.automata.words import words_table
from latticework.structured.errors import GrammarError
from latticework.structured.pushdown.table import Table
from latticework.structured.table_cache import TABLES


@TABLES.kept
def regex_table(source: str, *, field: str = "regex", max_states: int = 50_000, max_nesting: int = 64) -> Table:
    """The texts that ``source`` matches from end to end, as UTF-8; result 0.

    Raises:
        GrammarError, UnsupportedGrammarError: See :mod:`latticework.structured.automata.regex_syntax`.
        BudgetExceededError: The deterministic machine has more than ``max_states`` states. Its states may still be
            found one by one as a text reaches them (:func:`latticework.structured.automata.regex.regex`).
    """
    machine = regex_machine(
        source, field=field, search=False, max_states=max_states, max_nesting=max_nesting, dialect=Dialect.PYTHON
    )
    return raw_table(machine, field=field, max_states=8 * max_states)


def choice_table(texts: Iterable[str], *, field: str = "choice") -> Table:
    """One of ``texts``, verbatim; result 0.

    Raises:
        GrammarError: There is no text, or one of them is not valid Unicode.
        BudgetExceededError: The table would be too large.
    """
    try:
        words = sorted({text.encode() for text in texts})
    except UnicodeEncodeError as error:
        raise GrammarError(field, f"an option holds a lone surrogate: {error}") from None
    if not words:
        raise GrammarError(field, "expected at least one option")
    table, _ = words_table(words, np.zeros(len(words), np.int32), field=field)
    return table
