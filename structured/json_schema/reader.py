"""Documents into graphs of :class:`~latticework.structured.json_schema.ir.Schema` nodes.

A document is read from its root: what nothing refers to is not looked at, but for its identifiers. Nodes are made when
they are first referred to and filled from a list of what is still to do, so recursion in the schema is a cycle in the
graph and depth costs no stack.

``$dynamicRef`` and ``$recursiveRef`` lead to the outermost schema resource, on the way taken to them, that carries the
anchor. Only anchors that several resources carry depend on the way (:attr:`.resources.Registry.contested`); a schema is
read once for each choice of them that it is reached with, and once in all where there are none. The number of nodes is
limited, which bounds this too.

What is refused:

- as ``UnsupportedGrammarError``, or left out and recorded with ``on_unsupported="warn"``: a ``$schema`` that names none
  of the drafts 4, 6, 7, 2019-09 and 2020-12 (draft 3, custom metaschemas; read as the default draft when relaxed),
  references that lead out of the document, and draft 3's boolean ``required``;
- as ``GrammarError``: keywords whose values have the wrong form, references that lead nowhere or to an identifier that
  two schemas share, and schemas that apply themselves to the same value without end;
- as ``BudgetExceededError``: too much of anything.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from latticework.structured.errors import GrammarError
from latticework.structured.json_schema.dialects import DIALECTS, Dialect
from latticework.structured.json_schema.ir import Document, Schema
from latticework.structured.json_schema.keywords import KEYWORDS, Malformed, Unsupported
from latticework.structured.json_schema.loops import find_loop
from latticework.structured.json_schema.path import Path, render
from latticework.structured.json_schema.report import Budget, ReadLimits, Report
from latticework.structured.json_schema.resources import RECURSIVE, Registry, Resource, Target, UnresolvableReference

#: For each contested dynamic anchor, the outermost resource on the way that carries it; sorted by name.
Scope: TypeAlias = tuple[tuple[str, Resource], ...]

_REFERENCES = ("$ref", "$recursiveRef", "$dynamicRef")


def read_schema(
    document: Any,
    *,
    default_dialect: str = "2020-12",
    assert_formats: bool = True,
    on_unsupported: Literal["error", "warn"] = "error",
    limits: ReadLimits | None = None,
    field: str = "json_schema",
) -> Document:
    """Read a JSON Schema, given as ``json.loads`` returns it.

    Args:
        document: An object or a boolean. It is not changed, and not kept but for the values in ``enum`` and ``const``.
        default_dialect: The draft of a document without ``$schema``: 4, 6, 7, 2019-09 or 2020-12.
        assert_formats: Whether the standard formats constrain strings. Other formats never do.
        on_unsupported: Whether what cannot be enforced is an error, or left out and listed in ``Document.dropped``.
        limits: What reading may cost.
        field: What errors call the document.

    Raises:
        GrammarError: The document is not a JSON Schema, with the JSON pointer, the keyword and the reason.
        UnsupportedGrammarError: See the module.
        BudgetExceededError: A limit is exceeded.
    """
    if default_dialect not in DIALECTS:
        raise ValueError(f"{default_dialect!r} is none of the drafts {', '.join(DIALECTS)}")
    report = Report(field, on_unsupported)
    budget = Budget(field, limits or ReadLimits())
    reader = Reader(document, DIALECTS[default_dialect], report, budget, assert_formats=assert_formats)
    return Document(reader.read(), tuple(report.dropped))


class Reader:
    """One reading of one document."""

    def __init__(
        self, document: Any, default: Dialect, report: Report, budget: Budget, *, assert_formats: bool
    ) -> None:
        self.assert_formats = assert_formats
        self.budget = budget
        self._report = report
        self._registry = Registry(document, default, report, budget)
        self._nodes: dict[tuple[int, Resource, Scope], Schema] = {}
        self._pending: list[Site] = []

    def read(self) -> Schema:
        """The root, with everything that can be reached from it."""
        start = self._registry.root
        root = self.node(start.root, start, (), start.path)
        filled = []
        while self._pending:
            site = self._pending.pop()
            self._fill(site)
            filled.append(site.node)
        self.budget.check_time()
        loop = find_loop(filled)
        if loop is not None:
            raise GrammarError(
                self._report.field, f"{loop.pointer}: applies itself to the same value again, so it defines nothing"
            )
        return root

    def node(self, schema: Any, resource: Resource, scope: Scope, path: Path) -> Schema:
        """The node of a schema in ``resource`` that is reached through ``scope``.

        A schema that only refers to another has the other's node.
        """
        via: dict[tuple[int, Resource, Scope], Path] = {}
        while True:
            if isinstance(schema, bool):
                node = Schema(path, constant=schema)
                break
            if not isinstance(schema, dict):
                raise GrammarError(self._report.field, f"{render(path)}: a schema is an object or a boolean")
            resource = resource.embedded.get(id(schema), resource)
            if self._registry.contested:
                scope = self._enter(scope, resource)
            key = (id(schema), resource, scope)
            if key in via:
                reason = "only leads back to itself, so it defines nothing"
                self._report.malformed(path, _lone_reference(schema, resource.dialect) or "$ref", reason)
            known = self._nodes.get(key)
            if known is not None:
                node = known
                break
            keyword = _lone_reference(schema, resource.dialect)
            if keyword is None:
                node = self._nodes[key] = self._new(schema, resource, scope, path)
                break
            via[key] = path
            target = self.follow(schema, keyword, resource, scope, path)
            if target is None:
                node = Schema(path)
                break
            schema, resource, path = target.schema, target.resource, target.path
        for key in via:
            self._nodes[key] = node
        return node

    def follow(
        self, schema: dict[str, Any], keyword: str, resource: Resource, scope: Scope, path: Path
    ) -> Target | None:
        """Where one of the reference keywords leads; ``None`` if it is left out."""
        reference = schema[keyword]
        if not isinstance(reference, str):
            self._report.malformed(path, keyword, "expected a string")
        if keyword == "$recursiveRef" and reference != "#":
            self._report.malformed(path, keyword, f"expected '#', got {reference!r}")
        try:
            target = self._registry.resolve(reference, resource)
        except UnresolvableReference as error:
            if not error.remote:
                self._report.malformed(path, keyword, str(error))
            self._report.unsupported(path, keyword, str(error))
            return None
        if keyword == "$ref":
            return target
        name = RECURSIVE if keyword == "$recursiveRef" else target.dynamic
        if name is None or name not in target.resource.dynamic_anchors:
            return target
        outermost = next((carrier for anchor, carrier in scope if anchor == name), target.resource)
        return outermost.dynamic_anchors[name]

    def _enter(self, scope: Scope, resource: Resource) -> Scope:
        taken = {name for name, _ in scope}
        fresh = [name for name in resource.dynamic_anchors if name in self._registry.contested and name not in taken]
        if not fresh:
            return scope
        return tuple(sorted((*scope, *((name, resource) for name in fresh)), key=lambda pair: pair[0]))

    def _new(self, schema: dict[str, Any], resource: Resource, scope: Scope, path: Path) -> Schema:
        self.budget.check_nodes(len(self._nodes))
        name = resource.dialect.name
        node = Schema(path, integer_fraction=name != "4", contains_evaluates=name == "2020-12")
        self._pending.append(Site(self, schema, resource, scope, node))
        return node

    def _fill(self, site: Site) -> None:
        readers = KEYWORDS[site.resource.dialect.name]
        for keyword, value in site.schema.items():
            read = readers.get(keyword)
            if read is None:
                continue
            try:
                read(site, value)
            except Malformed as error:
                self._report.malformed(site.node.path, keyword, str(error))
            except Unsupported as error:
                self._report.unsupported(site.node.path, keyword, str(error))


class Site:
    """A schema of the document that is being read into ``node``: what keyword readers see of the reader."""

    __slots__ = ("node", "reader", "resource", "schema", "scope")

    def __init__(self, reader: Reader, schema: dict[str, Any], resource: Resource, scope: Scope, node: Schema) -> None:
        self.reader = reader
        self.schema = schema
        self.node = node
        self.resource = resource
        self.scope = scope

    def subschema(self, schema: Any, *steps: str | int) -> Schema:
        """The node of a schema inside, ``steps`` away."""
        path = self.node.path
        for step in steps:
            path = (path, step)
        return self.reader.node(schema, self.resource, self.scope, path)

    def subschemas(self, schemas: list[Any], keyword: str) -> tuple[Schema, ...]:
        """The nodes of the schemas in a keyword's array."""
        return tuple(self.subschema(schema, keyword, i) for i, schema in enumerate(schemas))

    def reference(self, keyword: str) -> Schema | None:
        """The node that a reference keyword leads to; ``None`` if the reference is left out."""
        target = self.reader.follow(self.schema, keyword, self.resource, self.scope, self.node.path)
        return target and self.reader.node(target.schema, target.resource, self.scope, target.path)


def _lone_reference(schema: dict[str, Any], dialect: Dialect) -> str | None:
    """The reference keyword of a schema that asserts nothing else."""
    if dialect.ref_alone:
        return "$ref" if "$ref" in schema else None
    if not any(keyword in schema for keyword in _REFERENCES):
        return None
    readers = KEYWORDS[dialect.name]
    asserting = [keyword for keyword in schema if keyword in readers]
    return asserting[0] if len(asserting) == 1 and asserting[0] in _REFERENCES else None
