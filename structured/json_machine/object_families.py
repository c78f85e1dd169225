"""The symbols of a plain object as families: what they differ in is the set of names used so far.

An object that counts its properties, or in which keys that are no names are scarce, has none: there what may follow
depends on more than the set.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from latticework.structured.json_machine.operation import Place
from latticework.structured.pushdown.family import CLOSE, Grown, Kind, Rule
from latticework.structured.pushdown.protocol import Action, Enter
from latticework.structured.pushdown.table import Table

if TYPE_CHECKING:
    from latticework.structured.json_machine.frame import Used
    from latticework.structured.json_machine.plain_objects import PlainObject


@dataclass(frozen=True, slots=True)
class ObjectFamily:
    """See :class:`~latticework.structured.pushdown.family.Family`.

    Attributes:
        frame: The object.
        kind: Before a key (``CHOOSE``), between members (``GAP``) or under a value (``CARRY``).
        used: The keys used that are none of the names.
    """

    frame: PlainObject
    kind: Kind
    used: Used

    @property
    def rule(self) -> Rule:
        """See :class:`Family`."""
        return self.frame.rules[self.kind]

    def symbol(self, members: int) -> Place:
        """See :class:`Family`."""
        return (self.frame.operations[self.kind], members, 0, self.used)

    def resume(self, result: int) -> Action | None:
        """See :class:`Family`."""
        if self.kind is Kind.CHOOSE:
            return self.resume_text(result, None)
        frame = self.frame
        if self.kind is Kind.CARRY:
            return _on(frame.machine.punctuation.next_member, self._beside(Kind.GAP))
        return frame.close(()) if result == CLOSE else _on(frame.keys.table, self._beside(Kind.CHOOSE))

    def refused(self) -> Collection[bytes]:
        """See :class:`Family`."""
        return self.frame.refused((0, 0, self.used))

    def resume_text(self, result: int, text: bytes | None) -> Action | None:
        """See :class:`Family`: a key was read, ``text`` being how, if it may be no name."""
        if not self.rule.usable >> result & 1:
            return None
        demand, state = self.frame.take((0, 0, self.used), result, self.frame.text_of(result, text))
        add, _, used = cast("tuple[int, int, Used]", state)
        after = Grown(ObjectFamily(self.frame, Kind.CARRY, used), add)
        table = self.frame.machine.punctuation.colon
        return Enter((after, demand.colon), table, table.start)

    def _beside(self, kind: Kind) -> Grown:
        return Grown(ObjectFamily(self.frame, kind, self.used))


def _on(table: Table, pushed: Grown) -> Enter:
    return Enter((pushed,), table, table.start)


def rules(usable: int, ordered: int, required: int, captured: int) -> dict[Kind, Rule]:
    """The rules of a plain object; see :class:`Rule`. A value in it has one result."""
    return {
        Kind.CARRY: Rule(Kind.CARRY, 1),
        Kind.CHOOSE: Rule(Kind.CHOOSE, usable, ordered, captured=captured),
        Kind.GAP: Rule(Kind.GAP, usable, ordered, required),
    }
