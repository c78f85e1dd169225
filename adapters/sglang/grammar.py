"""The grammar backend ``latticework``: ``--grammar-backend latticework``.

SGLang has a registry of backends; what it lacks is handled here:

1. custom backends are returned before SGLang wraps its own ones for reasoning models, so the factory wraps ours;
2. a backend is asked for a constraint by ``(kind, text)`` only. The hook around ``process_req_with_grammar`` tells it
   what else the request says (``lw_engine``, ``stop_token_ids``) just before, and the backend makes it part of the key.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from latticework.adapters.hooks import on_import, wrap

#: Name of the backend.
NAME = "latticework"
#: How to switch it on, for messages.
FLAG = f"--grammar-backend {NAME}"


def install() -> None:
    """Arrange for the registrations; each is made when its module is first imported."""
    on_import("sglang.srt.arg_groups.choices", _accept_name)
    on_import("sglang.srt.constrained.base_grammar_backend", _register)
    on_import("sglang.srt.constrained.grammar_manager", _hook_manager)


def _accept_name(module: ModuleType) -> None:
    if NAME not in module.GRAMMAR_BACKEND_CHOICES:
        module.add_grammar_backend_choices([NAME])


def _register(module: ModuleType) -> None:
    module.register_grammar_backend(NAME, _create)


def _create(server_args: Any, tokenizer: Any, vocab_size: int, eos_token_ids: set[int] | None) -> Any:
    """SGLang's factory signature."""
    from latticework.adapters.sglang.backend import create

    return create(tokenizer, vocab_size, eos_token_ids)


def _hook_manager(module: ModuleType) -> None:
    wrap(module.GrammarManager, "process_req_with_grammar", _telling)


def _telling(original: Callable[..., bool]) -> Callable[..., bool]:
    def process_req_with_grammar(self: Any, req: Any) -> bool:
        attend = getattr(self.grammar_backend, "latticework_attend", None)
        if attend is not None:
            attend(req.sampling_params)
        return original(self, req)

    return process_req_with_grammar
