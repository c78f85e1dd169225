"""Boolean functions as reduced ordered decision diagrams: equal functions are equal integers.

Source: R. Bryant, Graph-based algorithms for Boolean function manipulation, IEEE Trans. Computers C-35 (1986).
Variables are integers, a smaller one nearer to the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from latticework.structured.errors import BudgetExceededError
from latticework.structured.json_machine.budget import WorkBudget

#: The constant functions.
FALSE = 0
TRUE = 1

_LEAF = 1 << 60
_MAX_NODES = 400_000

#: A conjunction of literals: the variables that hold and those that do not.
Cube = tuple[tuple[int, ...], tuple[int, ...]]


class Diagrams:
    """The functions of one grammar. A function is an integer: an index into the node store."""

    def __init__(self, budget: WorkBudget) -> None:
        self._budget = budget
        self._variable = [_LEAF, _LEAF]
        self._low = [FALSE, TRUE]
        self._high = [FALSE, TRUE]
        self._unique: dict[tuple[int, int, int], int] = {}
        self._choices: dict[tuple[int, int, int], int] = {}
        self._supports: dict[int, tuple[int, ...]] = {FALSE: (), TRUE: ()}
        self._cubes: dict[int, Cube | None] = {TRUE: ((), ())}

    def literal(self, variable: int) -> int:
        """The function that is the variable itself."""
        return self._node(variable, FALSE, TRUE)

    def parts(self, function: int) -> tuple[int, int, int]:
        """``(variable, function where it is false, function where it is true)`` of a function that is no constant."""
        return self._variable[function], self._low[function], self._high[function]

    def choose(self, test: int, then: int, otherwise: int) -> int:
        """``then`` where ``test`` holds, else ``otherwise``."""
        try:
            return self._choose(test, then, otherwise)
        except RecursionError:
            raise BudgetExceededError(self._budget.field, "too many alternatives depend on each other") from None

    def both(self, one: int, other: int) -> int:
        """Conjunction."""
        return self.choose(one, other, FALSE)

    def either(self, one: int, other: int) -> int:
        """Disjunction."""
        return self.choose(one, TRUE, other)

    def branches(self, function: int) -> tuple[tuple[int, int | None, int | None], ...]:
        """Two functions whose disjunction is a function that is no constant, each with what must go with it.

        That is ``(rest, variable that must hold, variable that must fail)``: at most one variable, and none where the
        rest is enough, because one branch implies the other.
        """
        variable, low, high = self.parts(function)
        fails = None if self.choose(low, high, TRUE) == TRUE else variable
        holds = None if self.choose(high, low, TRUE) == TRUE else variable
        return (low, None, fails), (high, holds, None)

    def negate(self, function: int) -> int:
        """Negation."""
        return self.replace(function, {}, flip=True)

    def replace(self, function: int, values: Mapping[int, int], *, flip: bool = False) -> int:
        """The function with functions put in place of variables, negated if ``flip``."""
        if not flip and not any(variable in values for variable in self.support(function)):
            return function
        done = {FALSE: TRUE, TRUE: FALSE} if flip else {FALSE: FALSE, TRUE: TRUE}
        for node in self._descending(function):
            variable, low, high = self._variable[node], done[self._low[node]], done[self._high[node]]
            test = values.get(variable)
            if test is None:
                above = variable < min(self._variable[low], self._variable[high])
                if above:
                    done[node] = self._node(variable, low, high)
                else:
                    done[node] = self.choose(self.literal(variable), high, low)
            else:
                done[node] = high if test == TRUE else low if test == FALSE else self.choose(test, high, low)
        return done[function]

    def support(self, function: int) -> tuple[int, ...]:
        """The variables on which the function depends, rising."""
        known = self._supports.get(function)
        if known is None:
            known = tuple(sorted({self._variable[node] for node in self._descending(function)}))
            self._supports[function] = known
        return known

    def evaluate(self, function: int, holds: Callable[[int], bool]) -> bool:
        """The value of the function where exactly the variables hold that ``holds`` says."""
        while function > TRUE:
            function = self._high[function] if holds(self._variable[function]) else self._low[function]
        return function == TRUE

    def cube(self, function: int) -> Cube | None:
        """The function as one conjunction of literals, or ``None`` if it is not."""
        if function in self._cubes:
            return self._cubes[function]
        holds: list[int] = []
        fails: list[int] = []
        node = function
        while node > TRUE:
            if self._low[node] == FALSE:
                holds.append(self._variable[node])
                node = self._high[node]
            elif self._high[node] == FALSE:
                fails.append(self._variable[node])
                node = self._low[node]
            else:
                self._cubes[function] = None
                return None
        cube = (tuple(holds), tuple(fails)) if node == TRUE else None
        self._cubes[function] = cube
        return cube

    def conjunction(self, cube: Cube) -> int:
        """The function that is true where all literals of a cube are."""
        function = TRUE
        for variable in cube[0]:
            function = self.both(self.literal(variable), function)
        for variable in cube[1]:
            function = self.both(self.choose(self.literal(variable), FALSE, TRUE), function)
        return function

    def cubes(self, function: int) -> Iterator[Cube]:
        """Conjunctions of literals, one true at a time, whose disjunction is the function. There may be very many."""
        todo: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = [(function, (), ())]
        while todo:
            node, holds, fails = todo.pop()
            if node == TRUE:
                yield holds, fails
            elif node != FALSE:
                self._budget.ask()
                variable, low, high = self.parts(node)
                todo.append((low, holds, (*fails, variable)))
                todo.append((high, (*holds, variable), fails))

    def _descending(self, function: int) -> Iterator[int]:
        """The inner nodes under ``function``, each after everything below it."""
        found: set[int] = set()
        todo = [function]
        while todo:
            node = todo.pop()
            if node > TRUE and node not in found:
                found.add(node)
                todo += (self._low[node], self._high[node])
        return iter(sorted(found, key=self._variable.__getitem__, reverse=True))

    def _choose(self, test: int, then: int, otherwise: int) -> int:
        if test == TRUE or then == otherwise:
            return then
        if test == FALSE:
            return otherwise
        if then == TRUE and otherwise == FALSE:
            return test
        key = (test, then, otherwise)
        known = self._choices.get(key)
        if known is not None:
            return known
        variable = self._variable
        top = min(variable[test], variable[then], variable[otherwise])
        low, high = self._low, self._high
        result = self._node(
            top,
            self._choose(
                low[test] if variable[test] == top else test,
                low[then] if variable[then] == top else then,
                low[otherwise] if variable[otherwise] == top else otherwise,
            ),
            self._choose(
                high[test] if variable[test] == top else test,
                high[then] if variable[then] == top else then,
                high[otherwise] if variable[otherwise] == top else otherwise,
            ),
        )
        self._choices[key] = result
        return result

    def _node(self, variable: int, low: int, high: int) -> int:
        if low == high:
            return low
        key = (variable, low, high)
        node = self._unique.get(key)
        if node is None:
            self._budget.work()
            node = len(self._variable)
            if node > _MAX_NODES:
                raise BudgetExceededError(self._budget.field, "too many cases of its combinators; simplify the schema")
            self._unique[key] = node
            self._variable.append(variable)
            self._low.append(low)
            self._high.append(high)
        return node
