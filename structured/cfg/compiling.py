"""From the source of a grammar to a machine: deterministic where the grammar allows, the general parser elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from latticework.structured.automata.moore import Moore
from latticework.structured.automata.regex_syntax import Node
from latticework.structured.automaton import Automaton
from latticework.structured.cfg.bnf import to_bnf
from latticework.structured.cfg.budget import Deadline
from latticework.structured.cfg.dead_ends import has_dead_end
from latticework.structured.cfg.determinism import following, joined, joined_anywhere, splits_one_way
from latticework.structured.cfg.earley import EarleyParser
from latticework.structured.cfg.gbnf import ROOT, read_gbnf
from latticework.structured.cfg.grammar import Grammar, reduced, used_terminals
from latticework.structured.cfg.lark import read_lark
from latticework.structured.cfg.lexer import Lexer
from latticework.structured.cfg.lr_items import Items
from latticework.structured.cfg.lr_source import LrSource
from latticework.structured.cfg.lr_states import CanonicalStates, State, canonical_states, lalr_states
from latticework.structured.cfg.machines import machine_of, writes
from latticework.structured.cfg.positions import FIELD
from latticework.structured.cfg.regular import as_loop, merge_regular
from latticework.structured.cfg.scanning import LexedAutomaton, SplitAutomaton
from latticework.structured.cfg.syntax import Expression, Terminal
from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.protocol import PushdownSource

#: Bound on the canonical states that are built to find out whether a grammar that is not LALR(1) is LR(1).
_MAX_CANONICAL = 1_500
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Compiled:
    """A reduced grammar with its terminals, numbered as in the grammar."""

    grammar: Grammar
    terminals: tuple[Terminal, ...]
    machines: tuple[Moore, ...]
    ignored: frozenset[int] = _NONE


def compile_gbnf(text: str, limits: GrammarLimits) -> PushdownSource | Automaton:
    """The language of a GBNF grammar.

    Raises:
        GrammarError: Not a grammar, with line and column; or no text at all.
        UnsupportedGrammarError: Something that is not served, named.
        BudgetExceededError: Too large for ``limits``.
    """
    deadline = Deadline(limits.compile_seconds)
    rules = read_gbnf(text, limits.max_nesting)
    last: Compiled | None = None
    for loops in (True, False):
        compiled = _split_grammar(merge_regular(rules, loops=loops), deadline, limits)
        if last is not None and compiled.grammar == last.grammar:
            break
        source = _deterministic(compiled, deadline, limits, lexed=False)
        if source is not None:
            return source
        last = last or compiled
    assert last is not None
    lexer = Lexer(last.terminals, last.machines, None, limits.max_states, share=False)
    return SplitAutomaton(EarleyParser(last.grammar), lexer)


def compile_lark(text: str, limits: GrammarLimits) -> PushdownSource | Automaton:
    """The language of a Lark grammar. Raises what :func:`compile_gbnf` raises."""
    deadline = Deadline(limits.compile_seconds)
    read = read_lark(text, limits.max_nesting)
    builder = _Builder(deadline, limits)
    for terminal in read.terminals.values():
        builder.add(terminal)
    loops = {name: as_loop(name, rule) for name, rule in read.rules.items()}
    compiled = builder.build(loops, read.start, read.ignored)
    source = _deterministic(compiled, deadline, limits, lexed=True)
    if source is None and loops != read.rules:
        compiled = builder.build(read.rules, read.start, read.ignored)
        source = _deterministic(compiled, deadline, limits, lexed=True)
    if source is not None:
        return source
    lexer = Lexer(compiled.terminals, compiled.machines, deadline, limits.max_states, share=False)
    states = lalr_states(Items(compiled.grammar), deadline, limits.max_states)
    if (pair := joined_anywhere(states, lexer, compiled.ignored)) is not None:
        raise _joined_terminals(compiled, pair)
    lexer.start_compiled()
    return LexedAutomaton(EarleyParser(compiled.grammar), lexer, compiled.ignored)


def _split_grammar(rules: dict[str, Expression], deadline: Deadline, limits: GrammarLimits) -> Compiled:
    return _Builder(deadline, limits).build(rules, ROOT, ())


def _deterministic(
    compiled: Compiled, deadline: Deadline, limits: GrammarLimits, *, lexed: bool
) -> PushdownSource | None:
    """The LR(1) machine of a grammar, if it has one whose lexemes can be told apart as they are read."""
    items = Items(compiled.grammar)
    lexer = Lexer(compiled.terminals, compiled.machines, deadline, limits.max_states, share=True)
    states: Sequence[State] = lalr_states(items, deadline, limits.max_states)
    canonical = CanonicalStates(items)
    if not _is_deterministic(states, lexer, compiled, lexed):
        # LALR(1) joins places that differ in what may follow; the canonical states may do without conflicts.
        try:
            canonical = canonical_states(items, deadline, _MAX_CANONICAL)
        except BudgetExceededError:
            deadline.check()
            return None
        states = [canonical[number] for number in range(len(canonical))]
        if not _is_deterministic(states, lexer, compiled, lexed):
            return None
    after = following(states, lexer, compiled.ignored) if lexed else None
    source = LrSource(canonical, lexer, compiled.ignored, after)
    pair = joined(states, lexer, compiled.ignored) if lexed else None
    if pair is not None and has_dead_end(source, deadline, _after(compiled, pair)):
        raise _joined_terminals(compiled, pair)
    lexer.start_compiled()
    return source


def _is_deterministic(states: Sequence[State], lexer: Lexer, compiled: Compiled, lexed: bool) -> bool:
    if any(state.clash for state in states):
        return False
    return lexed or splits_one_way(states, lexer)


def _joined_terminals(compiled: Compiled, pair: tuple[int, int]) -> UnsupportedGrammarError:
    return UnsupportedGrammarError(
        FIELD,
        "some text that the rules allow has no continuation, because the lexer reads on where something else must "
        f"follow ({_after(compiled, pair)}); put something between the two, or make the first end where the second "
        "begins",
    )


def _after(compiled: Compiled, pair: tuple[int, int]) -> str:
    first, second = (compiled.terminals[terminal].name for terminal in pair)
    return f"{second} after {first}"


class _Builder:
    """Numbers the terminals of a grammar and makes their machines."""

    def __init__(self, deadline: Deadline, limits: GrammarLimits) -> None:
        self._deadline = deadline
        self._limits = limits
        self._terminals: list[Terminal] = []
        self._machines: list[Moore] = []
        self._made: dict[str, tuple[int | None, bool]] = {}
        self._texts: dict[Node, tuple[int | None, bool]] = {}

    def add(self, terminal: Terminal) -> tuple[int | None, bool]:
        """Number a terminal. ``None``: it has no text but perhaps the empty one. With it: whether it has that."""
        self._deadline.check()
        machine, nullable = machine_of(terminal.node, shortest=terminal.shortest, max_states=self._limits.max_states)
        number = None
        if writes(machine):
            number = len(self._terminals)
            self._terminals.append(terminal)
            self._machines.append(machine)
        self._made[terminal.name] = number, nullable
        return self._made[terminal.name]

    def build(self, rules: dict[str, Expression], start: str, ignored: tuple[str, ...]) -> Compiled:
        """Multiply out, and leave out what takes part in no text."""
        names, productions, first = to_bnf(rules, start, self._text, self._made.__getitem__)
        whole = Grammar(len(self._terminals), tuple(names), tuple(productions), first)
        skipped = frozenset(n for n in (self._made[name][0] for name in ignored) if n is not None)
        for terminal in skipped & used_terminals(whole):
            raise UnsupportedGrammarError(
                FIELD, f"terminal {self._terminals[terminal].name!r} is ignored everywhere, so no rule can ask for it"
            )
        grammar = reduced(whole, range(len(self._terminals)))
        if grammar is None:
            raise GrammarError(FIELD, f"describes no text at all: rule {start!r} never comes to an end")
        return self._kept(grammar, skipped)

    def _text(self, node: Node) -> tuple[int | None, bool]:
        if node not in self._texts:
            self._texts[node] = self.add(Terminal(f"text {len(self._texts)}", node))
        return self._texts[node]

    def _kept(self, grammar: Grammar, ignored: frozenset[int]) -> Compiled:
        """Renumber the terminals that are left."""
        kept = sorted(used_terminals(grammar) | ignored)
        numbers = {terminal: number for number, terminal in enumerate(kept)}
        return Compiled(
            grammar.with_terminals(numbers),
            tuple(self._terminals[terminal] for terminal in kept),
            tuple(self._machines[terminal] for terminal in kept),
            frozenset(numbers[terminal] for terminal in ignored),
        )
