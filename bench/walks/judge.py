"""What the ``jsonschema`` package says of a document, with what it leaves to others done exactly.

Numbers are fractions, so that bounds and multiples are not rounded; patterns are ECMA-262's; formats are asserted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from jsonschema import Draft4Validator, Draft202012Validator, FormatChecker, validators
from jsonschema.exceptions import FormatError, ValidationError
from jsonschema_specifications import REGISTRY

from latticework.bench.walks.ecma import ecma_search
from latticework.bench.walks.formats import python_formats
from latticework.structured.json_schema.formats import FORMATS


class Judge:
    """One schema. Its draft is what ``$schema`` says, by default 2020-12.

    Args:
        schema: As ``json.loads`` returns it.
        assert_formats: Whether the standard formats constrain strings.
    """

    def __init__(self, schema: Any, *, assert_formats: bool = True) -> None:
        draft = validators.validator_for(schema, default=Draft202012Validator)
        # Up to draft 4, 1.0 is not an integer.
        self._number = Fraction if draft is Draft4Validator else _number
        exact = json.loads(json.dumps(schema), parse_float=_number)
        self._validator = validators.extend(draft, _KEYWORDS)(
            exact, registry=REGISTRY, format_checker=_Formats() if assert_formats else None
        )

    def fault(self, text: bytes) -> str | None:
        """What is wrong with a document: it is not JSON, repeats a key, or is not valid. ``None``: nothing."""
        try:
            value = json.loads(text, parse_float=self._number, object_pairs_hook=_object, parse_constant=_refuse)
        except ValueError as error:
            return f"not JSON: {error}"
        fault = next(self._validator.iter_errors(value), None)
        return None if fault is None else f"{'/'.join(map(str, fault.schema_path))}: {fault.message}"


def _number(text: str) -> int | Fraction:
    value = Fraction(text)
    return value.numerator if value.denominator == 1 else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key is repeated")
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


class _Formats(FormatChecker):  # type: ignore[misc]
    def check(self, instance: object, format: str) -> None:
        """Assert the formats that the drafts define."""
        if isinstance(instance, str) and format in FORMATS and not python_formats(format, instance):
            raise FormatError(f"{instance!r} is not a {format!r}")


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not ecma_search(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, part in patterns.items():
            for name, item in instance.items():
                if ecma_search(pattern, name):
                    yield from validator.descend(item, part, path=name, schema_path=pattern)


def _additional_properties(validator: Any, part: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for name, item in instance.items():
            if name not in named and not any(ecma_search(pattern, name) for pattern in patterns):
                yield from validator.descend(item, part, path=name)


_KEYWORDS = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
}
