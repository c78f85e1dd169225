"""Regular expressions as automata over UTF-8 bytes."""

from __future__ import annotations

from latticework.structured.automata.nfa import NfaAutomaton, NfaBuilder
from latticework.structured.automata.regex_syntax import Alternate, Anchor, Chars, Concat, Node, Repeat, parse


def regex(pattern: str, *, field: str = "regex", max_states: int = 50_000, max_nesting: int = 64) -> NfaAutomaton:
    """The automaton of all texts that ``pattern`` matches from end to end.

    Args:
        pattern: In the dialect of :mod:`latticework.structured.automata.regex_syntax`.
        field: What errors call the pattern.
        max_states: Bound on NFA states; a bounded repeat costs its count times its body.
        max_nesting: Bound on nested groups.

    Raises:
        GrammarError, UnsupportedGrammarError, BudgetExceededError: see the parser; also if nothing matches.
    """
    nfa = NfaBuilder(field, max_states)
    start, final = nfa.state(), nfa.state()
    _build(nfa, parse(pattern, field=field, max_nesting=max_nesting), start, final)
    return NfaAutomaton(nfa, start, final)


def _build(nfa: NfaBuilder, node: Node, source: int, target: int) -> None:
    match node:
        case Chars(points):
            nfa.characters(points, source, target)
        case Anchor(at_start):
            (nfa.at_start if at_start else nfa.at_end)[source].append(target)
        case Alternate(options):
            for option in options:
                _build(nfa, option, source, target)
        case Concat(parts):
            for part in parts[:-1]:
                middle = nfa.state()
                _build(nfa, part, source, middle)
                source = middle
            if parts:
                _build(nfa, parts[-1], source, target)
            else:
                nfa.free[source].append(target)
        case Repeat():
            _repeat(nfa, node, source, target)


def _repeat(nfa: NfaBuilder, node: Repeat, source: int, target: int) -> None:
    """``x{2,4}`` is built as ``xx(x(x)?)?``, so that leaving early is one move and sets of positions stay small."""
    for _ in range(node.low):
        after = nfa.state()
        _build(nfa, node.node, source, after)
        source = after
    if node.high is None:
        # A state of its own for the loop: moves into it must not turn into moves out of what came before.
        loop = nfa.state()
        nfa.free[source].append(loop)
        body = nfa.state()
        nfa.free[loop].extend((body, target))
        _build(nfa, node.node, body, loop)
        return
    for _ in range(node.high - node.low):
        nfa.free[source].append(target)
        after = nfa.state()
        _build(nfa, node.node, source, after)
        source = after
    nfa.free[source].append(target)
