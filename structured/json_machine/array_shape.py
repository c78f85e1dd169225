"""What the assertions about an array say of each item: the same for every state the array may be in."""

from __future__ import annotations

from collections.abc import Iterable

from latticework.structured.json_machine.atoms import Contains, Elements, Unevaluated, Unique
from latticework.structured.json_machine.diagrams import FALSE
from latticework.structured.json_machine.evaluated import Evaluator, evaluators
from latticework.structured.json_machine.formulas import Formulas
from latticework.structured.json_machine.object_shape import NOTHING, Need
from latticework.structured.json_schema.ir import Schema


class ArrayShape:
    """Items by their index.

    Args:
        formulas: The grammar's functions.
        variables: The assertions in play, as variables.

    Attributes:
        variables: These, and those on which it depends what is evaluated.
        width: Items from this index on are all alike.
        contains: The schemas whose matching items are counted.
        unique: The variable of ``uniqueItems``, if it is in play.
        conditions: The functions on which it depends what is evaluated.
    """

    def __init__(self, formulas: Formulas, variables: tuple[int, ...]) -> None:
        self.formulas = formulas
        self.width = 0
        self.unique: int | None = None
        contains: dict[Schema, None] = {}
        conditions: dict[int, None] = {}
        self._evaluators: dict[int, list[Evaluator]] = {}
        in_play = list(variables)
        for variable in in_play:  # grows
            atom = formulas.atoms[variable]
            if isinstance(atom, Elements):
                self.width = max(self.width, len(atom.schema.prefix_items))
            elif isinstance(atom, Contains):
                contains[atom.schema] = None
            elif isinstance(atom, Unique):
                self.unique = variable
            elif isinstance(atom, Unevaluated):
                self._evaluators[variable] = evaluators(formulas, atom.schema, "array")
                conditions.update(dict.fromkeys(e.condition for e in self._evaluators[variable]))
                for evaluator in self._evaluators[variable]:
                    support = formulas.diagrams.support(evaluator.condition)
                    in_play += [part for part in support if part not in in_play]
                    self.width = max(self.width, len(evaluator.schema.prefix_items))
        self.contains = tuple(contains)
        self.conditions = tuple(conditions)
        self.variables = tuple(in_play)
        self._needs: dict[tuple[int, int], Need] = {}

    def need(self, variable: int, index: int) -> Need:
        """What one assertion demands of the item at ``index``."""
        known = (variable, min(index, self.width))
        if known not in self._needs:
            atom = self.formulas.atoms[variable]
            self._needs[known] = self._element(atom.schema, index) if isinstance(atom, Elements) else NOTHING
        return self._needs[known]

    def needs(self, variables: Iterable[int], index: int) -> Need:
        """What several assertions demand together."""
        result = NOTHING
        for variable in variables:
            need = self.need(variable, index)
            if need is None:
                return None
            result = result | need if result else need
        return result

    def clause(self, variable: int, index: int, conditions: tuple[int, ...]) -> int:
        """Under which condition the item at ``index`` is evaluated, whatever it is, for ``unevaluatedItems``.

        ``conditions`` is what is left of each of :attr:`conditions`.
        """
        diagrams, result = self.formulas.diagrams, FALSE
        root = self.formulas.atoms[variable].schema  # type: ignore[attr-defined]
        for evaluator in self._evaluators[variable]:
            schema = evaluator.schema
            nested = schema is not root and schema.unevaluated_items is not None
            if schema.items is not None or nested or index < len(schema.prefix_items):
                result = diagrams.either(conditions[self.conditions.index(evaluator.condition)], result)
        return result

    def matched(self, variable: int, conditions: tuple[int, ...]) -> list[tuple[int, Schema]]:
        """Conditions under which an item is evaluated because a ``contains`` schema holds of it, with that schema."""
        return [
            (conditions[self.conditions.index(evaluator.condition)], evaluator.schema.contains)
            for evaluator in self._evaluators[variable]
            if evaluator.schema.contains is not None and evaluator.schema.contains_evaluates
        ]

    @staticmethod
    def _element(schema: Schema, index: int) -> Need:
        part = schema.prefix_items[index] if index < len(schema.prefix_items) else schema.items
        if part is None or part.constant is True:
            return NOTHING
        return None if part.constant is False else frozenset((part,))
