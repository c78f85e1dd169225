"""How SGLang is started and spoken to."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integration.launch import Engine, MetricNames, ServerConfig

GRAMMAR_BACKEND = ("--grammar-backend", "latticework")
#: KV cache for all requests together, in tokens; SGLang would otherwise take most of the memory.
CACHE_TOKENS = 8192


def speculation(tokens: int = 8) -> tuple[str, ...]:
    """The flags that switch speculation on, with ``tokens`` drafted tokens a step; SGLang counts the root as well."""
    return ("--speculative-algorithm", "LATTICEWORK", "--speculative-num-draft-tokens", str(tokens + 1))


class SGLang(Engine):
    """``python -m sglang.launch_server``."""

    name = "sglang"
    title = "SGLang"
    distribution = "sglang"
    environment_folder = ".venv-sglang"
    metrics = MetricNames(
        running="sglang:num_running_reqs",
        waiting="sglang:num_queue_reqs",
        generated="sglang:generation_tokens_total",
        accepted="latticework_draft_accepted_tokens_total",  # SGLang itself shows only means
    )
    session_labels: Mapping[str, str] = {"process": "scheduler"}
    tool_flags = ("--tool-call-parser", "hermes")
    sessions_kept = 1
    stock = ServerConfig(engine="sglang", latticework=False)
    installed = ServerConfig(engine="sglang")
    constraining = ServerConfig(engine="sglang", flags=GRAMMAR_BACKEND)
    lattice = ServerConfig(engine="sglang", flags=(*GRAMMAR_BACKEND, *speculation()))

    def command(self, config: ServerConfig, port: int) -> list[str]:
        """See :class:`Engine`."""
        folder = config.folder
        return [
            *(str(self.python), "-m", "sglang.launch_server"),
            *("--model-path", str(folder), "--served-model-name", folder.name),
            *("--host", "127.0.0.1", "--port", str(port), "--enable-metrics"),
            *("--dtype", config.dtype, "--context-length", str(config.max_model_len)),
            *("--max-running-requests", str(config.max_num_seqs), "--max-total-tokens", str(CACHE_TOKENS)),
            "--sleep-on-idle",  # an idle scheduler polls without rest and takes a core from the server beside it
            *config.flags,
        ]

    def environment(self, config: ServerConfig, scratch: Path) -> Mapping[str, str]:
        """See :class:`Engine`."""
        temporary = scratch / "tmp"  # sockets and metric files, which a killed server does not remove
        temporary.mkdir()
        # One name covers the platform and what belongs to it: plugins with other names are not loaded then.
        plugins = {} if config.latticework else {"SGLANG_PLUGINS": "latticework_cpu"}
        return {"TMPDIR": str(temporary), **plugins}

    def constraint(self, kind: str, payload: Any) -> dict[str, Any]:
        """See :class:`Engine`. SGLang has no list of answers; a regular expression says the same."""
        if kind == "choice":
            return {"regex": "|".join(f"(?:{re.escape(text)})" for text in payload)}
        if kind == "json_object":
            return {"response_format": {"type": "json_object"}}
        if kind == "json":
            schema = {"name": "answer", "schema": payload, "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        if kind == "structural_tag":
            tag = json.loads(payload) if isinstance(payload, str) else payload
            return {"response_format": {"type": "structural_tag", **tag}}
        return {{"grammar": "ebnf"}.get(kind, kind): payload}

    def options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """See :class:`Engine`."""
        return {"custom_params": dict(options)}
