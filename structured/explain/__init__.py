"""Why a text is not allowed: where it leaves a constraint's language, what could stand there, and which keyword it is.

Everything is derived from the automaton that is served, so an explanation cannot disagree with a mask. Which keyword is
responsible is found by experiment: a keyword is, if the text goes on without it (:mod:`.blame`).
"""

from latticework.structured.explain.blame import Blame
from latticework.structured.explain.explanation import Explanation, Reason, Stop, explain, explain_refusal
from latticework.structured.explain.meanings import meaning
from latticework.structured.explain.overview import Overview, Place, overview
from latticework.structured.explain.restrictions import Keyword, Option, Restriction
from latticework.structured.explain.tokens import TokenStep, token_steps

__all__ = [
    "Blame",
    "Explanation",
    "Keyword",
    "Option",
    "Overview",
    "Place",
    "Reason",
    "Restriction",
    "Stop",
    "TokenStep",
    "explain",
    "explain_refusal",
    "meaning",
    "overview",
    "token_steps",
]
