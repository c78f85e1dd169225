"""The configuration graph: an automaton's states, discovered on demand and numbered, with their masks.

One graph serves every request that uses the grammar. A configuration is an integer; what is known about it (transition
row, mask, forced text) is computed once. A matcher is a pointer into the graph: rollback is an index, a fork is free.

Exactness rests on the automaton's promise that every state it hands out can be completed *in bytes*. That carries over
to tokens when every byte the grammar uses is a token of its own; for other vocabularies :mod:`.spelling` removes the
configurations that no sequence of tokens completes.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from latticework.structured import bitmask
from latticework.structured.automaton import Automaton, State
from latticework.structured.bitmask import Bitmask
from latticework.structured.errors import BudgetExceededError
from latticework.structured.limits import GrammarLimits
from latticework.structured.runtime import kernels
from latticework.structured.runtime.kernels import DEAD, UNEXPANDED
from latticework.structured.trie import Trie
from latticework.structured.vocabulary import Vocabulary

#: Longest forced text looked for from one configuration, in bytes.
MAX_FORCED_BYTES = 512

_IntArray = npt.NDArray[np.int32]
_thread = threading.local()


def _scratch(trie: Trie) -> tuple[_IntArray, _IntArray, _IntArray, _IntArray, _IntArray]:
    """Working memory of the walk: a few megabytes, so one set a thread and vocabulary, not one a grammar."""
    tables: WeakKeyDictionary[Trie, tuple[_IntArray, _IntArray, _IntArray, _IntArray, _IntArray]]
    tables = _thread.__dict__.setdefault("tables", WeakKeyDictionary())
    if trie not in tables:
        nodes, states, out_nodes, out_states = np.zeros((4, len(trie.byte)), np.int32)
        tables[trie] = (np.zeros(trie.max_depth + 1, np.int32), nodes, states, out_nodes, out_states)
    return tables[trie]


class ConfigurationGraph:
    """The lazily discovered graph of one automaton over one vocabulary.

    Thread-safe: discovering takes a lock; reading what is known does not, because arrays are replaced, never shrunk.

    Attributes:
        visited: Trie nodes looked at so far by cold masks: the deterministic measure of their cost.
    """

    def __init__(self, automaton: Automaton, vocabulary: Vocabulary, limits: GrammarLimits, field: str) -> None:
        self.vocabulary = vocabulary
        self.visited = 0
        self._automaton = automaton
        self._limits = limits
        self._field = field
        self._lock = threading.RLock()
        self._ids: dict[State, int] = {}
        self._states: list[State] = []
        self._row = np.full(64, UNEXPANDED, np.int32)
        self._delta = np.full((16, 256), DEAD, np.int32)
        self._rows = 0
        self._masks: OrderedDict[int, Bitmask] = OrderedDict()
        self._forced: dict[int, bytes] = {}
        self._words = bitmask.words(vocabulary.size)
        self._max_masks = max(1, limits.mask_bytes // (4 * self._words))
        self._blocked: frozenset[int] = frozenset()
        self._eos = np.array(sorted(vocabulary.eos_ids), np.int64)
        self.start = self.intern(automaton.start())

    @property
    def configurations(self) -> int:
        """How many configurations were discovered so far."""
        return len(self._states)

    def intern(self, state: State) -> int:
        """The number of ``state``, a new one if it was never seen."""
        with self._lock:
            number = self._ids.get(state)
            if number is None:
                number = len(self._states)
                if number >= self._limits.max_states:
                    raise BudgetExceededError(
                        self._field,
                        f"the grammar has more than {self._limits.max_states} configurations; "
                        "simplify it or raise the limit max_states",
                    )
                if number == len(self._row):
                    grown = np.full(2 * number, UNEXPANDED, np.int32)
                    grown[:number] = self._row
                    self._row = grown
                self._ids[state] = number
                self._states.append(state)
            return number

    def block(self, configurations: frozenset[int]) -> None:
        """Forbid tokens that lead to these configurations (see :mod:`.spelling`). Before the graph is shared only."""
        self._blocked = configurations
        self._masks.clear()
        self._forced.clear()

    def accepts(self, configuration: int) -> bool:
        """Whether the text may end here."""
        return self._automaton.accepts(self._states[configuration])

    def step(self, configuration: int, token_id: int) -> int:
        """The configuration after a token that is not an end token, or :data:`DEAD`."""
        vocabulary = self.vocabulary
        if token_id in vocabulary.special_ids:
            target = self._automaton.step_special(self._states[configuration], token_id)
            return DEAD if target is None else self.intern(target)
        trie = vocabulary.trie
        position, stop = int(trie.offset[token_id]), int(trie.offset[token_id + 1])
        if position == stop:
            return DEAD
        state = configuration
        while True:
            state, position = kernels.spell(self._row, self._delta, trie.text, position, stop, state)
            if state == DEAD or position == stop:
                return DEAD if state in self._blocked else int(state)
            self.expand(int(state))

    def mask(self, configuration: int) -> Bitmask:
        """The allowed tokens here, end tokens included, ``int32[words]``. Shared: do not write to it."""
        mask = self._masks.get(configuration)
        if mask is None:
            with self._lock:
                mask = self._compute_mask(configuration)
                self._masks[configuration] = mask
                while len(self._masks) > self._max_masks:
                    self._masks.popitem(last=False)
        elif len(self._masks) > self._max_masks // 2:  # the order only matters once eviction is near
            with self._lock:
                if configuration in self._masks:
                    self._masks.move_to_end(configuration)
        return mask

    def forced_bytes(self, configuration: int) -> bytes:
        """The bytes that every completion writes next, as far as they are certain (``b""``: there is a choice)."""
        text = self._forced.get(configuration)
        if text is None:
            text = self._find_forced(configuration)
            if len(self._forced) >= self._limits.max_states:
                self._forced.clear()
            self._forced[configuration] = text
        return text

    def continues_after(self, configuration: int, text: bytes) -> bool:
        """Whether anything may follow ``text``, which is allowed here."""
        state = self._states[configuration]
        for byte in text:
            target = self._automaton.step(state, byte)
            assert target is not None
            state = target
        return bool(self._automaton.edges(state))

    def successors(self, configuration: int) -> list[tuple[int, int]]:
        """Every allowed token that is not an end token, with the configuration it leads to."""
        allowed = (int(t) for t in bitmask.indices(self.mask(configuration)) if t not in self.vocabulary.eos_ids)
        return [(token_id, self.step(configuration, token_id)) for token_id in allowed]

    def expand(self, configuration: int) -> None:
        """Ask the automaton for the transitions of one configuration and store them as a row."""
        with self._lock:
            if self._row[configuration] != UNEXPANDED:
                return
            values = np.full(256, DEAD, np.int32)
            for low, high, target in self._automaton.edges(self._states[configuration]):
                values[low : high + 1] = self.intern(target)
            if self._rows == len(self._delta):
                grown = np.full((2 * self._rows, 256), DEAD, np.int32)
                grown[: self._rows] = self._delta
                self._delta = grown
            self._delta[self._rows] = values
            # The row is complete before it becomes visible to kernels that run without the lock.
            self._row[configuration] = self._rows
            self._rows += 1

    def _compute_mask(self, configuration: int) -> Bitmask:
        trie = self.vocabulary.trie
        mask = np.zeros(self._words, np.uint32)
        stack, nodes, states, out_nodes, out_states = _scratch(trie)
        deadline = time.monotonic() + self._limits.mask_seconds
        self.expand(configuration)
        nodes[0], states[0], count = 0, configuration, 1
        while count:
            count, visited = kernels.walk(
                self._row, self._delta, trie.byte, trie.depth, trie.end, trie.first_id, trie.ids,
                nodes, states, count, mask, stack, out_nodes, out_states,
            )  # fmt: skip
            self.visited += int(visited)
            for state in np.unique(out_states[:count]):
                self.expand(int(state))
                if time.monotonic() > deadline:
                    raise BudgetExceededError(
                        self._field,
                        f"one mask took more than {self._limits.mask_seconds} s; simplify the grammar",
                    )
            nodes, states, out_nodes, out_states = out_nodes, out_states, nodes, states
        row = mask.view(np.int32)
        for token_id in self.vocabulary.eos_ids:
            bitmask.clear_bit(row, token_id)
        for token_id, target in self._automaton.special_edges(self._states[configuration]):
            if self.intern(target) not in self._blocked:
                bitmask.set_bit(row, token_id)
        if self._blocked:
            for token_id in bitmask.indices(row):
                if self.step(configuration, int(token_id)) == DEAD:
                    bitmask.clear_bit(row, int(token_id))
        if self.accepts(configuration):
            for token_id in self.vocabulary.eos_ids:
                bitmask.set_bit(row, token_id)
        row.flags.writeable = False
        return row

    def _find_forced(self, configuration: int) -> bytes:
        text = bytearray()
        state = configuration
        while len(text) < MAX_FORCED_BYTES and not self.accepts(state):
            edges = self._automaton.edges(self._states[state])
            if len(edges) != 1 or edges[0][0] != edges[0][1] or any(self._automaton.special_edges(self._states[state])):
                break
            text.append(edges[0][0])
            state = self.intern(edges[0][2])
        return bytes(text)
