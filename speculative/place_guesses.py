"""What may come next at a place of an answer within a grammar.

Three sources, tried in this order: what earlier answers to the same schema (of the same scope) wrote at this place
after the same beginning; what the schema names (the next key, an enumerated value, a default); what was written in this
place after the same last token. Constraints that are no JSON schema have the last alone.

Source: speculative spec, section 20, step 7.
"""

from __future__ import annotations

from latticework.speculative.answer_memory import EXACT, FIRST_OTHER, LOOSE, AnswerMemory
from latticework.speculative.json_place import JsonPlace, Phase
from latticework.speculative.json_spots import Offer, Spot, Spots
from latticework.speculative.schema_hints import SchemaHints
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.json_options import Whitespace
from latticework.structured.spec import GrammarKind

_OFFERS = 8  # looked at after each node
_NOTHING: list[Offer] = []
#: Numbers of the kinds of hints, in the order in which they were met.
_KINDS: dict[str, int] = {}


class Suggestions:
    """What one grammar suggests by itself. A function of the grammar alone, so all requests share it.

    Attributes:
        spots: The places of its documents.
    """

    def __init__(self, grammar: CompiledGrammar) -> None:
        spec = grammar.spec
        is_json = spec.kind is GrammarKind.JSON_SCHEMA
        self._vocabulary = grammar.vocabulary
        self._hints = SchemaHints(spec.payload) if is_json else None
        self._blank = spec.options.whitespace is not Whitespace.COMPACT
        start = JsonPlace() if is_json else JsonPlace(Phase.LOST)
        self.spots = Spots(start, grammar.vocabulary.tokens, self._free, hash(spec.key))

    def at(self, spot: Spot) -> list[Offer]:
        """The offers at a place, the likeliest first."""
        if spot.offers is None:
            unknown = self._hints is None or spot.place.phase in (Phase.COLON, Phase.DONE, Phase.LOST)
            spot.offers = _NOTHING if unknown else self._offers(spot.place)
        return spot.offers

    def _free(self, place: JsonPlace) -> bool:
        return self._hints is not None and self._hints.free(place)

    def _offers(self, place: JsonPlace) -> list[Offer]:
        found: list[Offer] = []
        left = 1.0
        assert self._hints is not None
        for hint in self._hints.at(place)[:_OFFERS]:
            ids = self._vocabulary.encode(b" " + hint.text if place.bare and self._blank else hint.text)
            if ids and all(ids[0] != token for token, _, _ in found):
                kind = _KINDS.setdefault(hint.kind, FIRST_OTHER + len(_KINDS))
                found.append((ids[0], min(hint.odds / left, 0.95), kind))
                left = max(left - hint.odds, 0.05)
        return found


class Guesses:
    """What may come next in answers to one grammar, from its suggestions and one scope's memory.

    Attributes:
        start: The beginning of an answer.
    """

    def __init__(self, suggestions: Suggestions, memory: AnswerMemory) -> None:
        self._suggestions, self._memory = suggestions, memory
        self._spots, self.start = suggestions.spots, suggestions.spots.start

    def after(self, spot: Spot, token: int) -> Spot:
        """The spot one token further."""
        return self._spots.after(spot, token)

    def offers(self, spot: Spot, last: int) -> list[Offer]:
        """Tokens that may come next, in the order in which they are tried, with odds that this traffic bears out."""
        memory = self._memory
        exact = memory.offers(spot.exact, EXACT) if spot.exact >= 0 else _NOTHING
        found: list[Offer] = []
        taken: set[int] = set()
        for source in (exact, self._suggestions.at(spot), memory.offers(spot.after(last), LOOSE)):
            for token, rough, kind in source:
                if token not in taken:
                    taken.add(token)
                    found.append((token, memory.odds(kind, rough), kind))
        return found[:_OFFERS]

    def learn(self, spot: Spot, last: int, token: int) -> None:
        """``token`` was written at a place after the token ``last``."""
        memory = self._memory
        for offered, _, kind in self.offers(spot, last):
            memory.note(kind, offered == token)
            if offered == token:
                break
        if spot.exact >= 0:
            memory.count(spot.exact, token)
        memory.count(spot.after(last), token)
