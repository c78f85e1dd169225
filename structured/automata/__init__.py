"""Automata, one concept a file. Each satisfies :class:`latticework.structured.laws.AutomatonLaws`."""
