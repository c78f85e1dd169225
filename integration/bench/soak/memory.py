"""Memory of an engine: the resident pages of its process and of all that it has started (Linux)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_PAGE = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Growth:
    """A line through memory over time.

    Attributes:
        per_minute: MiB a minute: the median of the slopes between all pairs of samples (Theil and Sen).
        low, high: Its 95 % interval, as if samples were independent, which they are not quite.
        base: MiB at time 0.
    """

    per_minute: float
    low: float
    high: float
    base: float


def resident(root: int, proc: Path = Path("/proc")) -> dict[str, float]:
    """MiB of each process of ``root``'s family, by name and id; pages that several share count in each."""
    found = {}
    for pid in family(root, proc):
        try:
            name = (proc / str(pid) / "comm").read_text().strip()
            pages = int((proc / str(pid) / "statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):  # it has ended meanwhile
            continue
        found[f"{name} {pid}"] = pages * _PAGE
    return found


def family(root: int, proc: Path = Path("/proc")) -> list[int]:
    """``root`` and its descendants, and whoever is in the session that it leads."""
    parents: dict[int, tuple[int, int]] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1]), int(fields[3])
    members = {pid for pid, (_, session) in parents.items() if session == root or pid == root}
    grown = True
    while grown:
        more = {pid for pid, (parent, _) in parents.items() if parent in members} - members
        members |= more
        grown = bool(more)
    return sorted(members)


def growth(minutes: Sequence[float], mebibytes: Sequence[float]) -> Growth | None:
    """How memory grows; ``None`` with fewer than five samples."""
    if len(minutes) < 5:
        return None
    from scipy.stats import theilslopes

    slope, base, low, high = theilslopes(np.asarray(mebibytes), np.asarray(minutes))
    return Growth(float(slope), float(low), float(high), float(base))
