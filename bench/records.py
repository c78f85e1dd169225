"""Records of prompts: a line of JSON each, plain (``.jsonl``) or packed (``.jsonl.gz``).

A record has ``messages`` as in the chat API, ``category``, and where the answer has a form, ``json_schema``, or
``tools`` of which a JSON array of calls is written. The answer to one of category ``text2sql`` is a query over the
tables that its messages define.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from latticework.structured.errors import LatticeworkError
from latticework.structured.presets.sql import sql
from latticework.structured.presets.sql_tables import Tables, tables_of
from latticework.structured.spec import GrammarSpec

_SQL = "text2sql"


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One request.

    Attributes:
        name: Its ``id``, or its file and line.
        category: What kind of task it is.
        messages: As in the chat API.
        schema: The JSON Schema that its answer should satisfy, if there is one.
        tables: The tables of the database that its answer should be a query to, if it should be one.
    """

    name: str
    category: str
    messages: list[dict[str, Any]]
    schema: Any = None
    tables: Tables = field(default_factory=dict)

    @property
    def spec(self) -> GrammarSpec | None:
        """What its answer is constrained by. Raises ``LatticeworkError`` if that is no constraint."""
        if self.schema is not None:
            return GrammarSpec.json_schema(self.schema)
        return sql(self.tables) if self.tables else None

    @property
    def characters(self) -> int:
        """How long its prompt is."""
        return sum(len(str(message["content"])) for message in self.messages)


def mixed(kinds: Sequence[Sequence[Record]], limit: int) -> list[Record]:
    """At most ``limit`` records of each kind, evenly spaced, the kinds taking turns."""
    chosen = [
        [kind[i * len(kind) // min(limit, len(kind))] for i in range(min(limit, len(kind)))] if kind else []
        for kind in kinds
    ]
    rows = zip_longest(*chosen)
    return [record for row in rows for record in row if record is not None]


def read_records(paths: Sequence[Path]) -> list[Record]:
    """The records of files, in their order.

    Raises:
        LatticeworkError: A file is not there, or a line is no record.
    """
    records: list[Record] = []
    for path in paths:
        stem = path.name.partition(".")[0]
        for number, line in enumerate(_lines(path), 1):
            if "messages" not in line:
                raise LatticeworkError("prompts", f"{path}: record {line.get('id')!r} has no messages")
            name = str(line.get("id", f"{stem}:{number}"))
            category, messages = line.get("category", stem), line["messages"]
            tables = tables_of("\n".join(str(m["content"]) for m in messages), "prompts") if category == _SQL else {}
            records.append(Record(name, category, messages, _schema(line), tables))
    return records


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        packed = path.read_bytes()
        text = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode()
        return [json.loads(line) for line in text.splitlines()]
    except (OSError, ValueError) as error:
        raise LatticeworkError("prompts", f"{path}: {error}") from error


def _schema(record: dict[str, Any]) -> Any:
    if tools := record.get("tools"):
        calls = [
            {
                "type": "object",
                "properties": {"name": {"const": tool["name"]}, "arguments": _plain(tool["parameters"])},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for tool in tools
        ]
        return {"type": "array", "items": {"anyOf": calls}, "minItems": 1}
    return record.get("json_schema")


#: Type names in tool descriptions that are Python's, not JSON Schema's.
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}


def _plain(parameters: Any) -> Any:
    """Parameters of a tool as a JSON Schema: types by their JSON names, nothing undeclared."""
    if isinstance(parameters, list):
        return [_plain(item) for item in parameters]
    if not isinstance(parameters, dict):
        return parameters
    plain = {key: _plain(value) for key, value in parameters.items()}
    kind = plain.get("type")
    if isinstance(kind, str) and kind in _TYPES:
        plain["type"] = _TYPES[kind]
        if plain["type"] is None:
            del plain["type"]
    if plain.get("type") == "object" and isinstance(plain.get("properties"), dict):
        plain.setdefault("additionalProperties", False)
    return plain
