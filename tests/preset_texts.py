"""What the tests of the preset languages share: small vocabularies, and texts in which special tokens are named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import regex

from latticework.structured import GrammarLimits, GrammarSpec, Vocabulary, bitmask
from latticework.structured.engines import BUILTIN_ENGINES
from latticework.structured.engines.base import CompiledGrammar, Matcher


def vocabulary_of(samples: Sequence[str], specials: Sequence[str] = ()) -> Vocabulary:
    """Every byte, the pieces of the samples of two to five characters, and special tokens; the end token comes last."""
    pieces = {sample[i : i + n].encode() for sample in samples for n in (2, 3, 5) for i in range(len(sample) - n + 1)}
    tokens: list[bytes | None] = [bytes([byte]) for byte in range(256)] + sorted(pieces)
    names = {name: len(tokens) + number for number, name in enumerate(specials)}
    tokens += [None] * (len(specials) + 1)
    return Vocabulary(tokens, [len(tokens) - 1], special_ids=names.values(), special_names=names)


def compiled(spec: GrammarSpec, vocabulary: Vocabulary) -> CompiledGrammar:
    return BUILTIN_ENGINES["lattice"].compile(spec, vocabulary, GrammarLimits())


def written(grammar: CompiledGrammar, text: str) -> Matcher | None:
    """A matcher after ``text``, in which the names of special tokens are the tokens; ``None`` if it is not allowed."""
    names = grammar.vocabulary.special_names
    pieces = regex.split("(" + "|".join(map(regex.escape, names)) + ")", text) if names else [text]
    matcher = grammar.matcher()
    for piece in pieces:
        if not all(matcher.accept(token) for token in ([names[piece]] if piece in names else piece.encode())):
            return None
    return matcher


def accepts(grammar: CompiledGrammar, text: str) -> bool:
    matcher = written(grammar, text)
    return matcher is not None and matcher.can_end


def allowed_by(grammar: CompiledGrammar, matcher: Matcher) -> set[int]:
    row = np.zeros(bitmask.words(grammar.vocabulary.size), np.int32)
    matcher.fill_bitmask(row)
    return set(bitmask.indices(row).tolist())
