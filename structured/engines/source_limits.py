"""Limits on what a client sends, checked by counting, before anything recursive or compiled touches it."""

from __future__ import annotations

import re

from latticework.structured.errors import BudgetExceededError, GrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarKind, GrammarSpec

#: Wrappers that a structural tag puts around a schema: its own format objects and lists.
_TAG_NESTING = 16

#: Escapes, quoted strings and character classes: brackets do not count in them.
_ESCAPE, _STRING, _CLASS = r"\\.?", r'"(?:[^"\\]|\\.?)*"?', r"\[(?:[^\]\\]|\\.?)*\]?"
_JSON_BRACKETS = "[{", "]}", re.compile(f"{_ESCAPE}|{_STRING}", re.DOTALL)
_BRACKETS = {
    GrammarKind.REGEX: ("(", ")", re.compile(f"{_ESCAPE}|{_CLASS}", re.DOTALL)),
    GrammarKind.GRAMMAR: ("(", ")", re.compile(f"{_ESCAPE}|{_STRING}|{_CLASS}", re.DOTALL)),
}


def check_limits(spec: GrammarSpec, limits: GrammarLimits) -> None:
    """Raise ``BudgetExceededError`` with both sizes if the payload is too long or nested too deeply.

    ``GrammarError`` if it is not text at all: half a surrogate pair has no UTF-8, and no model can write it.
    """
    try:
        size = len(spec.text.encode())
    except UnicodeEncodeError as error:
        raise GrammarError(spec.kind, f"not valid Unicode at character {error.start}") from error
    if size > limits.max_source_bytes:
        raise BudgetExceededError(spec.kind, f"{size} bytes, more than the limit of {limits.max_source_bytes}")
    allowed = limits.max_nesting + (_TAG_NESTING if spec.kind is GrammarKind.STRUCTURAL_TAG else 0)
    depth = nesting(spec)
    if depth > allowed:
        raise BudgetExceededError(spec.kind, f"nested {depth} levels deep, more than the limit of {allowed}")


def nesting(spec: GrammarSpec) -> int:
    """Depth of brackets in the payload, of groups in a regex or a grammar. Linear, without recursion."""
    opening, closing, ignored = _BRACKETS.get(spec.kind, _JSON_BRACKETS)
    depth = deepest = 0
    for bracket in re.findall(f"[{re.escape(opening + closing)}]", ignored.sub("", spec.text)):
        depth += 1 if bracket in opening else -1
        deepest = max(deepest, depth)
    return deepest
