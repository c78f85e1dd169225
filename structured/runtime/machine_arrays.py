"""The arrays of one grammar, and the record of their addresses that its kernels are given."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from latticework.structured import bitmask
from latticework.structured.pushdown.family import Kind, Rule
from latticework.structured.runtime import answers, members, plans, positions, rests
from latticework.structured.runtime.layout import MAX_MISSING, MAX_SUSPECTS, NONE, PLACE, TABLE
from latticework.structured.runtime.lexeme_masks import Plan, TableForm, address_of
from latticework.structured.runtime.ready import RING
from latticework.structured.vocabulary import Vocabulary

_Words = npt.NDArray[np.int64]

#: Own arrays: how many ``int64`` there are at first, and what they hold.
_SIZES: dict[str, tuple[int, int]] = {
    "nodes": (4 * 1024, 0),
    "node_index": (2048, NONE),
    "configurations": (3 * 512, 0),
    "configuration_index": (1024, NONE),
    "ready": (512, 0),
    "symbols": (5 * 128, 0),
    "goals": (512, 0),
    "member_index": (256, NONE),
    "families": (5 * 64, 0),
    "rules": (256, 0),
    "sets": (2 * 128, 0),
    "set_words": (128, 0),
    "set_index": (256, NONE),
    "noted": (512, 0),
    "scratch": (512, 0),
    "answers": (5 * 256, 0),
    "answer_keys": (512, NONE),
    "answer_values": (512, NONE),
    "pushes": (512, 0),
    "missing": (MAX_MISSING, 0),
    "chain": (1024, 0),
    "starts": (1024, 0),
    "saved_starts": (1024, 0),
    "suspects": (MAX_SUSPECTS + 1, 0),
    "plans": (5 * 32, 0),
    "plan_index": (128, NONE),
    "plan_words": (64, 0),
    "wanted": (16, 0),
}
#: Fields that say how large an array is, in its own unit.
_CAPACITIES = {
    "node_capacity": ("nodes", 4),
    "symbol_capacity": ("symbols", 5),
    "goal_capacity": ("goals", 1),
    "member_slots": ("member_index", 1),
    "set_capacity": ("sets", 2),
    "set_word_capacity": ("set_words", 1),
    "set_slots": ("set_index", 1),
    "node_slots": ("node_index", 1),
    "configuration_capacity": ("configurations", 3),
    "configuration_slots": ("configuration_index", 1),
    "noted_capacity": ("noted", 1),
    "scratch_capacity": ("scratch", 1),
    "answer_slots": ("answer_keys", 1),
    "plan_slots": ("plan_index", 1),
}
_OFFSETS = dict(zip(_SIZES, np.cumsum([0, *(size for size, _ in _SIZES.values())]).tolist(), strict=False))
_SLAB = np.concatenate([np.full(size, value, np.int64) for size, value in _SIZES.values()])
_ADDRESSED = np.array([PLACE[name] for name in _SIZES])
_ADDRESSES = np.array([8 * offset for offset in _OFFSETS.values()], np.int64)


_WORD = (1 << 64) - 1


def _signed(bits: int) -> int:
    """The lowest 64 bits as a signed number."""
    bits &= _WORD
    return bits - (bits >> 63 << 64)


class _Shared:
    """What all grammars of a vocabulary read, or write within one kernel call."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        trie = vocabulary.trie
        words = bitmask.words(vocabulary.size)
        depth = trie.max_depth + 2
        self.arrays: dict[str, npt.NDArray[np.generic]] = {
            "trie_byte": trie.byte,
            "trie_depth": trie.depth,
            "trie_end": trie.end,
            "trie_first": trie.first_id,
            "trie_ids": trie.ids,
            "trie_children": rests.children(trie.byte, trie.end, 0),
            "text": trie.text,
            "offset": trie.offset,
            "eos": np.array(sorted(vocabulary.eos_ids), np.int32),
            "keep": np.zeros(words, np.int32),
            "spare": np.zeros(words, np.int32),
            **{name: np.zeros(depth, np.int64) for name in PLACE if name.startswith("path_")},
        }
        self.record = np.zeros(len(PLACE), np.int64)
        for name, array in self.arrays.items():
            self.record[PLACE[name]] = address_of(array)
        self.record[PLACE["words"]] = words
        self.record[PLACE["ring"]] = address_of(RING.control)
        self.record[PLACE["trie_nodes"]] = len(trie.byte)
        self.record[PLACE["eos_count"]] = len(vocabulary.eos_ids)
        for name, (owner, unit) in _CAPACITIES.items():
            self.record[PLACE[name]] = _SIZES[owner][0] // unit


_shared: weakref.WeakKeyDictionary[Vocabulary, _Shared] = weakref.WeakKeyDictionary()


class MachineArrays:
    """Arrays that grow, with room for what is added, and their record. Not thread-safe.

    Attributes:
        block: The address of the :data:`~.layout.MACHINE` record, for kernels.
        record: The same as numbers, by :data:`~.layout.PLACE`.
        forms: What they point to.
        words: Words of a mask.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        shared = _shared.get(vocabulary)
        if shared is None:
            shared = _shared[vocabulary] = _Shared(vocabulary)
        self._shared = shared
        slab = _SLAB.copy()
        values = shared.record.copy()
        values[_ADDRESSED] = _ADDRESSES + address_of(slab)
        self._record = values
        self.block = address_of(values)
        self.record = memoryview(values.data)  # reading a number from it is ten times as fast as from a record
        self.words = int(values[PLACE["words"]])
        self._place_tables(np.zeros((8, len(TABLE.names or ())), np.int64))
        self.forms: list[TableForm] = []
        self._own = {name: slab[o : o + _SIZES[name][0]] for name, o in _OFFSETS.items()}
        self._plans: list[Plan | None] = []
        self._families = self._rule_words = 0
        self.record[PLACE["set_count"]] = 1  # the empty one
        self.add_symbol(NONE, 0, 0)  # under node 0, for the beginning
        self._own["nodes"][:4] = NONE, 0, NONE, 0
        self.record[PLACE["node_count"]] = 1

    def __getitem__(self, name: str) -> _Words:
        return self._own[name]

    def add_symbol(self, goal: int, words: int, captures: int) -> int:
        """A symbol that belongs to no family; its number."""
        record = self.record
        number = record[PLACE["symbol_count"]]
        if number == record[PLACE["symbol_capacity"]]:
            self._widen_symbols()
        row = self._own["symbols"].data
        row[5 * number], row[5 * number + 1], row[5 * number + 2] = goal, words, captures
        row[5 * number + 3], row[5 * number + 4] = number, 0
        record[PLACE["symbol_count"]] = number + 1
        return int(number)

    def add_family(self, rule: Rule, captures: int) -> int:
        """A family; the number that stands for it among symbols. ``captures``: see :func:`~.members.captures_of`."""
        bits = (rule.usable, rule.ordered, rule.required, rule.captured)
        span = max(1, (max(bits).bit_length() + 63) // 64)
        words = 1 if rule.kind is Kind.GAP else max(1, (rule.usable.bit_length() + 63) // 64)
        while 5 * (self._families + 1) > len(self._own["families"]):
            self._widen("families")
        while self._rule_words + 4 * span > len(self._own["rules"]):
            self._widen("rules")
        row, rules = self._own["families"].data, self._own["rules"].data
        fields = (int(rule.kind), words, span, self._rule_words, captures)
        for place, value in enumerate(fields, 5 * self._families):
            row[place] = value
        for value in bits:
            for word in range(span):
                rules[self._rule_words + word] = _signed(value >> 64 * word)
            self._rule_words += span
        self._families += 1
        return self.add_symbol(self._families - 1, 0, 0)

    def add_set(self, bits: int) -> int:
        """A set; its number."""
        if not bits:
            return 0
        words = range((bits.bit_length() + 63) // 64)
        array = np.array([bits >> 64 * word & _WORD for word in words], np.uint64)
        while (number := int(members.add_set(self.block, array))) < 0:
            self.grow()
        return number

    def set_of(self, symbol: int) -> int:
        """The set of a symbol as a bit set."""
        number = int(self._own["symbols"][5 * symbol + 4])
        first, words = self._own["sets"][2 * number : 2 * number + 2].tolist()
        bits = self._own["set_words"].view(np.uint64)[first : first + words].tolist()
        return sum(value << 64 * word for word, value in enumerate(bits))

    def find_member(self, anchor: int, own: int) -> int:
        """The symbol of a family with a set, both by number."""
        while (number := int(members.find_member(self.block, anchor, own))) < 0:
            self.grow()
        return number

    def add_goal(self, goal: int) -> tuple[int, int]:
        """A bit set of results: its place and its number of words."""
        words = max(1, (goal.bit_length() + 63) // 64)
        place = self.record[PLACE["goal_count"]]
        while place + words > len(self._own["goals"]):
            self._widen("goals")
        self.record[PLACE["goal_count"]] = place + words
        row = self._own["goals"].data
        for word in range(words):
            row[place + word] = _signed(goal >> 64 * word)
        return place, words

    def add_table(self, form: TableForm) -> int:
        """A lexeme table; its number."""
        number = len(self.forms)
        if number == len(self._tables):
            self._place_tables(np.concatenate((self._tables, np.zeros_like(self._tables))))
        self._tables[number] = form.record
        self.forms.append(form)
        while form.outcomes.shape[1] > len(self._own["wanted"]):
            self._widen("wanted")
        return number

    def add_answer(
        self, symbol: int, result: int, kind: int, table: int, value: int, push: Sequence[tuple[int, int]]
    ) -> int:
        """An answer of the source, ``push`` as in ``pushes``; its number.

        A negative ``result``: it is not to be found by :func:`~.answers.find_answer`.
        """
        count = self.record[PLACE["answer_count"]]
        if 5 * count == len(self._own["answers"]):
            self._widen("answers")
        if 2 * count > len(self._own["answer_keys"]):
            keys, values = self._own["answer_keys"], self._own["answer_values"]
            self._replace("answer_keys", np.full(2 * len(keys), NONE, np.int64))
            self._replace("answer_values", np.full(2 * len(keys), NONE, np.int64))
            answers.reindex_answers(self.block, keys, values)
        pushed = self.record[PLACE["pushed"]]
        while 2 * (pushed + len(push)) > len(self._own["pushes"]):
            self._widen("pushes")
        row, pushes = self._own["answers"].data, self._own["pushes"].data
        place = 5 * count
        row[place], row[place + 1], row[place + 2] = kind, table, value
        row[place + 3], row[place + 4] = pushed, len(push)
        place = 2 * pushed
        for number, add in push:
            pushes[place], pushes[place + 1] = number, add
            place += 2
        self.record[PLACE["pushed"]] = pushed + len(push)
        self.record[PLACE["answer_count"]] = count + 1
        if result >= 0:
            answers.index_answer(self.block, symbol << 32 | result, count)
        return int(count)

    def add_plan(self, number: int, state: int, words: int, plan: Plan | None) -> None:
        """What a kernel asked for (:func:`~.plans.add_plan`); ``None`` for a plain walk."""
        count = len(self._plans)
        self._plans.append(plan)
        if 5 * count == len(self._own["plans"]):
            self._widen("plans")
        while words * (count + 1) > len(self._own["plan_words"]) - 64:
            self._widen("plan_words")
        if 2 * count > len(self._own["plan_index"]):
            self._replace("plan_index", np.full(2 * len(self._own["plan_index"]), NONE, np.int64))
            plans.reindex_plans(self.block)
        plans.add_plan(self.block, number, state, words, plan.address if plan else 0)

    def forget_plans(self) -> None:
        """Let go of all plans and the lexeme masks they use, and of the masks that were made of these."""
        self._plans.clear()
        self._own["plan_index"].fill(NONE)
        self.record[PLACE["plan_count"]] = 0
        self._own["ready"].fill(0)

    def reserve(self) -> None:
        """Double what is half full, so that what comes next finds room."""
        full = self._half_full()
        if full:
            self._grow(full)

    def grow(self) -> None:
        """Double what a kernel may have found full."""
        self._grow(self._half_full() or list(self._used()))

    def _half_full(self) -> list[str]:
        return [name for name, count in self._used().items() if 2 * count > len(self._own[name])]

    def _used(self) -> dict[str, int]:
        """Of each array that kernels fill, how much is used."""
        record = self.record
        return {
            "nodes": 4 * max(record[PLACE["node_top"]], record[PLACE["node_count"]]),
            "configurations": 3 * record[PLACE["configuration_count"]],
            "noted": 4 * record[PLACE["noted_count"]],  # a kernel may want many words at once
            "scratch": 4 * record[PLACE["scratch_count"]],
            "symbols": 5 * record[PLACE["symbol_count"]],
            "goals": record[PLACE["goal_count"]],
            "sets": 2 * record[PLACE["set_count"]],
            "set_words": record[PLACE["set_word_count"]],
        }

    def _grow(self, full: list[str]) -> None:
        for name in full:
            self._widen(name)
        if "symbols" in full or "sets" in full:
            self._reindex_members()
        if "nodes" in full:
            for name in ("chain", "starts", "saved_starts"):
                self._widen(name)
            self._replace("node_index", np.full(2 * len(self._own["node_index"]), NONE, np.int64))
        if "configurations" in full:
            self._widen("ready")
            self._replace("configuration_index", np.full(2 * len(self._own["configuration_index"]), NONE, np.int64))
        if "nodes" in full or "configurations" in full:
            for name in ("node_index", "configuration_index"):
                self._own[name].fill(NONE)
            positions.reindex_positions(self.block)

    def _place_tables(self, tables: _Words) -> None:
        self._tables = tables
        self.record[PLACE["tables"]], self.record[PLACE["table_room"]] = address_of(tables), len(tables)

    def _widen_symbols(self) -> None:
        self._widen("symbols")
        self._reindex_members()

    def _reindex_members(self) -> None:
        for name, owner, unit in (("member_index", "symbols", 5), ("set_index", "sets", 2)):
            self._replace(name, np.full(2 * (len(self._own[owner]) // unit), NONE, np.int64))
        members.reindex_members(self.block)

    def _widen(self, name: str) -> None:
        old = self._own[name]
        self._replace(name, np.concatenate((old, np.zeros(len(old), np.int64))))

    def _replace(self, name: str, array: _Words) -> None:
        self._own[name] = array
        self.record[PLACE[name]] = address_of(array)
        for capacity, (owner, unit) in _CAPACITIES.items():
            if owner == name:
                self.record[PLACE[capacity]] = len(array) // unit
