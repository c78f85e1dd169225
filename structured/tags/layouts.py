"""Formats of structural tags, written as the code writes them."""

from __future__ import annotations

from typing import Any

Format = dict[str, Any]


def constant(text: str) -> Format:
    """``text``, verbatim."""
    return {"type": "const_string", "value": text}


def pattern(source: str) -> Format:
    """A text that all of ``source`` matches."""
    return {"type": "regex", "pattern": source}


def sequence(*elements: Format) -> Format:
    """One after the other."""
    return {"type": "sequence", "elements": list(elements)}


def either(*elements: Format) -> Format:
    """One of them."""
    return {"type": "or", "elements": list(elements)}


def plus(content: Format) -> Format:
    """Once or more."""
    return {"type": "plus", "content": content}


def star(content: Format) -> Format:
    """Any number of times, or not at all."""
    return {"type": "star", "content": content}
