"""Regular expressions as Moore machines: label 1 for the texts that match."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from latticework.structured.automata.codepoints import ANY, CodePoints
from latticework.structured.automata.lookaround import LookaroundNfa
from latticework.structured.automata.moore import MAX_STATES, Moore, combined, relabelled
from latticework.structured.automata.regex_characters import Dialect
from latticework.structured.automata.regex_syntax import Alternate, Anchor, Chars, Concat, Look, Node, Repeat, parse
from latticework.structured.automata.subsets import CharacterNfa
from latticework.structured.errors import UnsupportedGrammarError

#: Bound on the states of the nondeterministic automaton; a bounded repeat costs its count times its body.
MAX_POSITIONS = 20_000


class Builder(Protocol):
    """A nondeterministic automaton in the making."""

    def state(self) -> int:
        """A new state."""
        ...

    def move(self, source: int, target: int, when: int = 0) -> None:
        """A move without reading: 0 always, 1 only at the start of the text, 2 only at its end."""
        ...

    def read(self, points: CodePoints, source: int, target: int) -> None:
        """Read one character of ``points``."""
        ...


_ANYTHING = Repeat(Chars(ANY), 0, None)


def regex_machine(
    pattern: str,
    *,
    field: str,
    search: bool,
    max_states: int = MAX_STATES,
    max_nesting: int = 64,
    dialect: Dialect = Dialect.ECMA,
) -> Moore:
    """The minimal machine of ``pattern``.

    Args:
        pattern: See :mod:`latticework.structured.automata.regex_syntax`.
        field: What errors call the pattern.
        search: Whether a match anywhere in the text is enough; otherwise all of it must match.
        max_states: Bound on the states of the machine.
        max_nesting: Bound on nested groups.
        dialect: How to read it.

    Raises:
        GrammarError, UnsupportedGrammarError, BudgetExceededError: see the parser; also for too many states.
    """
    node = parse(pattern, field=field, max_nesting=max_nesting, dialect=dialect)
    return node_machine(node, field=field, search=search, max_states=max_states)


def node_machine(node: Node, *, field: str, search: bool, max_states: int = MAX_STATES) -> Moore:
    """:func:`regex_machine` of a syntax tree."""
    if not has_looks(node):
        return _built(CharacterNfa(field, MAX_POSITIONS), node, search, max_states)
    conditions, rest = _conditions(node, search)
    if not conditions:
        return _built(LookaroundNfa(field, MAX_POSITIONS), node, search, max_states)
    parts = [node_machine(rest, field=field, search=search, max_states=max_states)]
    parts += [node_machine(part, field=field, search=True, max_states=max_states) for part, _ in conditions]
    machine, labels = combined(parts, field=field, max_states=max_states)
    wanted = (1, *(int(not negated) for _, negated in conditions))
    return relabelled(machine, [vector == wanted for vector in labels])


def has_looks(node: Node) -> bool:
    """Whether there is an assertion other than the text's start or end."""
    return any(isinstance(inner, Look) for inner in _nodes(node))


def _nodes(node: Node) -> Iterator[Node]:
    todo = [node]
    while todo:
        here = todo.pop()
        yield here
        match here:
            case Concat(parts) | Alternate(parts):
                todo.extend(parts)
            case Repeat(inner) | Look(inner):
                todo.append(inner)


def _conditions(node: Node, search: bool) -> tuple[list[tuple[Node, bool]], Node]:
    """Assertions about the text as a whole, split off: each is a search, and whether it must fail; and the rest.

    They are lookaheads at the start and lookbehinds at the end of the text. Machines for them and the rest are built
    and joined by compiled loops, which is far quicker than following paths with obligations.
    """
    parts = _flat(node)
    first = 0
    while first < len(parts) and _is_edge(parts[first], ahead=True):
        first += 1
    last = len(parts)
    while last > first and _is_edge(parts[last - 1], ahead=False):
        last -= 1
    before, after = parts[:first], parts[last:]
    if search and Anchor(True) not in before:
        before, first = [], 0
    if search and Anchor(False) not in after:
        after, last = [], len(parts)
    conditions: list[tuple[Node, bool]] = [
        (Concat((Anchor(True), part.node)), part.negated) for part in before if isinstance(part, Look)
    ]
    conditions += [(Concat((part.node, Anchor(False))), part.negated) for part in after if isinstance(part, Look)]
    edges = ([Anchor(True)] if before else []), ([Anchor(False)] if after else [])
    return conditions, Concat((*edges[0], *parts[first:last], *edges[1]))


def _flat(node: Node) -> list[Node]:
    return [inner for part in node.parts for inner in _flat(part)] if isinstance(node, Concat) else [node]


def _is_edge(node: Node, *, ahead: bool) -> bool:
    return node == Anchor(ahead) or (isinstance(node, Look) and node.ahead == ahead)


def _built(nfa: CharacterNfa, node: Node, search: bool, max_states: int) -> Moore:
    start, final = nfa.state(), nfa.state()
    build(nfa, node, start, final)
    return nfa.machine(start, final, search=search, anchored=_is_anchored(node), max_states=max_states)


def _is_anchored(node: Node) -> bool:
    """Whether a match can begin only where the text does."""
    match node:
        case Concat((first, *_)):
            return _is_anchored(first)
        case Alternate(options):
            return all(_is_anchored(option) for option in options)
    return node == Anchor(True)


def build(nfa: Builder, node: Node, source: int, target: int) -> None:
    """Add to ``nfa`` what leads from ``source`` to ``target`` by the texts of ``node`` (Thompson construction)."""
    match node:
        case Chars(points):
            nfa.read(points, source, target)
        case Anchor(at_start):
            nfa.move(source, target, 1 if at_start else 2)
        case Alternate(options):
            for option in options:
                build(nfa, option, source, target)
        case Concat(parts):
            for part in parts[:-1]:
                middle = nfa.state()
                build(nfa, part, source, middle)
                source = middle
            if parts:
                build(nfa, parts[-1], source, target)
            else:
                nfa.move(source, target)
        case Repeat():
            _repeat(nfa, node, source, target)
        case Look():
            if not isinstance(nfa, LookaroundNfa):
                raise TypeError("needs an automaton for lookaround")
            _look(nfa, node, source, target)


def _repeat(nfa: Builder, node: Repeat, source: int, target: int) -> None:
    """``x{2,4}`` is built as ``xx(x(x)?)?``, so that leaving early is one move and sets of positions stay small."""
    for _ in range(node.low):
        after = nfa.state()
        build(nfa, node.node, source, after)
        source = after
    if node.high is None:
        # A state of its own for the loop: moves into it must not turn into moves out of what came before.
        loop, body = nfa.state(), nfa.state()
        nfa.move(source, loop)
        nfa.move(loop, body)
        nfa.move(loop, target)
        build(nfa, node.node, body, loop)
        return
    for _ in range(node.high - node.low):
        nfa.move(source, target)
        after = nfa.state()
        build(nfa, node.node, source, after)
        source = after
    nfa.move(source, target)


def _look(nfa: LookaroundNfa, look: Look, source: int, target: int) -> None:
    if look.ahead:
        start, final = nfa.state(), nfa.state()
        build(nfa, look.node, start, final)
        nfa.look_ahead(start, final, look.negated, source, target)
        return
    if any(inner == Anchor(False) or (isinstance(inner, Look) and inner.ahead) for inner in _nodes(look.node)):
        raise UnsupportedGrammarError(nfa.field, r"a lookahead, \b or $ inside a lookbehind is not supported")
    if look.node not in nfa.behinds:
        machine = node_machine(Concat((_ANYTHING, look.node)), field=nfa.field, search=False)
        nfa.look_behind(look.node, machine, look.negated, source, target)
    else:
        known = nfa.behind_machines[nfa.behinds[look.node]]
        nfa.look_behind(look.node, known, look.negated, source, target)
