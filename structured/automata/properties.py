"""Unicode properties of characters, by name: general categories, scripts and the binary properties of ECMA-262.

The table beside this module is of one version of Unicode, whatever version the running Python has, so a constraint
means the same everywhere. A property is unpacked when it is first asked for.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from itertools import accumulate

from latticework.structured.automata.codepoints import ANY, CodePoints, complement, normalize

_KINDS = {
    "gc": "gc",
    "generalcategory": "gc",
    "sc": "sc",
    "script": "sc",
    "scx": "scx",
    "scriptextensions": "scx",
}


def property_points(query: str) -> CodePoints | None:
    r"""The characters that ``\p{query}`` stands for, or ``None`` if there is no such property.

    ``query`` is ``Lu``, ``Alphabetic`` or ``Greek``, or with the property's name ``gc=Lu``, ``Script=Greek``,
    ``scx=Grek``. Case, underscores, hyphens and spaces do not matter (Unicode TR 18, section 1.2).
    """
    kind, _, value = "".join(character for character in query.lower() if character not in "_- ").rpartition("=")
    if kind:
        return _points(_KINDS[kind], value) if kind in _KINDS else None
    if value == "any":
        return ANY
    if value == "assigned":
        return complement(_points("gc", "cn") or ())
    if value == "ascii":
        return ((0, 0x7F),)
    return next((found for kind in ("gc", "bin", "sc") if (found := _points(kind, value)) is not None), None)


@cache
def _points(kind: str, name: str) -> CodePoints | None:
    packed = _table().get((kind, name))
    if packed is None and kind == "scx":  # only scripts that differ are listed
        return _points("sc", name)
    if packed is None:
        return None
    cuts = list(accumulate(int(length, 16) for length in packed.split()))
    return normalize((first, after - 1) for first, after in zip(cuts[::2], cuts[1::2], strict=True))


@cache
def _table() -> dict[tuple[str, str], str]:
    text = files(__package__).joinpath("unicode_properties.txt").read_text("ascii")
    table: dict[tuple[str, str], str] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            head, _, packed = line.partition(":")
            kind, *names = head.split()
            table.update(((kind, name), packed) for name in names)
    return table
