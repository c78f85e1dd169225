"""Looking into JSON text that need not be complete."""

from __future__ import annotations

import json
import re

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)


def repeats_key(text: bytes) -> bool:
    """Whether ``text`` ends with a key that its object has already."""
    stack: list[set[str] | None] = []  # the keys of each open object; None for an array
    expects_key = False
    repeated = False
    for match in _TOKEN.finditer(text):
        token = match[0]
        repeated = False
        if token == b"{":
            stack.append(set())
        elif token == b"[":
            stack.append(None)
        elif token in b"}]" and stack:
            stack.pop()
        elif token[:1] == b'"' and expects_key and stack and stack[-1] is not None:
            key = _decoded(token)
            repeated = key in stack[-1] and match.end() == len(text)
            stack[-1].add(key)
        expects_key = token in b"{," and bool(stack) and stack[-1] is not None
    return repeated


def _decoded(token: bytes) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token.decode(errors="replace")
