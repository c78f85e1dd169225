"""What a client asks for: one frozen, hashable description of a constraint, independent of any engine.

The payload is always text, in a canonical form for the kinds that are JSON, so that two requests for the same
constraint share one compiled grammar (:attr:`GrammarSpec.key`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from latticework.structured.errors import GrammarError
from latticework.structured.json_options import JsonOptions

_SERVED = JsonOptions()


class GrammarKind(StrEnum):
    """The six kinds of constraint that both serving engines know. The value is the field's name in errors."""

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    REGEX = "regex"
    CHOICE = "choice"
    GRAMMAR = "grammar"
    STRUCTURAL_TAG = "structural_tag"


@dataclass(frozen=True)
class GrammarSpec:
    """One constraint. Use the constructors named after the kinds; they check what can be checked without a vocabulary.

    Attributes:
        kind: Which of the six kinds.
        text: The payload: canonical JSON for ``json_schema``, ``choice`` and ``structural_tag`` (key order is kept:
            it can carry meaning), the source for ``regex`` and ``grammar``, empty for ``json_object``.
        options: How the document of the two JSON kinds may be written; without meaning for the others.
    """

    kind: GrammarKind
    text: str
    options: JsonOptions = _SERVED

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | bool | str, options: JsonOptions = _SERVED) -> GrammarSpec:
        """A JSON document valid under ``schema`` (a mapping, a boolean schema, or either as JSON text)."""
        parsed = _parse_json(GrammarKind.JSON_SCHEMA, schema) if isinstance(schema, str) else schema
        if not isinstance(parsed, Mapping | bool):
            raise GrammarError("json_schema", f"a schema is an object or a boolean, not {_json_type(parsed)}")
        return cls(GrammarKind.JSON_SCHEMA, _dump(GrammarKind.JSON_SCHEMA, parsed), options)

    @classmethod
    def json_object(cls, options: JsonOptions = _SERVED) -> GrammarSpec:
        """Any JSON object."""
        return cls(GrammarKind.JSON_OBJECT, "", options)

    @classmethod
    def regex(cls, pattern: str) -> GrammarSpec:
        """A text that the whole ``pattern`` matches (dialect: :mod:`latticework.structured.automata.regex_parser`)."""
        if not isinstance(pattern, str):
            raise GrammarError("regex", f"a pattern is a string, not {type(pattern).__name__}")
        return cls(GrammarKind.REGEX, pattern)

    @classmethod
    def choice(cls, options: Sequence[str] | str) -> GrammarSpec:
        """One of ``options``, verbatim (a sequence of strings, or that as JSON text)."""
        parsed = _parse_json(GrammarKind.CHOICE, options) if isinstance(options, str) else list(options)
        if not isinstance(parsed, list) or not all(isinstance(option, str) for option in parsed):
            raise GrammarError("choice", "expected a list of strings")
        if not parsed:
            raise GrammarError("choice", "expected at least one option, got an empty list")
        return cls(GrammarKind.CHOICE, _dump(GrammarKind.CHOICE, parsed))

    @classmethod
    def grammar(cls, source: str) -> GrammarSpec:
        """A text of the context-free grammar ``source`` (GBNF/EBNF or Lark)."""
        if not isinstance(source, str) or not source.strip():
            raise GrammarError("grammar", "expected the source of a grammar, got nothing")
        return cls(GrammarKind.GRAMMAR, source)

    @classmethod
    def structural_tag(cls, tag: Mapping[str, Any] | str) -> GrammarSpec:
        """Free text with constrained regions, in vLLM's legacy or ``format`` form (a mapping, or that as JSON text)."""
        parsed = _parse_json(GrammarKind.STRUCTURAL_TAG, tag) if isinstance(tag, str) else tag
        if not isinstance(parsed, Mapping):
            raise GrammarError("structural_tag", f"expected an object, got {_json_type(parsed)}")
        return cls(GrammarKind.STRUCTURAL_TAG, _dump(GrammarKind.STRUCTURAL_TAG, parsed))

    @cached_property
    def key(self) -> str:
        """Content hash (hex SHA-256) of everything: the name under which a compiled grammar is cached."""
        content = f"{self.kind}\0{self.options.key}\0{self.text}"
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def payload(self) -> Any:
        """The payload as Python values for the JSON kinds, the source text otherwise. Do not mutate it."""
        if self.kind in (GrammarKind.JSON_SCHEMA, GrammarKind.CHOICE, GrammarKind.STRUCTURAL_TAG):
            return json.loads(self.text)
        return self.text


def _parse_json(kind: GrammarKind, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise GrammarError(kind, f"not valid JSON: {error}") from error
    except RecursionError:
        raise GrammarError(kind, "nested too deeply to be parsed") from None


def _dump(kind: GrammarKind, value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise GrammarError(kind, f"not representable as JSON: {error}") from error
    except RecursionError:
        raise GrammarError(kind, "nested too deeply to be parsed") from None


def _json_type(value: object) -> str:
    names = {
        list: "an array",
        str: "a string",
        int: "a number",
        float: "a number",
        type(None): "null",
        bool: "a boolean",
    }
    return names.get(type(value), type(value).__name__)
