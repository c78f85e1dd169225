"""Compiled: the records of :mod:`.layout` at an address. Numba unpacks a number much faster than a record."""

from __future__ import annotations

import numba

from latticework.structured.runtime.layout import MACHINE, PLAN, TABLE
from latticework.structured.runtime.memory import pointer


@numba.njit(cache=True)
def machine_at(address):  # type: ignore[no-untyped-def]
    """The :data:`~.layout.MACHINE` at an address."""
    return numba.carray(pointer(address), 1, MACHINE)[0]


@numba.njit(cache=True)
def tables_of(machine):  # type: ignore[no-untyped-def]
    """The :data:`~.layout.TABLE` records of a machine."""
    return numba.carray(pointer(machine.tables), machine.table_room, TABLE)


@numba.njit(cache=True)
def plan_at(address):  # type: ignore[no-untyped-def]
    """The :data:`~.layout.PLAN` at an address."""
    return numba.carray(pointer(address), 1, PLAN)[0]
