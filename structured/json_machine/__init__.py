"""JSON documents that satisfy a schema, as lexemes and continuations."""

from latticework.structured.json_machine.entry import json_source

__all__ = ["json_source"]
