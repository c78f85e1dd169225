"""``lattice``: our own engine. A constraint becomes a source or an automaton, the mask runtime does the rest.

Every kind of constraint has one ``case`` in :func:`source_of`. What it gives is either a
:class:`~latticework.structured.pushdown.protocol.PushdownSource` (lexeme tables and continuations) or a plain
:class:`~latticework.structured.automaton.Automaton`; :func:`compile_source` binds either to a vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from latticework.structured.automaton import Automaton
from latticework.structured.cfg.compiling import compile_gbnf, compile_lark
from latticework.structured.engines.grammar_syntax import is_gbnf
from latticework.structured.engines.lattice_json import json_document_source
from latticework.structured.engines.lattice_tags import structural_tag_source
from latticework.structured.engines.lattice_texts import choice_source, regex_source
from latticework.structured.errors import UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.plain import AutomatonSource
from latticework.structured.pushdown.protocol import PushdownSource
from latticework.structured.runtime.machine import Machine
from latticework.structured.runtime.matcher import LatticeMatcher
from latticework.structured.spec import GrammarKind, GrammarSpec
from latticework.structured.vocabulary import Vocabulary

NAME = "lattice"


@dataclass(frozen=True, eq=False)
class LatticeGrammar:
    """A compiled constraint: its machine, shared by all its matchers."""

    spec: GrammarSpec
    vocabulary: Vocabulary
    machine: Machine
    engine: str = NAME

    def matcher(self) -> LatticeMatcher:
        """See :meth:`CompiledGrammar.matcher`."""
        return LatticeMatcher(self.machine)


class LatticeEngine:
    """Serves every kind of constraint. What it cannot enforce whole it refuses by name, so that ``auto`` goes on."""

    name = NAME

    def compile(self, spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> LatticeGrammar:
        """See :meth:`GrammarEngine.compile`."""
        return compile_source(source_of(spec, vocabulary, limits), spec, vocabulary, limits)


def source_of(spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> PushdownSource | Automaton:
    """The language of a constraint.

    ``vocabulary`` is for kinds that name special tokens (``vocabulary.special_names``); masks are not made here.

    Raises:
        UnsupportedGrammarError, GrammarError, BudgetExceededError: See :meth:`GrammarEngine.compile`.
    """
    match spec.kind:
        case GrammarKind.REGEX:
            return regex_source(spec.text, limits)
        case GrammarKind.CHOICE:
            return choice_source(spec.payload)
        case GrammarKind.JSON_SCHEMA | GrammarKind.JSON_OBJECT:
            return json_document_source(spec, limits)
        case GrammarKind.GRAMMAR:
            return (compile_gbnf if is_gbnf(spec.text) else compile_lark)(spec.text, limits)
        case GrammarKind.STRUCTURAL_TAG:
            return structural_tag_source(spec.payload, vocabulary, limits)
        case _:
            raise UnsupportedGrammarError(spec.kind, f"engine {NAME!r} does not serve this kind of constraint")


def compile_source(
    source: PushdownSource | Automaton, spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits
) -> LatticeGrammar:
    """Bind a language to a vocabulary; this is all that a new kind of constraint needs."""
    spelled = None
    if not isinstance(source, PushdownSource):
        spelled = source.completable_with(vocabulary.single_bytes)
        source = AutomatonSource(source)
    return LatticeGrammar(spec, vocabulary, Machine(source, vocabulary, limits, spec.kind, spelled=spelled))
