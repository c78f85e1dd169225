"""Which options requests may name, and whose requests: the ``[access]`` section of the settings.

::

    [access]
    options = ["lw_engine", "lw_json_*"]      # what any request may name; default: everything
    header = "x-lw-group"                     # who sent it: a header that the proxy in front sets
    groups.research = ["lw_drafter*", "lw_search*"]

What an option may *be* is another matter: names come from installed plugins and the settings, never from a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from latticework.plugins.requests import PREFIX
from latticework.structured.errors import LatticeworkError, one_line

#: An option, or the beginning of several.
Options = Annotated[str, StringConstraints(pattern=r"^lw_[a-z0-9_]{0,60}\*?$")]
Group = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_ALL = f"{PREFIX}*"


class AccessSettings(BaseModel):
    """Who may use which option. Whoever can reach the server can write headers: let a proxy set ``header``."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    options: tuple[Options, ...] = Field(
        default=(_ALL,),
        max_length=256,
        description="what every request may name: options, or the beginning of several and `*`",
    )
    header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{0,64}$")] = Field(
        default="", description="the header that says of which group a request is; empty: of none"
    )
    groups: dict[Group, tuple[Options, ...]] = Field(
        default={}, max_length=256, description="by the header's value, what these requests may name beside that"
    )

    @property
    def is_open(self) -> bool:
        """Whether every request may name every option."""
        return _ALL in self.options

    def check(self, extra: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Refuse what a request may not name.

        Args:
            extra: What it carries beside the engine's own fields; other keys are ignored.
            headers: By name in lower case.

        Raises:
            LatticeworkError: ``field`` is the first such option.
        """
        if self.is_open:
            return
        group = self.groups.get(headers.get(self.header.lower(), ""), ()) if self.header else ()
        for key, value in extra.items():
            if key.startswith(PREFIX) and value is not None and not _named(key, (*self.options, *group)):
                raise LatticeworkError(one_line(key[:100]), "may not be set here: see the server's [access] settings")


def _named(key: str, options: Iterable[str]) -> bool:
    return any(key.startswith(one[:-1]) if one.endswith("*") else key == one for one in options)
