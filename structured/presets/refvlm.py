"""REF-VLM's referring answers: their constraint, and what they say (:mod:`.referring` is their language)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from latticework.structured.errors import LatticeworkError
from latticework.structured.presets.layouts import malformed, tag_spec
from latticework.structured.presets.referring import ENTRY, ENTRY_COUNT, ENTRY_UNIT, HEAD, WITH, WITHOUT, Target
from latticework.structured.spec import GrammarSpec

UNITS = ("box", "mask", "keypoint", "depth")


@dataclass(frozen=True, slots=True)
class Answer:
    """A text that mentions ``targets[i]`` between ``texts[i]`` and ``texts[i + 1]``."""

    targets: tuple[Target, ...]
    texts: tuple[str, ...]


def referring(
    names: Sequence[str], units: Sequence[str] = UNITS, *, max_targets: int = 16, max_count: int = 20
) -> GrammarSpec:
    """The language of answers about ``names``; its arguments are those of :class:`.referring.ReferringSource`."""
    bounds = {"max_targets": max_targets, "max_count": max_count}
    return tag_spec({"type": "referring", "names": list(names), "units": list(units), **bounds})


def serialise(answer: Answer) -> str:
    """The text of an answer."""
    if len(answer.texts) != len(answer.targets) + 1:
        raise LatticeworkError("answer", "expected one text more than targets")
    mentions = (f"{target.mention()}{text}" for target, text in zip(answer.targets, answer.texts[1:], strict=True))
    return f"{_plan(answer.targets)}{answer.texts[0]}{''.join(mentions)}"


def parse(text: str) -> Answer:
    """What an answer says, special tokens kept; indices may stand before or after ``<REF>``.

    Raises:
        LatticeworkError: It is no answer, or mentions other things than it planned.
    """
    plan = _PLAN.match(text)
    if plan is None:
        raise malformed(text, 0, "a plan")
    planned = tuple(Target(name, unit, int(count)) for name, unit, count in _LINE.findall(plan[1] or ""))
    targets, texts, at = [], [], plan.end()
    for found in _MENTION.finditer(text, plan.end()):
        indices = [int(index) for index in re.findall(r"\[(\d+)\]", found[3])]
        if indices != list(range(len(indices))):
            raise malformed(text, found.start(3), "indices that count up from 0")
        targets.append(Target(found[1], found[2], len(indices)))
        texts.append(text[at : found.start()])
        at = found.end()
    if tuple(targets) != planned:
        raise LatticeworkError("output", f"mentions {targets}, but planned {list(planned)}")
    return Answer(planned, (*texts, text[at:]))


def _plan(targets: Sequence[Target]) -> str:
    if not targets:
        return f"{HEAD}{WITHOUT}</Task>\n"
    lines = (f"{ENTRY}{t.name}{ENTRY_UNIT}<Unit>{t.unit}</Unit>{ENTRY_COUNT}{t.count}\n" for t in targets)
    return f"{HEAD}{WITH}{''.join(lines)}</Task>\n"


_LINE = re.compile(rf"{ENTRY}(.+){ENTRY_UNIT}<Unit>(.+)</Unit>{ENTRY_COUNT}(\d+)\n")
_PLAN = re.compile(
    rf"{re.escape(HEAD)}(?:{re.escape(WITHOUT)}|{re.escape(WITH)}((?:{_LINE.pattern})+))</Task>\n"
)
_MENTION = re.compile(
    r"<Phrase>(.+?)</Phrase>\(<Unit>(.+?)</Unit>((?:\[\d+\]<REF>)+|(?:<REF>\[\d+\])+)\)"
)
