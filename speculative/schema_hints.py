"""What a JSON Schema suggests where it leaves a choice: the next declared key, an enumerated value, a default.

Hints are guesses with rough odds, never claims: keywords are read at face value, and the grammar throws away what it
does not allow. The path of the text is followed through ``properties``, ``items`` and the like, local references and
the branches of combinations.

Source: speculative spec, section 20.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from latticework.speculative.json_place import JsonPlace, Key, Phase

#: Keywords that may leave one way to go on with a string.
_BINDING = {"pattern", "format", "enum", "const", "maxLength", "not", "if"}
_DEEPEST = 12  # references and combinations followed one after another
_MOST = 16  # schemas that one path leads to


@dataclass(frozen=True, slots=True)
class Hint:
    """A text that may come next, and the odds that it does. ``kind``: why, for the record of how such hints fare."""

    text: bytes
    odds: float
    kind: str


class SchemaHints:
    """The hints of one schema. Paths that were asked for are remembered, up to a bound.

    Args:
        schema: Any JSON Schema.
    """

    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._known: dict[tuple[Key, ...], list[Mapping[str, Any]]] = {}

    def at(self, place: JsonPlace) -> list[Hint]:
        """What may come next, the likeliest first."""
        match place.phase:
            case Phase.KEY | Phase.NAME:
                return self._keys(place)
            case Phase.VALUE | Phase.STRING | Phase.SCALAR:
                return self._values(place)
            case Phase.AFTER:
                return self._ends(place)
        return []

    def free(self, place: JsonPlace) -> bool:
        """Whether the text ends in a string about which the schema says nothing that could force any of it."""
        if place.phase is not Phase.STRING:
            return False
        return not any(_BINDING & schema.keys() for schema in self._schemas(place.path))

    def _keys(self, place: JsonPlace) -> list[Hint]:
        hints: list[Hint] = []
        for name, required in self._missing(place):
            written = json.dumps(name, ensure_ascii=False).encode()[1:]
            if place.phase is Phase.KEY:
                hints.append(Hint(b'"' + written, 0.9 if required else 0.5, "required key" if required else "key"))
            elif written.startswith(place.text) and len(written) > len(place.text) + 1:
                hints.append(Hint(written[len(place.text) :], 0.9, "rest of a key"))
        if place.phase is Phase.KEY and place.empty:
            hints.append(Hint(b"}", 0.1, "empty object"))
        return hints

    def _missing(self, place: JsonPlace) -> Iterator[tuple[str, bool]]:
        """Declared keys that are not there, each with whether it is required; those behind the last one there first."""
        for schema in self._schemas(place.path):
            declared = schema.get("properties")
            if isinstance(declared, dict):
                names, needed = list(declared), schema.get("required")
                last = max((names.index(name) for name in place.seen if name in declared), default=-1)
                for name in (*names[last + 1 :], *names[: max(last, 0)]):
                    if name not in place.seen:
                        yield name, isinstance(needed, list) and name in needed

    def _values(self, place: JsonPlace) -> list[Hint]:
        hints: list[Hint] = []
        for schema in self._schemas(place.path):
            for value, odds, kind in _suggested(schema):
                written = json.dumps(value, ensure_ascii=False).encode()
                if rest := _rest(written, place):
                    hints.append(Hint(rest, odds, kind))
            if place.phase is Phase.VALUE:
                hints += _openings(schema)
        if place.phase is Phase.VALUE:
            return hints
        # What is written already has ruled the others out.
        return [Hint(hint.text, 0.9 / len(hints), f"rest of {hint.kind}") for hint in hints]

    def _ends(self, place: JsonPlace) -> list[Hint]:
        if place.in_object:
            more = any(True for _ in self._missing(_around(place)))
            return [Hint(b",", 0.6 if more else 0.2, "next member"), Hint(b"}", 0.4 if more else 0.8, "end of object")]
        return [Hint(b",", 0.5, "next item"), Hint(b"]", 0.5, "end of array")]

    def _schemas(self, path: tuple[Key, ...]) -> list[Mapping[str, Any]]:
        """The schemas that say something about the value at ``path``."""
        if path not in self._known:
            found = (
                [self._root] if not path else [below for s in self._schemas(path[:-1]) for below in _step(s, path[-1])]
            )
            everything: list[Mapping[str, Any]] = []
            for schema in found:
                self._expand(schema, everything, _DEEPEST)
            if len(self._known) >= 4096:  # keys may be anything, so the paths have no end
                self._known.clear()
                self._known[path] = everything
                return everything
            self._known[path] = everything
        return self._known[path]

    def _expand(self, schema: Any, into: list[Mapping[str, Any]], deepest: int) -> None:
        """A schema with what it refers to and combines."""
        if not isinstance(schema, dict) or deepest == 0 or len(into) >= _MOST:
            return
        into.append(schema)
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith("#"):
            self._expand(_resolved(self._root, reference), into, deepest - 1)
        for keyword in ("allOf", "anyOf", "oneOf"):
            branches = schema.get(keyword)
            for branch in branches if isinstance(branches, list) else ():
                self._expand(branch, into, deepest - 1)


def _around(place: JsonPlace) -> JsonPlace:
    """The place of the object around a member that is complete."""
    return JsonPlace(Phase.KEY, place.path[:-1], b"", place.empty, False, place._frame)


def _resolved(root: Any, reference: str) -> Any:
    """What a local reference (a JSON pointer behind ``#``) names; ``None`` if nothing."""
    at = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(at, dict):
            at = at.get(name)
        elif isinstance(at, list) and name.isdigit() and int(name) < len(at):
            at = at[int(name)]
        else:
            return None
    return at


def _step(schema: Mapping[str, Any], key: Key) -> Iterator[Any]:
    """The subschemas for a member or an item."""
    if key is None:
        yield schema.get("items")
        prefix = schema.get("prefixItems")
        yield from prefix if isinstance(prefix, list) else ()
        return
    declared = schema.get("properties")
    if isinstance(declared, dict) and key in declared:
        yield declared[key]
    else:
        yield schema.get("additionalProperties")


def _suggested(schema: Mapping[str, Any]) -> Iterator[tuple[Any, float, str]]:
    """Values that a schema names: its constant, its default, its alternatives."""
    if "const" in schema:
        yield schema["const"], 0.95, "const"
    if "default" in schema:
        yield schema["default"], 0.5, "default"
    alternatives = schema.get("enum")
    if isinstance(alternatives, list) and alternatives:
        for value in alternatives[:_MOST]:
            yield value, 0.9 / len(alternatives), "enum"
    kind = schema.get("type")
    if kind == "boolean":
        yield True, 0.5, "boolean"
        yield False, 0.5, "boolean"
    elif kind == "null":
        yield None, 0.95, "null"


#: How values of a type begin, where that is certain.
_OPENINGS = {"string": b'"', "object": b"{", "array": b"["}


def _openings(schema: Mapping[str, Any]) -> list[Hint]:
    kinds = schema.get("type")
    known = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
    return [Hint(_OPENINGS[kind], 0.9 / len(known), "opening") for kind in known if kind in _OPENINGS]


def _rest(written: bytes, place: JsonPlace) -> bytes:
    """What of a value is still to be written, empty if the text has gone another way."""
    if place.phase is Phase.VALUE:
        return written
    if place.phase is Phase.STRING:
        return written[1 + len(place.text) :] if written[:1] == b'"' and written[1:].startswith(place.text) else b""
    return written[len(place.text) :] if written[:1] != b'"' and written.startswith(place.text) else b""
