"""Which functions of SGLang are replaced, in one table, and how.

SGLang chooses device kernels by name of the device; for an unknown one it launches Triton kernels, or has nothing.
Three ways are needed to put ours in their place:

- :data:`REPLACED`: functions that exist. SGLang's hook registry replaces them wherever they were imported.
- :data:`ABSENT`: names that are ``None`` without a GPU. The registry would rebind every ``None`` of every module, so
  they are set by hand, also in the modules that copied them (:data:`IMPORTERS`).
- :data:`MISSING_MODULE`: SGLang's NGRAM worker imports a module of ``sgl_kernel`` for one function; a module with
  that function alone is registered under its name.
"""

from __future__ import annotations

import inspect
import pkgutil
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from latticework_sglang_cpu import sampling, slots, tree

#: The version this table was checked against.
SGLANG = "0.5.23"

_OPERATIONS = "sglang.kernels.ops"
REPLACED: dict[str, Callable[..., Any]] = {
    f"{_OPERATIONS}.speculative.spec_tree.verify_tree_greedy_func": tree.verify_tree_greedy,
    f"{_OPERATIONS}.speculative.cache_locs.fill_front_out_cache_loc_func": slots.fill_front_out_cache_loc,
    f"{_OPERATIONS}.speculative.eagle.fill_accept_out_cache_loc_func": slots.fill_accept_out_cache_loc,
    "sglang.srt.mem_cache.allocation.assign_req_to_token_pool_func": slots.assign_req_to_token_pool,
}
ABSENT: dict[str, tuple[Callable[..., Any], ...]] = {
    f"{_OPERATIONS}.speculative.verify_sampling": (sampling.tree_speculative_sampling_target_only,),
    f"{_OPERATIONS}.sampling.renorm": (sampling.top_k_renorm_prob, sampling.top_p_renorm_prob),
}
IMPORTERS = ("sglang.srt.speculative.eagle_utils",)
MISSING_MODULE = "sgl_kernel.speculative"


class HookError(RuntimeError):
    """This SGLang is not the one the table was made for; the message says what differs."""


def problems() -> list[str]:
    """What in the installed SGLang does not fit the table. Imports the modules in it."""
    found = []
    for target, function in REPLACED.items():
        try:
            original = inspect.unwrap(pkgutil.resolve_name(target))
        except (ImportError, AttributeError) as error:
            found.append(f"{target}: {error}")
            continue
        if list(inspect.signature(original).parameters) != list(inspect.signature(function).parameters):
            found.append(f"{target} has other parameters")
    for module, functions in ABSENT.items():
        try:
            names = vars(import_module(module))
        except ImportError as error:
            found.append(f"{module}: {error}")
            continue
        found += [f"{module}.{function.__name__} is gone" for function in functions if function.__name__ not in names]
    return found


def install() -> None:
    """Replace everything. SGLang applies the registry's part once all plugins have been called. Idempotent.

    Raises:
        HookError: Something does not fit; nothing was replaced then.
    """
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    found = problems()
    if found:
        raise HookError(f"made for SGLang {SGLANG}: " + "; ".join(found))
    for module, functions in ABSENT.items():
        for holder in (module, *IMPORTERS):
            if holder in sys.modules:
                for function in functions:
                    setattr(sys.modules[holder], function.__name__, function)
    stand_in = ModuleType(MISSING_MODULE, "Stand-in of latticework-sglang-cpu with the one function SGLang needs.")
    stand_in.reconstruct_indices_from_tree_mask = tree.reconstruct_indices_from_tree_mask  # type: ignore[attr-defined]
    sys.modules.setdefault(MISSING_MODULE, stand_in)
    for target, function in REPLACED.items():
        if target not in HookRegistry._hooks:
            HookRegistry.register(target, function, HookType.REPLACE)
