"""What an engine's front end knows of a request before it is served: all that an experiment may look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from latticework.plugins.ab.settings import Eligibility

#: Identities longer than this are cut: a client writes them.
MAX_IDENTITY = 1024
#: Characters of a request's id, endpoint and model in the request log: a client may write all three.
MAX_NAME = 256


@dataclass(frozen=True)
class RequestFacts:
    """One request.

    Attributes:
        request_id: The engine's.
        endpoint: Path of the URL; empty offline.
        model: As the request writes it.
        user, session: Who sent it, as far as the request says.
        headers: By name in lower case.
        constrained: Whether it has a constraint.
        extra: What carries the ``lw_*`` options.
        others: The same of further prompts in one request.
        traced: Whether the engine traces this request.
    """

    request_id: str
    endpoint: str = ""
    model: str = ""
    user: str | None = None
    session: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    constrained: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[Mapping[str, Any], ...] = ()
    traced: bool = False

    def identity(self, sources: Iterable[str]) -> tuple[str, str] | None:
        """The first of ``sources`` that the request has, as its source and value."""
        for source in sources:
            value = self._value(source)
            if value:
                # The source is hashed too: the user "7" is not the session "7".
                return source, f"{source}={value[:MAX_IDENTITY]}"
        return None

    def fits(self, eligible: Eligibility) -> bool:
        """Whether the request may take part."""
        return (
            (not eligible.endpoints or self.endpoint in eligible.endpoints)
            and (not eligible.models or self.model in eligible.models)
            and (eligible.grammar is None or self.constrained == eligible.grammar)
            and all(self.headers.get(name.lower()) == value for name, value in eligible.headers.items())
            and all(self.extra.get(name) == value for name, value in eligible.options.items())
        )

    def _value(self, source: str) -> str | None:
        if source.startswith("header:"):
            return self.headers.get(source.removeprefix("header:").lower())
        return {"user": self.user, "session": self.session, "request": self.request_id}[source]
