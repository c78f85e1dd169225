"""Grammars through the engine: masks, and the laws of automata and matchers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from engine_walks import small_vocabulary
from test_cfg_grammars import CASES, accepts, automaton_of

from latticework.structured import GrammarLimits, GrammarSpec, Vocabulary, bitmask
from latticework.structured.cfg.compiling import compile_lark
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.engines.lattice import LatticeEngine
from latticework.structured.laws import AutomatonLaws, MatcherLaws, mask_of

GRAMMARS = {
    "json lark": CASES["json lark"][0],
    "arithmetic": CASES["arithmetic"][0],
    "ambiguous gbnf": CASES["ambiguous gbnf"][0],
    "ambiguous lark": CASES["ambiguous lark"][0],
    "palindromes": 'root ::= "a" root "a" | "b" root "b" | "c" | ""',
    "right recursion": "root ::= item root | item\nitem ::= [a-c] \",\" | \"[\" root \"]\"",
    "given back": 'start: (INT | FLOAT | "..")+\nINT: /[0-9]+/\nFLOAT: /[0-9]+\\.[0-9]+/\n%ignore " "',
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return small_vocabulary(tmp_path_factory.mktemp("tokenizer"))


class TestAutomata(AutomatonLaws):
    # One for each machine: deterministic, general without and with a lexer. The others are tested by their masks.
    @pytest.fixture(params=["given back", "palindromes", "ambiguous lark"])
    def automaton(self, request: pytest.FixtureRequest):
        return automaton_of(GRAMMARS[request.param])


@pytest.fixture(scope="module", params=GRAMMARS)
def compiled(request: pytest.FixtureRequest, trained: Vocabulary) -> CompiledGrammar:
    return LatticeEngine().compile(GrammarSpec.grammar(GRAMMARS[request.param]), trained, GrammarLimits())


class TestMatchers(MatcherLaws):
    @pytest.fixture
    def grammar(self, compiled: CompiledGrammar) -> CompiledGrammar:
        return compiled


@pytest.mark.parametrize("name", GRAMMARS)
def test_masks_are_what_the_automaton_allows(name, trained):
    grammar = LatticeEngine().compile(GrammarSpec.grammar(GRAMMARS[name]), trained, GrammarLimits())
    automaton = automaton_of(GRAMMARS[name])
    chance = np.random.default_rng(7)
    for _ in range(4):
        matcher, state = grammar.matcher(), automaton.start()
        for _ in range(12):
            allowed = set(bitmask.indices(mask_of(grammar, matcher)).tolist()) - trained.eos_ids
            expected = {
                token for token, text in enumerate(trained.tokens) if text and spell(automaton, state, text) is not None
            }
            assert allowed == expected
            assert matcher.can_end == automaton.accepts(state)
            if not allowed:
                break
            token = int(chance.choice(sorted(allowed)))
            assert matcher.accept(token)
            state = spell(automaton, state, trained.tokens[token])


def spell(automaton, state, text):
    for byte in text:
        state = automaton.step(state, byte)
        if state is None:
            return None
    return state


def walked(automaton, text):
    """The states along a text."""
    states = [automaton.start()]
    for byte in text.encode():
        states.append(automaton.step(states[-1], byte))
    return states


@pytest.mark.parametrize(
    "grammar",
    [
        "root ::= item root | item\nitem ::= [a-c] \",\"",
        'root ::= root item | item\nitem ::= [a-c] ","',
        'root ::= ("[" root "]" | [a-c]) ("," root)?',
        'start: "a" ("," start)?\n%ignore " "',
    ],
)
def test_lists_do_not_grow_the_stack(grammar):
    automaton = automaton_of(grammar)
    text = "a," * 50
    assert len(set(walked(automaton, text))) < 12


@pytest.mark.parametrize("grammar", ['root ::= "x" root | "x" root root | "y"', 'root ::= root root | "a"'])
def test_ambiguity_does_not_multiply_states(grammar):
    automaton = automaton_of(grammar)
    text = ("x" * 30 + "y" * 30) if "x" in grammar else "a" * 60
    assert all(state is not None for state in walked(automaton, text))
    assert automaton.accepts(walked(automaton, text)[-1])


def test_nesting_is_followed_as_deep_as_it_goes():
    automaton = automaton_of(CASES["json lark"][0])
    deep = 3000
    assert accepts(automaton, "[" * deep + "]" * deep)
    assert not accepts(automaton, "[" * deep + "]" * (deep - 1))


def test_the_machine_is_deterministic():
    """Every answer is one action, and a lexeme's results do not overlap with the bytes that would make it longer."""
    source = compile_lark(CASES["sql"][0], GrammarLimits())
    automaton = automaton_of(CASES["sql"][0])
    states = walked(automaton, "SELECT a, b.* FROM t WHERE x IN (1, 2.5) AND NOT y = 'z'")
    for state in states:
        ranges = automaton.edges(state)
        assert all(first[1] < second[0] for first, second in pairwise(ranges))
    assert source.resume(0, source._end) is None  # an empty text is no statement
