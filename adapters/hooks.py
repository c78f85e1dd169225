"""Holding on to an engine where it has no registry: a table of the places, checked at load, and two ways to take hold.

Every adapter writes down all places it hooks or implements as one table of :class:`Seam` rows. Before anything is
wrapped the table is compared with the *source* of the installed engine (parsed, not imported: the front end must not
load the model runner just to look at it, and a wheel can be checked without being installed). If a row does not fit,
nothing is patched at all.

A new hook is a new row in the adapter's table plus a call of :func:`wrap` in the module that owns it, inside a function
given to :func:`on_import`, so that a process which never uses the hooked module never pays for it. Imports nothing but
the standard library: engines load this in every process they start.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

logger = logging.getLogger("latticework.adapters")


@dataclass(frozen=True)
class Seam:
    """One place in an engine.

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


@dataclass(frozen=True)
class Finding:
    """What :meth:`SeamTable.check` found about one seam; ``detail`` says what is wrong, or what it is for."""

    seam: str
    capability: str
    module: str
    attribute: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class SeamTable:
    """All places where one adapter holds on to its engine.

    Attributes:
        engine: The engine's name, for messages.
        package: Its import name.
        series: Release series whose source was read and whose hooks are tested: ``(major, minor)``, or more parts.
        seams: The places.
    """

    engine: str
    package: str
    series: tuple[tuple[int, ...], ...]
    seams: tuple[Seam, ...]

    def check(self, root: Path | None = None, *, every_row: bool = False) -> list[Finding]:
        """Compare the table with an engine: its version first, then each row. Imports nothing of the engine.

        Args:
            root: The engine's package folder, for instance inside an unpacked wheel; the installed one if ``None``.
            every_row: Compare the rows of a version that is not supported as well.
        """
        root = root or self.installed_root()
        if root is None:
            return [self._version_finding(None, f"{self.engine} is not installed")]
        version = read_version(root)
        supported = self.is_supported(version)
        found = self._version_finding(version, "supported" if supported else self._unsupported(version))
        if not supported and not every_row:
            return [found]
        source = _Source(root)
        return [found, *(_finding(seam, source.problem(seam)) for seam in self.seams)]

    def _unsupported(self, version: str | None) -> str:
        series = ", ".join(".".join(map(str, known)) + (".x" if len(known) < 3 else "") for known in self.series)
        return f"latticework supports {self.engine} {series}, this is {version or 'of unknown version'}"

    def installed_root(self) -> Path | None:
        """Folder of the engine that Python would import; ``None`` if there is none. Does not import it."""
        spec = importlib.util.find_spec(self.package)
        locations = list(spec.submodule_search_locations or ()) if spec else []
        return Path(locations[0]) if locations else None

    def is_supported(self, version: str | None) -> bool:
        """Whether ``version`` belongs to a release series that latticework knows."""
        return any(_belongs(version or "", known) for known in self.series)

    def _version_finding(self, version: str | None, detail: str) -> Finding:
        ok = self.is_supported(version)
        return Finding(f"{self.engine} version", self.package, self.package, "__version__", ok, detail)


def read_version(root: Path) -> str | None:
    """The version written in the package folder ``root``."""
    try:
        tree = ast.parse((root / "_version.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets, value=ast.Constant(value=str(version))) if any(
                isinstance(target, ast.Name) and target.id == "__version__" for target in targets
            ):
                return version
    return None


def _belongs(version: str, series: tuple[int, ...]) -> bool:
    parts = version.split("+")[0].split(".")[: len(series)]
    return all(part.isdigit() for part in parts) and tuple(map(int, parts)) == series


def _finding(seam: Seam, problem: str | None) -> Finding:
    name = f"{seam.module}.{seam.attribute}"
    return Finding(name, seam.capability, seam.module, seam.attribute, problem is None, problem or seam.why)


class _Source:
    """The parsed source of an engine, each file read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._trees: dict[str, ast.Module | None] = {}

    def problem(self, seam: Seam) -> str | None:
        """Why the seam does not fit, or ``None``."""
        try:
            tree = self._tree(seam.module)
        except (SyntaxError, ValueError) as error:
            return f"{seam.module} does not parse: {error}"
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

    Asking twice has no effect. An exception in ``patch`` is logged and goes no further: the engine works without it.
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
        logger.exception("latticework could not hook %s; the engine goes on without it", module.__name__)


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
