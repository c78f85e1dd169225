"""How vLLM is started and spoken to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integration.launch import Engine, MetricNames, ServerConfig

STRUCTURED_OUTPUTS = ("--structured-outputs-config", '{"backend": "latticework"}')


def proposer(tokens: int = 8) -> tuple[str, str]:
    """The flag that switches speculation on, with ``tokens`` drafted tokens a step."""
    model = "latticework.adapters.vllm.Proposer"
    config = f'{{"method": "custom_class", "model": "{model}", "num_speculative_tokens": {tokens}}}'
    return ("--speculative-config", config)


class VLLM(Engine):
    """``vllm serve``."""

    name = "vllm"
    title = "vLLM"
    distribution = "vllm"
    environment_folder = ".venv"
    metrics = MetricNames(
        running="vllm:num_requests_running",
        waiting="vllm:num_requests_waiting",
        generated="vllm:generation_tokens_total",
        accepted="vllm:spec_decode_num_accepted_tokens_total",
    )
    tool_flags = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
    stock = ServerConfig(latticework=False)
    installed = ServerConfig()
    constraining = ServerConfig(flags=STRUCTURED_OUTPUTS)
    lattice = ServerConfig(flags=(*STRUCTURED_OUTPUTS, *proposer()))

    def command(self, config: ServerConfig, port: int) -> list[str]:
        """See :class:`Engine`."""
        folder = config.folder
        return [
            str(self.python.with_name("vllm")),
            *("serve", str(folder), "--served-model-name", folder.name),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--dtype", config.dtype, "--max-model-len", str(config.max_model_len)),
            *("--max-num-seqs", str(config.max_num_seqs), "--enforce-eager"),
            *config.flags,
        ]

    def environment(self, config: ServerConfig, scratch: Path) -> Mapping[str, str]:
        """See :class:`Engine`."""
        # Shared by the server's processes, so that /metrics shows what happened in the engine and the worker too.
        metrics = scratch / "metrics"
        metrics.mkdir()
        variables = {
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),  # GiB
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        }
        if not config.latticework:
            variables["VLLM_PLUGINS"] = "latticework_vllm_cpu"
        return variables

    def constraint(self, kind: str, payload: Any) -> dict[str, Any]:
        """See :class:`Engine`."""
        if kind == "structural_tag" and not isinstance(payload, str):
            payload = json.dumps(payload)
        return {"structured_outputs": {kind: True if kind == "json_object" else payload}}

    def options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """See :class:`Engine`."""
        return {"vllm_xargs": dict(options)}
