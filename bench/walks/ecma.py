"""Regular expressions of ECMA-262 by the ``regex`` package, which shares no code with our own."""

from __future__ import annotations

from functools import cache

import regex

_SPACE = r"\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACE}


def ecma_search(pattern: str, text: str) -> bool:
    """Whether an ECMA-262 regular expression (flag ``u``) matches anywhere in ``text``."""
    return _compiled(pattern).search(text) is not None


@cache
def _compiled(pattern: str) -> regex.Pattern[str]:
    out = []
    in_class = False
    for part in regex.findall(r"\\u\{[0-9A-Fa-f]+\}|\\c[A-Za-z]|\\.|\(\?<(?=\w)|.", pattern, regex.DOTALL):
        letter = part[1:2]
        if part.startswith("\\u{"):
            out.append(f"\\U{int(part[3:-1], 16):08x}")
        elif part.startswith("\\c"):
            out.append(f"\\x{ord(part[2]) % 32:02x}")
        elif part[0] == "\\" and letter in _CLASSES:
            out.append(_CLASSES[letter] if in_class else f"[{_CLASSES[letter]}]")
        elif part[0] == "\\" and letter.lower() in _CLASSES and not in_class:
            out.append(f"[^{_CLASSES[letter.lower()]}]")
        elif part == "(?<":
            out.append("(?P<")
        elif part == "[":
            out.append("\\[" if in_class else "[")
            in_class = True
        elif part == "]":
            in_class = False
            out.append(part)
        elif not in_class and part in "$.":
            out.append(r"(?!.|\n)" if part == "$" else r"[^\n\r\u2028\u2029]")
        else:
            out.append(part)
    return regex.compile("".join(out).replace("[]", r"(?!)").replace("[^]", r"(?s:.)"))
