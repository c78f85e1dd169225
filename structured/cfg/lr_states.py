"""LR automata: LALR(1) in full, which tells whether a grammar is deterministic, and canonical LR(1) as it is visited.

A grammar without LALR(1) conflicts has none in canonical LR(1) either (its states only split those of LALR(1)). The
canonical automaton is what masks need, because its lookaheads are exact: a terminal has an action in a state if and
only if it can come next, whatever lies below on the stack. It is also much larger, hence built state by state.
"""

from __future__ import annotations

from dataclasses import dataclass

from latticework.structured.bitset import bits
from latticework.structured.cfg.budget import Deadline
from latticework.structured.cfg.grammar import Symbol
from latticework.structured.cfg.lr_items import Items
from latticework.structured.cfg.positions import FIELD
from latticework.structured.errors import BudgetExceededError

Kernel = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class State:
    """What an LR parser does in a state.

    Attributes:
        number: Its number.
        after: The number of the state after a symbol, or its kernel while that is not known.
        reduce: The production to reduce, by lookahead.
        allowed: The terminals that can come next, the end of the text among them.
        clash: Lookaheads with more than one action.
    """

    number: int
    after: dict[Symbol, int | Kernel]
    reduce: dict[int, int]
    allowed: frozenset[int]
    clash: frozenset[int]


def _state(items: Items, number: int, kernel: dict[int, int], after: dict[Symbol, int | Kernel]) -> State:
    reduce: dict[int, int] = {}
    clash = set()
    for production, look in items.reductions(items.closure(kernel)):
        for terminal in bits(look):
            if terminal in reduce or terminal in after:
                clash.add(terminal)
            reduce[terminal] = production
    shifts = (symbol for symbol in after if symbol >= 0)
    return State(number, after, reduce, frozenset((*shifts, *reduce)), frozenset(clash))


class CanonicalStates:
    """The canonical LR(1) automaton; states are found as something asks for them. State 0 is the start."""

    def __init__(self, items: Items) -> None:
        self.items = items
        self._numbers: dict[Kernel, int] = {}
        self._states: list[State] = []
        self._number(_key(items.kernel()))

    def __getitem__(self, number: int) -> State:
        return self._states[number]

    def __len__(self) -> int:
        return len(self._states)

    def goto(self, state: int, symbol: Symbol) -> int | None:
        """The state after ``symbol``, if there is one."""
        target = self._states[state].after.get(symbol)
        if target is None or isinstance(target, int):
            return target
        number = self._number(target)
        self._states[state].after[symbol] = number
        return number

    def _number(self, kernel: Kernel) -> int:
        number = self._numbers.get(kernel)
        if number is None:
            number = self._numbers[kernel] = len(self._states)
            looks = dict(kernel)
            after: dict[Symbol, int | Kernel] = {
                symbol: _key(target) for symbol, target in self.items.moves(self.items.closure(looks)).items()
            }
            self._states.append(_state(self.items, number, looks, after))
        return number


def lalr_states(items: Items, deadline: Deadline, max_states: int) -> list[State]:
    """The LALR(1) automaton: LR(0) states whose lookaheads are those of all the LR(1) states they stand for.

    Raises:
        BudgetExceededError: More than ``max_states`` states, or out of time.
    """
    numbers: dict[tuple[int, ...], int] = {}
    kernels: list[dict[int, int]] = []
    after: list[dict[Symbol, int | Kernel]] = []

    def number_of(kernel: dict[int, int]) -> tuple[int, bool]:
        core = tuple(sorted(kernel))
        number = numbers.get(core)
        if number is None:
            number = numbers[core] = len(kernels)
            if number >= max_states:
                raise BudgetExceededError(FIELD, f"needs a parser of more than {max_states} states")
            kernels.append(dict(kernel))
            after.append({})
            return number, True
        known = kernels[number]
        more = False
        for item, look in kernel.items():
            if look & ~known[item]:
                known[item] |= look
                more = True
        return number, more

    todo = [number_of(items.kernel())[0]]
    while todo:
        deadline.check()
        state = todo.pop()
        for symbol, kernel in items.moves(items.closure(kernels[state])).items():
            target, more = number_of(kernel)
            after[state][symbol] = target
            if more:
                todo.append(target)
    return [_state(items, number, kernels[number], after[number]) for number in range(len(kernels))]


def canonical_states(items: Items, deadline: Deadline, max_states: int) -> CanonicalStates:
    """The canonical automaton, built in full.

    Raises:
        BudgetExceededError: More than ``max_states`` states, or out of time.
    """
    states = CanonicalStates(items)
    state = 0
    while state < len(states):
        deadline.check()
        if len(states) > max_states:
            raise BudgetExceededError(FIELD, f"needs a parser of more than {max_states} states")
        for symbol in states[state].after:
            states.goto(state, symbol)
        state += 1
    return states


def _key(kernel: dict[int, int]) -> Kernel:
    return tuple(sorted(kernel.items()))
