"""From a JSON Schema to a source of documents."""

from __future__ import annotations

from typing import Any

from latticework.structured.json_machine.budget import WorkBudget
from latticework.structured.json_machine.checks import check_enforceable
from latticework.structured.json_machine.contradictions import reason as contradiction
from latticework.structured.json_machine.relaxing import relax
from latticework.structured.json_machine.source import JsonMachine, UnsatisfiableError
from latticework.structured.json_options import SCHEMA_ORDER, JsonOptions, Order
from latticework.structured.json_schema.ir import Document, Schema
from latticework.structured.json_schema.reader import read_schema
from latticework.structured.json_schema.report import ReadLimits, Report
from latticework.structured.limits import GrammarLimits


def json_source(
    schema: Any,
    options: JsonOptions = SCHEMA_ORDER,
    *,
    default_dialect: str = "2020-12",
    limits: GrammarLimits = GrammarLimits(),  # noqa: B008 - frozen, so sharing the default is safe
    field: str = "json_schema",
) -> JsonMachine:
    """The source of the documents that satisfy a JSON Schema.

    Args:
        schema: As ``json.loads`` returns it.
        options: How documents may be written; by default with keys in any order, as JSON Schema has it.
        default_dialect: The draft of a schema without ``$schema``: 4, 6, 7, 2019-09 or 2020-12.
        limits: What it may cost. Documents nest at most ``max_nesting`` deep.
        field: What errors call the schema.

    Raises:
        GrammarError: The schema is wrong.
        UnsatisfiableError: No document satisfies it; the reason names the place and the keywords.
        UnsupportedGrammarError: Part of it cannot be enforced.
        BudgetExceededError: A limit was hit.
    """
    document = read_schema(
        schema,
        default_dialect=default_dialect,
        assert_formats=options.assert_formats,
        on_unsupported=options.on_unsupported.value,
        limits=ReadLimits(seconds=limits.compile_seconds),
        field=field,
    )
    report = Report(field, options.on_unsupported.value)
    check_enforceable(document.root, report)
    dropped = (*document.dropped, *report.dropped)
    dropped = (*dropped, *relax(document.root, dropped))

    def machine_of(root: Schema, seconds: float) -> JsonMachine:
        return JsonMachine(
            Document(root, dropped),
            declared=options.order is Order.DECLARED,
            whitespace=options.whitespace,
            max_depth=limits.max_nesting,
            budget=WorkBudget(field, seconds),
        )

    def satisfiable(part: Schema) -> bool:
        try:
            machine_of(part, limits.mask_seconds)
        except UnsatisfiableError:
            return False
        return True

    try:
        machine = machine_of(document.root, limits.compile_seconds)
    except UnsatisfiableError as error:
        raise UnsatisfiableError(field, f"{error.reason}; {contradiction(document.root, satisfiable)}") from None
    machine.budget.limit(limits.mask_seconds)
    return machine
