"""Places of JSON documents as a graph: what follows from a place and a token is found out once.

Drafts walk the same places over and over: every answer to a schema passes its keys, every node of a tree is a step from
another. A :class:`Spot` is a place with what depends on it alone. Spots of one grammar are shared by all its requests;
the graph holds nothing but positions in documents and is never read without a text that leads there, so it tells nobody
what others wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from latticework.speculative.json_place import JsonPlace, Phase

_MOST = 4096  # places remembered; then the graph starts afresh
_MASK = (1 << 63) - 1
_LONGEST_BEGINNING = 48  # bytes of a value that a place is told apart by

#: A token that may come next: token, the odds that it does if none offered before it did, and its kind's number.
Offer = tuple[int, float, int]


class Spot:
    """A place of a document.

    Attributes:
        place: The place.
        offers: What the grammar suggests there, ``None`` as long as nobody asked.
        free: Whether nothing can be forced there, so that the grammar need not be asked.
        exact: Its key in memories of answers, with all that is written there; -1 where that is too long or unknown.
    """

    __slots__ = ("_around", "exact", "following", "free", "offers", "place")

    def __init__(self, place: JsonPlace, free: bool, name: int) -> None:
        self.place, self.free = place, free
        self.offers: list[Offer] | None = None
        self.following: dict[int, Spot] = {}
        if place.phase is Phase.LOST:
            self._around, self.exact = name, -1
        else:
            around = (name, place.path, int(place.phase))
            self._around = hash(around)
            short = len(place.text) <= _LONGEST_BEGINNING
            self.exact = hash((around, place.text)) & _MASK if short else -1

    def after(self, last: int) -> int:
        """Its key in memories of answers, by the token before and not by what is written there."""
        return hash((self._around, last)) & _MASK


class Spots:
    """The spots of one grammar.

    Args:
        start: The place of an empty document.
        tokens: The bytes of each token.
        free: Whether nothing can be forced at a place.
        name: A number for the grammar, so that memories tell its places from another's.
    """

    def __init__(self, start: JsonPlace, tokens: Sequence[bytes], free: Callable[[JsonPlace], bool], name: int) -> None:
        self._tokens, self._free, self._name = tokens, free, name
        self._known: dict[JsonPlace, Spot] = {}
        self.start = self._spot(start)

    def after(self, spot: Spot, token: int) -> Spot:
        """The spot one token further."""
        known = spot.following.get(token)
        if known is None:
            data = self._tokens[token] if 0 <= token < len(self._tokens) else b""
            known = self._spot(spot.place.advance(data))
            if self._known.get(spot.place) is spot:  # of a graph that was given up nothing more is remembered
                spot.following[token] = known
        return known

    def _spot(self, place: JsonPlace) -> Spot:
        known = self._known.get(place)
        if known is None:
            if len(self._known) >= _MOST:
                for spot in self._known.values():  # requests that still hold one must not hold them all
                    spot.following = {}
                self._known.clear()
            known = self._known[place] = Spot(place, self._free(place), self._name)
        return known
