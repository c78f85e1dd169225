"""Who sent a request, from the front end to the worker: vLLM's workers are not told a request's cache salt.

Its digest travels in ``SamplingParams.extra_args`` under :data:`_KEY`, which the front end alone writes: what a client
puts there is taken out. Imported in the front end, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from latticework.plugins.scoping import tenant_of_salt

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams

_KEY = "latticework_tenant"


def with_tenant(params: SamplingParams, prompt: object) -> SamplingParams:
    """Parameters with the sender of ``prompt`` (as ``AsyncLLM.generate`` gets it); if nothing changes, themselves."""
    salt: Any = prompt.get("cache_salt") if isinstance(prompt, Mapping) else getattr(prompt, "cache_salt", None)
    tenant = tenant_of_salt(salt)
    extra = params.extra_args or {}
    if extra.get(_KEY) == tenant:
        return params
    changed = params.clone()  # callers reuse theirs
    changed.extra_args = {key: value for key, value in extra.items() if key != _KEY}
    if tenant is not None:
        changed.extra_args[_KEY] = tenant
    return changed


def tenant_of(params: SamplingParams) -> str | None:
    """The sender that :func:`with_tenant` wrote."""
    tenant: str | None = (params.extra_args or {}).get(_KEY)
    return tenant


def constraint_of(params: SamplingParams) -> str:
    """The constraint as vLLM writes it, empty if there is none; equal for requests that are constrained alike."""
    from vllm.v1.structured_output.request import get_structured_output_key

    outputs = params.structured_outputs
    if outputs is None or outputs.all_constraints_none():
        return ""
    kind, text = get_structured_output_key(outputs)
    return f"{kind.name} {text}"
