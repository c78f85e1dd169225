"""The plainest possible validator over the schema graph: the judge of what reads, and writes, JSON Schema.

It follows 2020-12 core, sections 7.7 and 10 to 11, keyword by keyword. It recurses, and is meant for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from latticework.bench.walks.ecma import ecma_search
from latticework.bench.walks.formats import python_formats
from latticework.structured.json_schema.ir import Schema
from latticework.structured.json_schema.values import exact, json_key, json_type


@dataclass
class Verdict:
    valid: bool = True
    names: set[str] = field(default_factory=set)  # properties that a successful subschema has evaluated
    items: set[int] = field(default_factory=set)

    def absorb(self, other: Verdict) -> None:
        self.names |= other.names
        self.items |= other.items


def is_valid(schema: Schema, value: Any, formats: Callable[[str, str], bool] = python_formats) -> bool:
    """Whether ``value`` satisfies ``schema``."""
    return _Validator(formats).evaluate(schema, value).valid


class _Validator:
    def __init__(self, formats: Callable[[str, str], bool]) -> None:
        self._formats = formats

    def evaluate(self, schema: Schema, value: Any) -> Verdict:
        if schema.constant is not None:
            return Verdict(schema.constant)
        verdict = Verdict()
        verdict.valid = (
            self._kind(schema, value)
            and self._in_place(schema, value, verdict)
            and self._scalar(schema, value)
            and (not isinstance(value, dict) or self._object(schema, value, verdict))
            and (not isinstance(value, list) or self._array(schema, value, verdict))
        )
        return verdict if verdict.valid else Verdict(False)

    def _accepts(self, schema: Schema, value: Any) -> bool:
        return self.evaluate(schema, value).valid

    def _kind(self, schema: Schema, value: Any) -> bool:
        if schema.enum is not None and json_key(value) not in {json_key(each) for each in schema.enum}:
            return False
        if schema.types is None:
            return True
        kind = json_type(value)
        if kind in schema.types:
            return True
        whole = kind == "number" and (
            isinstance(value, int) or (schema.integer_fraction and exact(value).denominator == 1)
        )
        return whole and "integer" in schema.types

    def _in_place(self, schema: Schema, value: Any, verdict: Verdict) -> bool:
        for part in (*schema.refs, *schema.all_of):
            got = self.evaluate(part, value)
            if not got.valid:
                return False
            verdict.absorb(got)
        for parts, exactly_one in ((schema.any_of, False), (schema.one_of, True)):
            passed = [got for part in parts if (got := self.evaluate(part, value)).valid]
            if parts and (not passed or (exactly_one and len(passed) > 1)):
                return False
            for got in passed:
                verdict.absorb(got)
        if schema.negated is not None and self._accepts(schema.negated, value):
            return False
        if schema.condition is not None:
            condition = self.evaluate(schema.condition, value)
            verdict.absorb(condition)
            branch = schema.then if condition.valid else schema.otherwise
            if branch is not None:
                got = self.evaluate(branch, value)
                verdict.absorb(got)
                return got.valid
        return True

    def _scalar(self, schema: Schema, value: Any) -> bool:
        if isinstance(value, str):
            return (
                (schema.min_length is None or len(value) >= schema.min_length)
                and (schema.max_length is None or len(value) <= schema.max_length)
                and (schema.pattern is None or ecma_search(schema.pattern, value))
                and (schema.format is None or self._formats(schema.format, value))
            )
        if json_type(value) != "number":
            return True
        number = exact(value)
        return (
            (schema.minimum is None or number >= schema.minimum)
            and (schema.maximum is None or number <= schema.maximum)
            and (schema.exclusive_minimum is None or number > schema.exclusive_minimum)
            and (schema.exclusive_maximum is None or number < schema.exclusive_maximum)
            and (schema.multiple_of is None or (number / schema.multiple_of).denominator == 1)
        )

    def _object(self, schema: Schema, value: dict[str, Any], verdict: Verdict) -> bool:
        if schema.min_properties is not None and len(value) < schema.min_properties:
            return False
        if schema.max_properties is not None and len(value) > schema.max_properties:
            return False
        if any(name not in value for name in schema.required):
            return False
        for name, item in value.items():
            if schema.property_names is not None and not self._accepts(schema.property_names, name):
                return False
            if any(other not in value for other in schema.dependent_required.get(name, ())):
                return False
            if name in schema.dependent_schemas:
                got = self.evaluate(schema.dependent_schemas[name], value)
                if not got.valid:
                    return False
                verdict.absorb(got)
            relevant = [schema.properties[name]] if name in schema.properties else []
            relevant += [part for pattern, part in schema.pattern_properties.items() if ecma_search(pattern, name)]
            if not relevant and schema.additional_properties is not None:
                relevant = [schema.additional_properties]
            if relevant:
                verdict.names.add(name)
            if not all(self._accepts(part, item) for part in relevant):
                return False
        if schema.unevaluated_properties is not None:
            rest = value.keys() - verdict.names
            if not all(self._accepts(schema.unevaluated_properties, value[name]) for name in rest):
                return False
            verdict.names |= rest
        return True

    def _array(self, schema: Schema, value: list[Any], verdict: Verdict) -> bool:
        if schema.min_items is not None and len(value) < schema.min_items:
            return False
        if schema.max_items is not None and len(value) > schema.max_items:
            return False
        if schema.unique_items and len({json_key(item) for item in value}) < len(value):
            return False
        for i, item in enumerate(value):
            part = schema.prefix_items[i] if i < len(schema.prefix_items) else schema.items
            if part is None:
                continue
            verdict.items.add(i)
            if not self._accepts(part, item):
                return False
        if schema.contains is not None:
            matching = {i for i, item in enumerate(value) if self._accepts(schema.contains, item)}
            if len(matching) < schema.min_contains:
                return False
            if schema.max_contains is not None and len(matching) > schema.max_contains:
                return False
            if schema.contains_evaluates:
                verdict.items |= matching
        if schema.unevaluated_items is not None:
            rest = set(range(len(value))) - verdict.items
            if not all(self._accepts(schema.unevaluated_items, value[i]) for i in rest):
                return False
            verdict.items |= rest
        return True
