"""The arguments of a tool as XML elements, one a property: the layouts of Qwen3-Coder, MiniMax-M2, GLM-4 and DeepSeek.

``<parameter=city>\\nRome\\n</parameter>``: properties come in the order of the schema, then others as far as it allows
them; strings are written as they are, everything else as JSON, with blanks around it. What a schema says of strings but
an enumeration, and of properties together, is refused by its path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.tags.layouts import Format, constant, either, pattern, sequence
from latticework.structured.tags.members import check_members

#: Blanks between elements, and around JSON in them, unless the format says how many.
MAX_BLANKS = 20

@dataclass(frozen=True)
class _Style:
    """What stands before a property's name; after it if a text follows, and if JSON does (blanks between the parts, the
    same for both: the reader goes by the schema); and after the value."""

    before: str
    text: tuple[str, ...]
    json: tuple[str, ...]
    end: str

    @property
    def tells(self) -> bool:
        """Whether the markup tells texts from JSON."""
        return self.text != self.json


def _deepseek(blank: str) -> _Style:
    name = f"｜DSML｜{blank}parameter"
    return _Style(f'<{name} name="', ('" string="true">',), ('" string="false">',), f"</{name}>")


_STYLES = {
    "qwen_xml": _Style("<parameter=", (">",), (">",), "</parameter>"),
    "minimax_xml": _Style('<parameter name="', ('">',), ('">',), "</parameter>"),
    "glm_xml": _Style("<arg_key>", ("</arg_key>", "<arg_value>"), ("</arg_key>", "<arg_value>"), "</arg_value>"),
    "deepseek_xml": _deepseek(""),
    "deepseek_v4_1_xml": _deepseek(" "),
}
#: What is JSON where the markup tells texts from it.
_NO_STRING = {"type": ["number", "boolean", "null", "array", "object"]}
#: Names of properties that the schema does not name.
_NAME = "[a-zA-Z_][a-zA-Z0-9_]*"
_MEMBERS: dict[str, tuple[Any, ...]] = {
    "json_schema": (),
    "style": (),
    "any_order": (False,),
    "excludes": ([],),
    "max_whitespace_cnt": (),
}
_ANNOTATIONS = {"title", "description", "default", "examples", "deprecated", "$comment"}
_OBJECT = {"type", "properties", "required", "additionalProperties", "$schema", "$defs", "definitions", *_ANNOTATIONS}
_JSON_TYPES = {"integer", "number", "boolean", "null", "array", "object"}
_REFERENCES = ("#/$defs/", "#/definitions/")


@dataclass(frozen=True)
class Element:
    """One property: its format, the path that errors name, and whether it must be there."""

    path: str
    format: Format
    required: bool


@dataclass(frozen=True)
class Elements:
    """The elements in order; one that may follow any number of times, if any may; and the blanks after the last."""

    elements: tuple[Element, ...]
    other: Element | None
    blanks: Format


def xml_elements(where: str, value: Mapping[str, Any]) -> Elements:
    """The layout of a ``json_schema`` format of an XML style.

    Raises:
        UnsupportedGrammarError: A style or a keyword that is not served.
        GrammarError: The schema is malformed.
    """
    check_members(where, value, _MEMBERS)
    style = value.get("style")
    if style not in _STYLES:
        raise UnsupportedGrammarError(f"{where}/style", f"{style!r} is not served")
    most = value.get("max_whitespace_cnt")
    if most is not None and (type(most) is not int or most < 0):
        raise GrammarError(f"{where}/max_whitespace_cnt", "expected a whole number that is not negative")
    return _Layout(f"{where}/json_schema", value.get("json_schema", True), style, most).elements()


class _Layout:
    def __init__(self, field: str, schema: Any, style: str, most: int | None) -> None:
        self._field = field
        self._schema = {} if schema is True else schema
        self._style = _STYLES[style]
        self._blanks = pattern(rf"[ \n\r\t]{{0,{MAX_BLANKS if most is None else min(most, MAX_BLANKS)}}}")

    def elements(self) -> Elements:
        properties, required, others = self._object()
        elements = []
        for key, given in properties.items():
            path = f"{self._field}/properties/{key}"
            if any(letter in key for letter in '<>"') or not key:
                raise UnsupportedGrammarError(path, "this name cannot be told from its markup")
            elements.append(Element(path, self._element(path, constant(key), given), key in required))
        other = None
        if others is not False:
            path = f"{self._field}/additionalProperties"
            declared = "|".join(map(re.escape, properties))
            name = pattern(f"(?!(?:{declared})$){_NAME}" if properties else _NAME)
            other = Element(path, self._element(path, name, others), False)
        return Elements(tuple(elements), other, self._blanks)

    def _object(self) -> tuple[dict[str, Any], set[str], Any]:
        """The properties of a plain object schema, those that are required, and the schema of others."""
        field, schema = self._field, self._schema
        if not isinstance(schema, Mapping):
            raise UnsupportedGrammarError(field, "must be the schema of an object")
        if unknown := sorted(schema.keys() - _OBJECT):
            raise UnsupportedGrammarError(f"{field}/{unknown[0]}", "is not served where properties are XML elements")
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if (
            schema.get("type", "object") != "object"
            or not isinstance(properties, dict)
            or not isinstance(required, list)
        ):
            raise GrammarError(field, "expected the schema of an object")
        if missing := [key for key in required if key not in properties]:
            raise UnsupportedGrammarError(f"{field}/required", f"{missing[0]!r} is not among the properties")
        return properties, set(required), schema.get("additionalProperties", True)

    def _element(self, path: str, name: Format, given: Any) -> Format:
        return sequence(self._blanks, constant(self._style.before), name, self._value(path, given))

    def _value(self, path: str, given: Any) -> Format:
        """From behind a property's name to the end of its element."""
        if given is True or (isinstance(given, Mapping) and not given.keys() - _ANNOTATIONS):
            return either(self._text(), self._json(_NO_STRING)) if self._style.tells else self._text()
        if not isinstance(given, Mapping):
            raise UnsupportedGrammarError(path, "must have a type where properties are XML elements")
        kind = given.get("type")
        options = given.get("enum", [given["const"]] if "const" in given else None)
        if isinstance(options, list) and options and all(isinstance(option, str) for option in options):
            _refuse_others(path, given, {"type", "enum", "const"})
            return self._options(path, options)
        if kind == "string":
            _refuse_others(path, given, {"type"})
            return self._text()
        if not isinstance(kind, str) or kind not in _JSON_TYPES:
            raise UnsupportedGrammarError(path, "must have one type, or be an enumeration of strings")
        return self._json(_alone(path, given, self._schema))

    def _text(self) -> Format:
        return self._after(self._style.text, {"type": "any_text"})

    def _options(self, path: str, options: list[str]) -> Format:
        if marked := next((option for option in options if self._style.end in option), None):
            raise UnsupportedGrammarError(path, f"{marked!r} holds the end of its element")
        texts = either(*map(constant, options))
        if not self._style.tells:
            texts = sequence(self._blanks, texts, self._blanks)
        return self._after(self._style.text, texts)

    def _json(self, schema: Any) -> Format:
        document = {"type": "json_schema", "json_schema": schema}
        return self._after(self._style.json, sequence(self._blanks, document, self._blanks))

    def _after(self, parts: tuple[str, ...], content: Format) -> Format:
        """``content`` after ``parts`` and before the end of the element, which a text in it does not contain."""
        first, *others = map(constant, parts)
        between = [part for other in others for part in (self._blanks, other)]
        return sequence(first, *between, {"type": "tag", "begin": "", "content": content, "end": self._style.end})


def _refuse_others(path: str, given: Mapping[str, Any], known: set[str]) -> None:
    if others := sorted(given.keys() - known - _ANNOTATIONS):
        raise UnsupportedGrammarError(f"{path}/{others[0]}", "is not enforced in a string that is an XML element")


def _alone(path: str, given: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """A property's schema as a document of its own, with the definitions that it refers to."""
    found, todo = False, [given]
    while todo:
        value: Any = todo.pop()
        if isinstance(value, Mapping):
            reference = value.get("$ref", _REFERENCES[0])
            if not isinstance(reference, str) or not reference.startswith(_REFERENCES) or "$id" in value:
                raise UnsupportedGrammarError(path, "may refer to definitions of the whole schema only")
            found = found or "$ref" in value
            todo += value.values()
        elif isinstance(value, list):
            todo += value
    definitions = {key: root[key] for key in ("$defs", "definitions", "$schema") if found and key in root}
    return {**given, **definitions}
