"""Catalogues: very many names as one shared source."""

from __future__ import annotations

import random

import pytest
from engine_walks import BYTES
from preset_texts import accepts, compiled

from latticework.structured import GrammarError
from latticework.structured.errors import LatticeworkError
from latticework.structured.presets import closed_ie
from latticework.structured.presets.catalogue import Catalogue
from latticework.structured.presets.catalogues import register_catalogues
from latticework.structured.pushdown.automaton import PushdownAutomaton


def test_a_catalogue_is_the_set_of_its_names() -> None:
    chance = random.Random(1)
    names = {"".join(chance.choice("abé") for _ in range(chance.randint(1, 9))).encode() for _ in range(2000)}
    found = Catalogue(name.decode() for name in names)
    prefixes = {name[:size] for name in names for size in range(len(name) + 1)}
    assert found.first == {name[0] for name in names}
    assert found.extends == {prefix[-1] for prefix in prefixes if prefix[:-1] in names}
    automaton = PushdownAutomaton(found.source)
    todo = [(b"", automaton.start())]
    while todo:
        prefix, state = todo.pop()
        assert automaton.accepts(state) == (prefix in names)
        following = {byte for low, high, _ in automaton.edges(state) for byte in range(low, high + 1)}
        assert following == {byte for byte in range(256) if prefix + bytes([byte]) in prefixes}
        todo += [(prefix + bytes([byte]), automaton.step(state, byte)) for byte in following]


def test_a_large_catalogue_is_laid_out_where_texts_get_to() -> None:
    found = Catalogue(f"{kind}_{number:05}" for kind in ("city", "river", "lake") for number in range(40_000))
    automaton = PushdownAutomaton(found.source)
    for name, taken in (("river_31999", True), ("river_40000", False), ("lake_00000", True), ("city", False)):
        state = automaton.start()
        for byte in name.encode():
            state = automaton.step(state, byte) if state is not None else None
        assert (state is not None and automaton.accepts(state)) == taken
    assert len(found._pieces) < 60


def test_catalogues_are_shared_by_name(tmp_path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("Bari\nYork\nNew_York\n", encoding="utf-8")
    register_catalogues({"test-cities": path})
    register_catalogues({"test-cities": path})
    with pytest.raises(LatticeworkError, match="already stands"):
        register_catalogues({"test-cities": tmp_path / "other"})
    grammar = compiled(closed_ie.closed_ie("test-cities", ["in"]), BYTES)
    assert accepts(grammar, "[s] New_York [r] in [o] York [e]")
    assert not accepts(grammar, "[s] New [r] in [o] York [e]")
    with pytest.raises(GrammarError, match="no catalogue 'towns'"):
        compiled(closed_ie.closed_ie("towns", ["in"]), BYTES)


def test_names_that_continue_like_a_marker_are_refused_in_catalogues(tmp_path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("York\nYork City\n", encoding="utf-8")
    register_catalogues({"test-blanks": path})
    with pytest.raises(GrammarError, match="more of it"):
        compiled(closed_ie.closed_ie("test-blanks", ["in"]), BYTES)
    tight = compiled(closed_ie.closed_ie("test-blanks", ["in"], tight=True), BYTES)
    assert accepts(tight, "[s]York[r]in[o]York City[e]")
