"""Who evaluates a property or an item, for ``unevaluatedProperties`` and ``unevaluatedItems``.

A schema that applies to the same value evaluates what its own keywords speak of, on condition that it holds. Source:
JSON Schema 2020-12 core, sections 11.2 and 11.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from latticework.structured.json_machine.atoms import Has
from latticework.structured.json_machine.diagrams import TRUE
from latticework.structured.json_machine.formulas import Formulas
from latticework.structured.json_schema.ir import Schema


@dataclass(frozen=True, slots=True)
class Evaluator:
    """``schema`` evaluates what its own keywords speak of, where the function ``condition`` holds."""

    condition: int
    schema: Schema


def evaluators(formulas: Formulas, root: Schema, kind: str) -> list[Evaluator]:
    """All schemas that evaluate parts of an object or array for the ``unevaluated`` keyword of ``root``."""
    diagrams = formulas.diagrams
    found: dict[tuple[int, Schema], None] = {}
    todo = [(TRUE, root)]
    while todo:
        entry = todo.pop()
        if entry in found:
            continue
        found[entry] = None
        condition, schema = entry
        # What must hold for `schema` to hold at all adds no condition: without it the keyword does not matter.
        todo += [(condition, part) for part in (*schema.refs, *schema.all_of)]
        for part in (*schema.any_of, *schema.one_of):
            todo.append((diagrams.both(condition, formulas.formula(part, kind)), part))
        if schema.condition is not None:
            test = formulas.formula(schema.condition, kind)
            todo.append((diagrams.both(condition, test), schema.condition))
            if schema.then is not None:
                todo.append((diagrams.both(condition, test), schema.then))
            if schema.otherwise is not None:
                todo.append((diagrams.both(condition, diagrams.negate(test)), schema.otherwise))
        if kind == "object":
            for name, part in schema.dependent_schemas.items():
                there = formulas.literal(Has(frozenset((name,))))
                todo.append((diagrams.both(condition, there), part))
    return [Evaluator(condition, schema) for condition, schema in found if condition]
