"""A request's position in a grammar: a pointer into its machine with a history that forks share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from latticework.structured import bitmask
from latticework.structured.bitmask import Bitmask
from latticework.structured.runtime.layout import DEAD
from latticework.structured.runtime.machine import Machine, MachineFullError
from latticework.structured.runtime.refusals import Texts

#: What was before each token: the configuration (upper half) and the token in one number, which the garbage collector
#: does not follow. Where texts were being captured, or the matcher was not in its first machine any more, with these.
_Entry = int | tuple[int, Machine, Texts]

#: Tokens looked back over when forced text is segmented, so that merges across the boundary come out right.
_CONTEXT_TOKENS = 4

#: Forced runs that a machine remembers, by configuration and the tokens before.
_KNOWN_FORCED = 2048


class LatticeMatcher:
    """See :class:`latticework.structured.engines.base.Matcher`.

    Forks share one log, of which each knows its own length. Who goes on first appends to it, the others copy it.
    """

    __slots__ = ("_configuration", "_finished", "_home", "_length", "_log", "_machine", "_texts")

    def __init__(self, machine: Machine) -> None:
        self._machine = self._home = machine = machine.latest
        self._configuration = machine.start
        self._texts = machine.start_texts
        self._log: list[_Entry] = []
        self._length = 0
        self._finished = False

    def fill_bitmask(self, row: Bitmask) -> None:
        """See :meth:`Matcher.fill_bitmask`."""
        if self._finished:
            row[:] = 0
            return
        for last in (False, False, True):
            try:
                self._machine.fill(self._configuration, self._texts, row)
                return
            except MachineFullError:
                if last:
                    raise
                self._move()

    def accept(self, token_id: int) -> bool:
        """See :meth:`Matcher.accept`."""
        if self._finished:
            return False
        target, texts = DEAD, self._texts
        for last in (False, False, True):
            try:
                target, texts = self._machine.accept(self._configuration, self._texts, token_id)
                break
            except MachineFullError:
                if last:
                    raise
                self._move()
        if target == DEAD:
            return False
        log = self._log
        if len(log) != self._length:
            log = self._log = log[: self._length]
        step = self._configuration << 32 | token_id
        plain = not self._texts and self._machine is self._home
        log.append(step if plain else (step, self._machine, self._texts))
        self._length += 1
        self._finished = token_id in self._machine.eos_ids
        self._configuration, self._texts = target, texts
        return True

    def count_valid(self, token_ids: Sequence[int]) -> int:
        """See :meth:`Matcher.count_valid`."""
        fork = self.fork()
        for count, token_id in enumerate(token_ids):
            if not fork.accept(token_id):
                return count
        return len(token_ids)

    def rollback(self, count: int) -> None:
        """See :meth:`Matcher.rollback`."""
        if count > self._length:
            raise ValueError(f"cannot roll back {count} tokens: fewer were accepted")
        if count:
            self._length -= count
            entry = self._log[self._length]
            step, self._machine, self._texts = entry if isinstance(entry, tuple) else (entry, self._home, ())
            self._configuration = step >> 32
            self._finished = False

    def fork(self) -> LatticeMatcher:
        """See :meth:`Matcher.fork`."""
        copy = object.__new__(LatticeMatcher)
        copy._machine = self._machine
        copy._configuration, copy._texts = self._configuration, self._texts
        copy._home, copy._log, copy._length, copy._finished = self._home, self._log, self._length, self._finished
        return copy

    def forced_tokens(self, limit: int = 32) -> list[int]:
        """See :meth:`Matcher.forced_tokens` (speculative spec, section 20, steps 3 and 4)."""
        if self._finished:
            return []
        if self._texts:  # what they refuse is not the configuration's alone
            return self._forced()[:limit]
        known = self._machine.forced
        key = (self._configuration, *self._context())
        if (tokens := known.get(key)) is None:
            if len(known) >= _KNOWN_FORCED:
                known.clear()
            tokens = known[key] = self._forced()
        return tokens[:limit]

    def _forced(self) -> list[int]:
        machine, vocabulary = self._machine, self._machine.vocabulary
        fork = self.fork()
        tokens: list[int] = []
        if text := machine.forced_bytes(self._configuration):
            tokens = self._segment(text)
            tokens = tokens[: self.count_valid(tokens)]
            if sum(len(vocabulary.tokens[t]) for t in tokens) < len(text):
                return tokens  # the rest of the forced text is not certain to be split like this
            for token_id in tokens:
                fork.accept(token_id)
        # With no byte left to choose, a single legal token can only be an end or special token.
        mask = np.zeros(bitmask.words(vocabulary.size), np.int32)
        fork.fill_bitmask(mask)
        if bitmask.count(mask) == 1:
            tokens.append(int(bitmask.indices(mask)[0]))
        return tokens

    @property
    def can_end(self) -> bool:
        """See :attr:`Matcher.can_end`."""
        return not self._finished and self._machine.accepts(self._configuration, self._texts)

    @property
    def finished(self) -> bool:
        """See :attr:`Matcher.finished`."""
        return self._finished

    @property
    def configuration(self) -> int:
        """The number of the current configuration: equal numbers mean equal futures, but for what captures refuse."""
        return self._configuration

    def _move(self) -> None:
        """Go on in the machine that took over from this one, which is full, or in an empty one."""
        latest = self._machine.latest
        machine = latest if latest is not self._machine else latest.renew()
        self._configuration = self._machine.move(self._configuration, machine)
        self._machine = machine

    def _segment(self, text: bytes) -> list[int]:
        """``text`` as the tokenizer writes it after the tokens already there, without what might still merge."""
        vocabulary, context = self._machine.vocabulary, self._context()
        before = b"".join(vocabulary.tokens[t] for t in context)
        ids = vocabulary.encode(before + text) or []
        ids = ids[len(context) :] if ids[: len(context)] == context else vocabulary.encode(text) or []
        if ids and vocabulary.trie.extends(vocabulary.tokens[ids[-1]]) and self._goes_on(ids):
            ids.pop()
        return ids

    def _context(self) -> list[int]:
        """The last tokens before this place."""
        last = self._log[max(0, self._length - _CONTEXT_TOKENS) : self._length]
        return [(entry[0] if isinstance(entry, tuple) else entry) & 0xFFFFFFFF for entry in last]

    def _goes_on(self, token_ids: Sequence[int]) -> bool:
        """Whether any text can be written after these forced tokens."""
        fork = self.fork()
        vocabulary = self._machine.vocabulary
        mask = np.zeros(bitmask.words(vocabulary.size), np.int32)
        if all(fork.accept(token_id) for token_id in token_ids):
            fork.fill_bitmask(mask)
        return any(vocabulary.tokens[int(token_id)] for token_id in bitmask.first_indices(mask, 2))


def fill_bitmasks(matchers: Sequence[LatticeMatcher], rows: Bitmask) -> None:
    """Fill ``rows`` (``int32[len(matchers), >= words]``) for a whole batch."""
    for row, matcher in zip(np.atleast_2d(rows), matchers, strict=True):
        matcher.fill_bitmask(row)
