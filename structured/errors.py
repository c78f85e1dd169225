"""Errors of the structured-decoding core.

Every error a client can cause carries the *field* it concerns and a *reason*, so that an adapter can turn it into a
400 that names both without parsing text.
"""

from __future__ import annotations

#: Characters of a client's text in one line of a log.
MAX_LINE = 2000


def one_line(text: object) -> str:
    """``text`` as a part of one line of a log: what a client wrote must neither begin a line nor fill a disk."""
    shown = str(text)[:MAX_LINE]
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown)


class LatticeworkError(ValueError):
    """Base of every error caused by bad input.

    Args:
        field: What the client sent that is wrong, as the client spells it (``regex``, ``lw_engine``, ``json_schema``).
        reason: Why it was refused, in one sentence that says what to do about it where that is known.
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")

    def __reduce__(self) -> tuple[type[LatticeworkError], tuple[str, str]]:
        return (type(self), (self.field, self.reason))


class GrammarError(LatticeworkError):
    """The grammar itself is wrong: it does not parse, or describes no text at all."""


class UnsupportedGrammarError(GrammarError):
    """The grammar is fine, but this engine cannot enforce all of it. Never raised after decoding has begun."""


class BudgetExceededError(LatticeworkError):
    """The grammar needs more time, memory or states than the limits allow."""
