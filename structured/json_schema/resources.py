"""Where references lead: the resources of a document, their URIs and anchors.

A *resource* is a schema with an identifier of its own (or the root) and everything in it up to the next such schema
(2020-12 core, section 4.3.5). The whole document is walked once, through the positions that hold schemas in the draft
at hand: an ``$id`` in an ``enum`` or under an unknown keyword is data. JSON pointers are followed anywhere.

Nothing is fetched. A reference that leads out of the document is refused by name, except to the metaschemas of the
drafts themselves, which come with this package. No walk recurses, so no nesting can exhaust Python's stack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin

from latticework.structured.json_schema.dialects import (
    DIALECTS,
    Dialect,
    Position,
    dialect_of,
    metaschema_dialect,
    metaschemas,
)
from latticework.structured.json_schema.path import Path
from latticework.structured.json_schema.report import Budget, Report

#: Base of a document without an identifier: relative references among its parts work, and nothing else is there.
NO_BASE = "http://document.invalid/"

#: The name under which 2019-09's ``$recursiveAnchor`` stands among the dynamic anchors. No anchor's name is empty.
RECURSIVE = ""

#: A schema with none of these keys needs no look at its identifiers.
_IDENTIFYING = frozenset({"$id", "id", "$schema", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$ref"})


class Target(NamedTuple):
    """A place that a reference leads to. ``dynamic``: the dynamic anchor by which it was reached, if it was."""

    schema: Any
    resource: Resource
    path: Path
    dynamic: str | None = None


@dataclass(slots=True, eq=False)
class Resource:
    """One resource.

    Attributes:
        embedded: The resources directly inside, by ``id()`` of their root object.
        anchors: Places by name; ``None`` where two schemas carry the same name.
        dynamic_anchors: Those of the anchors that are dynamic, and :data:`RECURSIVE`.
    """

    uri: str
    root: Any
    path: Path
    dialect: Dialect
    embedded: dict[int, Resource] = field(default_factory=dict)
    anchors: dict[str, Target | None] = field(default_factory=dict)
    dynamic_anchors: dict[str, Target] = field(default_factory=dict)
    resolved: dict[str, Target] = field(default_factory=dict)


class UnresolvableReference(Exception):  # noqa: N818 - becomes a GrammarError where it is caught
    """A reference that leads nowhere, or out of the document if ``remote``."""

    def __init__(self, reason: str, *, remote: bool = False) -> None:
        self.remote = remote
        super().__init__(reason)


class Registry:
    """All resources of a document and of the metaschemas that it refers to.

    Attributes:
        root: The resource of the document's root.
        contested: The dynamic anchors that more than one resource carries: where a reference to them leads depends on
            the way that was taken to it. Any other dynamic reference is a plain one.
    """

    def __init__(self, document: Any, default: Dialect, report: Report, budget: Budget) -> None:
        self._report = report
        self._budget = budget
        self._by_uri: dict[str, Resource | None] = {}
        self._wanted: dict[Dialect, None] = {}
        self._count = 0
        self.root = self._add(document, "#", default)
        for dialect in tuple(self._wanted):
            for metaschema in metaschemas(dialect):
                uri = metaschema[dialect.id_keyword].removesuffix("#")
                if uri not in self._by_uri:
                    self._add(metaschema, f"{uri}#", dialect)
        resources = (resource for resource in self._by_uri.values() if resource is not None)
        carriers = Counter(name for resource in resources for name in resource.dynamic_anchors)
        self.contested = frozenset(name for name, count in carriers.items() if count > 1)

    def resolve(self, reference: str, resource: Resource) -> Target:
        """Where a reference in ``resource`` leads. Raises :class:`UnresolvableReference`."""
        target = resource.resolved.get(reference)
        if target is None:
            uri, _, fragment = reference.partition("#")
            target = self._follow(unquote(fragment), self._find(uri, resource) if uri else resource, reference)
            resource.resolved[reference] = target
        return target

    def _find(self, uri: str, base: Resource) -> Resource:
        absolute = _join(base.uri, uri)
        if absolute is None:
            raise UnresolvableReference(f"{uri!r} is not a URI reference")
        if absolute not in self._by_uri:
            raise UnresolvableReference(
                f"{uri!r} leads out of the document, and no remote schema is fetched", remote=True
            )
        resource = self._by_uri[absolute]
        if resource is None:
            raise UnresolvableReference(f"{uri!r} is the identifier of two schemas")
        return resource

    @staticmethod
    def _follow(fragment: str, resource: Resource, reference: str) -> Target:
        if not fragment:
            return Target(resource.root, resource, resource.path)
        if not fragment.startswith("/"):
            if fragment not in resource.anchors:
                raise UnresolvableReference(f"{reference!r} leads nowhere: there is no anchor {fragment!r}")
            anchor = resource.anchors[fragment]
            if anchor is None:
                raise UnresolvableReference(f"{reference!r} is the anchor of two schemas")
            return anchor
        schema = resource.root
        path = resource.path
        for step in fragment[1:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(schema, dict) and name in schema:
                schema = schema[name]
            elif isinstance(schema, list) and _is_index(name, schema):
                schema = schema[int(name)]
            else:
                raise UnresolvableReference(f"{reference!r} leads nowhere: there is no {name!r}")
            path = (path, name)
            resource = resource.embedded.get(id(schema), resource)
        return Target(schema, resource, path)

    def _add(self, document: Any, path: Path, default: Dialect) -> Resource:
        """Register a whole document; return its root's resource."""
        root = Resource(NO_BASE, document, path, default)
        if not isinstance(document, dict):
            return root
        root.dialect = self._dialect(document, root, path)
        root = self._identify(document, root.dialect, root, path)
        if root.uri == NO_BASE:
            self._by_uri[NO_BASE] = root
        pending = [(document, root, path, 0)]
        while pending:
            schema, resource, path, depth = pending.pop()
            self._count += 1
            self._budget.check_nodes(self._count)
            self._budget.check_nesting(depth)
            if depth and not _IDENTIFYING.isdisjoint(schema):
                # The draft of a schema without an identifier is that of the resource (2020-12 core, section 8.1.1).
                identified = "$id" in schema or "id" in schema
                dialect = self._dialect(schema, resource, path) if identified else resource.dialect
                resource = self._identify(schema, dialect, resource, path)
            pending.extend((part, resource, place, depth + 1) for part, place in _parts(schema, resource.dialect, path))
        return root

    def _dialect(self, schema: dict[str, Any], resource: Resource, path: Path) -> Dialect:
        """The draft that the schema's ``$schema`` names; the resource's own if there is none."""
        uri = schema.get("$schema")
        if uri is None:
            return resource.dialect
        if not isinstance(uri, str):
            self._report.malformed(path, "$schema", "expected a string")
        dialect = dialect_of(uri)
        if dialect is not None:
            return dialect
        known = ", ".join(DIALECTS)
        self._report.unsupported(path, "$schema", f"{uri!r} is none of the drafts that are known here ({known})")
        return resource.dialect

    def _identify(self, schema: dict[str, Any], dialect: Dialect, resource: Resource, path: Path) -> Resource:
        """Register the identifiers of a schema in ``resource``; return the resource that it belongs to itself."""
        reference = schema.get("$ref")
        if isinstance(reference, str) and "//json-schema.org/" in reference:
            metaschema = metaschema_dialect(reference.partition("#")[0])
            if metaschema is not None:
                self._wanted[metaschema] = None
        if reference is not None and dialect.ref_alone:
            return resource
        identifier = schema.get(dialect.id_keyword)
        own = resource
        if identifier is not None:
            own = self._named(schema, identifier, dialect, resource, path)
        if own.dialect.anchors:
            self._anchor(schema, own, path)
        return own

    def _named(self, schema: Any, identifier: Any, dialect: Dialect, resource: Resource, path: Path) -> Resource:
        """The resource that an ``$id`` begins, or ``resource`` if the ``$id`` is only an anchor in it."""
        keyword = dialect.id_keyword
        if not isinstance(identifier, str):
            self._report.malformed(path, keyword, "expected a string")
        uri, _, fragment = identifier.partition("#")
        if fragment and not dialect.id_is_anchor:
            self._report.malformed(path, keyword, f"{identifier!r} has a fragment; '$anchor' names places")
        absolute = _join(resource.uri, uri)
        if absolute is None:
            self._report.malformed(path, keyword, f"{identifier!r} is not a URI reference")
        own = resource
        if uri and absolute != resource.uri:
            own = Resource(absolute, schema, path, dialect)
            resource.embedded[id(schema)] = own
            self._by_uri[absolute] = None if absolute in self._by_uri else own
        if fragment and not fragment.startswith("/"):
            _register(own.anchors, unquote(fragment), Target(schema, own, path))
        return own

    def _anchor(self, schema: dict[str, Any], resource: Resource, path: Path) -> None:
        names = ["$anchor"]
        if "$dynamicAnchor" in schema and resource.dialect.name == "2020-12":
            names.append("$dynamicAnchor")
        for keyword in names:
            name = schema.get(keyword)
            if name is None:
                continue
            if not isinstance(name, str) or not name or "#" in name or "/" in name:
                self._report.malformed(path, keyword, f"{name!r} is not a plain name")
            dynamic = name if keyword == "$dynamicAnchor" else None
            target = Target(schema, resource, path, dynamic)
            _register(resource.anchors, name, target)
            if dynamic:
                resource.dynamic_anchors[name] = target
        if resource.dialect.name == "2019-09" and schema is resource.root and schema.get("$recursiveAnchor") is True:
            resource.dynamic_anchors[RECURSIVE] = Target(schema, resource, path, RECURSIVE)


def _parts(schema: dict[str, Any], dialect: Dialect, path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """The schemas directly inside, without the boolean ones and whatever is malformed."""
    for keyword, value in schema.items():
        position = dialect.positions.get(keyword)
        if position is None:
            continue
        here = (path, keyword)
        if isinstance(value, list):
            yield from ((item, (here, i)) for i, item in enumerate(value) if isinstance(item, dict))
        elif not isinstance(value, dict):
            continue
        elif position is Position.SCHEMAS:
            yield value, here
        else:
            yield from ((item, (here, name)) for name, item in value.items() if isinstance(item, dict))


def _is_index(name: str, items: list[Any]) -> bool:
    # Longer numbers are out of any range, and Python refuses to read very long ones.
    plain = name.isascii() and name.isdecimal() and (name == "0" or name[0] != "0")
    return plain and len(name) < 12 and int(name) < len(items)


def _join(base: str, uri: str) -> str | None:
    try:
        return urljoin(base, uri)
    except ValueError:
        return None


def _register(places: dict[str, Target | None], name: str, target: Target) -> None:
    taken = places.get(name, target)
    places[name] = target if taken is not None and taken.schema is target.schema else None
