"""Instances of plugins, shared by the requests that selected the same plugin with the same options."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from latticework.plugins.options import Selection

T = TypeVar("T")


class Instances(Generic[T]):
    """At most ``capacity`` instances, least recently selected first out.

    A request keeps the instance it began with, so one that is evicted lives on until its last request ends.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._made: OrderedDict[Selection, T] = OrderedDict()

    def get(self, selection: Selection, create: Callable[[], T]) -> T:
        """The instance for ``selection``, made by ``create`` if there is none; what that raises is passed on."""
        if selection not in self._made:
            self._made[selection] = create()
            if len(self._made) > self._capacity:
                self._made.popitem(last=False)
        self._made.move_to_end(selection)
        return self._made[selection]

    def __len__(self) -> int:
        return len(self._made)
