"""How a JSON document that satisfies a schema may be written: what the schema itself leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Whitespace(StrEnum):
    """Which blanks may stand between the parts of a document.

    ``COMPACT``: none. ``LINE``: one space after ``:`` and ``,``, exactly as ``json.dumps`` writes it. ``FLEXIBLE``:
    that space may be left out, and a line break with at most :data:`MAX_INDENT` blanks may stand next to brackets and
    commas, as ``json.dumps(indent=...)`` writes it. There is never a blank before ``:`` or ``,``, nor around the
    document.
    """

    COMPACT = "compact"
    LINE = "line"
    FLEXIBLE = "flexible"


MAX_INDENT = 64


class Order(StrEnum):
    """The order of an object's keys.

    ``ANY``: what JSON Schema says, none. ``DECLARED``: the names under ``properties`` come in the order of the schema,
    each of them may be left out if it is not required, and all other keys follow, in any order. The OpenAI API promises
    it, and it leaves more of a text forced.
    """

    ANY = "any"
    DECLARED = "declared"


class OnUnsupported(StrEnum):
    """What becomes of a keyword that cannot be enforced: ``ERROR``, or ``WARN``, which leaves it out and says so."""

    ERROR = "error"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class JsonOptions:
    """The options of a JSON constraint. The defaults are what servers offer.

    Attributes:
        order: See :class:`Order`.
        whitespace: See :class:`Whitespace`.
        assert_formats: Whether the formats that the drafts define constrain strings, or are annotations.
        on_unsupported: See :class:`OnUnsupported`.
    """

    order: Order = Order.DECLARED
    whitespace: Whitespace = Whitespace.LINE
    assert_formats: bool = True
    on_unsupported: OnUnsupported = OnUnsupported.ERROR

    @property
    def key(self) -> str:
        """The options as a text: equal for equal options only."""
        return f"{self.order} {self.whitespace} {self.assert_formats} {self.on_unsupported}"


#: What JSON Schema itself says: keys in any order.
SCHEMA_ORDER = JsonOptions(order=Order.ANY)
