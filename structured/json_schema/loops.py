"""Schemas that apply themselves to the same value, which define nothing (2020-12 core, section 9.4.1).

The specification leaves their meaning undefined: a validator that follows it literally never ends. Read as a recursive
definition, ``{"$ref": "#"}`` has every language as a solution. So such a document is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from latticework.structured.json_schema.ir import Schema


def find_loop(schemas: Iterable[Schema]) -> Schema | None:
    """A schema that reaches itself by keywords that read nothing of the value; ``None`` if there is none."""
    finished: set[Schema] = set()
    for start in schemas:
        if start in finished:
            continue
        on_the_way = {start}
        pending: list[tuple[Schema, Iterator[Schema]]] = [(start, start.in_place())]
        while pending:
            schema, rest = pending[-1]
            following = next(rest, None)
            if following is None:
                pending.pop()
                on_the_way.discard(schema)
                finished.add(schema)
            elif following in on_the_way:
                return following
            elif following not in finished:
                on_the_way.add(following)
                pending.append((following, following.in_place()))
    return None
