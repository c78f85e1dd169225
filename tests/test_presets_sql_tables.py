"""Tables out of CREATE TABLE statements and JSON."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

import pytest

from latticework.structured import GrammarError
from latticework.structured.presets.sql_tables import MAX_CHARACTERS, tables_of, tables_of_json

DDL = """
CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'a, (b', "birth ""day" DATE);
create temporary table if not exists main."order" (
  `first ``name` VARCHAR(20) CHECK (`first ``name` <> ')'),
  [last name] DECIMAL(10, 2), -- a comment, with a bracket )
  "primary" TEXT, /* another, one
  */ größe REAL,
  key TEXT,
  CONSTRAINT c UNIQUE ([last name], key),
  PRIMARY KEY ("primary"),
  CHECK (key > 'x'),
  UNIQUE (key),
  FOREIGN KEY (key) REFERENCES singer (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE [one column](x);
"""
TABLES = {
    "singer": ("id", "name", 'birth "day'),
    "order": ("first `name", "last name", "primary", "größe", "key"),
    "one column": ("x",),
}


def test_names_are_read_as_a_database_reads_them() -> None:
    assert tables_of(DDL) == TABLES
    database = sqlite3.connect(":memory:")
    database.executescript(DDL.replace("main.", ""))
    for table, columns in TABLES.items():
        assert tuple(row[1] for row in database.execute(f'PRAGMA table_info("{table}")')) == columns


def test_what_stands_around_statements_is_passed_over() -> None:
    text = "Don't say CREATE TABLE statements, or CREATE TABLE t AS SELECT 1; but:\nCREATE TABLE a (b);\nIsn't it (so)?"
    assert tables_of(text) == {"a": ("b",)}
    assert tables_of("CREATE TABLE a (b); CREATE TABLE a (b TEXT)") == {"a": ("b",)}
    assert tables_of("nothing") == {}


@pytest.mark.parametrize(
    ("ddl", "reason"),
    [
        ("CREATE TABLE a (b, c", "table 'a': the list of its columns is not closed"),
        ("CREATE TABLE a (b DEFAULT 'c)", "not closed"),
        ("CREATE TABLE a (b /* c)", "not closed"),
        ('CREATE TABLE a (b, "c)', "table 'a': expected the name of a column, found '\"c)'"),
        ("CREATE TABLE a ()", "expected the name of a column, found ')'"),
        ("CREATE TABLE a (b,)", "expected the name of a column, found ')'"),
        ("CREATE TABLE a (3 b)", "expected the name of a column, found '3'"),
        ("CREATE TABLE a (b); CREATE TABLE a (c)", "table 'a' is defined twice"),
        (" " * (MAX_CHARACTERS + 1), "at most"),
    ],
)
def test_a_broken_statement_is_named(ddl: str, reason: str) -> None:
    with pytest.raises(GrammarError) as error:
        tables_of(ddl)
    assert error.value.field == "ddl"
    assert reason in error.value.reason


@pytest.mark.parametrize(
    "piece", ["CREATE TABLE a(", "CREATE TABLE [", 'CREATE TABLE "a', "/*", '"', "[", "'", "(", "a."]
)
def test_no_text_takes_long(piece: str) -> None:
    """Were any of these read in quadratic time, this would take an hour."""
    for text in (piece * (MAX_CHARACTERS // len(piece)), "CREATE TABLE a (" + piece * 100_000):
        with suppress(GrammarError):
            tables_of(text[:MAX_CHARACTERS])


def test_tables_as_json() -> None:
    assert tables_of_json('{"a": ["b", "c"]}') == {"a": ("b", "c")}
    for text in ("[1]", '{"a": "b"}', "{", "[" * 100_000):
        with pytest.raises(GrammarError) as error:
            tables_of_json(text)
        assert error.value.field == "tables"
