"""The tables of a database: their names and those of their columns, out of ``CREATE TABLE`` statements or JSON.

Whatever stands around the statements is passed over, so the text may be a prompt. Names are plain or quoted, in any of
``"..."``, `` `...` `` and ``[...]``; types, constraints, options and comments are skipped.
"""

from __future__ import annotations

import json
import re

from latticework.structured.errors import GrammarError

#: A table with its columns, all as they are named, without quotes.
Tables = dict[str, tuple[str, ...]]

MAX_CHARACTERS = 500_000

_NAME = r'(?:"(?:[^"]|""){1,999}+"|`(?:[^`]|``){1,999}+`|\[[^\]]{1,999}\]|[^\W\d][\w$]{0,999})'
#: Up to the list of columns; a table that is made of a query has none. Names are bounded so that no text takes long.
_CREATE = re.compile(
    rf"\bCREATE\s+(?:TEMP(?:ORARY)?\s+)?TABLE\b(?:\s+IF\s+NOT\s+EXISTS\b)?\s*(?:{_NAME}\s*\.\s*)?({_NAME})\s*\(",
    re.IGNORECASE,
)
#: The next piece of a list of columns. What is quoted or a comment and never closed goes on to the end of the text.
_PIECE = re.compile(
    rf"""(?P<blank>\s+ | --[^\n]* | /\*.*?(?:\*/|\Z)) | (?P<name>{_NAME})
      | (?P<mark>[(),]) | '(?:[^']|'')*+(?:'|\Z) | ["`\[].*\Z | .""",
    re.VERBOSE | re.DOTALL,
)
#: What begins an entry of a table that is no column. All are reserved, so no plain column is called like that.
_CONSTRAINTS = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "INDEX"}


def tables_of(text: str, field: str = "ddl") -> Tables:
    """The tables of all statements in ``text``, in their order; a statement that occurs twice counts once.

    Raises:
        GrammarError: A statement is cut off or has something else where a name must stand, or one table is defined in
            two ways; ``field`` is what errors name.
    """
    if len(text) > MAX_CHARACTERS:
        raise GrammarError(field, f"expected at most {MAX_CHARACTERS} characters, got {len(text)}")
    tables: Tables = {}
    at = 0
    while (found := _CREATE.search(text, at)) is not None:
        table = _unquoted(found[1])
        columns, at = _columns(text, found.end(), table, field)
        if tables.setdefault(table, columns) != columns:
            raise GrammarError(field, f"table {table!r} is defined twice, with different columns")
    return tables


def tables_of_json(text: str, field: str = "tables") -> Tables:
    """The tables of an object with a list of columns for each. Raises ``GrammarError`` if it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GrammarError(field, f"not valid JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(columns, list) for columns in found.values()):
        raise GrammarError(field, "expected an object with a list of columns for each table")
    return {table: tuple(columns) for table, columns in found.items()}


def _columns(text: str, at: int, table: str, field: str) -> tuple[tuple[str, ...], int]:
    """The columns of a list that begins at ``at``, and where it ends."""
    found: list[str] = []
    depth, first = 0, True
    while (piece := _PIECE.match(text, at)) is not None:
        at = piece.end()
        if piece["blank"]:
            continue
        if first:
            if not piece["name"]:
                raise GrammarError(field, f"table {table!r}: expected the name of a column, found {piece[0][:20]!r}")
            if piece["name"].upper() not in _CONSTRAINTS:
                found.append(_unquoted(piece["name"]))
        first = depth == 0 and piece["mark"] == ","
        depth += {"(": 1, ")": -1}.get(piece["mark"], 0)
        if depth < 0:
            return tuple(found), at
    raise GrammarError(field, f"table {table!r}: the list of its columns is not closed")


def _unquoted(name: str) -> str:
    if name[0] == "[":
        return name[1:-1]
    return name[1:-1].replace(name[0] * 2, name[0]) if name[0] in '"`' else name
