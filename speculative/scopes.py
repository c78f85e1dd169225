"""What drafters keep across requests, one store a scope, so that no text crosses from one scope into another.

A request without a scope learns from itself alone: its store is its own and goes with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from latticework.speculative.drafter import RequestView

Store = TypeVar("Store")


class Scopes(Generic[Store]):
    """Stores by scope. At most ``limit`` are kept; the one not begun with for longest goes.

    A request holds its own store from begin to end, so one that is dropped here lives on until the last such request
    is over.

    Args:
        make: Makes the store of a scope.
        limit: How many scopes are kept.
        make_own: Makes the store of a request without a scope; by default ``make``.
    """

    def __init__(self, make: Callable[[], Store], limit: int, make_own: Callable[[], Store] | None = None) -> None:
        if limit < 1:
            raise ValueError(f"at least one scope must be kept, got {limit}")
        self._make, self._limit, self._make_own = make, limit, make_own or make
        self._stores: OrderedDict[str, Store] = OrderedDict()
        self._held: dict[str, Store] = {}

    def begin(self, request: RequestView) -> Store:
        """The store of a request's scope, which it holds from now on; one of its own if it has no scope."""
        store = self._held[request.request_id] = self._make_own() if request.scope is None else self._of(request.scope)
        return store

    def get(self, request: RequestView) -> Store:
        """The store that a request holds. For one that never began: its scope's, or an empty one nobody keeps."""
        if (held := self._held.get(request.request_id)) is not None:
            return held
        return self._make_own() if request.scope is None else self._of(request.scope)

    def end(self, request: RequestView) -> None:
        """The request lets its store go. Unknown ones are fine."""
        self._held.pop(request.request_id, None)

    def __len__(self) -> int:
        return len(self._stores)

    def _of(self, scope: str) -> Store:
        if scope not in self._stores:
            self._stores[scope] = self._make()
            if len(self._stores) > self._limit:
                self._stores.popitem(last=False)
        self._stores.move_to_end(scope)
        return self._stores[scope]
