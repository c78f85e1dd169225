"""What a lexeme alone says about every token, found once and shared by all grammars of the process.

Inside a free string almost every token just goes on with the string, whatever stands around it. So the mask of a state
of a lexeme table is kept apart from the stack, as

- the tokens that stay inside the lexeme and can still end in a wanted result, ready to be copied, and
- the tokens that end it, by result and by what is left of them then. The rests form small tries (a quote may be
  followed by a few hundred different texts in a vocabulary of 128k tokens), which are walked on the stack at hand.

Two states, also of different tables, share a mask if the same bytes lead to the same things; of large tables only what
24 bytes lead to is compared, and what is left of longer tokens is walked where they are. Where a table counts, its
mask is that of the uncounted table, with the number of counted steps of each token: far from a threshold it is used as
it is, near one the tokens that count too far are taken out.

The memory of all masks is bounded for the whole process; the least recently used go first.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latticework.structured import bitset
from latticework.structured.pushdown.table import NO_RESULT, Table
from latticework.structured.runtime import lexeme_kernels as kernels
from latticework.structured.runtime import subtrees
from latticework.structured.runtime.layout import NEVER, NONE, TABLE
from latticework.structured.runtime.rests import by_steps, lay_out
from latticework.structured.runtime.rests import outside as outside_of
from latticework.structured.runtime.survey import survey
from latticework.structured.trie import Trie

Ints = npt.NDArray[np.int32]

#: States of parts of tables that are compared as they are.
_MAX_SHAPE = 128
_WHOLE = 1 << 20  # bytes: all of a table
#: Of larger parts only what so many bytes lead to is compared, which few tokens are longer than, if it is not large
#: either and few results are possible.
_PART_DEPTH = 24
_MAX_PART = 512
_FEW_WORDS = 2
_MAX_RESULTS = 1024
#: Goals of a state for which lexeme masks are made, in all grammars; then walks are cheaper.
_MAX_GOALS = 16
#: States are compared with each other in tables with so many.
_MIN_COMPARED = 100
#: States of a table for which lexeme masks are made ahead.
_MAX_BROAD = 3
_FIELDS = TABLE.names or ()


@dataclass(frozen=True, eq=False, slots=True)
class Shape:
    """What can be reached from a state of a table, told apart from the table.

    Attributes:
        key: Equal for states that behave alike.
        start: Where it begins in the table.
        states: ``int32[.]``, the table's number of each state of the shape.
        results: ``int32[.]``, the table's number of each result of the shape.
        depth: Behind so many bytes states with equal keys may differ.
    """

    key: Hashable
    start: int
    states: Ints
    results: Ints
    depth: int

    @property
    def addresses(self) -> tuple[int, int]:
        """For :data:`~.layout.PLAN`."""
        return address_of(self.states), address_of(self.results)


class TableForm:
    """A table as kernels read it."""

    def __init__(self, table: Table) -> None:
        states, columns = table.delta.shape
        closed = (table.result != NO_RESULT) & (table.delta == NO_RESULT).all(axis=1)
        for state in table.specials:
            closed[state] = False
        advance = table.advance if table.thresholds and table.advance is not None else _zeros(states, columns)
        specials = [(s, token, result) for s, pairs in table.specials.items() for token, result in pairs]
        self.classes = np.ascontiguousarray(table.classes, np.uint8)
        self.delta = np.ascontiguousarray(table.delta, np.int32)
        self.result = np.ascontiguousarray(table.result, np.int32)
        self.end = np.ascontiguousarray(table.end, np.int32)
        self.closed = closed.astype(np.uint8)
        self.outcomes = np.ascontiguousarray(table.outcomes, np.uint64)
        self.advance = np.ascontiguousarray(advance, np.uint8)
        self.thresholds = np.array(table.thresholds, np.int32)
        self.specials = np.array(specials, np.int32).reshape(-1, 3)
        self.heat = np.zeros(states, np.uint8)
        compare = not table.thresholds and (table.fallback != NONE or states >= _MIN_COMPARED)
        self.few, self.wide, self.alike, self.apart = survey(
            self.classes, self.delta, self.result, self.closed, table.start, table.fallback, compare
        )
        self.broad = np.flatnonzero(self.wide)[:_MAX_BROAD].tolist()
        self._goals: dict[int, set[int]] = {}
        self._wanted: tuple[int, ...] | None = None
        self._shapes: dict[int, Shape] = {}
        numbers = {
            "special_count": len(specials),
            "states": states,
            "columns": columns,
            "words": self.outcomes.shape[1],
            "groups": len(table.thresholds),
            "last": table.thresholds[-1] if table.thresholds else 0,
        }
        self.record = np.array(
            [numbers[name] if name in numbers else address_of(getattr(self, name)) for name in _FIELDS], np.int64
        )

    @property
    def groups(self) -> int:
        """How many results of the table belong to one result of its base states."""
        return len(self.thresholds) + 1

    def note_goal(self, state: int, wanted: int) -> bool:
        """Note that masks are wanted from a base state for a goal; ``False``: the goals vary too much."""
        goals = self._goals.setdefault(state, set())
        goals.add(wanted)
        if len(goals) > _MAX_GOALS:
            self.wide[state], self.heat[state] = 0, NEVER
        else:
            self.wide[state] = 1
        return bool(self.wide[state])

    def judged(self, wanted: tuple[int, ...]) -> tuple[Ints, npt.NDArray[np.uint8]]:
        """What states are to a walk that wants these results: see :func:`~.lexeme_kernels.judge`. The last is kept."""
        if wanted != self._wanted:
            self._judged: tuple[Ints, npt.NDArray[np.uint8]] = kernels.judge(
                self.result, self.closed, self.outcomes, np.array(wanted, np.int32)
            )
            self._wanted = wanted
        return self._judged

    def shape(self, state: int) -> Shape:
        """The shape of a base state."""
        known = self._shapes.get(state)
        if known is None:
            known = self._shapes[state] = self._compared(state) or self._apart(state)
        return known

    def _compared(self, state: int) -> Shape | None:
        """The shape of a base state if it can be compared with others."""
        if len(self.specials):
            return None
        numbers = np.empty(_MAX_RESULTS, np.int32)
        partly = not len(self.thresholds) and self.outcomes.shape[1] <= _FEW_WORDS
        for depth, most in ((_WHOLE, _MAX_SHAPE), (_PART_DEPTH, _MAX_PART))[: 1 + partly]:
            order = np.empty(most, np.int32)
            count, results, key = kernels.shape(
                self.classes, self.delta, self.result, self.end, self.advance, self.outcomes, state, depth, order,
                numbers,
            )  # fmt: skip
            if count:
                return Shape((depth, key.tobytes()), state, order[:count].copy(), numbers[:results].copy(), depth)
        return None

    def _apart(self, state: int) -> Shape:
        """The shape of a base state that is compared with no other: the whole table."""
        own = np.arange(len(self.delta), dtype=np.int32)
        top = int(max(self.result.max(), self.end.max(), self.specials[:, 2].max(initial=0)))
        return Shape(object(), state, own, np.arange(top + 1, dtype=np.int32), _WHOLE)


def _zeros(states: int, columns: int) -> npt.NDArray[np.uint8]:
    return np.zeros((states, columns), np.uint8)


_forms: weakref.WeakKeyDictionary[Table, TableForm] = weakref.WeakKeyDictionary()


def form_of(table: Table) -> TableForm:
    """The form of ``table``, made once."""
    form = _forms.get(table)
    if form is None:
        form = _forms[table] = TableForm(table)
    return form


@dataclass(eq=False, slots=True, weakref_slot=True)
class LexemeMask:
    """What a shape says about every token of one vocabulary; see the module's description.

    States and results are those of the shape.

    Attributes:
        mask: ``int32[words]``, the tokens that stay inside.
        outside: ``int32[words]``, if the lexeme may be over before any byte, the tokens whose first byte leaves it.
        rests: The tries of what is left of the tokens that end the lexeme: ``byte, depth, end, first_id, ids``.
        groups: ``int32[3, g]``, root, result and counted steps of each of the tries.
        children: ``int32[g, 256]``, the child of each root for each byte, or 0.
        walked: ``int32[3, n]``, trie node of the vocabulary, state above it and counted steps, of the subtrees that
            must be walked where they are.
        tokens: ``int32[.]``, the tokens that stay inside by counted steps; empty where nothing counts.
        token_first: ``int32[longest + 2]``, where the tokens of each number of steps begin.
        lookahead: Whether the lexeme may be over before any byte.
        exact: ``False``: a counting table that may end before a byte that it could read, if it has not counted too far.
            This mask must then not be used.
        addresses: The fields of :data:`~.layout.PLAN` that it fills.
        cost: Bytes of memory.
        used: When it was last used, on the clock of the cache.
    """

    mask: Ints
    outside: Ints
    rests: tuple[npt.NDArray[np.uint8], Ints, Ints, Ints, Ints]
    groups: Ints
    children: Ints
    walked: Ints
    tokens: Ints
    token_first: Ints
    lookahead: bool
    exact: bool
    addresses: tuple[int, ...]
    cost: int
    used: int = 0


class _Workspace:
    """Per vocabulary: the trie as :func:`~.lexeme_kernels.examine` wants it, summarized, and its working memory."""

    def __init__(self, trie: Trie) -> None:
        self.trie = (trie.byte, trie.depth, trie.end, trie.first_id, trie.ids)
        nodes = len(trie.byte)
        large = int((trie.end - np.arange(nodes) >= subtrees.MIN_SUMMARIZED).sum())
        self.summaries = (
            np.empty(nodes, np.int32),
            np.empty((large, 2), np.uint64),
            np.empty(large, np.bool_),
            np.empty(large, np.int32),
        )
        subtrees.summarize(trie.byte, trie.depth, trie.end, *self.summaries)
        self.found_out = np.empty((0, 3), np.uint64), np.empty((0, 2), np.uint64), np.empty(0, np.int32), _stamps(0)
        self.stamp = 0
        self.size = 4096
        # Tokens, their steps, the nodes of their rests and the tokens of those.
        self.lists = tuple(np.empty((4, len(trie.ids)), np.int32))
        self.ranges = np.empty((2, len(trie.ids)), np.int32)
        self._every = np.empty(0, np.uint32)

    def every(self, words: int) -> npt.NDArray[np.uint32]:
        """The mask of all tokens of the trie."""
        if len(self._every) != words:
            self._every = np.zeros(words, np.uint32)
            ids = self.trie[4]
            np.bitwise_or.at(self._every, ids >> 5, np.uint32(1) << (ids & 31).astype(np.uint32))
        return self._every

    def begin(self, states: int) -> None:
        """Have memory for what is found out about so many states of another table."""
        self.stamp += 1
        if states > len(self.found_out[2]):
            size = 2 * states
            self.found_out = (
                np.empty((size, 3), np.uint64),
                np.empty((size, 2), np.uint64),
                np.empty(size, np.int32),
                _stamps(size),
            )


def _stamps(size: int) -> npt.NDArray[np.int64]:
    return np.zeros(size, np.int64)


_workspaces: weakref.WeakKeyDictionary[Trie, _Workspace] = weakref.WeakKeyDictionary()


def examine(form: TableForm, shape: Shape, wanted: frozenset[int], trie: Trie, words: int) -> LexemeMask:
    """Walk the vocabulary from the first state of ``shape``; ``wanted`` are results of the shape."""
    workspace = _workspaces.get(trie)
    if workspace is None:
        workspace = _workspaces[trie] = _Workspace(trie)
    result, kind = form.judged(tuple(shape.results[sorted(wanted)].tolist()))
    workspace.begin(len(form.delta))
    counts = len(form.thresholds) > 0
    mask = np.empty(words, np.uint32)
    tokens, steps, nodes, members = workspace.lists
    while True:
        walked, rests = np.empty((3, workspace.size), np.int32), np.empty((2 * workspace.size, 4), np.int32)
        roots = np.empty((3, workspace.size), np.int32)
        inside, walked_count, rest_count, root_count, member_count, longest, flags = kernels.examine(
            form.classes, form.delta, result, form.advance, kind, counts, shape.start, shape.depth, workspace.trie,
            workspace.summaries, workspace.found_out, workspace.stamp, mask, tokens, steps, walked, rests, roots, nodes,
            members, workspace.every(words), workspace.ranges,
        )  # fmt: skip
        if flags >= 0:
            break
        workspace.size *= 2
    *laid_out, groups, children, walked = lay_out(
        rests, rest_count, roots, root_count, nodes, members, member_count, walked, walked_count, shape.states,
        shape.results,
    )  # fmt: skip
    counted = inside if counts else 0
    tokens, token_first = by_steps(tokens[:counted], steps[:counted], longest)
    outside = mask[:0]
    if flags & 1:
        outside = outside_of(form.classes, form.delta, kind, shape.start, workspace.trie, words)
    arrays = (mask, outside, *laid_out, groups, children, walked, tokens, token_first)
    addresses = (
        *(address_of(array) for array in (mask, outside, *laid_out)),
        groups.shape[1], *(address_of(row) for row in groups), address_of(children),
        walked.shape[1], *(address_of(row) for row in walked),
        address_of(tokens), address_of(token_first), len(token_first) - 2, flags & 1,
    )  # fmt: skip
    return LexemeMask(
        mask.view(np.int32),
        outside.view(np.int32),
        tuple(laid_out),
        groups,
        children,
        walked,
        tokens,
        token_first,
        bool(flags & 1),
        not (counts and flags),
        addresses,
        sum(array.nbytes for array in arrays),
    )


def address_of(array: npt.NDArray[np.generic]) -> int:
    """Where the elements of an array of numbers lie."""
    if array.size and array.flags.writeable:  # four times as fast as to ask numpy
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    return int(array.ctypes.data)


class LexemeMasks:
    """The lexeme masks of all grammars and vocabularies of a process, in bounded memory. Thread-safe.

    Who keeps masks lets go of them when :attr:`generation` has changed.

    Args:
        max_bytes: Memory for masks. The least recently used go first; the one just made always stays.

    Attributes:
        clock: Rises with every mask that is made or looked up.
        generation: Rises when masks are forgotten.
        made: How many masks were made.
    """

    def __init__(self, max_bytes: int) -> None:
        self.clock = 0
        self.made = 0
        self.generation = 0
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.RLock()
        self._masks: weakref.WeakKeyDictionary[Trie, dict[Hashable, LexemeMask]] = weakref.WeakKeyDictionary()
        self._plans: weakref.WeakKeyDictionary[Trie, _Plans] = weakref.WeakKeyDictionary()

    @property
    def bytes_kept(self) -> int:
        """What the masks take."""
        return self._bytes

    def plan(self, form: TableForm, state: int, wanted: int, trie: Trie, words: int) -> Plan:
        """How masks of a base state are made for a set of wanted base results (bits); one for all grammars."""
        with self._lock:
            plan = self._plans_of(form, trie).get((state, wanted))
            if plan is None:
                plan = Plan(self, form, state, bitset.bits(wanted), trie, words)
                self._plans_of(form, trie)[state, wanted] = plan  # looked up anew: to make it may have evicted the rest
            return plan

    def _plans_of(self, form: TableForm, trie: Trie) -> dict[tuple[int, int], Plan]:
        return self._plans.setdefault(trie, weakref.WeakKeyDictionary()).setdefault(form, {})

    def get(self, form: TableForm, shape: Shape, wanted: frozenset[int], trie: Trie, words: int) -> LexemeMask:
        """The mask of a shape; see :func:`examine`."""
        key = (shape.key, wanted)
        with self._lock:
            masks = self._masks.setdefault(trie, {})
            self.clock += 1
            mask = masks.get(key)
            if mask is None:
                self.made += 1
                mask = masks[key] = examine(form, shape, wanted, trie, words)
                mask.used = self.clock
                self._bytes += mask.cost
                if self._bytes > self._max_bytes:
                    self._evict()
            mask.used = self.clock
            return mask

    def _evict(self) -> None:
        self.generation += 1
        self._plans.clear()
        every = [(mask.used, mask.cost, key, masks) for masks in self._masks.values() for key, mask in masks.items()]
        every.sort(key=lambda entry: entry[0])
        self._bytes = sum(cost for _, cost, _, _ in every)  # tries that are gone took their masks along
        for _, cost, key, masks in every[:-1]:
            if self._bytes <= self._max_bytes * 3 // 4:
                break
            del masks[key]
            self._bytes -= cost

    def clear(self) -> None:
        """Forget every mask."""
        with self._lock:
            self._masks.clear()
            self._plans.clear()
            self._bytes = 0
            self.generation += 1


class Plan:
    """How the masks of one base state of a table, for one set of wanted results, are made of a lexeme mask.

    Attributes:
        address: Where its :data:`~.layout.PLAN` record is, which points into ``mask``.
    """

    __slots__ = ("_record", "_shape", "address", "exact", "mask")

    def __init__(
        self, masks: LexemeMasks, form: TableForm, state: int, wanted: Sequence[int], trie: Trie, words: int
    ) -> None:
        self._shape = form.shape(state)
        numbers = {result: index for index, result in enumerate(self._shape.results.tolist())}
        own = frozenset(numbers[result] for result in wanted)
        self.mask = mask = masks.get(form, self._shape, own, trie, words)
        self.exact = mask.exact and (len(form.thresholds) == 0 or len(own) == 1)
        self._record = np.array((*mask.addresses, *self._shape.addresses, min(own)), np.int64)
        self.address = address_of(self._record)


_Plans = weakref.WeakKeyDictionary[TableForm, dict[tuple[int, int], Plan]]

#: Memory for the lexeme masks of a process.
MASK_BYTES = 64 * 1024 * 1024

LEXEME_MASKS = LexemeMasks(MASK_BYTES)
