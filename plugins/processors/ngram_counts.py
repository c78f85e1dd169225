"""A smoothed n-gram model of one text, counted token by token and exactly uncounted again.

Source: search spec, section 12, "FSD's q (code)".
"""

from __future__ import annotations

from collections.abc import Sequence


class NgramCounts:
    """How often each token followed each suffix of at most ``n - 1`` tokens in the text so far.

    One step forwards or backwards is ``n`` dictionary updates; entries that fall to zero are removed, so the state
    after a rollback equals the state of a text that never had the tokens.

    Args:
        n: Order of the model: 1 counts single tokens, 2 pairs, and so on.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._text: list[int] = []
        # One table an order i: the i tokens before, to the tokens that followed them with their counts.
        self._followers: list[dict[tuple[int, ...], dict[int, int]]] = [{} for _ in range(n)]
        self._totals: list[dict[tuple[int, ...], int]] = [{} for _ in range(n)]

    def __len__(self) -> int:
        return len(self._text)

    def advance(self, token_ids: Sequence[int]) -> None:
        """Append ``token_ids``."""
        for token in token_ids:
            for order in range(min(self._n, len(self._text) + 1)):
                suffix = self._suffix(order)
                followers = self._followers[order].setdefault(suffix, {})
                followers[token] = followers.get(token, 0) + 1
                self._totals[order][suffix] = self._totals[order].get(suffix, 0) + 1
            self._text.append(token)

    def rollback(self, count: int) -> None:
        """Remove the last ``count`` tokens. ``ValueError`` if there are fewer."""
        if count > len(self._text):
            raise ValueError(f"cannot roll back {count} tokens: the text has {len(self._text)}")
        for _ in range(count):
            token = self._text.pop()
            for order in range(min(self._n, len(self._text) + 1)):
                suffix = self._suffix(order)
                followers = self._followers[order][suffix]
                followers[token] -= 1
                self._totals[order][suffix] -= 1
                if not followers[token]:
                    del followers[token]
                if not followers:
                    del self._followers[order][suffix], self._totals[order][suffix]

    def probability(self, token: int, beta: float) -> float:
        """The model's ``q(token)`` after the text, in [0, 1]; 0.0 for a token the text does not contain.

        Long suffixes come first: each order at which the token was seen takes a share ``beta`` of the mass still left,
        and the plain frequency takes the rest. Orders at which it was not seen take nothing, so for ``n > 1`` the
        values over all tokens may sum to more than one.

        Args:
            token: Any token.
            beta: Share of each order, in [0, 1].
        """
        q, rest = 0.0, 1.0
        for order in range(min(self._n - 1, len(self._text)), 0, -1):
            suffix = self._suffix(order)
            count = self._followers[order].get(suffix, {}).get(token, 0)
            if count:
                q += rest * beta * count / (self._totals[order][suffix] + 1)
                rest *= 1.0 - beta
        if self._text:
            q += rest * self._followers[0][()].get(token, 0) / len(self._text)
        return q

    def _suffix(self, order: int) -> tuple[int, ...]:
        return tuple(self._text[-order:]) if order else ()
