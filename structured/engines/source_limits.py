"""Limits on what a client sends, checked by counting, before anything recursive or compiled touches it."""

from __future__ import annotations

from latticework.structured.errors import BudgetExceededError, GrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarKind, GrammarSpec

#: Wrappers that a structural tag puts around a schema: its own format objects and lists.
_TAG_NESTING = 16


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
    if spec.kind is GrammarKind.REGEX:
        return _depth(spec.text, "(", ")", quotes="", classes=True)
    if spec.kind is GrammarKind.GRAMMAR:
        return _depth(spec.text, "(", ")", quotes='"', classes=True)
    return _depth(spec.text, "[{", "]}", quotes='"', classes=False)


def _depth(text: str, opening: str, closing: str, *, quotes: str, classes: bool) -> int:
    """Deepest nesting outside quoted strings and character classes; a backslash hides the next character."""
    depth = deepest = 0
    inside: str | None = None  # the character that ends the string or class we are in
    characters = iter(text)
    for character in characters:
        if character == "\\":
            next(characters, None)
        elif inside is not None:
            if character == inside:
                inside = None
        elif character in quotes:
            inside = character
        elif classes and character == "[":
            inside = "]"
        elif character in opening:
            depth += 1
            deepest = max(deepest, depth)
        elif character in closing:
            depth -= 1
    return deepest
