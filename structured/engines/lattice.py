"""``lattice``: our own engine. A constraint becomes an automaton, the mask runtime does the rest."""

from __future__ import annotations

from dataclasses import dataclass

from latticework.structured.automata.choice import Choice
from latticework.structured.automata.json_value import JsonValue, Whitespace
from latticework.structured.automata.regex import regex
from latticework.structured.automaton import Automaton
from latticework.structured.errors import UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.runtime.graph import ConfigurationGraph
from latticework.structured.runtime.matcher import LatticeMatcher
from latticework.structured.runtime.spelling import block_unspellable
from latticework.structured.spec import GrammarKind, GrammarSpec
from latticework.structured.vocabulary import Vocabulary

NAME = "lattice"


@dataclass(frozen=True, eq=False)
class LatticeGrammar:
    """A compiled constraint: its configuration graph, shared by all its matchers."""

    spec: GrammarSpec
    vocabulary: Vocabulary
    graph: ConfigurationGraph
    engine: str = NAME

    def matcher(self) -> LatticeMatcher:
        """See :meth:`CompiledGrammar.matcher`."""
        return LatticeMatcher(self.graph)


class LatticeEngine:
    """Serves ``regex``, ``choice`` and ``json_object``; refuses the other kinds by name, so that ``auto`` goes on."""

    name = NAME

    def compile(self, spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> LatticeGrammar:
        """See :meth:`GrammarEngine.compile`."""
        return compile_automaton(automaton_of(spec, limits), spec, vocabulary, limits)


def automaton_of(spec: GrammarSpec, limits: GrammarLimits) -> Automaton:
    """The automaton of a constraint. Raises ``UnsupportedGrammarError`` for kinds that have none yet."""
    match spec.kind:
        case GrammarKind.REGEX:
            return regex(spec.text, max_states=limits.max_states, max_nesting=limits.max_nesting)
        case GrammarKind.CHOICE:
            return Choice(spec.payload)
        case GrammarKind.JSON_OBJECT:
            return JsonValue(objects_only=True, whitespace=Whitespace.LINE, max_depth=limits.max_nesting)
        case _:
            raise UnsupportedGrammarError(spec.kind, f"engine {NAME!r} does not serve this kind of constraint")


def compile_automaton(
    automaton: Automaton, spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits
) -> LatticeGrammar:
    """Bind an automaton to a vocabulary; this is all that a new kind of constraint needs."""
    graph = ConfigurationGraph(automaton, vocabulary, limits, spec.kind)
    if not automaton.completable_with(vocabulary.single_bytes):
        block_unspellable(graph, limits, spec.kind)
    return LatticeGrammar(spec, vocabulary, graph)
