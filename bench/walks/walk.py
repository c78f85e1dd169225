"""One document: random tokens out of the masks, then steered to an end, then judged."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from latticework.bench.walks.judge import Judge
from latticework.structured import bitmask
from latticework.structured.bitmask import Bitmask
from latticework.structured.engines.base import CompiledGrammar, Matcher
from latticework.structured.errors import LatticeworkError
from latticework.structured.pushdown.automaton import Configuration, PushdownAutomaton
from latticework.structured.pushdown.protocol import PushdownSource
from latticework.structured.pushdown.steering import DeadEndError, Steering
from latticework.structured.vocabulary import Vocabulary

#: A document that is not at its end after so many bytes of steering has none in reach.
_LONGEST = 50_000
#: The share of steps that choose among tokens with punctuation, where there are any: documents get parts.
_PUNCTUATED = 0.3
_PUNCTUATION = frozenset(b'{}[]:,"')
_TRIALS = 32


class Fate(StrEnum):
    """What becomes of a walk. All but ``VALID`` are faults of the engine."""

    VALID = "valid"
    INVALID = "invalid"
    STUCK = "stuck"
    UNENDED = "not ended"
    CONTRADICTED = "contradicted"
    GAVE_UP = "gave up"


@dataclass(slots=True)
class Walk:
    """One walk.

    Attributes:
        fate: How it ended.
        reason: What is wrong.
        tokens: How many tokens were chosen at random.
        steered: How many tokens were written after them, to get to an end.
        text: What was written.
    """

    fate: Fate = Fate.VALID
    reason: str = ""
    tokens: int = 0
    steered: int = 0
    text: bytearray = field(default_factory=bytearray)


class Tokens:
    """A vocabulary's tokens as walks choose among them; shared by all of its walkers."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        tokens = vocabulary.tokens
        self.vocabulary = vocabulary
        self.letters = {token[0]: number for number, token in enumerate(tokens) if len(token) == 1}
        self._all = np.ones(vocabulary.size, np.bool_)
        self._punctuated = np.array([not _PUNCTUATION.isdisjoint(token) for token in tokens])

    def choose(self, row: Bitmask, chance: random.Random) -> int | None:
        """An allowed token, each with equal chance, or at times each with punctuation; ``None`` if there is none."""
        if chance.random() < _PUNCTUATED and (token_id := self._among(self._punctuated, row, chance)) is not None:
            return token_id
        return self._among(self._all, row, chance)

    def _among(self, wanted: npt.NDArray[np.bool_], row: Bitmask, chance: random.Random) -> int | None:
        """Trial and error finds one of many sooner than a list of them is made."""
        for _ in range(_TRIALS):
            token_id = chance.randrange(len(wanted))
            if wanted[token_id] and bitmask.test(row, token_id):
                return token_id
        allowed = bitmask.indices(row)
        allowed = allowed[wanted[allowed]]
        return int(allowed[chance.randrange(len(allowed))]) if len(allowed) else None


class _FaultError(Exception):
    def __init__(self, fate: Fate, reason: str) -> None:
        super().__init__(reason)
        self.fate = fate


class Walker:
    """Walks through one grammar.

    Args:
        grammar: What the masks come from.
        tokens: Those of its vocabulary.
        source: The same language once more, for the reference interpreter: it must agree, and it is what is steered.
        judge: Says whether a document is valid.
        required: See :class:`~.steering.Steering`.
    """

    def __init__(
        self,
        grammar: CompiledGrammar,
        tokens: Tokens,
        source: PushdownSource,
        judge: Judge,
        required: Collection[bytes] = (),
    ) -> None:
        self._grammar = grammar
        self._reference = PushdownAutomaton(source)
        self._steering = Steering(self._reference, required)
        self._judge = judge
        self._tokens = tokens
        self._row = np.zeros(bitmask.words(grammar.vocabulary.size), np.int32)

    def walk(self, chance: random.Random, longest: int) -> Walk:
        """A document of up to ``longest`` random tokens, and those that end it."""
        walk, matcher = Walk(), self._grammar.matcher()
        try:
            self._stroll(walk, matcher, chance, longest)
            state = self._replayed(walk)
            if not matcher.finished:
                self._end(walk, matcher, state, chance)
            elif not self._reference.accepts(state):
                raise _FaultError(Fate.CONTRADICTED, "the mask ends here, the reference does not")
            reason = self._judge.fault(bytes(walk.text))
            if reason is not None:
                walk.fate, walk.reason = Fate.INVALID, reason
        except _FaultError as fault:
            walk.fate, walk.reason = fault.fate, str(fault)
        except LatticeworkError as error:
            walk.fate, walk.reason = Fate.GAVE_UP, str(error)
        return walk

    def _stroll(self, walk: Walk, matcher: Matcher, chance: random.Random, longest: int) -> None:
        for _ in range(longest):
            matcher.fill_bitmask(self._row)
            token_id = self._tokens.choose(self._row, chance)
            if token_id is None:
                raise _FaultError(Fate.STUCK, "nothing is allowed, and the text has not ended")
            if not matcher.accept(token_id):
                raise _FaultError(Fate.CONTRADICTED, f"token {token_id} is in the mask and was not accepted")
            walk.tokens += 1
            walk.text += self._grammar.vocabulary.tokens[token_id]
            if matcher.finished:
                return

    def _replayed(self, walk: Walk) -> Configuration:
        """Where the text leads, as the reference has it."""
        state: Configuration = self._reference.start()
        for at, byte in enumerate(walk.text):
            target = self._reference.step(state, byte)
            if target is None:
                raise _FaultError(Fate.CONTRADICTED, f"the reference refuses byte {at}")
            state = target
        return state

    def _end(self, walk: Walk, matcher: Matcher, state: Configuration, chance: random.Random) -> None:
        for byte in self._rest(state, chance):
            matcher.fill_bitmask(self._row)
            token_id = self._tokens.letters[byte]
            if not bitmask.test(self._row, token_id) or not matcher.accept(token_id):
                raise _FaultError(Fate.CONTRADICTED, f"the reference goes on with {bytes([byte])!r}, the mask does not")
            walk.steered += 1
            walk.text.append(byte)
        if not matcher.can_end or not matcher.accept(min(self._grammar.vocabulary.eos_ids)):
            raise _FaultError(Fate.CONTRADICTED, "the reference ends here, the mask does not")

    def _rest(self, state: Configuration, chance: random.Random) -> bytes:
        """What completes the text, as the reference has it."""
        try:
            rest = self._steering.to_an_end(state, chance, _LONGEST)
        except DeadEndError as dead_end:
            raise _FaultError(Fate.STUCK, str(dead_end)) from dead_end
        if rest is None:
            raise _FaultError(Fate.UNENDED, f"no end within {_LONGEST} bytes")
        return rest
