"""Deterministic pushdown machines: lexeme tables, and a source that says what follows each of their results."""
