"""How much work masks are, counted: what does not depend on the machine, and must not grow unnoticed.

``python -m latticework.bench.masks.counts FILE`` compares with the bounds in a file, ``--write`` writes them anew. A
process of its own, because what one grammar finds out about the vocabulary serves the next: counts hold from a cold
start, in this order.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from latticework.bench.cases import BUILTIN, Case, read_cases
from latticework.bench.data import default_cases
from latticework.bench.tokenizers import BYTES, find_tokenizer
from latticework.structured import bitmask
from latticework.structured.engines.lattice import LatticeEngine, LatticeGrammar
from latticework.structured.errors import LatticeworkError
from latticework.structured.json_options import SCHEMA_ORDER
from latticework.structured.limits import GrammarLimits
from latticework.structured.runtime.layout import PLACE
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

#: What is counted, and where the machine does it: trie nodes descended to and passed by, configurations found, answers
#: that the source was asked for.
COUNTS = {
    "nodes": "live",
    "passed": "skipped",
    "configurations": "configuration_count",
    "answers": "answer_count",
}
#: A count may be larger than its bound by this share, and by a few more where it is small.
SHARE, FEW = 0.10, 20
#: Bounded by answers and not by time, so that counts repeat.
LIMITS = GrammarLimits(ahead_answers=512, ahead_seconds=3600.0, mask_seconds=3600.0)
#: Every schema of the sample out of so many.
EVERY = 12

#: Per set of schemas, per schema, the counts.
Found = dict[str, dict[str, dict[str, int]]]


def counted() -> Found:
    """Count the built-in schemas over single bytes, and where the benchmark data is, a part of it over llama3."""
    with tempfile.TemporaryDirectory(prefix="latticework-bench-") as scratch:
        found = {"builtin": dict(_counts(BUILTIN, find_tokenizer(BYTES, Path(scratch)).vocabulary()))}
        path = default_cases()
        if path is not None:
            vocabulary = find_tokenizer("llama3", Path(scratch)).vocabulary()
            found["sample"] = dict(_counts(read_cases(path)[::EVERY], vocabulary))
        return found


def growth(found: Found, bounds: Found) -> list[str]:
    """What is larger than its bound allows, or has none, in words."""
    grown = []
    for name, schemas in found.items():
        known = bounds.get(name, {})
        grown += [f"{name}: {schema} has no bounds" for schema in schemas if schema not in known]
        for schema, counts in schemas.items():
            for what, count in counts.items():
                bound = known.get(schema, {}).get(what, count)
                if count > bound * (1 + SHARE) + FEW:
                    grown.append(f"{name}: {schema}: {count} {what}, at most {bound} expected")
    return grown


def _counts(cases: Sequence[Case], vocabulary: Vocabulary) -> Iterator[tuple[str, dict[str, int]]]:
    for case in cases:
        try:
            spec = GrammarSpec.json_schema(case.schema, SCHEMA_ORDER)
            grammar = LatticeEngine().compile(spec, vocabulary, LIMITS)
        except LatticeworkError:
            continue  # refused
        _walk(case, grammar)
        record = grammar.machine._arrays.record
        yield case.name, {what: int(record[PLACE[place]]) for what, place in COUNTS.items()}


def _walk(case: Case, grammar: LatticeGrammar) -> None:
    """A mask before every token of every instance, up to the token that is not allowed."""
    row = np.zeros(bitmask.words(grammar.vocabulary.size), np.int32)
    for instance in case.instances:
        matcher = grammar.matcher()
        for token_id in grammar.vocabulary.encode(instance.text.encode()) or []:
            matcher.fill_bitmask(row)
            if not matcher.accept(token_id):
                break


def _text(found: Found) -> str:
    """JSON with a schema a line, so that changes can be read."""
    parts = []
    for name, schemas in found.items():
        lines = (f"  {json.dumps(schema)}: {json.dumps(counts)}" for schema, counts in schemas.items())
        parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the bounds: JSON")
    parser.add_argument("--write", action="store_true", help="write what was counted as the new bounds")
    options = parser.parse_args()
    found = counted()
    bounds: Found = json.loads(options.file.read_text(encoding="utf-8")) if options.file.exists() else {}
    if options.write:
        options.file.write_text(_text(bounds | found), encoding="utf-8")
        return
    grown = growth(found, bounds)
    print("\n".join(grown) or "nothing has grown")
    sys.exit(1 if grown else 0)


if __name__ == "__main__":
    main()
