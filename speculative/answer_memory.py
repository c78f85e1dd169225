"""What earlier answers wrote at each place of a document, and how well guesses of each kind fared.

A *place* is whatever a guess goes by (a path and what is written there already, say): any hashable key. Counts of
tokens by place are kept for the places used last; the record of kinds turns rough odds into those that this traffic
bears out.

Source: speculative spec, section 20, step 7.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from latticework.speculative.json_spots import Offer

_TOKENS = 8  # kept a place; a further one replaces the one seen least
_PRIOR = 4.0  # tries that the rough odds of a kind are worth
_FORGET = 400.0
#: Kinds of offers of the memory itself: by rank, by how often the token was seen, and by its share among those left.
_RANKS, _COUNTS, _SHARES = 3, 5, 4
#: How a place is remembered: with all that is written there, or by the last token.
EXACT, LOOSE = 0, 1
#: Numbers from here on are for other kinds.
FIRST_OTHER = 2 * _RANKS * _COUNTS * _SHARES


@dataclass(slots=True)
class _Row:
    """Counts of tokens, the one seen last at the end, and what is offered because of them until they change."""

    counts: dict[int, int] = field(default_factory=dict)
    offers: tuple[list[Offer], list[Offer]] | None = None


_NOTHING: list[Offer] = []


class AnswerMemory:
    """Counts by place and a record by kind. At most ``places`` places are kept; those used longest ago go."""

    def __init__(self, places: int) -> None:
        if places < 1:
            raise ValueError(f"at least one place must be kept, got {places}")
        self._most = places
        self._places: OrderedDict[Hashable, _Row] = OrderedDict()
        self._tries: dict[int, float] = {}
        self._hits: dict[int, float] = {}

    def count(self, place: Hashable, token: int) -> None:
        """``token`` was written at ``place``."""
        row = self._places.get(place)
        if row is None:
            row = self._places[place] = _Row()
            if len(self._places) > self._most:
                self._places.popitem(last=False)
        else:
            self._places.move_to_end(place)
        counts = row.counts
        counts[token] = counts.pop(token, 0) + 1  # the latest of equally frequent ones is the last
        if len(counts) > _TOKENS:
            del counts[min(counts, key=counts.__getitem__)]
        row.offers = None

    def at(self, place: Hashable) -> list[tuple[int, int]]:
        """The tokens that were written at ``place`` and how often, the most frequent first, of equals the latest."""
        row = self._places.get(place)
        if row is None:
            return []
        latest_first = list(row.counts.items())[::-1]
        return sorted(latest_first, key=lambda item: -item[1])

    def offers(self, place: Hashable, how: int) -> list[Offer]:
        """What earlier answers offer at a place, with rough odds. ``how``: :data:`EXACT` or :data:`LOOSE`."""
        row = self._places.get(place)
        if row is None:
            return _NOTHING
        if row.offers is None:
            row.offers = self._offers(place)
        return row.offers[how]

    def odds(self, kind: int, rough: float) -> float:
        """The chance that an offer of a kind is right; ``rough``: what is assumed while it is young."""
        tries = self._tries.get(kind)
        return rough if tries is None else (self._hits[kind] + _PRIOR * rough) / (tries + _PRIOR)

    def note(self, kind: int, right: bool) -> None:
        """An offer of a kind was tried."""
        tries, hits = self._tries.get(kind, 0.0) + 1.0, self._hits.get(kind, 0.0) + right
        scale = 0.5 if tries > _FORGET else 1.0
        self._tries[kind], self._hits[kind] = scale * tries, scale * hits

    def _offers(self, place: Hashable) -> tuple[list[Offer], list[Offer]]:
        counts = self.at(place)
        if len(counts) == 1:  # nearly always
            token, count = counts[0]
            kind, rough = min(count, _COUNTS - 1) * _SHARES + _SHARES - 1, 0.9 * count / (count + 1.0)
            return [(token, rough, kind)], [(token, rough, FIRST_OTHER // 2 + kind)]
        left = sum(count for _, count in counts)
        found: tuple[list[Offer], list[Offer]] = ([], [])
        for rank, (token, count) in enumerate(counts):
            share = count / left
            left -= count
            kind = (min(rank, _RANKS - 1) * _COUNTS + min(count, _COUNTS - 1)) * _SHARES + int(share * 3.99)
            rough = 0.9 * share * count / (count + 1.0)
            found[EXACT].append((token, rough, kind))
            found[LOOSE].append((token, rough, FIRST_OTHER // 2 + kind))
        return found
