"""The drafts of JSON Schema: what they are called, where their subschemas stand, and their metaschemas.

What a keyword *asserts* in each draft is in :mod:`.keywords`; this is what must be known to find the way in a document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import Any


class Position(Enum):
    """What a keyword holds that contains schemas."""

    SCHEMAS = auto()  # one schema, or an array of them
    SCHEMA_MAP = auto()  # names to schemas


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """One draft.

    Attributes:
        name: As clients may write it (``default_dialect``): 4, 6, 7, 2019-09, 2020-12.
        uri: Its metaschema, without the empty fragment.
        id_keyword: The keyword that gives a schema its URI.
        ref_alone: Whether the keywords beside a ``$ref`` are ignored (up to draft 7).
        id_is_anchor: Whether a ``#name`` in the ``id_keyword`` is an anchor (up to draft 7; later ``$anchor``).
        positions: The keywords that hold schemas. An identifier anywhere else is data.
    """

    name: str
    uri: str
    id_keyword: str
    ref_alone: bool
    id_is_anchor: bool
    positions: Mapping[str, Position]

    @property
    def anchors(self) -> bool:
        """Whether there is ``$anchor`` (from 2019-09 on)."""
        return not self.id_is_anchor


def _positions(schemas: str, maps: str) -> dict[str, Position]:
    return dict.fromkeys(schemas.split(), Position.SCHEMAS) | dict.fromkeys(maps.split(), Position.SCHEMA_MAP)


_SCHEMAS_4 = "additionalItems additionalProperties allOf anyOf items not oneOf"
_SCHEMAS_6 = _SCHEMAS_4 + " contains propertyNames"
_SCHEMAS_7 = _SCHEMAS_6 + " else if then"
_SCHEMAS_2019 = _SCHEMAS_7 + " contentSchema unevaluatedItems unevaluatedProperties"
_SCHEMAS_2020 = _SCHEMAS_2019.replace("additionalItems ", "") + " prefixItems"
_MAPS_4 = "definitions dependencies patternProperties properties"
_MAPS_2019 = _MAPS_4 + " $defs dependentSchemas"

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect("4", "http://json-schema.org/draft-04/schema", "id", True, True, _positions(_SCHEMAS_4, _MAPS_4)),
        Dialect("6", "http://json-schema.org/draft-06/schema", "$id", True, True, _positions(_SCHEMAS_6, _MAPS_4)),
        Dialect("7", "http://json-schema.org/draft-07/schema", "$id", True, True, _positions(_SCHEMAS_7, _MAPS_4)),
        Dialect(
            "2019-09",
            "https://json-schema.org/draft/2019-09/schema",
            "$id",
            False,
            False,
            _positions(_SCHEMAS_2019, _MAPS_2019),
        ),
        Dialect(
            "2020-12",
            "https://json-schema.org/draft/2020-12/schema",
            "$id",
            False,
            False,
            _positions(_SCHEMAS_2020, _MAPS_2019),
        ),
    )
}

_BY_ADDRESS = {dialect.uri.partition("://")[2]: dialect for dialect in DIALECTS.values()}


def dialect_of(uri: str) -> Dialect | None:
    """The draft that a ``$schema`` names, if it is one of :data:`DIALECTS`. Either of http and https will do."""
    scheme, _, address = uri.partition("://")
    return _BY_ADDRESS.get(address.removesuffix("#")) if scheme in ("http", "https") else None


def metaschema_dialect(uri: str) -> Dialect | None:
    """The draft whose metaschema, or a vocabulary of it, has this URI (without a fragment)."""
    for dialect in DIALECTS.values():
        if uri == dialect.uri or (dialect.anchors and uri.startswith(dialect.uri.removesuffix("schema") + "meta/")):
            return dialect
    return None


@cache
def metaschemas(dialect: Dialect) -> tuple[dict[str, Any], ...]:
    """The draft's metaschema and its vocabularies, as the specification publishes them. Not to be changed."""
    path = Path(__file__).with_name("metaschemas") / f"draft{dialect.name}.json"
    return tuple(json.loads(path.read_text(encoding="utf-8")))
