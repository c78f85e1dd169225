"""Closed information extraction: triples of catalogued entities and relations.

::

    [s] Geneva [r] country [o] Switzerland [e] [s] Geneva [r] continent [o] Europe [e]
    [s] Geneva [r] country [o] Switzerland [r] continent [o] Europe [e]                  (collapsed: a subject once)

Source: Geng et al. 2023, grammar-constrained decoding; there the empty answer is in the language too, and tends to be
the likeliest, so it is left out unless asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from latticework.structured.errors import GrammarError
from latticework.structured.presets.layouts import malformed, one_of, tag_spec
from latticework.structured.spec import GrammarSpec
from latticework.structured.tags.layouts import Format, constant, plus, sequence, star

_MARKERS = ("[s]", "[r]", "[o]", "[e]")


@dataclass(frozen=True, slots=True)
class Triple:
    """One fact."""

    subject: str
    relation: str
    object: str


def closed_ie(
    entities: Sequence[str] | str,
    relations: Sequence[str] | str,
    *,
    collapsed: bool = False,
    tight: bool = False,
    allow_empty: bool = False,
) -> GrammarSpec:
    """The language of triples.

    Args:
        entities: Their names, or the name of a catalogue (:mod:`latticework.structured.presets.catalogues`).
        relations: Likewise.
        collapsed: A subject is written once, with all its relations and objects.
        tight: No blanks around the markers. For catalogues in which a name goes on with a blank where another one ends
            (``New York`` and ``New York City``); listed names do not need it.
        allow_empty: The empty answer is one.

    Raises:
        GrammarError: There is no name, or a listed one is empty or holds a marker.
    """
    entity, relation = _names("entities", entities), _names("relations", relations)
    s, r, o, e = _written(tight)
    fact = sequence(constant(r), relation, constant(o), entity)
    record = sequence(constant(s), entity, plus(fact) if collapsed else fact, constant(e))
    gap = sequence(constant(" "), record) if not tight else record
    records = sequence(record, star(gap))
    return tag_spec({"type": "optional", "content": records} if allow_empty else records)


def serialise(triples: Iterable[Triple], *, collapsed: bool = False, tight: bool = False) -> str:
    """The text of ``triples``; collapsed, neighbours of the same subject share it."""
    s, r, o, e = _written(tight)
    groups = [list(group) for _, group in groupby(triples, key=lambda triple: triple.subject)]
    if not collapsed:
        groups = [[triple] for group in groups for triple in group]
    texts = (f"{s}{g[0].subject}{''.join(f'{r}{t.relation}{o}{t.object}' for t in g)}{e}" for g in groups)
    return ("" if tight else " ").join(texts)


def parse(text: str, *, tight: bool = False) -> list[Triple]:
    """The triples of a text of either variant. Raises ``LatticeworkError`` if it is none."""
    s, r, o, e = map(re.escape, _written(tight))
    gap = "" if tight else " ?"
    record = re.compile(f"{gap}{s}(.+?)((?:{r}.+?{o}.+?)+?){e}", re.DOTALL)
    fact = re.compile(f"{r}(.+?){o}(.+?)(?={r}|$)", re.DOTALL)
    triples: list[Triple] = []
    at = 0
    while at < len(text):
        found = record.match(text, at)
        if found is None or (at == 0 and text.startswith(" ")):
            raise malformed(text, at, "a triple '[s] ... [r] ... [o] ... [e]'")
        triples += [Triple(found[1], relation, target) for relation, target in fact.findall(found[2])]
        at = found.end()
    return triples


def _written(tight: bool) -> tuple[str, str, str, str]:
    return _MARKERS if tight else ("[s] ", " [r] ", " [o] ", " [e]")


def _names(field: str, names: Sequence[str] | str) -> Format:
    if isinstance(names, str):
        return {"type": "names", "catalogue": names}
    if not names:
        raise GrammarError(field, "expected names")
    for name in names:
        if not name or name != name.strip() or any(marker in name for marker in _MARKERS):
            raise GrammarError(field, f"{name!r} is empty, begins or ends with a blank, or holds a marker")
    return one_of(*names)
