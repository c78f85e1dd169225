"""Regular expressions as automata over UTF-8 bytes."""

from __future__ import annotations

from latticework.structured.automata.nfa import NfaAutomaton, NfaBuilder
from latticework.structured.automata.regex_machine import build, has_looks
from latticework.structured.automata.regex_syntax import parse
from latticework.structured.errors import UnsupportedGrammarError


def regex(pattern: str, *, field: str = "regex", max_states: int = 50_000, max_nesting: int = 64) -> NfaAutomaton:
    """The automaton of all texts that ``pattern`` matches from end to end.

    Args:
        pattern: In the dialect of :mod:`latticework.structured.automata.regex_syntax`.
        field: What errors call the pattern.
        max_states: Bound on NFA states; a bounded repeat costs its count times its body.
        max_nesting: Bound on nested groups.

    Raises:
        GrammarError, UnsupportedGrammarError, BudgetExceededError: see the parser; also if nothing matches, and for
            lookaround, whose dead ends are found only by building the machine.
    """
    node = parse(pattern, field=field, max_nesting=max_nesting)
    if has_looks(node):
        raise UnsupportedGrammarError(field, "lookaround is not supported where states are found one by one")
    nfa = NfaBuilder(field, max_states)
    start, final = nfa.state(), nfa.state()
    build(nfa, node, start, final)
    return NfaAutomaton(nfa, start, final)
