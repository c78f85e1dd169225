"""What an experiment's report is made of: sums by arm, growing from look to look.

A *unit* is what counts as one independent observation. Requests are, where they are assigned one by one. Where a user
or a session is assigned, its requests are alike, and intervals that take them for independent are too narrow: then a
unit is the identity, its value of a measure the mean of its requests', and an event happens to it or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Measures, by name: what it is, and whether more of it is better.
MEASURES: Mapping[str, tuple[str, bool]] = {
    "first_token": ("time to the first token", False),
    "seconds": ("time of a request", False),
    "tokens_per_second": ("tokens per second", True),
    "tokens": ("tokens of an answer", True),
}
#: Events, by name: what it is. Less is better.
EVENTS: Mapping[str, str] = {
    "errors": "errors",
    "refused": "refused requests",
    "incomplete": "incomplete structured answers",
}


@dataclass
class Sums:
    """Of the units' values of one measure: natural logarithms of the value in millionths."""

    count: float = 0.0
    total: float = 0.0
    squares: float = 0.0


@dataclass
class Pairs:
    """Of the units' drafted (``d``) and accepted (``a``) tokens. ``count`` 0: only the totals are known."""

    count: float = 0.0
    drafted: float = 0.0
    accepted: float = 0.0
    dd: float = 0.0
    aa: float = 0.0
    da: float = 0.0


@dataclass
class ArmTable:
    """One arm so far.

    Attributes:
        share: Its planned part of the traffic.
        requests: That have ended and whose client stayed.
        units: Independent observations among them.
        constrained: Successful requests with a constraint.
        measures: By name.
        events: Units to which it happened, by name.
        drafts: What was drafted.
    """

    share: float = 0.0
    requests: float = 0.0
    units: float = 0.0
    constrained: float = 0.0
    measures: dict[str, Sums] = field(default_factory=lambda: {name: Sums() for name in MEASURES})
    events: dict[str, float] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0.0))
    drafts: Pairs = field(default_factory=Pairs)


@dataclass
class Look:
    """An experiment at one time. ``time``: seconds since the epoch."""

    time: float
    arms: dict[str, ArmTable]


@dataclass
class Table:
    """An experiment from its beginning.

    Attributes:
        experiment: Its name.
        control: The arm that others are compared with.
        looks: Ever more of it; the last one is all.
        unit: What is independent: ``request``, or what was assigned.
        notes: What a reader must know.
    """

    experiment: str
    control: str
    looks: list[Look] = field(default_factory=list)
    unit: str = "request"
    notes: list[str] = field(default_factory=list)

    @property
    def last(self) -> Look:
        """All of it."""
        return self.looks[-1]
