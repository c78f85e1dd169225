"""Both dialects against enumeration: the language, and that a byte is allowed exactly if a completion exists."""

from __future__ import annotations

from itertools import product

import pytest
from cfg_bruteforce import Language, Lexing, grammars, to_source
from hypothesis import Phase, event, example, given, settings
from hypothesis import strategies as st

from latticework.structured.cfg.compiling import compile_gbnf, compile_lark
from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.automaton import PushdownAutomaton

LIMITS = GrammarLimits()
LENGTH = 5


def automaton_of(source):
    return PushdownAutomaton(source) if hasattr(source, "resume") else source


def texts(alphabet, length):
    return [bytes(text) for size in range(length + 1) for text in product(alphabet, repeat=size)]


def walk(automaton, text):
    state = automaton.start()
    for byte in text:
        state = automaton.step(state, byte)
        if state is None:
            return None
    return state


def can_end(automaton, state, most=3000):
    """Whether a state has a completion, by breadth-first search."""
    seen, todo = {state}, [state]
    while todo and len(seen) < most:
        following = []
        for here in todo:
            if automaton.accepts(here):
                return True
            for _, _, target in automaton.edges(here):
                if target not in seen:
                    seen.add(target)
                    following.append(target)
        todo = following
    return False


def gbnf_of(grammar):
    return to_source(
        grammar,
        lambda text: f'"{text}"',
        arrow="::=",
        counted=lambda low, high: f"{{{low},{'' if high is None else high}}}",
    )


@settings(max_examples=120, deadline=None)
@given(grammars(["a", "b", "ab", ""], ["root", "x", "y"]))
def test_random_gbnf_grammars_are_what_enumeration_finds(grammar):
    language = Language(grammar, tuple, LENGTH)
    source = gbnf_of(grammar)
    if not language.productive["root"]:
        with pytest.raises(GrammarError, match="no text at all"):
            compile_gbnf(source, LIMITS)
        return
    automaton = automaton_of(compile_gbnf(source, LIMITS))
    event(type(automaton).__name__)
    for text in texts(b"ab", LENGTH):
        state = walk(automaton, text)
        word = tuple(text.decode())
        assert (state is not None) == (word in language.prefixes["root"]), text
        assert (state is not None and automaton.accepts(state)) == (word in language.words["root"]), text


#: Terminals that share beginnings, contain one another, and need more than one character of lookahead.
TERMINALS = {
    "A": ("a", 0, True, 0),
    "AB": ("ab", 0, True, 1),
    "ABBA": ("abba", 0, True, 2),
    "BS": ("b+", 0, False, 4),
    "NAME": ("[ab]+", 0, False, 3),
    "URGENT": ("ab?", 1, False, 5),
}


@st.composite
def lexed_grammars(draw):
    chosen = draw(st.lists(st.sampled_from(sorted(TERMINALS)), min_size=1, max_size=3, unique=True))
    ignored = draw(st.sampled_from([(), ("C",), ("C",), ("BS",)]))
    leaves = [name for name in chosen if name not in ignored] or ["A"]
    return draw(grammars(leaves, ["start", "x"])), leaves, ignored


def lark_of(grammar, leaves, ignored, terminals):
    source = to_source(
        grammar,
        lambda text: text,
        arrow=":",
        counted=lambda low, high: f"~{low}..{high}" if high is not None else f"~{low}..{low + 6}",
    )
    for name in {*leaves, *ignored}:
        pattern, priority, literal, _ = terminals[name]
        mark = f".{priority}" if priority else ""
        source += f"{name}{mark}: " + (f'"{pattern}"\n' if literal else f"/{pattern}/\n")
    return source + "".join(f"%ignore {name}\n" for name in ignored)


@settings(max_examples=150, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(lexed_grammars())
@example(({"start": ("seq", ("rep", "NAME", 0, None), "BS"), "x": ("seq",)}, ["BS", "NAME"], ()))
@example(({"start": ("alt", "A", "ABBA"), "x": ("alt", "A", "ABBA")}, ["A", "ABBA", "URGENT"], ("BS",)))
@example(({"x": ("seq",), "start": ("seq", "URGENT", "URGENT", "NAME")}, ["A", "NAME", "URGENT"], ()))
@example(({"start": ("rep", ("ref", "start"), 0, 1), "x": ("rep", ("ref", "x"), 1, None)}, ["AB"], ()))
def test_random_lark_grammars_are_what_lexing_by_trial_finds(case):
    grammar, leaves, ignored = case
    terminals = {**TERMINALS, "C": ("c", 0, True, 6)}
    language = Language(grammar, lambda name: (name,), 6)
    source = lark_of(grammar, leaves, ignored, terminals)
    by_trial = Lexing(language, "start", {n: terminals[n] for n in {*leaves, *ignored}}, ignored)
    every_text = texts(b"abc" if ignored else b"ab", LENGTH if ignored else LENGTH + 1)
    try:
        automaton = automaton_of(compile_lark(source, LIMITS))
    except UnsupportedGrammarError:
        event("refused")
        return
    except GrammarError:
        event("no text")
        assert not any(by_trial.accepts(text.decode()) for text in every_text)
        return
    event(type(automaton).__name__)
    accepted, alive = set(), set()
    for text in every_text:
        state = walk(automaton, text)
        expected = by_trial.accepts(text.decode())
        if expected:
            accepted.add(text)
        if state is not None:
            alive.add(text)
        assert expected is None or (state is not None and automaton.accepts(state)) == expected, text
    for text in accepted:
        assert all(text[:size] in alive for size in range(len(text)))
    for text in alive:
        assert can_end(automaton, walk(automaton, text)), f"{text} cannot be completed"
