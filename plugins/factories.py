"""The input-dependent grammars that come with the package: presets fed from the request.

What a preset is about comes from the request's options, or from its prompt: the part between the last ``begin`` marker
and the next ``end`` marker, so that demonstrations before it do no harm. Every option has a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from latticework.plugins.base import PluginOptions
from latticework.plugins.inputs import InputGrammar, RequestInput
from latticework.structured.errors import LatticeworkError
from latticework.structured.presets import closed_ie, constituency, disambiguation, lasuie, refvlm, sql, sql_tables
from latticework.structured.presets.substrings import MAX_CHARACTERS
from latticework.structured.spec import GrammarSpec

_Name = Annotated[str, Field(min_length=1, max_length=500)]
_Names = Annotated[tuple[_Name, ...], Field(max_length=10_000)]
_Labels = Annotated[tuple[_Name, ...], Field(max_length=1_000)]
_Marker = Annotated[str, Field(min_length=1, max_length=100)]
_Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]


@dataclass(frozen=True)
class _Function:
    """See :class:`latticework.plugins.inputs.InputGrammar`."""

    build: Callable[[RequestInput], GrammarSpec]

    def grammar(self, request: RequestInput) -> GrammarSpec:
        return self.build(request)


class ClosedIEOptions(PluginOptions):
    """``lw_grammar_*`` of ``closed_ie``. Entities and relations are listed, or catalogues of the deployment."""

    entities: _Names = Field(default=(), description="names of the entities")
    relations: _Names = Field(default=(), description="names of the relations")
    entity_catalogue: _Name | None = Field(default=None, description="a catalogue of entities instead of a list")
    relation_catalogue: _Name | None = Field(default=None, description="a catalogue of relations instead of a list")
    collapsed: bool = Field(default=False, description="write a subject once, with all its relations")
    tight: bool = Field(default=False, description="no blanks around the markers")
    allow_empty: bool = Field(default=False, description="whether the answer may be empty")

    @model_validator(mode="after")
    def _one_source_each(self) -> ClosedIEOptions:
        for names, catalogue, what in (
            (self.entities, self.entity_catalogue, "entities or entity_catalogue"),
            (self.relations, self.relation_catalogue, "relations or relation_catalogue"),
        ):
            if bool(names) == (catalogue is not None):
                raise ValueError(f"needs either {what}")
        return self


class ClosedIEPlugin:
    """See :mod:`latticework.structured.presets.closed_ie`."""

    name = "closed_ie"
    summary = "triples of catalogued entities and relations"
    options = ClosedIEOptions

    def create(self, options: ClosedIEOptions) -> InputGrammar:
        """See :meth:`Factory.create`. The same constraint whatever the input."""
        return _Function(
            lambda _: closed_ie.closed_ie(
                options.entity_catalogue or options.entities,
                options.relation_catalogue or options.relations,
                collapsed=options.collapsed,
                tight=options.tight,
                allow_empty=options.allow_empty,
            )
        )


class DisambiguationOptions(PluginOptions):
    """``lw_grammar_*`` of ``entity_disambiguation``."""

    candidates: _Names = Field(min_length=1, description="what the mention may mean")
    mention: _Name | None = Field(default=None, description="the mention; by default it is marked in the prompt")
    begin: _Marker = Field(default=disambiguation.START, description="stands before the mention in the prompt")
    end: _Marker = Field(default=disambiguation.END, description="stands after the mention in the prompt")
    form: _Name | None = Field(default=None, description="its canonical form, written after a colon")
    fallback: _Name | None = Field(default=None, description="what is written for none of the candidates")


class DisambiguationPlugin:
    """See :mod:`latticework.structured.presets.disambiguation`."""

    name = "entity_disambiguation"
    summary = "which of its candidates a mention in the prompt means"
    options = DisambiguationOptions

    def create(self, options: DisambiguationOptions) -> InputGrammar:
        """See :meth:`Factory.create`."""

        def build(request: RequestInput) -> GrammarSpec:
            mention = options.mention or marked(request, options.begin, options.end, "mention").strip()
            return disambiguation.disambiguation(
                mention, options.candidates, form=options.form, fallback=options.fallback
            )

        return _Function(build)


class _TextOptions(PluginOptions):
    text: _Text | None = Field(default=None, description="the input; by default it is marked in the prompt")
    begin: _Marker = Field(default="[START_TEXT]", description="stands before the input in the prompt")
    end: _Marker = Field(default="[END_TEXT]", description="stands after the input in the prompt")

    def input(self, request: RequestInput) -> str:
        """The input that the request is about."""
        return self.text or marked(request, self.begin, self.end, "text").strip()


class ConstituencyOptions(_TextOptions):
    """``lw_grammar_*`` of ``constituency``. The input is cut into words at blanks."""

    labels: _Labels = Field(default=constituency.LABELS, min_length=1, description="labels of phrases")
    tags: _Labels = Field(default=constituency.TAGS, min_length=1, description="tags of words")
    max_opens: int = Field(default=10, ge=2, le=100, description="nodes that may begin between two words")


class ConstituencyPlugin:
    """See :mod:`latticework.structured.presets.constituency`."""

    name = "constituency"
    summary = "a constituency tree over exactly the words of the input"
    options = ConstituencyOptions

    def create(self, options: ConstituencyOptions) -> InputGrammar:
        """See :meth:`Factory.create`."""

        def build(request: RequestInput) -> GrammarSpec:
            words = constituency.words_of(options.input(request))
            if not words:
                raise LatticeworkError("text", "has no words")
            return constituency.constituency(
                words, labels=options.labels, tags=options.tags, max_opens=options.max_opens
            )

        return _Function(build)


class LasUIEOptions(_TextOptions):
    """``lw_grammar_*`` of ``lasuie``."""

    form: lasuie.Form = Field(description="spans, pairs of spans, or a span with many others")
    attributes: _Labels = Field(min_length=1, description="labels of spans")
    relations: _Labels = Field(default=(), description="labels of relations; none in form span")
    markers: Annotated[tuple[_Marker, ...], Field(min_length=5, max_length=5)] = Field(
        default=lasuie.Markers().all(), description="begin, end, before a label, before a second text, nothing found"
    )


class LasUIEPlugin:
    """See :mod:`latticework.structured.presets.lasuie`."""

    name = "lasuie"
    summary = "spans of the input with labels and relations, as LasUIE writes them"
    options = LasUIEOptions

    def create(self, options: LasUIEOptions) -> InputGrammar:
        """See :meth:`Factory.create`."""
        markers = lasuie.Markers(*options.markers)
        return _Function(
            lambda request: lasuie.lasuie(
                options.form, options.input(request), options.attributes, options.relations, markers
            )
        )


class RefVLMOptions(PluginOptions):
    """``lw_grammar_*`` of ``refvlm``."""

    names: _Labels = Field(min_length=1, description="what may be referred to")
    units: _Labels = Field(default=refvlm.UNITS, min_length=1, description="what it may be decoded as")
    max_targets: int = Field(default=16, ge=1, le=100, description="lines of a plan")
    max_count: int = Field(default=20, ge=1, le=100, description="greatest number of a target")


class RefVLMPlugin:
    """See :mod:`latticework.structured.presets.refvlm`."""

    name = "refvlm"
    summary = "a plan of what is referred to and a text that keeps to it, as REF-VLM writes them"
    options = RefVLMOptions

    def create(self, options: RefVLMOptions) -> InputGrammar:
        """See :meth:`Factory.create`. The same constraint whatever the input."""
        bounds = {"max_targets": options.max_targets, "max_count": options.max_count}
        return _Function(lambda _: refvlm.referring(options.names, options.units, **bounds))


class SqlOptions(PluginOptions):
    """``lw_grammar_*`` of ``sql``."""

    ddl: Annotated[str, Field(min_length=1, max_length=sql_tables.MAX_CHARACTERS)] | None = Field(
        default=None, description="CREATE TABLE statements; by default those of the prompt"
    )
    tables: Annotated[str, Field(min_length=1, max_length=sql_tables.MAX_CHARACTERS)] | None = Field(
        default=None, description='the tables as JSON instead: {"table": ["column", ...], ...}'
    )

    @model_validator(mode="after")
    def _one_source(self) -> SqlOptions:
        if self.ddl is not None and self.tables is not None:
            raise ValueError("takes ddl or tables, not both")
        return self


class SqlPlugin:
    """See :mod:`latticework.structured.presets.sql`."""

    name = "sql"
    summary = "one SELECT statement over the tables of the prompt"
    options = SqlOptions

    def create(self, options: SqlOptions) -> InputGrammar:
        """See :meth:`Factory.create`."""

        def build(request: RequestInput) -> GrammarSpec:
            if options.tables is not None:
                return sql.sql(sql_tables.tables_of_json(options.tables), field="tables")
            tables = sql_tables.tables_of(options.ddl or request.prompt)
            if not tables:
                at = "" if options.ddl else "is not set, and the prompt "
                raise LatticeworkError("ddl", f"{at}has no CREATE TABLE statement")
            return sql.sql(tables, field="ddl")

        return _Function(build)


def marked(request: RequestInput, begin: str, end: str, option: str) -> str:
    """The part of the prompt between the last ``begin`` and the next ``end``.

    Raises:
        LatticeworkError: There is none; ``option`` is what may be set instead.
    """
    _, found, after = request.prompt.rpartition(begin)
    text, closed, _ = after.partition(end)
    if not found or not closed or not text.strip():
        raise LatticeworkError(option, f"is not set, and the prompt has nothing between {begin!r} and {end!r}")
    return text
