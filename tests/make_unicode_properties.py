"""Write ``structured/automata/unicode_properties.txt`` from the tables of the ``regex`` package.

    python tests/make_unicode_properties.py VERSION

``VERSION`` is the Unicode version that the installed ``regex`` package follows, for the heading.
"""

from __future__ import annotations

import sys
from itertools import chain, pairwise
from pathlib import Path

import regex
from regex import _regex

OUT = Path(__file__).parents[1] / "structured" / "automata" / "unicode_properties.txt"

# ECMA-262, table "Binary Unicode property aliases", without those that the package does not have.
_BINARY = """
    ASCII_Hex_Digit Alphabetic Bidi_Control Bidi_Mirrored Case_Ignorable Cased Changes_When_Casefolded
    Changes_When_Casemapped Changes_When_Lowercased Changes_When_Titlecased Changes_When_Uppercased Dash
    Default_Ignorable_Code_Point Deprecated Diacritic Emoji Emoji_Component Emoji_Modifier Emoji_Modifier_Base
    Emoji_Presentation Extended_Pictographic Extender Grapheme_Base Grapheme_Extend Hex_Digit IDS_Binary_Operator
    IDS_Trinary_Operator ID_Continue ID_Start Ideographic Join_Control Logical_Order_Exception Lowercase Math
    Noncharacter_Code_Point Pattern_Syntax Pattern_White_Space Quotation_Mark Radical Regional_Indicator
    Sentence_Terminal Soft_Dotted Terminal_Punctuation Unified_Ideograph Uppercase Variation_Selector White_Space
    XID_Continue XID_Start
"""
HEADING = """\
# Unicode {version}: properties of characters, written by tests/make_unicode_properties.py.
# A line is a kind (gc: general category, sc: script, scx: script extensions, bin: binary), the names of the property in
# lower case without underscores, and in hexadecimal how many code points are outside, inside, outside, ... from U+0000.
"""
EVERYTHING = "".join(map(chr, chain(range(0xD800), range(0xE000, 0x110000))))


def lengths(query: str) -> str:
    """The run lengths of the characters that ``\\p{query}`` matches; surrogates count with what is before them."""
    cuts = [0]
    for match in regex.finditer(rf"\p{{{query}}}+", EVERYTHING):
        cuts += match.span()
    moved = [cut + 0x800 if cut > 0xD800 else cut for cut in cuts]
    return " ".join(f"{after - before:x}" for before, after in pairwise(moved))


def names_by_number(values: dict[str, int]) -> list[list[str]]:
    """The aliases of each value of a property."""
    names: dict[int, list[str]] = {}
    for name, number in values.items():
        if name.isalpha():
            names.setdefault(number, []).append(name.lower())
    return [sorted(aliases) for _, aliases in sorted(names.items())]


def main(version: str) -> None:
    """Write the table."""
    tables = _regex.get_properties()
    categories = sorted(names_by_number(tables["GENERALCATEGORY"][1]))
    lines = [
        f"gc {' '.join(aliases)}: {lengths(f'gc={aliases[0]}')}"
        for aliases in categories
        if "cs" not in aliases and aliases != ["assigned"]
    ]
    for aliases in sorted(names_by_number(tables["SCRIPT"][1])):
        own = lengths(f"sc={aliases[0]}")
        extended = lengths(f"scx={aliases[0]}")
        if own:
            lines.append(f"sc {' '.join(aliases)}: {own}")
        if extended != own:
            lines.append(f"scx {' '.join(aliases)}: {extended}")
    numbers = {key: number for key, (number, _) in tables.items()}
    for name in _BINARY.split():
        number = numbers[name.replace("_", "").upper()]
        aliases = [key.lower() for key in numbers if numbers[key] == number]
        lines.append(f"bin {' '.join(aliases)}: {lengths(name)}")
    OUT.write_text(HEADING.format(version=version) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
