"""One ``SELECT`` statement over given tables, in the part of SQL that SQLite and the standard share.

::

    SELECT T1.name, COUNT(*) FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer GROUP BY T1.id LIMIT 3

A text is written in one way only: keywords are capitals, one blank stands between tokens and after commas, none inside
brackets, names are as declared, and quoted exactly where they must be. So much of a query is forced. It is a Lark
grammar in which each terminal brings the blanks around it, which makes it LR(1) without anything ignored.

That a column's table is in ``FROM`` is no matter of a context-free grammar and not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from latticework.structured.errors import GrammarError
from latticework.structured.spec import GrammarSpec

MAX_TABLES, MAX_COLUMNS, MAX_NAME = 100, 1_000, 100
#: Bound on the characters of all names together: what a terminal can hold.
MAX_CHARACTERS = 10_000

#: Lark's notation. No terminal is a text that another one begins with, unless both may stand in the same places: then
#: one table of the lexer does for all places, which is most of what compiling costs.
_GRAMMAR = r"""start: query ";"?
query: selects order? LIMIT?
selects: select | selects SET select
select: "SELECT " "DISTINCT "? items from join* where? group?
items: item | items ", " item
item: "*" | ALL_OF | value
from: (FROM | " FROM (" query ")") ALIAS?
join: (JOIN | JOINED query ")") ALIAS? " ON " condition
where: " WHERE " condition
group: " GROUP BY " columns (" HAVING " condition)?
columns: column | columns ", " column
order: " ORDER BY " terms
terms: term | terms ", " term
term: value DIRECTION?

condition: both | condition " OR " both
both: negated | both " AND " negated
negated: "NOT " negated | test
test: "(" condition ")" | "EXISTS (" query ")" | value COMPARE value | value BETWEEN value " AND " value
    | value LIKE value | value NULL | value IN query ")" | value IN values ")"
values: value | values ", " value
value: product | value SUM product
product: operand | product TIMES operand
operand: column | NUMBER | STRING | "COUNT(*)" | AGGREGATE "DISTINCT "? value ")" | "(" value ")" | "(" query ")"
column: COLUMN | OWN

SET: " UNION " | " UNION ALL " | " INTERSECT " | " EXCEPT "
JOINED: " JOIN (" | " LEFT JOIN ("
DIRECTION: " ASC" | " DESC"
LIMIT: /[ ]LIMIT[ ](0|[1-9][0-9]{0,8})/
COMPARE: " = " | " != " | " <> " | " < " | " <= " | " > " | " >= "
BETWEEN: " BETWEEN " | " NOT BETWEEN "
LIKE: " LIKE " | " NOT LIKE "
NULL: " IS NULL" | " IS NOT NULL"
IN: " IN (" | " NOT IN ("
SUM: " + " | " - "
TIMES: " * " | " / "
AGGREGATE: "COUNT(" | "SUM(" | "AVG(" | "MIN(" | "MAX("
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?/
STRING: /'([^'\x00-\x1f\x7f]|'')*'/
ALIAS: /[ ]AS[ ]T[1-9]/
"""

#: SQLite's keywords. Many may be names nevertheless, but not in every dialect and not in every place.
KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """
    ABORT ACTION ADD AFTER ALL ALTER ALWAYS ANALYZE AND AS ASC ATTACH AUTOINCREMENT BEFORE BEGIN BETWEEN BY CASCADE
    CASE CAST CHECK COLLATE COLUMN COMMIT CONFLICT CONSTRAINT CREATE CROSS CURRENT CURRENT_DATE CURRENT_TIME
    CURRENT_TIMESTAMP DATABASE DEFAULT DEFERRABLE DEFERRED DELETE DESC DETACH DISTINCT DO DROP EACH ELSE END ESCAPE
    EXCEPT EXCLUDE EXCLUSIVE EXISTS EXPLAIN FAIL FILTER FIRST FOLLOWING FOR FOREIGN FROM FULL GENERATED GLOB GROUP
    GROUPS HAVING IF IGNORE IMMEDIATE IN INDEX INDEXED INITIALLY INNER INSERT INSTEAD INTERSECT INTO IS ISNULL JOIN
    KEY LAST LEFT LIKE LIMIT MATCH MATERIALIZED NATURAL NO NOT NOTHING NOTNULL NULL NULLS OF OFFSET ON OR ORDER
    OTHERS OUTER OVER PARTITION PLAN PRAGMA PRECEDING PRIMARY QUERY RAISE RANGE RECURSIVE REFERENCES REGEXP REINDEX
    RELEASE RENAME REPLACE RESTRICT RETURNING RIGHT ROLLBACK ROW ROWS SAVEPOINT SELECT SET TABLE TEMP TEMPORARY THEN
    TIES TO TRANSACTION TRIGGER UNBOUNDED UNION UNIQUE UPDATE USING VACUUM VALUES VIEW VIRTUAL WHEN WHERE WINDOW
    WITH WITHOUT
        """,
    )
)

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def sql(tables: Mapping[str, Sequence[str]], *, field: str = "tables") -> GrammarSpec:
    """The language of the queries over ``tables``.

    Args:
        tables: The columns of each table. Names as they are, without quotes.
        field: What errors name.

    Raises:
        GrammarError: There is no table, one has no column, there are too many, or a name is empty, too long, given
            twice, or has characters that no query can spell.
    """
    if not 0 < len(tables) <= MAX_TABLES:
        raise GrammarError(field, f"expected 1 to {MAX_TABLES} tables, got {len(tables)}")
    _check_names(tables, "a table", field)
    for table, columns in tables.items():
        if isinstance(columns, str) or not columns:
            raise GrammarError(field, f"table {table!r}: expected a list of columns, got {columns!r}")
        _check_names(columns, f"a column of {table!r}", field)
    if (count := sum(map(len, tables.values()))) > MAX_COLUMNS:
        raise GrammarError(field, f"expected at most {MAX_COLUMNS} columns in all tables together, got {count}")
    names = [*tables, *(column for columns in tables.values() for column in columns)]
    if (count := sum(len(written(name)) for name in names)) > MAX_CHARACTERS:
        raise GrammarError(field, f"expected at most {MAX_CHARACTERS} characters in all names together, got {count}")
    return GrammarSpec.grammar(_GRAMMAR + "\n".join(_of_names(tables)))


def written(name: str) -> str:
    """A table or a column as queries name it: in double quotes if it is a keyword, or not plain."""
    if _PLAIN.fullmatch(name) and name.upper() not in KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def _of_names(tables: Mapping[str, Sequence[str]]) -> list[str]:
    """The terminals made of names: a column stands alone, after an alias, or after its own table."""
    every = dict.fromkeys(column for columns in tables.values() for column in columns)
    own = [f'{_literal(written(table))} "." ({_one_of(columns)})' for table, columns in tables.items()]
    return [
        f'FROM: " FROM " ({_one_of(tables)})',
        f'JOIN: (" JOIN " | " LEFT JOIN ") ({_one_of(tables)})',
        f'ALL_OF: (/T[1-9]/ | {_one_of(tables)}) ".*"',
        f'COLUMN: (/T[1-9]/ ".")? ({_one_of(every)})',
        "OWN: " + "\n    | ".join(own),
    ]


def _one_of(names: Iterable[str]) -> str:
    return " | ".join(_literal(written(name)) for name in names)


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check_names(names: Iterable[str], what: str, field: str) -> None:
    seen = set()
    for name in names:
        if not isinstance(name, str) or not name or len(name) > MAX_NAME:
            raise GrammarError(field, f"{name!r} as the name of {what}: expected 1 to {MAX_NAME} characters")
        if _CONTROL.search(name):
            raise GrammarError(field, f"{name!r} as the name of {what} holds control characters")
        if name.lower() in seen:
            raise GrammarError(field, f"{name!r} as the name of {what} is given twice; case makes no difference")
        seen.add(name.lower())
