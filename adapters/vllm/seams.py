"""Every place where latticework holds on to vLLM, as one table, and the two ways to take hold.

vLLM has no registry for structured-output backends, no validation hook for plugins, and no proposer that knows its
requests, so a few functions must be wrapped. All of them are in :data:`SEAMS`. Before anything is wrapped, the table
is compared with the *source* of the installed vLLM (parsed, not imported: the front end must not load the model runner
just to look at it, and a wheel can be checked without being installed). If a row does not fit, nothing is patched at
all.

A new hook is a new row here plus a call of :func:`wrap` in the module that owns it, inside a function given to
:func:`on_import`, so that a process which never uses the hooked module never pays for it.
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

logger = logging.getLogger("latticework.vllm")

#: Release series whose source was read and whose hooks are tested: ``(major, minor)``.
SUPPORTED_SERIES = ((0, 32),)

GRAMMAR, OPTIONS, SEARCH, DRAFTER, PROCESSOR = "grammar", "options", "search", "drafter", "processor"


@dataclass(frozen=True)
class Seam:
    """One place in vLLM.

    Attributes:
        capability: What stops working without it.
        module: Dotted module name.
        attribute: Name inside the module; ``Class.method`` or ``Class.field`` for members.
        parameters: Names the function must take, in this order; others may stand between them. Empty: only existence.
        why: What the hook is for.
    """

    capability: str
    module: str
    attribute: str
    parameters: tuple[str, ...]
    why: str


_MANAGER = "vllm.v1.structured_output"
_V1_RUNNER = "vllm.v1.worker.gpu_model_runner"
_BEAM_SEARCH = ("max_tokens", "default_sampling_params")

SEAMS: tuple[Seam, ...] = (
    Seam(
        GRAMMAR,
        "vllm.config.structured_outputs",
        "StructuredOutputsConfig.backend",
        (),
        "the backend names vLLM accepts; `latticework` is added",
    ),
    Seam(
        GRAMMAR,
        "vllm.sampling_params",
        "SamplingParams._validate_structured_outputs",
        ("model_config", "structured_outputs_config", "tokenizer"),
        "a constraint is compiled before it is admitted, so that a bad one is a 400",
    ),
    Seam(
        GRAMMAR,
        "vllm.v1.engine.async_llm",
        "AsyncLLM.__init__",
        ("vllm_config",),
        "the front end builds its vocabulary before the first request needs it",
    ),
    Seam(
        GRAMMAR,
        _MANAGER,
        "StructuredOutputManager.__init__",
        ("vllm_config",),
        "the engine's grammar manager starts with our backend",
    ),
    Seam(
        GRAMMAR,
        _MANAGER,
        "StructuredOutputManager._create_grammar",
        ("request",),
        "the request's `lw_engine` reaches the compilation",
    ),
    Seam(
        GRAMMAR,
        _MANAGER,
        "StructuredOutputManager.accept_tokens",
        ("request", "new_token_ids"),
        "why a constraint failed travels to the client in the stop reason",
    ),
    Seam(
        GRAMMAR,
        "vllm.v1.structured_output.backend_types",
        "StructuredOutputBackend.compile_grammar",
        ("request_type", "grammar_spec", "stop_token_ids"),
        "interface that our backend implements",
    ),
    Seam(
        GRAMMAR,
        "vllm.v1.structured_output.backend_types",
        "StructuredOutputGrammar.fill_bitmask",
        ("bitmask", "batch_index"),
        "interface that our grammars implement",
    ),
    Seam(
        GRAMMAR,
        "vllm.v1.structured_output.request",
        "get_structured_output_key",
        ("params",),
        "which of the six kinds a request asks for",
    ),
    Seam(
        OPTIONS,
        "vllm.sampling_params",
        "SamplingParams.verify",
        ("model_config", "speculative_config", "structured_outputs_config", "tokenizer"),
        "`lw_*` options are checked before a request is admitted",
    ),
    Seam(
        OPTIONS,
        "vllm.entrypoints.openai.chat_completion.protocol",
        "ChatCompletionRequest.to_beam_search_params",
        _BEAM_SEARCH,
        "beam search drops `vllm_xargs`; options given with it are refused instead",
    ),
    Seam(
        OPTIONS,
        "vllm.entrypoints.openai.completion.protocol",
        "CompletionRequest.to_beam_search_params",
        _BEAM_SEARCH,
        "the same for completions",
    ),
    Seam(
        OPTIONS,
        "vllm.entrypoints.launchers.app",
        "init_exception_handler",
        (),
        "a request nested too deeply for vLLM's own checks is a 400, not a 500",
    ),
    Seam(
        SEARCH,
        "vllm.v1.engine.async_llm",
        "AsyncLLM.generate",
        ("prompt", "sampling_params", "request_id"),
        "one request becomes a search; grammars compile off the event loop; failures get a message",
    ),
    Seam(
        DRAFTER,
        _V1_RUNNER,
        "GPUModelRunner._update_states",
        ("scheduler_output",),
        "requests begin and end in the worker",
    ),
    Seam(
        DRAFTER,
        _V1_RUNNER,
        "GPUModelRunner.propose_draft_token_ids",
        ("scheduler_output", "sampled_token_ids"),
        "the proposer learns which request each row is",
    ),
    Seam(
        DRAFTER,
        _V1_RUNNER,
        "GPUModelRunner._input_fits_in_drafter",
        ("common_attn_metadata",),
        "one request at the end of its context does not stop the drafts of all",
    ),
    Seam(
        DRAFTER,
        "vllm.v1.spec_decode.custom_class_proposer",
        "create_custom_proposer",
        ("vllm_config",),
        "interface that our proposer implements",
    ),
    Seam(
        DRAFTER,
        "vllm.v1.worker.gpu_input_batch",
        "InputBatch.update_req_spec_token_ids",
        ("request", "scheduled_spec_tokens"),
        "where the drafted tokens of a batch are found",
    ),
    Seam(
        PROCESSOR,
        _V1_RUNNER,
        "GPUModelRunner._sample",
        ("logits", "spec_decode_metadata"),
        "processors change every verified row after the grammar's mask",
    ),
    Seam(
        PROCESSOR,
        "vllm.v1.worker.gpu_input_batch",
        "InputBatch.update_async_output_token_ids",
        (),
        "sampled ids that asynchronous scheduling still holds back",
    ),
    Seam(
        PROCESSOR,
        "vllm.v1.worker.gpu.sample.logits_processor.loader",
        "build_custom_logits_processors",
        ("vllm_config", "req_states", "is_pooling_model"),
        "our processors join those of Model Runner V2",
    ),
    Seam(
        PROCESSOR,
        "vllm.v1.worker.gpu.sample.logits_processor.interface",
        "LogitsProcessor.apply",
        ("logits", "ctx"),
        "interface that our processors implement on Model Runner V2",
    ),
)


@dataclass(frozen=True)
class Finding:
    """What :func:`check` found about one seam; ``detail`` says what is wrong, or what it is for."""

    seam: str
    capability: str
    module: str
    attribute: str
    ok: bool
    detail: str


def check(root: Path | None = None, seams: Iterable[Seam] = SEAMS) -> list[Finding]:
    """Compare the table with a vLLM: its version first, then each row. Imports nothing of vLLM.

    Args:
        root: The ``vllm`` package folder, for instance inside an unpacked wheel; the installed one if ``None``.
        seams: The rows to check.
    """
    root = root or installed_root()
    if root is None:
        return [_version_finding(None, "vLLM is not installed")]
    version = read_version(root)
    source = _Source(root)
    if not is_supported(version):
        series = ", ".join(".".join(map(str, pair)) + ".x" for pair in SUPPORTED_SERIES)
        return [
            _version_finding(version, f"latticework supports vLLM {series}, this is {version or 'of unknown version'}")
        ]
    return [_version_finding(version, "supported"), *(_finding(seam, source.problem(seam)) for seam in seams)]


def installed_root() -> Path | None:
    """Folder of the ``vllm`` that Python would import; ``None`` if there is none. Does not import it."""
    spec = importlib.util.find_spec("vllm")
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None


def read_version(root: Path) -> str | None:
    """The version written in the package folder ``root``."""
    try:
        tree = ast.parse((root / "_version.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return None
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets, value=ast.Constant(value=str(version))) if any(
                isinstance(target, ast.Name) and target.id == "__version__" for target in targets
            ):
                return version
    return None


def is_supported(version: str | None) -> bool:
    """Whether ``version`` belongs to a release series that latticework knows."""
    parts = (version or "").split(".")[:2]
    return all(part.isdigit() for part in parts) and tuple(map(int, parts)) in SUPPORTED_SERIES


def _version_finding(version: str | None, detail: str) -> Finding:
    return Finding("vLLM version", "vllm", "vllm", "__version__", is_supported(version), detail)


def _finding(seam: Seam, problem: str | None) -> Finding:
    name = f"{seam.module}.{seam.attribute}"
    return Finding(name, seam.capability, seam.module, seam.attribute, problem is None, problem or seam.why)


class _Source:
    """The parsed source of a vLLM, each file read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._trees: dict[str, ast.Module | None] = {}

    def problem(self, seam: Seam) -> str | None:
        """Why the seam does not fit, or ``None``."""
        tree = self._tree(seam.module)
        if tree is None:
            return f"there is no module {seam.module}"
        *owners, name = seam.attribute.split(".")
        scope: ast.AST = tree
        for owner in owners:
            found = _definition(scope, owner)
            if not isinstance(found, ast.ClassDef):
                return f"{seam.module} has no class {owner}"
            scope = found
        node = _definition(scope, name)
        if node is None:
            return f"{seam.module} has no {seam.attribute}"
        if seam.parameters and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return f"{seam.attribute} is not a function"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            present = _parameters(node)
            if not _is_subsequence(seam.parameters, present):
                return f"{seam.attribute} takes ({', '.join(present)}), expected ({', '.join(seam.parameters)})"
        return None

    def _tree(self, module: str) -> ast.Module | None:
        if module not in self._trees:
            relative = Path(*module.split(".")[1:])
            paths = (self._root / relative.with_suffix(".py"), self._root / relative / "__init__.py")
            path = next((path for path in paths if path.is_file()), None)
            self._trees[module] = ast.parse(path.read_bytes()) if path else None
        return self._trees[module]


def _definition(scope: ast.AST, name: str) -> ast.stmt | None:
    """The statement in the body of ``scope`` that defines ``name``: a class, a function, an import or an assignment."""
    for node in getattr(scope, "body", ()):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if node.name == name:
                return node
            case ast.ImportFrom(names=names) if any((alias.asname or alias.name) == name for alias in names):
                return node
            case ast.AnnAssign(target=ast.Name(id=target)) if target == name:
                return node
            case ast.Assign(targets=targets) if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                return node
    return None


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    arguments = node.args
    return [arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def _is_subsequence(wanted: Sequence[str], present: Sequence[str]) -> bool:
    remaining = iter(present)
    return all(name in remaining for name in wanted)


# ---- taking hold

Patch = Callable[[ModuleType], None]

_lock = threading.RLock()
_waiting: dict[str, list[Patch]] = {}
_done: set[tuple[str, Patch]] = set()


def on_import(module_name: str, patch: Patch) -> None:
    """Call ``patch(module)`` once: now if the module is loaded, otherwise right after its first import.

    Asking twice has no effect. An exception in ``patch`` is logged and goes no further: vLLM keeps working without it.
    """
    with _lock:
        if (module_name, patch) in _done:
            return
        _done.add((module_name, patch))
        module = sys.modules.get(module_name)
        if module is None:
            _waiting.setdefault(module_name, []).append(patch)
            if _finder not in sys.meta_path:
                sys.meta_path.insert(0, _finder)
            return
    _apply(module, patch)


def wrap(owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace ``owner.name`` by ``wrapper(original)``, unless this wrapper is already around it."""
    original = getattr(owner, name)
    key = f"{wrapper.__module__}.{wrapper.__qualname__}"
    layer = original
    while layer is not None:
        if getattr(layer, "__latticework__", None) == key:
            return
        layer = getattr(layer, "__wrapped__", None)
    replacement = functools.update_wrapper(wrapper(original), original)
    replacement.__latticework__ = key  # type: ignore[attr-defined]
    setattr(owner, name, replacement)


def _apply(module: ModuleType, patch: Patch) -> None:
    try:
        patch(module)
    except Exception:
        logger.exception("latticework could not hook %s; vLLM goes on without it", module.__name__)


class _PatchingLoader(importlib.abc.Loader):
    """Runs a module's own loader, then the patches that wait for it."""

    def __init__(self, inner: importlib.abc.Loader) -> None:
        self._inner = inner

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module must look as if it had never been touched: tools ask its loader for source and resources.
        module.__loader__ = self._inner
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        with _lock:
            patches = _waiting.pop(module.__name__, [])
        for patch in patches:
            _apply(module, patch)


class _PatchingFinder(importlib.abc.MetaPathFinder):
    """Finds only modules that a patch waits for, through the other finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _waiting:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: importlib.machinery.ModuleSpec | None = find(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _PatchingLoader(spec.loader)
                return spec
        return None


_finder = _PatchingFinder()
