"""How JSON documents may be written: the options ``lw_json_...`` of a request, and the deployment's defaults.

Declared order on one line is what servers do unless told otherwise: the OpenAI API promises the order, and both leave
more of a text forced (docs/json-schema.md has the measurements).
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from latticework.plugins.base import PluginOptions
from latticework.structured.json_options import JsonOptions, OnUnsupported, Order, Whitespace

#: What the options' names begin with.
JSON_PREFIX = "lw_json_"


class Formats(StrEnum):
    """Whether ``format`` constrains strings: ``ASSERT``, or ``ANNOTATE``, which lets any string pass."""

    ASSERT = "assert"
    ANNOTATE = "annotate"


class JsonLayout(PluginOptions):
    """See :class:`latticework.structured.json_options.JsonOptions`."""

    order: Order = Field(default=Order.DECLARED, description="order of an object's keys")
    whitespace: Whitespace = Field(default=Whitespace.LINE, description="which blanks may be written")
    formats: Formats = Field(default=Formats.ASSERT, description="whether formats constrain strings")
    on_unsupported: OnUnsupported = Field(
        default=OnUnsupported.ERROR, description="what becomes of a keyword that cannot be enforced"
    )

    def options(self) -> JsonOptions:
        """The same for the core."""
        return JsonOptions(self.order, self.whitespace, self.formats is Formats.ASSERT, self.on_unsupported)
