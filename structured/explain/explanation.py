"""Walking a text through a constraint, and saying why it does not get through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from latticework.structured.automaton import Automaton
from latticework.structured.engines.lattice import source_of
from latticework.structured.engines.schema_check import check_schema
from latticework.structured.engines.source_limits import check_limits
from latticework.structured.errors import BudgetExceededError, GrammarError
from latticework.structured.explain.blame import Blame, find_blame
from latticework.structured.explain.continuations import allowed_bytes, examples
from latticework.structured.explain.restrictions import Restriction, restrictions, without
from latticework.structured.explain.scanning import repeats_key
from latticework.structured.explain.walking import walk
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.automaton import PushdownAutomaton
from latticework.structured.spec import GrammarKind, GrammarSpec
from latticework.structured.vocabulary import Vocabulary

_JSON = (GrammarKind.JSON_SCHEMA, GrammarKind.JSON_OBJECT)


class Reason(StrEnum):
    """The sort of reason for which a text stops."""

    RESTRICTION = "restriction"  # a keyword or an option: see Stop.blame
    SCHEMA = "schema"  # the schema, but no keyword of it could be singled out
    INCOMPLETE = "incomplete"  # nothing is wrong so far, but this is not the end
    COMPLETE = "complete"  # the text was over, and more follows
    REPEATED_KEY = "repeated key"  # an object has a key of this name already
    SYNTAX = "syntax"  # no JSON document, laid out in any way, goes on like this
    LANGUAGE = "language"  # the regex, choice or grammar has no such text


@dataclass(frozen=True, slots=True)
class Stop:
    """Where and why a text leaves the language.

    Attributes:
        position: How many bytes are allowed. The byte there is not; if there is none, the text may not end there.
        allowed: The bytes that are allowed there, as ranges (inclusive).
        may_end: Whether the text may end there.
        examples: Some texts that may follow there.
        reason: The sort of reason.
        blame: The restrictions responsible, if the reason is one.
    """

    position: int
    allowed: tuple[tuple[int, int], ...]
    may_end: bool
    examples: tuple[bytes, ...]
    reason: Reason
    blame: Blame


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of a text: ``stop`` is ``None`` if it is in the language."""

    spec: GrammarSpec
    text: bytes
    stop: Stop | None


def explain(
    spec: GrammarSpec,
    text: bytes,
    vocabulary: Vocabulary,
    limits: GrammarLimits = GrammarLimits(),  # noqa: B008 - frozen, so sharing the default is safe
) -> Explanation:
    """Walk ``text`` through the constraint.

    Args:
        spec: The constraint.
        text: The whole answer, without special tokens.
        vocabulary: Where the names of special tokens come from; the explanation is about bytes.
        limits: What the constraint may cost; each relaxed version of it may cost the same, together three times the
            time for compiling.

    Raises:
        UnsupportedGrammarError, GrammarError, BudgetExceededError: As for compiling.
    """
    automaton = automaton_of(spec, vocabulary, limits)
    position, state = walk(automaton, automaton.start(), text)
    ended = position == len(text)
    may_end = automaton.accepts(state)
    if ended and may_end:
        return Explanation(spec, text, None)
    allowed = allowed_bytes(automaton, state)
    upto, whole = text[: position + 1], ended

    def allows(other: GrammarSpec) -> bool:
        try:
            relaxed = automaton_of(other, vocabulary, limits)
            reached, there = walk(relaxed, relaxed.start(), upto)
        except (GrammarError, BudgetExceededError):
            return False
        return reached == len(upto) and (not whole or relaxed.accepts(there))

    def goes_on(dropped: Sequence[Restriction]) -> bool:
        return allows(without(spec, dropped))

    blame = find_blame(restrictions(spec), goes_on, seconds=3 * limits.compile_seconds)
    if blame.alternatives:
        reason = Reason.RESTRICTION
    elif spec.kind is GrammarKind.JSON_SCHEMA and allows(GrammarSpec.json_schema(True, spec.options)):
        reason = Reason.SCHEMA
    else:
        reason = _reason(spec, text, position, bool(allowed))
    stop = Stop(position, allowed, may_end, examples(automaton, state), reason, blame)
    return Explanation(spec, text, stop)


def explain_refusal(spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> Blame:
    """Which restrictions keep a constraint from compiling: contradictions, or what cannot be enforced.

    Without all restrictions of any one alternative it compiles.
    """

    def compiles(dropped: Sequence[Restriction]) -> bool:
        try:
            automaton_of(without(spec, dropped), vocabulary, limits)
        except (GrammarError, BudgetExceededError):
            return False
        return True

    return find_blame(restrictions(spec), compiles, seconds=3 * limits.compile_seconds)


def automaton_of(spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> Automaton:
    """The language of a constraint, byte by byte. Raises as compiling does."""
    check_limits(spec, limits)
    if spec.kind is GrammarKind.JSON_SCHEMA:
        check_schema(spec.payload, spec.kind)
    source = source_of(spec, vocabulary, limits)
    return PushdownAutomaton(source) if hasattr(source, "resume") else source  # type: ignore[arg-type]


def _reason(spec: GrammarSpec, text: bytes, position: int, more: bool) -> Reason:
    """Why, where no restriction is to blame."""
    if position == len(text):
        return Reason.INCOMPLETE
    if not more:
        return Reason.COMPLETE
    if spec.kind not in _JSON:
        return Reason.LANGUAGE
    return Reason.REPEATED_KEY if repeats_key(text[: position + 1]) else Reason.SYNTAX
