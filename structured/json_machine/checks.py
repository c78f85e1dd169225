"""Whether every keyword of a schema can be enforced: asked before anything is written, not when a text gets there.

Each pattern and format is looked at alone and with the other keywords about strings beside it. What needs too many
states is refused like what cannot be done at all: another engine may know a way. That keywords of several schemas need
too many states together is found out where they meet.
"""

from __future__ import annotations

from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError
from latticework.structured.json_schema.ir import Schema, reachable
from latticework.structured.json_schema.report import Report
from latticework.structured.json_schema.values import json_type
from latticework.structured.lexemes.magnitudes import MAX_LISTED
from latticework.structured.lexemes.numbers import number_machine
from latticework.structured.lexemes.predicates import AllOf, Format, Length, MultipleOf, Pattern, StringPredicate
from latticework.structured.lexemes.strings import predicate_machine, string_lexeme


def check_enforceable(root: Schema, report: Report) -> None:
    """Refuse, or leave out and record, what cannot be enforced of ``root`` and all that it applies.

    ``report`` says which of the two. A ``patternProperties`` goes together with the ``additionalProperties`` beside it,
    whose meaning depends on it.

    Raises:
        UnsupportedGrammarError: A keyword cannot be enforced, with its JSON pointer and the reason.
        GrammarError: A pattern is not a regular expression.
    """
    for schema in reachable(root):
        if schema.pattern is not None and not _enforceable(schema, "pattern", Pattern(schema.pattern), report):
            schema.pattern = None
        if schema.format is not None and not _enforceable(schema, "format", Format(schema.format), report):
            schema.format = None
        together = _together(schema)
        if together is not None and not _enforceable(schema, "maxLength", together, report):
            schema.min_length = schema.max_length = None
        divisor = schema.multiple_of
        if divisor is not None and not _enforceable(schema, "multipleOf", MultipleOf(divisor), report):
            schema.multiple_of = None
        if schema.enum is not None and len(schema.enum) > MAX_LISTED:
            numbers = sum(json_type(value) == "number" for value in schema.enum)
            if numbers > MAX_LISTED:
                report.unsupported(schema.path, "enum", f"more than {MAX_LISTED} numbers are listed")
                schema.enum = None
        patterns = map(Pattern, schema.pattern_properties)
        if not all(_enforceable(schema, "patternProperties", pattern, report) for pattern in patterns):
            schema.pattern_properties, schema.additional_properties = {}, None


def _together(schema: Schema) -> AllOf | None:
    """What the keywords about strings assert together, if lengths are among them and not alone."""
    parts: list[StringPredicate] = []
    if schema.min_length or schema.max_length is not None:
        parts.append(Length(schema.min_length or 0, schema.max_length))
        if schema.pattern is not None:
            parts.append(Pattern(schema.pattern))
        if schema.format is not None:
            parts.append(Format(schema.format))
    return AllOf(tuple(parts)) if len(parts) > 1 else None


def _enforceable(schema: Schema, keyword: str, predicate: StringPredicate | MultipleOf, report: Report) -> bool:
    try:
        if isinstance(predicate, MultipleOf):
            number_machine(predicate)
        elif isinstance(predicate, AllOf):
            string_lexeme((predicate,))
        else:
            predicate_machine(predicate)
    except (UnsupportedGrammarError, BudgetExceededError) as error:
        report.unsupported(schema.path, keyword, error.reason)
        return False
    except GrammarError as error:
        report.malformed(schema.path, keyword, error.reason)
    return True
