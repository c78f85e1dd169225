"""What may follow an item of which only the text says what follows: a comma or a bracket, and then anything.

That is too much. The mask runtime looks at each of these tokens with the text (:meth:`PushdownSource.depends`).
"""

from __future__ import annotations

from latticework.structured.json_machine.operation import Operation, Place
from latticework.structured.pushdown.family import CLOSE, GO_ON
from latticework.structured.pushdown.protocol import Action, Enter
from latticework.structured.pushdown.table import Table, build_table

_ANYTHING = build_table([[(0, 0xFF, 0)]], [0])


class _Gap(Operation):
    """Behind the item."""

    def goal(self, symbol: Place) -> int:
        """See :class:`Operation`."""
        return 1 << GO_ON | 1 << CLOSE

    def resume(self, symbol: Place, result: int) -> Action:
        """See :class:`Operation`."""
        return Enter(((_BEYOND,),), _ANYTHING, _ANYTHING.start)

    def expected(self, symbol: Place) -> bool:
        """See :class:`Operation`."""
        return False


class _Beyond(_Gap):
    """Behind the comma or bracket."""

    def resume(self, symbol: Place, result: int) -> Action:
        """See :class:`Operation`. Never called: there is no end of anything."""
        raise NotImplementedError


_GAP, _BEYOND = _Gap(), _Beyond()


def anything(next_item: Table) -> Enter:
    """The superset; ``next_item`` reads what stands behind an item."""
    return Enter(((_GAP,),), next_item, next_item.start)
