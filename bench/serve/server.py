"""A server as a client sees it: which engine it is, how requests are worded for it, what its counters say."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from latticework.structured.errors import LatticeworkError

_SECONDS = 30.0


@dataclass(frozen=True)
class Dialect:
    """What an engine calls things.

    Attributes:
        options: The field of a request that carries latticework's options.
        generated: Counter of tokens written.
        accepted: Counter of drafted tokens accepted, if there is one.
        verified: Counter of a request's verifying steps, if there is one.
    """

    options: str
    generated: str
    accepted: str = ""
    verified: str = ""


DIALECTS = {
    "vllm": Dialect(
        "vllm_xargs", "vllm:generation_tokens_total", accepted="vllm:spec_decode_num_accepted_tokens_total"
    ),
    "sglang": Dialect("custom_params", "sglang:generation_tokens_total", verified="sglang:spec_verify_calls_total"),
}


@dataclass(frozen=True)
class Counts:
    """A server's counters at one time."""

    generated: float
    accepted: float
    verified: float

    def tokens_per_step(self, before: Counts) -> tuple[float, float]:
        """Tokens written since ``before``, and the steps of requests that wrote them."""
        tokens = self.generated - before.generated
        verified = self.verified - before.verified
        return tokens, verified if verified else tokens - (self.accepted - before.accepted)


@dataclass(frozen=True)
class Server:
    """A running engine.

    Attributes:
        url: Where.
        engine: ``vllm`` or ``sglang``.
        model: The name that requests must give.
    """

    url: str
    engine: str
    model: str

    @classmethod
    def at(cls, url: str) -> Server:
        """Look at what runs there.

        Raises:
            LatticeworkError: Nothing does, or nothing known.
        """
        try:
            with urllib.request.urlopen(f"{url}/v1/models", timeout=_SECONDS) as response:
                model = json.load(response)["data"][0]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise LatticeworkError("url", f"no engine answers at {url}: {error}") from error
        if model.get("owned_by") not in DIALECTS:
            raise LatticeworkError("url", f"{url} is neither vLLM nor SGLang, but {model.get('owned_by')!r}")
        return cls(url, model["owned_by"], model["id"])

    @property
    def dialect(self) -> Dialect:
        """How to speak to it."""
        return DIALECTS[self.engine]

    def body(self, messages: list[dict[str, Any]], schema: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """A streamed chat completion, constrained where ``schema`` is not ``None``."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if schema is not None:
            form = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if options:
            body[self.dialect.options] = dict(options)
        return body

    def counts(self) -> Counts | None:
        """Its counters now; ``None`` where it shows none (SGLang: ``--enable-metrics``)."""
        from prometheus_client.parser import text_string_to_metric_families

        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=_SECONDS) as response:
                text = response.read().decode()
        except (urllib.error.URLError, OSError):
            return None
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        names = self.dialect
        if names.generated not in found:
            return None
        return Counts(found[names.generated], found.get(names.accepted, 0.0), found.get(names.verified, 0.0))
