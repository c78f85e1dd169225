"""The values that satisfy some schemas where there are only a few: whether the items of an array can all be different.

Which ones they are is asked only where items are still to come, and only up to as many as could matter: of more values
than there are items one is always left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from latticework.structured.errors import GrammarError
from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.few_numbers import few_numbers
from latticework.structured.json_machine.formulas import CONSTANTS, Formulas
from latticework.structured.json_machine.keys import UNBOUNDED, count_texts
from latticework.structured.json_machine.satisfiable import Negatives, Satisfier
from latticework.structured.json_machine.scalars import scalar
from latticework.structured.json_schema.ir import Schema
from latticework.structured.json_schema.values import json_key
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

#: Values as :func:`~.values.json_key` has them, each with a JSON text of it.
Few = Mapping[Hashable, bytes]

#: ``(holds, fails, room, limit)`` of :meth:`Values.few`.
Question = tuple[frozenset[Schema], Negatives, int, int]

#: As many writings of one string there may be: each hexadecimal letter of an escape has two cases.
_WRITINGS = 1 << 10


class Values:
    """Answers for one grammar.

    Args:
        formulas, satisfier: The grammar's.
        parted: Lists objects and arrays as :meth:`few` does.
    """

    def __init__(
        self, formulas: Formulas, satisfier: Satisfier, parted: Callable[[Values, Question], Few | None]
    ) -> None:
        self.formulas = formulas
        self.satisfier = satisfier
        self._parted = parted
        self._known: dict[Question, Few | None] = {}

    def few(self, holds: frozenset[Schema], fails: Negatives, room: int, limit: int) -> Few | None:
        """The values where all of ``holds`` hold and of each of ``fails`` one fails; ``None``: more than ``limit``.

        They nest at most ``room`` deep.

        Raises:
            BudgetExceededError: Too many questions.
        """
        question = holds, fails, room, limit
        if question not in self._known:
            self._known[question] = self._find(question)
        return self._known[question]

    def _find(self, question: Question) -> Few | None:
        holds, fails, room, limit = question
        if room < 0:
            return {}
        if not holds and not fails:
            return None
        self.satisfier.budget.ask()
        found: dict[Hashable, bytes] = {}
        for kind, value in CONSTANTS.items():
            if self.satisfier.function(holds, fails, kind) == TRUE:
                found[json_key(value)] = kind.encode()
        numbers = few_numbers(self.formulas, self.satisfier.function(holds, fails, "number"), limit)
        if numbers is None:
            return None
        found.update(numbers)
        strings = few_strings(self.formulas, self.satisfier.function(holds, fails, "string"), limit)
        if strings is None:
            return None
        found.update(strings)
        if room > 0 and len(found) <= limit:
            parted = self._parted(self, (holds, fails, room, limit))
            if parted is None:
                return None
            found.update(parted)
        return found if len(found) <= limit else None


def few_strings(formulas: Formulas, function: int, limit: int) -> Few | None:
    """All strings that satisfy a function; ``None`` if they are more than ``limit``."""
    if function <= TRUE:
        return {} if function == FALSE else None
    try:
        lexeme = scalar(formulas, (function,), "string", canonical=True)
    except GrammarError as error:
        if type(error) is GrammarError:  # the lexeme is empty
            return {}
        raise
    good = [result for result, word in enumerate(lexeme.words) if word]
    table = lexeme.table
    if table.thresholds:  # only the length matters: of none or one character, or many
        bounds = (0, *table.thresholds, UNBOUNDED)
        return {"": b'""'} if all(bounds[r] == 0 and bounds[r + 1] == 1 for r in good) else None
    if sum(count_texts(table, result) for result in good) > limit * _WRITINGS:
        return None
    found: dict[Hashable, bytes] = {}
    for text in _texts(table, good):
        found.setdefault(json.loads(text), text)
        if len(found) > limit:
            return None
    return found


def _texts(table: Table, good: Sequence[int]) -> list[bytes]:
    """All texts that end in one of the results; they must be finitely many."""
    wanted = np.zeros(table.outcomes.shape[1], np.uint64)
    for result in good:
        wanted[result >> 6] |= np.uint64(1) << np.uint64(result & 63)
    found: list[bytes] = []
    todo = [(table.start, b"")]
    while todo:
        state, text = todo.pop()
        if table.result_at(state) != NO_RESULT and table.result_at(state) in good:
            found.append(text)
        for byte in range(256):
            target = table.step(state, byte)
            if target != DEAD and (table.outcomes[target] & wanted).any():
                todo.append((target, text + bytes([byte])))
    return found


def assignable(domains: Sequence[frozenset[Hashable]]) -> bool:
    """Whether one value can be chosen from each domain so that no two are equal (a matching, by augmenting paths)."""
    owner: dict[Hashable, int] = {}

    def place(position: int, tried: set[Hashable]) -> bool:
        for value in domains[position] - tried:
            tried.add(value)
            if value not in owner or place(owner[value], tried):
                owner[value] = position
                return True
        return False

    return all(place(position, set()) for position in range(len(domains)))
