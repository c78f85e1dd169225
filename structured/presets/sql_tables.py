"""The tables of a database: their names and those of their columns, out of ``CREATE TABLE`` statements or JSON.

Whatever stands around the statements is passed over, so the text may be a prompt. Names are plain or quoted, in any of
``"..."``, `` `...` `` and ``[...]``; types, constraints, options and comments are skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from latticework.structured.errors import GrammarError

#: A table with its columns, all as they are named, without quotes.
Tables = dict[str, tuple[str, ...]]

MAX_CHARACTERS = 500_000

_CREATE = re.compile(r"\bCREATE\s+(?:TEMP(?:ORARY)?\s+)?TABLE\b(?:\s+IF\s+NOT\s+EXISTS\b)?", re.IGNORECASE)
_TOKEN = re.compile(
    r"""(?P<skipped>\s+|--[^\n]*|/\*.*?\*/)
      | "(?P<double>(?:[^"]|"")*)" | `(?P<tick>(?:[^`]|``)*)` | \[(?P<bracket>[^\]]*)\]
      | (?P<string>'(?:[^']|'')*') | (?P<word>[^\W\d][\w$]*) | (?P<number>\d[\w.]*) | (?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
#: What begins an entry of a table that is no column. All are reserved, so no plain column is called like that.
_CONSTRAINTS = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "INDEX"}
_QUOTES = {"double": '"', "tick": "`"}

#: The kind of a token (``name``, ``word``, ``mark``, ``other``) and its text; a quoted name is without its quotes.
_Token = tuple[str, str]
_END: _Token = ("end", "")


def tables_of(text: str, field: str = "ddl") -> Tables:
    """The tables of all statements in ``text``, in their order; a statement that occurs twice counts once.

    Raises:
        GrammarError: A statement is cut off or has something else where a name must stand, or one table is defined in
            two ways; ``field`` is what errors name.
    """
    if len(text) > MAX_CHARACTERS:
        raise GrammarError(field, f"is longer than {MAX_CHARACTERS} characters")
    tables: Tables = {}
    for found in _CREATE.finditer(text):
        reader = _Reader(text, found.end(), field)
        table = reader.table()
        if table is None:  # prose about CREATE TABLE, or a table made of a query
            continue
        columns = reader.columns(table)
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


class _Reader:
    """One statement, from behind ``CREATE TABLE``."""

    def __init__(self, text: str, at: int, field: str) -> None:
        self._tokens = _tokens(text, at)
        self._field = field
        self._here = next(self._tokens)

    def table(self) -> str | None:
        """The table's name without its schema's, if the list of its columns follows."""
        name = None
        while self._here[0] in ("name", "word"):
            name = self._next()[1]
            if self._here != ("mark", "."):
                break
            self._next()
        return name if self._next() == ("mark", "(") else None

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns' names, up to the bracket that closes their list."""
        found: list[str] = []
        while True:
            kind, name = self._here
            if kind not in ("name", "word"):
                raise GrammarError(self._field, f"table {table!r}: expected the name of a column, found {name!r}")
            if kind == "name" or name.upper() not in _CONSTRAINTS:
                found.append(name)
            if self._end_of_entry(table) == ")":
                return tuple(found)

    def _end_of_entry(self, table: str) -> str:
        depth = 0
        while True:
            token = self._next()
            if token == _END:
                raise GrammarError(self._field, f"table {table!r}: the list of its columns is not closed")
            if depth == 0 and token in (("mark", ","), ("mark", ")")):
                return token[1]
            depth += {("mark", "("): 1, ("mark", ")"): -1}.get(token, 0)

    def _next(self) -> _Token:
        token = self._here
        self._here = next(self._tokens, _END)
        return token


def _tokens(text: str, at: int) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text, at):
        kind = found.lastgroup or ""
        if kind in _QUOTES:
            yield "name", found[kind].replace(_QUOTES[kind] * 2, _QUOTES[kind])
        elif kind == "bracket":
            yield "name", found[kind]
        elif kind in ("word", "mark"):
            yield kind, found[kind]
        elif kind != "skipped":
            yield "other", found[kind]
    yield _END
