"""Who gets which arm: a keyed hash of an identity, and nothing else. No state, no clock, no random numbers.

    point(key, purpose, identity) = BLAKE2b-64(key; purpose 0x00 identity) / 2^64, in [0, 1)

``identity`` is written as UTF-8. BLAKE2 (RFC 7693) is the same in every Python, process and machine, so replicas agree
without talking to each other. Different purposes give independent points of one identity: whether it takes part in an
experiment (``enrol NAME``), which arm it gets (``arm NAME``), whether it is held out of all (``holdout``).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from latticework.plugins.ab.settings import AbSettings, Experiment

_BITS = 64


def point(key: str, purpose: str, identity: str) -> float:
    """Where an identity falls, uniform over keys in [0, 1), as a multiple of 2^-53.

    Args:
        key: The deployment's secret, at most 64 bytes of UTF-8.
        purpose: Without the character NUL.
        identity: Any text.
    """
    return _bits(key, purpose, identity) / 2.0**53


def _bits(key: str, purpose: str, identity: str) -> int:
    text = f"{purpose}\0{identity}".encode("utf-8", "surrogatepass")
    digest = blake2b(text, digest_size=_BITS // 8, key=key.encode()).digest()
    # 53 bits are what a float holds exactly; more could round up to 1.0.
    return int.from_bytes(digest, "big") >> (_BITS - 53)


def is_held_out(settings: AbSettings, identity: str) -> bool:
    """Whether an identity takes part in no experiment."""
    return settings.holdout > 0 and point(settings.key, "holdout", identity) < settings.holdout


def is_enrolled(settings: AbSettings, name: str, experiment: Experiment, identity: str) -> bool:
    """Whether an identity takes part in the experiment ``name``. Those who do stay when its share grows."""
    return point(settings.key, f"enrol {experiment.salt or name}", identity) < experiment.share


def arm_of(settings: AbSettings, name: str, experiment: Experiment, identity: str) -> str:
    """The arm of an identity that takes part in the experiment ``name``."""
    return chosen(experiment.shares, point(settings.key, f"arm {experiment.salt or name}", identity))


def chosen(shares: Mapping[str, float], at: float) -> str:
    """The arm at a point of [0, 1), which the arms divide among them in their order.

    Args:
        shares: Each arm's part, adding up to 1; one of 0 gets nothing.
        at: The point.
    """
    upper, last = 0.0, ""
    for arm, share in shares.items():
        if share <= 0:
            continue
        upper, last = upper + share, arm
        if at < upper:
            return arm
    return last  # rounding: the shares add up to a little less than 1


def unit_of(settings: AbSettings, identity: str) -> str:
    """What the request log writes for an identity: the same for the same one, and not to be read back."""
    return f"{_bits(settings.key, 'unit', identity):014x}"
