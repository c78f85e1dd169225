"""Plain texts for our own engine: a regular expression, or one of a list."""

from __future__ import annotations

from collections.abc import Sequence

from latticework.structured.automata.choice import Choice
from latticework.structured.automata.regex import regex
from latticework.structured.automaton import Automaton
from latticework.structured.errors import BudgetExceededError, UnsupportedGrammarError
from latticework.structured.lexemes.texts import choice_table, regex_table
from latticework.structured.limits import GrammarLimits
from latticework.structured.presets.catalogue import Catalogue
from latticework.structured.pushdown.plain import TableSource
from latticework.structured.pushdown.protocol import PushdownSource

#: Nodes of a piece of a long list: it serves one grammar, so first masks count for more than memory.
_PIECE = 1024


def regex_source(pattern: str, limits: GrammarLimits) -> PushdownSource | Automaton:
    """The texts that ``pattern`` matches from end to end.

    A table, or where that is too large states found as texts reach them, which lookaround does not allow.

    Raises:
        GrammarError, UnsupportedGrammarError, BudgetExceededError: See
            :func:`latticework.structured.lexemes.texts.regex_table`.
    """
    try:
        return TableSource(regex_table(pattern, max_states=limits.max_states, max_nesting=limits.max_nesting))
    except BudgetExceededError as too_large:
        try:
            return regex(pattern, max_states=limits.max_states, max_nesting=limits.max_nesting)
        except UnsupportedGrammarError:
            raise too_large from None


def choice_source(options: Sequence[str]) -> PushdownSource | Automaton:
    """One of ``options``, verbatim: a table, or where that is too large a tree laid out piece by piece.

    Raises:
        GrammarError: There is no option, or one of them is not valid Unicode.
    """
    try:
        return TableSource(choice_table(options))
    except BudgetExceededError:
        # A catalogue has no empty name; then states are slices of the sorted list, found one by one.
        return Choice(options) if "" in options else Catalogue(options, field="choice", max_nodes=_PIECE).source
