r"""Regular expressions with lookaround as Moore machines.

What stands *before* a position is read already, so every lookbehind is a machine that runs beside the text: its label
says whether the assertion holds here. What *follows* is not read yet, so a path through the pattern that passes a
lookahead takes on an obligation, the assertion's own set of paths, which from then on reads along: it is struck out
when it is settled, and the path ends when it fails. A state of the machine is thus the state of the lookbehinds with a
set of paths, each a place in the pattern with its obligations. (An alternating automaton, made deterministic.)
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np

from latticework.structured.automata.codepoints import ANY, CodePoints, normalize
from latticework.structured.automata.moore import Moore, combined, constant, minimal, partition
from latticework.structured.automata.regex_syntax import Node
from latticework.structured.automata.subsets import CharacterNfa
from latticework.structured.errors import BudgetExceededError

#: Bound on the steps of single paths.
MAX_WORK = 150_000

#: ``(place, obligations)``. A set of them says where an expression may be.
_Paths = frozenset[tuple[int, frozenset["_Obligation"]]]
#: ``(lookahead, whether it is negated, its paths)``.
_Obligation = tuple[int, bool, _Paths]
#: What stands before a position: the state of the lookbehinds' machine, and whether this is the start of the text.
_Before = tuple[int, bool]
_NONE: frozenset[_Obligation] = frozenset()


class LookaroundNfa(CharacterNfa):
    """A nondeterministic automaton some of whose free moves are assertions."""

    def __init__(self, field: str, max_states: int) -> None:
        super().__init__(field, max_states)
        #: ``(source, target, index in behinds, negated)``.
        self.behind_moves: list[tuple[int, int, int, bool]] = []
        #: ``(source, target, index in aheads, negated)``.
        self.ahead_moves: list[tuple[int, int, int, bool]] = []
        self.behinds: dict[Node, int] = {}
        self.behind_machines: list[Moore] = []
        self.aheads: list[tuple[int, int]] = []

    def look_behind(self, node: Node, machine: Moore, negated: bool, source: int, target: int) -> None:
        """A move if the text so far has label 1 in ``machine``; label 0, if negated. Equal nodes share a machine."""
        index = self.behinds.setdefault(node, len(self.behinds))
        if index == len(self.behind_machines):
            self.behind_machines.append(machine)
        self.behind_moves.append((source, target, index, negated))

    def look_ahead(self, start: int, final: int, negated: bool, source: int, target: int) -> None:
        """A move if some beginning of what follows leads from ``start`` to ``final``; or not, if negated."""
        self.ahead_moves.append((source, target, len(self.aheads), negated))
        self.aheads.append((start, final))

    def machine(
        self, start: int, final: int, *, search: bool, anchored: bool = False, max_states: int = 50_000
    ) -> Moore:
        """See :meth:`CharacterNfa.machine`.

        Raises:
            BudgetExceededError: More than ``max_states`` states, or more than :data:`MAX_WORK` steps.
        """
        if search and not anchored:
            again = self.state()
            self.read(ANY, again, again)
            self.move(again, start)
            start = again
        return _Construction(self, start, final, search, max_states).machine()


class _Construction:
    def __init__(self, nfa: LookaroundNfa, start: int, final: int, search: bool, max_states: int) -> None:
        self.field = nfa.field
        self.max_states = max_states
        self.work = 0
        self.aheads = nfa.aheads
        self.first, self.final = start, final
        self.lasting = {last for _, last in nfa.aheads} | ({final} if search else set())
        self.finals = self.lasting | {final}
        self.behinds, labels = (
            combined(nfa.behind_machines, field=self.field) if nfa.behind_machines else (constant(0), ((),))
        )
        self.holds = labels
        self.free: list[list[int]] = [[] for _ in range(nfa.states)]
        self.at_start: list[list[int]] = [[] for _ in range(nfa.states)]
        self.at_end: list[list[int]] = [[] for _ in range(nfa.states)]
        tables = (self.free, self.at_start, self.at_end)
        for source, target, when in zip(nfa.free[::3], nfa.free[1::3], nfa.free[2::3], strict=True):
            tables[when][source].append(target)
        self.behind: list[list[tuple[int, int, bool]]] = [[] for _ in range(nfa.states)]
        for source, target, index, negated in nfa.behind_moves:
            self.behind[source].append((target, index, negated))
        self.ahead: list[list[tuple[int, int, bool]]] = [[] for _ in range(nfa.states)]
        for source, target, index, negated in nfa.ahead_moves:
            self.ahead[source].append((target, index, negated))
        self._classify(nfa)
        # Caches on methods would outlive the construction.
        self.closure = cache(self._closure)
        self.ends = cache(self._ends)
        self.leads_to_end = cache(self._leads_to_end)
        self.step = cache(self._step)

    def _classify(self, nfa: LookaroundNfa) -> None:
        """Classes of characters that no set and no lookbehind tells apart."""
        columns = [_points(self.behinds, column) for column in range(self.behinds.delta.shape[1])]
        self.cuts, self.kinds, classes = partition([*nfa.sets, *columns])
        self.classes = int(self.kinds.max()) + 1
        column_of = {kind: column for column, kinds in enumerate(classes[len(nfa.sets) :]) for kind in kinds}
        # Surrogates are in no column; no text has them.
        self.columns = [column_of.get(kind, 0) for kind in range(self.classes)]
        self.reads: list[list[list[int]]] = [[[] for _ in range(self.classes)] for _ in range(nfa.states)]
        self.reading = [False] * nfa.states
        for source, target, which in zip(nfa.reads[::3], nfa.reads[1::3], nfa.reads[2::3], strict=True):
            self.reading[source] = True
            for kind in classes[which]:
                self.reads[source][kind].append(target)

    def machine(self) -> Moore:
        """The minimal machine. The start is not in the table: the same paths reached later may end otherwise."""
        states: list[tuple[int, _Paths]] = [(0, self.closure(self.first, (0, True)))]
        number: dict[tuple[int, _Paths], int] = {}
        rows: list[list[int]] = []
        for behind, paths in states:  # grows
            row = []
            for kind in range(self.classes):
                after = int(self.behinds.delta[behind, self.columns[kind]])
                key = (after, self.step(paths, kind, after))
                target = number.get(key)
                if target is None:
                    if len(states) >= self.max_states:
                        raise BudgetExceededError(self.field, f"needs more than {self.max_states} states")
                    target = number[key] = len(states)
                    states.append(key)
                row.append(target)
            rows.append(row)
        label = [int(self.ends(paths, (behind, index == 0))) for index, (behind, paths) in enumerate(states)]
        return minimal(Moore(self.cuts, self.kinds, np.array(rows, np.int32), np.array(label, np.int32)))

    def _holds(self, index: int, before: _Before) -> bool:
        return bool(self.holds[int(self.behinds.label[before[0]])][index])

    def _closure(self, state: int, before: _Before) -> _Paths:
        """Where ``state`` leads without reading; places that read, may end there or wait for the end of the text."""
        found: set[tuple[int, frozenset[_Obligation]]] = {(state, _NONE)}
        todo = list(found)
        while todo:
            place, owed = todo.pop()
            targets = [(target, owed) for target in self.free[place]]
            if before[1]:
                targets += [(target, owed) for target in self.at_start[place]]
            for target, index, negated in self.behind[place]:
                if self._holds(index, before) != negated:
                    targets.append((target, owed))
            for target, index, negated in self.ahead[place]:
                obligation = (index, negated, self.closure(self.aheads[index][0], before))
                settled = self._settled(obligation)
                if settled is None:
                    targets.append((target, owed | {obligation}))
                elif settled:
                    targets.append((target, owed))
            fresh = [path for path in targets if path not in found]
            found.update(fresh)
            todo += fresh
        return self._reduced(
            (place, owed) for place, owed in found if self.reading[place] or place in self.finals or self.at_end[place]
        )

    def _reduced(self, paths: Iterable[tuple[int, frozenset[_Obligation]]]) -> _Paths:
        """Without the paths that owe more than another one at the same place."""
        least: dict[int, list[frozenset[_Obligation]]] = {}
        for place, owed in paths:
            others = least.setdefault(place, [])
            if any(other <= owed for other in others):
                continue
            others[:] = [other for other in others if not owed <= other]
            others.append(owed)
        done = [place for place in least if place in self.lasting and not least[place][0]]
        if done:  # a match, whatever follows
            return frozenset({(done[0], _NONE)})
        return frozenset((place, owed) for place, several in least.items() for owed in several)

    def _settled(self, obligation: _Obligation) -> bool | None:
        """Whether an obligation is met or failed whatever follows; ``None`` if that is open."""
        index, negated, paths = obligation
        if not paths:
            return negated
        return (not negated) if (self.aheads[index][1], _NONE) in paths else None

    def _step(self, paths: _Paths, kind: int, after: int) -> _Paths:
        """The paths after a character of class ``kind`` that puts the lookbehinds into state ``after``."""
        self.work += 1 + len(paths)
        if self.work > MAX_WORK:
            raise BudgetExceededError(self.field, "its lookarounds need too many states")
        found: set[tuple[int, frozenset[_Obligation]]] = set()
        for place, owed in paths:
            targets = self.reads[place][kind]
            if not targets and place not in self.lasting:
                continue
            still = self._owed(owed, kind, after)
            if still is None:
                continue
            if place in self.lasting:
                found.add((place, still))
            for target in targets:
                found.update((inner, still | more) for inner, more in self.closure(target, (after, False)))
        return self._reduced(found)

    def _owed(self, owed: frozenset[_Obligation], kind: int, after: int) -> frozenset[_Obligation] | None:
        """What is still owed after a character; ``None`` if an obligation fails."""
        still = []
        for index, negated, paths in owed:
            obligation = (index, negated, self.step(paths, kind, after))
            settled = self._settled(obligation)
            if settled is False:
                return None
            if settled is None:
                still.append(obligation)
        return frozenset(still)

    def _ends(self, paths: _Paths, before: _Before) -> bool:
        """Whether one of the paths is complete if the text ends here."""
        return any(
            self.leads_to_end(place, before) and all(self.ends(inner, before) != negated for _, negated, inner in owed)
            for place, owed in paths
        )

    def _leads_to_end(self, state: int, before: _Before) -> bool:
        """Whether a final place is reached from ``state`` without reading, at the end of the text."""
        seen = {state}
        todo = [state]
        while todo:
            place = todo.pop()
            if place in self.finals:
                return True
            targets = [*self.free[place], *self.at_end[place], *(self.at_start[place] if before[1] else ())]
            for target, index, negated in self.behind[place]:
                if self._holds(index, before) != negated:
                    targets.append(target)
            for target, index, negated in self.ahead[place]:
                if self.ends(self.closure(self.aheads[index][0], before), before) != negated:
                    targets.append(target)
            fresh = [target for target in targets if target not in seen]
            seen.update(fresh)
            todo += fresh
        return False


def _points(machine: Moore, column: int) -> CodePoints:
    """The characters of one class of a machine."""
    ends = [*(int(cut) - 1 for cut in machine.cuts[1:]), 0x10FFFF]
    runs = zip(machine.cuts.tolist(), ends, machine.kinds.tolist(), strict=True)
    return normalize((first, last) for first, last, kind in runs if kind == column)
