"""Which of the two grammar notations a source is written in."""

from __future__ import annotations


def is_gbnf(source: str) -> bool:
    """GBNF/EBNF defines rules with ``::=``; Lark with ``:``. Comments (``#``, ``//``) do not count."""
    for line in source.splitlines():
        code = line.split("//", 1)[0].split("#", 1)[0]
        if "::=" in code:
            return True
    return False
