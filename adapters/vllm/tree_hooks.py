"""Where trees reach vLLM's CPU attention. Nothing is hooked unless ``drafter.trees`` is set.

    initialize_kv_cache_tensors   the cache gets scratch blocks
    _model_forward                rows get the positions of their depths
    CPU attention                 branches are requests of their own, behind scratch blocks
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from latticework.adapters.vllm.seams import on_import, wrap
from latticework.adapters.vllm.trees import Trees, enlarged

CPU_ATTENTION = "vllm.v1.attention.backends.cpu_attn"

#: The trees of this process's runner; a worker has one.
_active: list[Trees] = []


def install(runner: Any) -> None:
    """Hook the V1 runner's class, and CPU attention when it is imported."""
    wrap(runner, "initialize_kv_cache_tensors", _around_initialize)
    wrap(runner, "_model_forward", _around_forward)
    on_import(CPU_ATTENTION, _hook_attention)


def trees_of(runner: Any) -> Trees | None:
    """Trees for a runner of this process, from now on its only one; ``None`` where they are not switched on."""
    if not _serves(runner):
        return None
    _active[:] = [Trees(runner)]
    return _active[0]


def _serves(runner: Any) -> bool:
    """Whether the hooks are in place, and the runner is on a CPU and drafts with our proposer."""
    hooked = hasattr(type(runner)._model_forward, "__latticework__")
    return hooked and runner.device.type == "cpu" and hasattr(getattr(runner, "drafter", None), "attend")


def _hook_attention(module: ModuleType) -> None:
    wrap(module.CPUAttentionMetadataBuilder, "build", _around_build)
    wrap(module.CPUAttentionBackendImpl, "do_kv_cache_update", _around_update)


def _around_initialize(original: Callable[..., Any]) -> Callable[..., Any]:
    def initialize_kv_cache_tensors(self: Any, kv_cache_config: Any, *args: Any, **kwargs: Any) -> Any:
        return original(self, enlarged(kv_cache_config) if _serves(self) else kv_cache_config, *args, **kwargs)

    return initialize_kv_cache_tensors


def _around_forward(original: Callable[..., Any]) -> Callable[..., Any]:
    def _model_forward(self: Any, input_ids: Any = None, positions: Any = None, *args: Any, **kwargs: Any) -> Any:
        if _active and _active[0].now:
            _active[0].place(positions)
        return original(self, input_ids, positions, *args, **kwargs)

    return _model_forward


def _around_build(original: Callable[..., Any]) -> Callable[..., Any]:
    def build(self: Any, common_prefix_len: int, common_attn_metadata: Any, fast_build: bool = False) -> Any:
        if _active and _active[0].now:
            common_attn_metadata = _active[0].divide(common_attn_metadata)
        return original(self, common_prefix_len, common_attn_metadata, fast_build)

    return build


def _around_update(original: Callable[..., Any]) -> Callable[..., Any]:
    def do_kv_cache_update(self: Any, layer: Any, key: Any, value: Any, kv_cache: Any, slot_mapping: Any) -> None:
        original(self, layer, key, value, kv_cache, slot_mapping)
        if _active and (written := _active[0].written) is not None:
            rows, slots = written
            original(self, layer, key[rows], value[rows], kv_cache, slots)

    return do_kv_cache_update
