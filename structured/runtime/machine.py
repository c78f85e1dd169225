"""One grammar at run time: the positions of a pushdown source that texts reach, numbered, with their masks.

A position is a lexeme table, its state and a stack; a *configuration* is the number of one. Symbols, answers, stack
nodes and configurations are found as texts reach them and kept in arrays that kernels read (:mod:`.accepting`,
:mod:`.fills`). What a kernel does not know it hands back: the source is asked, once for each ``(symbol, result)``, and
the kernel is called again.

The kernels that serve one token take a few microseconds and keep the GIL: to release it would let another thread run
for milliseconds in between. A lock keeps the calls of one operation together.

A machine that has found as many configurations as it may is not used up: :meth:`Machine.renew` gives an empty one for
the same grammar, into which its matchers move.
"""

from __future__ import annotations

import threading

import numpy as np

from latticework.structured import bitmask, clock
from latticework.structured.bitmask import Bitmask
from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.protocol import Enter, PushdownSource, Symbol
from latticework.structured.pushdown.table import Table
from latticework.structured.runtime import accepting, fills, forcing, plans, positions
from latticework.structured.runtime.ahead import ask_ahead
from latticework.structured.runtime.layout import (
    CAPTURE,
    DEAD,
    END,
    ENDED,
    FULL,
    NONE,
    PLACE,
    START,
    UNKNOWN,
    WHOLE,
    WIDE,
)  # fmt: skip
from latticework.structured.runtime.lexeme_masks import LEXEME_MASKS, form_of
from latticework.structured.runtime.machine_arrays import MachineArrays
from latticework.structured.runtime.refusals import Refusals, Texts
from latticework.structured.runtime.spelling import is_spelled
from latticework.structured.runtime.symbols import Symbols
from latticework.structured.vocabulary import Vocabulary

#: Longest forced text looked for from one configuration, in bytes.
MAX_FORCED_BYTES = 512

#: Trie nodes that a walk of the vocabulary may descend to before a lexeme mask is made instead.
BUDGET = 4096

_TEXTS_CHANGED = 1 << 40
#: Steps remembered by a machine.
_MAX_NEXT = 8192


class MachineFullError(BudgetExceededError):
    """A machine has found as many configurations as it may."""

_MISSING_COUNT, _CONFIGURATION_COUNT = PLACE["missing_count"], PLACE["configuration_count"]
_NODE_CAPACITY, _SYMBOL_CAPACITY = PLACE["node_capacity"], PLACE["symbol_capacity"]
_ASKED_TABLE, _ASKED_STATE = PLACE["asked_table"], PLACE["asked_state"]
_ANSWER, _POPPED, _START_COUNT = PLACE["answer"], PLACE["popped"], PLACE["start_count"]
_PENDING_NODE, _PENDING_RESULT = PLACE["pending_node"], PLACE["pending_result"]
_POSITION, _CONSUMED = PLACE["position"], PLACE["consumed"]


class Machine:
    """A source over one vocabulary. Thread-safe.

    Args:
        source: The language.
        vocabulary: The tokens.
        limits: What it may cost.
        field: What errors name.
        spelled: Whether every text that can be completed can be completed by bytes that are tokens of their own.
            ``None``: each lexeme table is asked (:mod:`.spelling`).
        budget: See :data:`BUDGET`; tests make it small.

    Attributes:
        vocabulary, eos_ids: What texts are made of.
        start: The first configuration.
        start_texts: What is captured there.
        forced: Forced runs that matchers found, by configuration and the tokens before. Bounded by who writes it.
    """

    def __init__(
        self,
        source: PushdownSource,
        vocabulary: Vocabulary,
        limits: GrammarLimits,
        field: str,
        *,
        spelled: bool | None = None,
        budget: int = BUDGET,
    ) -> None:
        self.vocabulary = vocabulary
        self.eos_ids = vocabulary.eos_ids
        self._source = source
        self._limits = limits
        self._field = field
        self._spelled = spelled
        self._renewed: Machine | None = None
        self._lock = threading.Lock()
        self._arrays = MachineArrays(vocabulary)
        self._arrays.record[PLACE["budget"]] = budget
        self._block = self._arrays.block
        self._symbols = Symbols(source, self._arrays, self._table)
        self._tables: dict[Table, int] = {}
        self._text_answers: dict[tuple[int, int, bytes], int] = {}
        usable = vocabulary.single_bytes
        self._usable = None if usable.all() or spelled is not None else usable
        self._unspelled = spelled is False
        self._blocked: frozenset[int] | None = None
        self._ending_tokens = set(vocabulary.eos_ids)
        self._next: dict[int, int] = {}
        self.forced: dict[tuple[int, ...], list[int]] = {}
        self._refusals = Refusals(self._symbols, self._arrays, vocabulary, self._ending_tokens, self._takes)
        with self._lock:
            self._generation = LEXEME_MASKS.generation
            first = source.start()
            code = accepting.start(self._block, self._symbols.note(NONE, NONE, first))
            self.start, self.start_texts = self._settle(code, NONE, START, b"", ())
            if self.start < 0 and self.start != ENDED:
                raise ValueError("a pushdown source must have a first lexeme")
            for action in ask_ahead(self._symbols, first, limits.ahead_answers, limits.ahead_seconds):
                self._plan_ahead(action)
            self._arrays.reserve()
        if self._unspelled:
            self._block_unspellable()

    def fill(self, configuration: int, texts: Texts, row: Bitmask) -> None:
        """Write the mask of a configuration to ``row`` (``int32[>= words]``, contiguous)."""
        with self._lock:
            suspects = self._fill(configuration, row)
            if suspects or (texts and self._refusals.concern(configuration)):
                self._refusals.take_out(configuration, texts, row, suspects)
        if self._unspelled:
            self._block_unspellable()
            for token_id in bitmask.indices(row[: self._arrays.words]).tolist():
                if self.accept(configuration, texts, token_id)[0] == DEAD:
                    bitmask.clear_bit(row, token_id)

    def _fill(self, configuration: int, row: Bitmask) -> int:
        """The mask with captured texts left out of account, and how many tokens need a closer look."""
        if self._generation != LEXEME_MASKS.generation:
            self._generation = LEXEME_MASKS.generation
            self._arrays.forget_plans()
        suspects: int = fills.fill(self._block, row, configuration)
        return suspects if suspects >= 0 else self._fill_slowly(suspects, configuration, row)

    def accept(self, configuration: int, texts: Texts, token_id: int) -> tuple[int, Texts]:
        """The configuration and the captured texts after a token, or ``(DEAD, ())``; an end token changes neither."""
        known = self._next.get(configuration << 32 | token_id)
        if known is not None:
            if texts:
                token = self.vocabulary.tokens[token_id]
                texts = tuple([text + token for text in texts])
            return known, texts
        if token_id in self.eos_ids:
            return (configuration, texts) if self.accepts(configuration, texts) else (DEAD, ())
        target, after = self._accept(configuration, texts, token_id)
        if self._blocked and target in self._blocked:
            self._next.pop(configuration << 32 | token_id, None)
            return DEAD, ()
        return target, after

    def _accept(self, configuration: int, texts: Texts, token_id: int) -> tuple[int, Texts]:
        if not 0 <= token_id < self.vocabulary.size:
            return DEAD, ()
        token = self.vocabulary.tokens[token_id]
        read = token_id if token else -2 - token_id
        with self._lock:
            code = accepting.accept(self._block, configuration, read, WHOLE)
            if 0 <= code < _TEXTS_CHANGED:
                if len(self._next) >= _MAX_NEXT:
                    self._next.clear()
                self._next[configuration << 32 | token_id] = code
                return code, tuple([text + token for text in texts]) if texts else ()
            return self._settle(code, configuration, read, token, texts)

    def accepts(self, configuration: int, texts: Texts) -> bool:
        """Whether the text may end here."""
        with self._lock:
            code = accepting.accept(self._block, configuration, END, WHOLE)
            return self._settle(code, configuration, END, b"", texts)[0] == ENDED

    def forced_bytes(self, configuration: int) -> bytes:
        """The bytes that every completion writes next, as far as they are certain (``b""``: there is a choice)."""
        text = np.empty(MAX_FORCED_BYTES, np.uint8)
        with self._lock:
            while True:
                count, code = forcing.forced(self._block, configuration, text)
                if code == 0:
                    return text[:count].tobytes()
                self._help(code)

    def _block_unspellable(self) -> None:
        """Make the configurations unreachable that no sequence of tokens completes (:mod:`.spelling`).

        Raises:
            GrammarError: The start is one of them.
            UnsupportedGrammarError: There are too many to be searched within ``limits.compile_seconds``.
        """
        if self._blocked is not None:
            return
        deadline = clock.now() + self._limits.compile_seconds
        sources: dict[int, set[int]] = {self.start: set()}
        row = bitmask.allocate(1, self.vocabulary.size)[0]
        todo = [self.start]
        while todo:
            source = todo.pop()
            if clock.now() > deadline or self._refusals.capturing(source):
                raise UnsupportedGrammarError(
                    self._field,
                    "the vocabulary lacks single-byte tokens that it needs, and it is too large to be checked",
                )
            with self._lock:
                self._fill(source, row)
            for token_id in set(bitmask.indices(row).tolist()) - self.eos_ids:
                target, _ = self._accept(source, (), token_id)
                if target not in sources:
                    sources[target] = set()
                    todo.append(target)
                sources[target].add(source)
        completable = [configuration for configuration in sources if self.accepts(configuration, ())]
        seen = set(completable)
        while completable:
            for source in sources[completable.pop()] - seen:
                seen.add(source)
                completable.append(source)
        if self.start not in seen:
            raise GrammarError(self._field, "no sequence of the vocabulary's tokens spells any text of it")
        self._blocked = blocked = frozenset(sources) - seen
        # The search has walked into them, and what it walked is remembered.
        self._next = {key: target for key, target in self._next.items() if target not in blocked}
        self.forced.clear()

    def renew(self) -> Machine:
        """An empty machine for the same grammar: the same one for all who ask, until it is full itself."""
        with self._lock:
            if self._renewed is None:
                self._renewed = Machine(
                    self._source, self.vocabulary, self._limits, self._field, spelled=self._spelled
                )
            return self._renewed

    @property
    def latest(self) -> Machine:
        """The machine in which new texts begin."""
        machine = self
        while machine._renewed is not None:
            machine = machine._renewed
        if machine is not self:
            self._renewed = machine  # those between are not needed any more
        return machine

    def move(self, configuration: int, target: Machine) -> int:
        """The configuration of ``target`` at the same position."""
        number, state, node = self._arrays["configurations"][3 * configuration : 3 * configuration + 3].tolist()
        symbols = []
        while node != NONE:
            below, symbol = self._arrays["nodes"][4 * node : 4 * node + 2].tolist()
            symbols.append(self._symbols.symbol(symbol))
            node = below
        table = next((table for table, own in self._tables.items() if own == number), None)
        return target._adopt(table, state, symbols[::-1])

    def _adopt(self, table: Table | None, state: int, symbols: list[Symbol]) -> int:
        with self._lock:
            number = ENDED if table is None else self._table(table)
            stack = np.array([self._symbols.pushed(symbol) for symbol in symbols], np.int64).reshape(-1, 2)
            while (code := positions.adopt(self._block, number, state, stack)) < 0:
                self._help(code)
            return int(code)

    def _fill_slowly(self, code: int, configuration: int, row: Bitmask) -> int:
        """Go on with :func:`~.fills.fill`, which asks for help."""
        deadline = clock.worked() + self._limits.mask_seconds
        while code < 0:
            self._help(code)
            if clock.worked() > deadline:
                raise BudgetExceededError(
                    self._field, f"one mask took more than {self._limits.mask_seconds} s of work; simplify the grammar"
                )
            code = fills.fill(self._block, row, configuration)
        return code

    def _help(self, code: int) -> None:
        """Do what a kernel needs before it is called again."""
        if code == UNKNOWN:
            arrays = self._arrays
            for key in arrays["missing"][: arrays.record[_MISSING_COUNT]].tolist():
                self._symbols.ask(key >> 32, key & 0xFFFFFFFF)
        elif code == FULL:
            record = self._arrays.record
            found = max(record[_CONFIGURATION_COUNT], record[_NODE_CAPACITY] // 8, record[_SYMBOL_CAPACITY] // 8)
            if found >= self._limits.max_states:
                raise MachineFullError(
                    self._field,
                    f"the grammar has more than {self._limits.max_states} configurations; "
                    "simplify it or raise the limit max_states",
                )
            self._arrays.grow()
        elif code == WIDE:
            self._plan()
        else:
            raise RuntimeError("a pushdown source goes round in circles")

    def _table(self, table: Table) -> int:
        number = self._tables.get(table)
        if number is None:
            form = form_of(table)
            if self._usable is not None and not is_spelled(form, self._usable):
                self._unspelled = True
            self._ending_tokens.update(form.specials[:, 1].tolist())
            number = self._tables[table] = self._arrays.add_table(form)
        return number

    def _plan_ahead(self, action: Enter) -> None:
        """Make plans for a lexeme that is entered, where masks need them."""
        number = self._table(action.table)
        states = self._arrays.forms[number].broad
        if not states or not action.push:
            return
        symbol = self._symbols.pushed_number(action.push[-1])
        for state in states:
            code = plans.find_plan(self._block, number, state, symbol)
            if code < 0:
                self._help(code)

    def _plan(self) -> None:
        """Answer a kernel that came to a base state from where a walk takes long."""
        arrays = self._arrays
        number, state = arrays.record[_ASKED_TABLE], arrays.record[_ASKED_STATE]
        form = arrays.forms[number]
        words = form.outcomes.shape[1]
        wanted = sum(word << 64 * place for place, word in enumerate(arrays["wanted"][:words].view(np.uint64).tolist()))
        if form.note_goal(state, wanted):
            plan = LEXEME_MASKS.plan(form, state, wanted, self.vocabulary.trie, arrays.words)
            arrays.add_plan(number, state, words, plan if plan.exact else None)

    def _settle(
        self, code: int, configuration: int, read: int, token: bytes, texts: Texts, length: int = WHOLE
    ) -> tuple[int, Texts]:
        """Bring :func:`~.accepting.accept` to its end."""
        arrays = self._arrays
        while code < ENDED:
            if code == DEAD:
                return DEAD, ()
            if code == CAPTURE:
                arrays.record[_ANSWER] = self._show(token, texts)
                code = accepting.resume_accept(self._block)
                continue
            self._help(code)
            if code == UNKNOWN:
                code = accepting.resume_accept(self._block)
            elif read == START:
                code = accepting.start(self._block, 0)
            else:
                code = accepting.accept(self._block, configuration, read, length)
        if code < _TEXTS_CHANGED:
            return code, tuple(text + token for text in texts)
        record = arrays.record
        left = texts[: len(texts) - record[_POPPED]]
        begun = arrays["starts"][: record[_START_COUNT]].tolist()
        return code - _TEXTS_CHANGED, (*(text + token for text in left), *(token[place:] for place in begun))

    def _show(self, token: bytes, texts: Texts) -> int:
        """Ask the source what follows a captured text: the number of its answer, :data:`NONE` if it refuses."""
        arrays = self._arrays
        record = arrays.record
        owner = self._symbols.owner(int(arrays["nodes"][4 * record[_PENDING_NODE] + 1]))
        stop = record[_POSITION] + record[_CONSUMED]
        if (begun := record[_START_COUNT]) > 0:
            record[_START_COUNT] = begun - 1
            text = token[int(arrays["starts"][begun - 1]) : stop]
        else:
            text = texts[-1 - record[_POPPED]] + token[:stop]
            record[_POPPED] += 1
        key = (owner, record[_PENDING_RESULT], text)
        answer = self._text_answers.get(key)
        if answer is None:
            answer = self._text_answers[key] = self._symbols.ask_text(*key)
        return answer

    def _takes(self, configuration: int, texts: Texts, token_id: int, length: int) -> bool:
        """Whether the first ``length`` bytes of a token are allowed."""
        token = self.vocabulary.tokens[token_id]
        read = END if token_id in self.eos_ids else token_id if token else -2 - token_id
        code = accepting.accept(self._block, configuration, read, length)
        return self._settle(code, configuration, read, token, texts, length)[0] != DEAD
