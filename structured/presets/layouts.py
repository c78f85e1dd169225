"""What the presets have in common: how they write a constraint, and what their parsers say of a wrong text."""

from __future__ import annotations

from latticework.structured.errors import LatticeworkError
from latticework.structured.spec import GrammarSpec
from latticework.structured.tags.layouts import Format


def one_of(*values: str) -> Format:
    """One of ``values``, verbatim."""
    return {"type": "names", "values": list(values)}


def tag_spec(tree: Format) -> GrammarSpec:
    """The constraint of a whole format."""
    return GrammarSpec.structural_tag({"type": "structural_tag", "format": tree})


def malformed(text: str, at: int, expected: str) -> LatticeworkError:
    """The error of every parser: ``text`` is not in the language, seen at character ``at``."""
    found = repr(text[at : at + 20]) if at < len(text) else "its end"
    return LatticeworkError("output", f"expected {expected} at character {at}, found {found}")
