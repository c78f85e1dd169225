"""Walks over many schemas: each in every layout, with seeds of its own, until so many tokens were written."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from latticework.bench.cases import Case
from latticework.bench.walks.judge import Judge
from latticework.bench.walks.walk import Fate, Tokens, Walk, Walker
from latticework.structured.engines.lattice import LatticeEngine
from latticework.structured.errors import LatticeworkError
from latticework.structured.json_machine import json_source
from latticework.structured.json_options import JsonOptions, Order, Whitespace
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

#: Walks take turns: what servers offer, what JSON Schema says, and the other kinds of blanks.
LAYOUTS = (
    JsonOptions(),
    JsonOptions(order=Order.ANY),
    JsonOptions(whitespace=Whitespace.COMPACT),
    JsonOptions(order=Order.ANY, whitespace=Whitespace.FLEXIBLE),
)
#: Most random tokens of a walk, as powers of two: most are short, some fill whole documents.
_LENGTHS = (2.0, 9.0)


@dataclass(slots=True)
class CaseWalks:
    """The walks of one schema.

    Attributes:
        name: The case.
        refused: Why it does not compile; empty if it does.
        tokens: How many tokens were chosen at random.
        steered: How many were written to get to an end.
        fates: How the walks ended.
        faults: Number, layout and walk of those that are not valid. The number gives the seed.
    """

    name: str
    refused: str = ""
    tokens: int = 0
    steered: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    faults: list[tuple[int, str, Walk]] = field(default_factory=list)


def walk_cases(
    cases: Sequence[Case], vocabulary: Vocabulary, *, schemas: int, tokens: int, seed: int = 0
) -> Iterator[CaseWalks]:
    """Walk through the first ``schemas`` cases that compile, ``tokens`` random tokens in all. Refused ones come too."""
    left, alphabet = schemas, Tokens(vocabulary)
    for case in cases:
        if not left:
            return
        walks = walk_case(case, alphabet, tokens // schemas, seed)
        left -= not walks.refused
        yield walks


def walk_case(case: Case, alphabet: Tokens, tokens: int, seed: int = 0) -> CaseWalks:
    """Walk through one case until ``tokens`` tokens were chosen at random."""
    walks = CaseWalks(case.name)
    try:
        walkers = [_walker(case.schema, layout, alphabet) for layout in LAYOUTS]
    except LatticeworkError as error:
        walks.refused = str(error)
        return walks
    number = 0
    while walks.tokens < tokens:
        chance = random.Random(f"{seed} {case.name} {number}")
        turn = number % len(walkers)
        walk = walkers[turn].walk(chance, int(2 ** chance.uniform(*_LENGTHS)))
        walks.tokens += walk.tokens
        walks.steered += walk.steered
        walks.fates[walk.fate] += 1
        if walk.fate is not Fate.VALID:
            walks.faults.append((number, LAYOUTS[turn].key, walk))
            walks.tokens += 1  # so that walks that fail at once come to an end
        number += 1
    return walks


def _walker(schema: Any, layout: JsonOptions, alphabet: Tokens) -> Walker:
    grammar = LatticeEngine().compile(GrammarSpec.json_schema(schema, layout), alphabet.vocabulary, GrammarLimits())
    judge = Judge(schema, assert_formats=layout.assert_formats)
    return Walker(grammar, alphabet, json_source(schema, layout), judge, required_names(schema))


def required_names(schema: Any) -> Collection[bytes]:
    """The names under ``required`` anywhere in a schema, as JSON texts."""
    names: set[bytes] = set()
    todo = [schema]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            required = part.get("required")
            if isinstance(required, list):
                names.update(json.dumps(n, ensure_ascii=False).encode() for n in required if isinstance(n, str))
            todo += part.values()
        elif isinstance(part, list):
            todo += part
    return names
