"""Entity disambiguation: which of its candidates a mention in the input means.

``Mention [Candidate]``, or with the mention's canonical form ``Mention : Form [Candidate]``.

Source: Geng et al. 2023, grammar-constrained decoding; the mention stands in the input between ``[START_ENT]`` and
``[END_ENT]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from latticework.structured.errors import GrammarError
from latticework.structured.presets.layouts import malformed
from latticework.structured.spec import GrammarSpec

START, END = "[START_ENT]", "[END_ENT]"


@dataclass(frozen=True, slots=True)
class Link:
    """A mention and what it means."""

    mention: str
    candidate: str


def disambiguation(
    mention: str, candidates: Sequence[str], *, form: str | None = None, fallback: str | None = None
) -> GrammarSpec:
    """The language of the links of one mention.

    Args:
        mention: As the input writes it.
        candidates: What it may mean.
        form: Its canonical form, if the layout has one.
        fallback: What is written for "none of them".

    Raises:
        GrammarError: The mention is empty, or there is no candidate.
    """
    if not mention:
        raise GrammarError("mention", "must not be empty")
    allowed = [*candidates, *([fallback] if fallback is not None else [])]
    if not allowed or not all(allowed):
        raise GrammarError("candidates", "expected texts, none of them empty")
    return GrammarSpec.choice([serialise(Link(mention, candidate), form=form) for candidate in allowed])


def serialise(link: Link, *, form: str | None = None) -> str:
    """The text of a link."""
    return f"{_before(link.mention, form)}{link.candidate}]"


def parse(text: str, mention: str, *, form: str | None = None) -> Link:
    """The link of a text. Raises ``LatticeworkError`` if it is not one of ``mention``."""
    before = _before(mention, form)
    if not text.startswith(before):
        raise malformed(text, 0, repr(before))
    if not text.endswith("]") or len(text) <= len(before) + 1:
        raise malformed(text, len(text), "a candidate and ']'")
    return Link(mention, text[len(before) : -1])


def _before(mention: str, form: str | None) -> str:
    return f"{mention} [" if form is None else f"{mention} : {form} ["
