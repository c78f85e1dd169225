"""The table of hooks, and what happens to a vLLM that does not fit it. No vLLM is started."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from latticework.adapters.vllm import seams
from latticework.adapters.vllm.seams import SEAMS, Seam, check, on_import, wrap

HEAVY = ("numba", "llvmlite", "numpy", "torch", "pydantic", "vllm")


def python(code: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(path)} if path else {}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


def vllm_tree(root: Path, version: str = "0.32.5", source: str = "") -> Path:
    package = root / "vllm"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_version.py").write_text(f"__version__ = version = {version!r}\n")
    (package / "engine.py").write_text(source)
    return package


def test_installed_vllm_fits():
    findings = check()
    assert len(findings) == 1 + len(SEAMS)
    assert [finding for finding in findings if not finding.ok] == []


def test_checking_imports_nothing():
    done = python(
        "import sys; from latticework.adapters.vllm.seams import check; assert all(f.ok for f in check());"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_registering_imports_nothing_heavy():
    """vLLM forks its processes after this, and its CPU workers cannot start where numba is loaded."""
    done = python(
        "import sys; from latticework.adapters.vllm.plugin import register; register(); register();"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("version", ["0.31.9", "0.33.0", "1.0", "nightly"])
def test_unknown_version_is_one_finding(tmp_path, version):
    (finding,) = check(vllm_tree(tmp_path, version))
    assert not finding.ok
    assert "0.32.x" in finding.detail
    assert version in finding.detail


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("class Engine:\n    async def run(self, prompt, *, request_id): ...", None),
        ("class Engine:\n    def run(self, prompt, more, request_id=None): ...", None),
        ("class Engine:\n    def run(self, request_id, prompt): ...", "takes (self, request_id, prompt)"),
        ("class Engine:\n    def run(self, prompt): ...", "expected (prompt, request_id)"),
        ("class Engine:\n    run = None", "is not a function"),
        ("class Engine: ...", "has no Engine.run"),
        ("def Engine(): ...", "has no class Engine"),
    ],
)
def test_changed_source_is_found(tmp_path, source, problem):
    seam = Seam("search", "vllm.engine", "Engine.run", ("prompt", "request_id"), "to search")
    _, finding = check(vllm_tree(tmp_path, source=source), [seam])
    assert finding.ok == (problem is None)
    assert (problem or "to search") in finding.detail


def test_missing_module_is_found(tmp_path):
    _, finding = check(vllm_tree(tmp_path), [Seam("search", "vllm.gone", "f", (), "")])
    assert (finding.ok, finding.detail) == (False, "there is no module vllm.gone")


def test_on_unknown_vllm_nothing_is_patched(tmp_path):
    vllm_tree(tmp_path, "0.99.0")
    done = python(
        "import sys, logging; logging.basicConfig();"
        "from latticework.adapters.vllm.plugin import register; register();"
        "print(sum(type(f).__module__.startswith('latticework') for f in sys.meta_path))",
        tmp_path,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0")
    assert done.stderr.count("latticework is installed but not active") == 1
    assert "0.99.0" in done.stderr


@pytest.fixture
def module_name(tmp_path, monkeypatch):
    name = f"hooked_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("def greet():\n    return 'hello'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def louder(original):
    return lambda: original() + "!"


def patch(module: ModuleType) -> None:
    wrap(module, "greet", louder)


def test_patches_wait_for_the_import(module_name):
    on_import(module_name, patch)
    assert module_name not in sys.modules
    assert importlib.import_module(module_name).greet() == "hello!"


def test_patches_apply_to_loaded_modules_at_once(module_name):
    module = importlib.import_module(module_name)
    on_import(module_name, patch)
    assert module.greet() == "hello!"


def test_patching_twice_has_no_effect(module_name):
    on_import(module_name, patch)
    on_import(module_name, patch)
    module = importlib.import_module(module_name)
    on_import(module_name, patch)
    patch(module)
    assert module.greet() == "hello!"


def test_different_wrappers_stack(module_name):
    def politer(original):
        return lambda: original() + " please"

    module = importlib.import_module(module_name)
    for wrapper in (louder, politer, louder):
        wrap(module, "greet", wrapper)
    assert module.greet() == "hello! please"


def test_hooked_module_keeps_its_own_loader(module_name):
    on_import(module_name, patch)
    module = importlib.import_module(module_name)
    assert "def greet" in inspect.getsource(module)
    assert not type(module.__loader__).__module__.startswith("latticework")
    assert module.__spec__.loader is module.__loader__


def test_failing_patch_is_logged_and_isolated(module_name, caplog):
    def broken(module: ModuleType) -> None:
        raise RuntimeError("no such thing")

    on_import(module_name, broken)
    on_import(module_name, patch)
    assert importlib.import_module(module_name).greet() == "hello!"
    assert "could not hook" in caplog.text


def test_concurrent_imports_are_patched_once(module_name):
    calls = []
    on_import(module_name, lambda module: calls.append(module.__name__))
    threads = [threading.Thread(target=importlib.import_module, args=(module_name,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [module_name]


def test_every_seam_says_what_it_is_for():
    assert all(seam.why and seam.capability for seam in seams.SEAMS)
