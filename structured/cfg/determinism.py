"""Whether what an LR automaton's states may read can be told apart by a lexer, without looking further ahead.

All checks are on LALR(1) states. Those allow at least what the canonical states allow that they stand for, and fewer
terminals interfere less, so what holds here holds there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from latticework.structured.cfg.lexer import Bits, Context, Lexer
from latticework.structured.cfg.lr_states import State


@dataclass(frozen=True, slots=True)
class End:
    """A text of ``terminal`` may end where ``extends`` are the bytes that would make a longer lexeme.

    Attributes:
        terminal: It is accepted.
        wins: Whether it is the one that is read.
        others: The other terminals that the place allows and that are accepted too.
        extends: Bytes that lead on.
        following: The terminals that may come next.
    """

    terminal: int
    wins: bool
    others: frozenset[int]
    extends: Bits
    following: frozenset[int]


def ends(states: Sequence[State], lexer: Lexer, ignored: frozenset[int]) -> Iterator[End]:
    """Every way a lexeme can end in any state, each once."""
    after = _after_anywhere(states, lexer.end)
    seen = set()
    for state in states:
        here = (state.allowed - {lexer.end}) | ignored
        context = lexer.context(here)
        for terminal in here:
            target = state.after.get(terminal)
            if terminal in ignored:
                following = here
            elif isinstance(target, int):
                following = (states[target].allowed - {lexer.end}) | ignored
            else:  # a lookahead: some state below shifts it
                following = after[terminal] | ignored
            if (here, terminal, following) not in seen:
                seen.add((here, terminal, following))
                yield from _ends_of(context, here, terminal, following)


def following(states: Sequence[State], lexer: Lexer, ignored: frozenset[int]) -> dict[int, frozenset[int]]:
    """Per terminal, those that may come next somewhere."""
    everything = frozenset(range(lexer.end))
    found = {terminal: after | ignored for terminal, after in _after_anywhere(states, lexer.end).items()}
    return {**found, **dict.fromkeys(ignored, everything)}


def _after_anywhere(states: Sequence[State], end: int) -> dict[int, frozenset[int]]:
    """What may come after a terminal in any state."""
    found: dict[int, frozenset[int]] = {}
    for state in states:
        for symbol, target in state.after.items():
            if symbol >= 0:
                assert isinstance(target, int)
                found[symbol] = found.get(symbol, frozenset()) | (states[target].allowed - {end})
    return found


def _ends_of(context: Context, here: frozenset[int], terminal: int, following: frozenset[int]) -> Iterator[End]:
    for accepted, result, moves in context.ends:
        if terminal in accepted:
            yield End(terminal, result == terminal, (accepted & here) - {terminal}, moves, following)


def splits_one_way(states: Sequence[State], lexer: Lexer) -> bool:
    """Whether a text without a lexer can be split in one way only, and each part is over when the next byte says so.

    Then maximal munch finds that way, and a grammar without a lexer may be read with one.
    """
    return all(
        not end.others and not end.extends & starts(lexer, end.following) for end in ends(states, lexer, frozenset())
    )


def joined(states: Sequence[State], lexer: Lexer, ignored: frozenset[int]) -> tuple[int, int] | None:
    """A terminal and one that may come next, but cannot after some text of the first, whatever is ignored between them.

    Without such a pair, whatever the parser allows can be written. Where there is one, see :mod:`.dead_ends`.
    """
    entries: dict[frozenset[int], dict[int, Bits]] = {}
    for end in ends(states, lexer, ignored):
        if end.following not in entries:
            entries[end.following] = _entries(lexer.context(end.following), end.following, ignored)
        if end.wins and (pair := _joined(end, entries[end.following], ignored)):
            return pair
    return None


def joined_anywhere(states: Sequence[State], lexer: Lexer, ignored: frozenset[int]) -> tuple[int, int] | None:
    """:func:`joined` for a parser whose places may allow any terminals together: all of them at once."""
    everything = frozenset(range(lexer.end))
    context = lexer.context(everything)
    entries = _entries(context, everything, ignored)
    after = _after_anywhere(states, lexer.end)
    for terminal in everything:
        following = everything if terminal in ignored else after[terminal]
        for end in _ends_of(context, everything, terminal, following):
            if (pair := _joined(end, entries, ignored)) is not None:
                return pair
    return None


def _joined(end: End, entries: Mapping[int, Bits], ignored: frozenset[int]) -> tuple[int, int] | None:
    for terminal in sorted(end.following - ignored):
        if not entries[terminal] & ~end.extends:
            return end.terminal, terminal
    return None


def _entries(context: Context, allowed: frozenset[int], ignored: frozenset[int]) -> dict[int, Bits]:
    """Per terminal, the bytes with which it, or ignored terminals before it, can begin."""
    found = {terminal: context.first[terminal] for terminal in allowed}
    extends: dict[int, set[Bits]] = {terminal: set() for terminal in ignored}
    for _, result, moves in context.ends:
        if result in ignored:
            extends[result].add(moves)
    changed = True
    while changed:
        changed = False
        for terminal in allowed - ignored:
            for skipped in ignored:
                if any(found[terminal] & ~moves for moves in extends[skipped]):
                    more = found[terminal] | context.first[skipped]
                    changed |= more != found[terminal]
                    found[terminal] = more
    return found


def starts(lexer: Lexer, terminals: frozenset[int]) -> Bits:
    """The bytes with which a lexeme can begin where ``terminals`` are allowed."""
    first = lexer.context(terminals).first
    found = 0
    for terminal in terminals:
        found |= first[terminal]
    return found
