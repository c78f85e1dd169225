"""Making room for what was left out of a schema: where a looser part would forbid more, the keyword around it goes too.

With ``on_unsupported="warn"`` a keyword that cannot be enforced is left out, and the schema that it stood in allows
more. Under ``not`` that would forbid more, and so it would in one branch of ``oneOf``. Nothing that the schema as it
was written allows may be blocked, so these keywords are loosened as well, and recorded like the first one.
"""

from __future__ import annotations

from collections.abc import Iterable

from latticework.structured.json_schema.ir import Dropped, Schema, reachable


def relax(root: Schema, dropped: Iterable[Dropped]) -> list[Dropped]:
    """Loosen what must not stand beside or around the keywords that were left out of ``root``; what else is dropped.

    ``dropped`` is complete: of schemas that are read several times, all are meant.
    """
    places = {pointer for pointer, keyword, _ in dropped if keyword != "$schema"}
    if not places:
        return []
    schemas = reachable(root)
    looser = _looser(schemas, places)
    found: list[Dropped] = []
    for schema in schemas:
        if schema in looser:
            found += [(schema.pointer, keyword, why) for keyword, why in _loosen(schema, looser, places)]
    return list(dict.fromkeys(found))


def _looser(schemas: list[Schema], places: set[str]) -> set[Schema]:
    """The schemas that allow more than they were written to, by themselves or by what they apply."""
    users: dict[Schema, list[Schema]] = {}
    for schema in schemas:
        for part in (*schema.in_place(), *schema.children()):
            users.setdefault(part, []).append(schema)
    todo = [schema for schema in schemas if schema.pointer in places]
    looser = set(todo)
    while todo:
        for user in users.get(todo.pop(), ()):
            if user not in looser:
                looser.add(user)
                todo.append(user)
    return looser


def _loosen(schema: Schema, looser: set[Schema], places: set[str]) -> list[tuple[str, str]]:
    """Drop the keywords of one schema that forbid more where their parts allow more; each with the reason."""
    gone = []
    inside = "what was left out inside would make it forbid more"
    if schema.pointer in places or not looser.isdisjoint(schema.in_place()):
        reason = "what was left out beside it may have evaluated anything"
        if schema.unevaluated_properties is not None:
            gone.append(("unevaluatedProperties", reason))
        if schema.unevaluated_items is not None:
            gone.append(("unevaluatedItems", reason))
        schema.unevaluated_properties = schema.unevaluated_items = None
    if schema.negated in looser:
        gone.append(("not", inside))
        schema.negated = None
    if not looser.isdisjoint(schema.one_of):
        gone.append(("oneOf", f"{inside}; it is kept as 'anyOf'"))
        schema.all_of = (*schema.all_of, Schema(schema.path, any_of=schema.one_of))
        schema.one_of = ()
    if schema.condition in looser:
        gone.append(("if", f"{inside}; 'then' or 'else' is kept"))
        if schema.then is not None and schema.otherwise is not None:
            schema.all_of = (*schema.all_of, Schema(schema.path, any_of=(schema.then, schema.otherwise)))
        schema.condition = schema.then = schema.otherwise = None
    if schema.contains in looser and schema.max_contains is not None:
        gone.append(("maxContains", inside))
        schema.max_contains = None
    return gone
