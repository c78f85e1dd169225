"""The rules of the house: what is packaged, and who may import whom."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]

#: Imports point from a higher rank to the same or a lower one.
RANK = {"structured": 0, "speculative": 1, "plugins": 2, "bench": 3, "adapters": 4}
ENGINES = {"vllm", "sglang"}

SOURCES = sorted(path for folder in RANK for path in (ROOT / folder).rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in SOURCES]


def imported_modules(tree: ast.AST) -> set[str]:
    """Every absolute module name a file imports, wherever in the file, ``import_module("...")`` included."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            assert node.module is not None
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in {"import_module", "__import__"}:
                names.add(str(node.args[0].value))
    return names


def forbidden_imports(folder: str, modules: set[str]) -> set[str]:
    """Those of ``modules`` that a file in ``folder`` (relative to the root, with slashes) may not import."""
    top, *rest = folder.split("/")
    bad = set()
    for module in modules:
        first, *more = module.split(".")
        if first == "latticework" and more:
            if RANK.get(more[0], 99) > RANK[top]:
                bad.add(module)
        elif first in ENGINES:
            if top != "adapters" or (rest and rest[0] in ENGINES and rest[0] != first):
                bad.add(module)
        elif first in {"integration", "tests", *RANK}:
            bad.add(module)
    return bad


def test_every_subpackage_is_listed():
    with_code = {path.parent for path in SOURCES}
    assert all((folder / "__init__.py").exists() for folder in with_code)
    names = {"latticework." + ".".join(folder.relative_to(ROOT).parts) for folder in with_code}
    assert names == set(SETUPTOOLS["packages"])


def test_folders_are_mapped_under_the_import_name():
    assert SETUPTOOLS["package-dir"] == {f"latticework.{folder}": folder for folder in RANK}
    for folder in RANK:
        assert (ROOT / folder / "py.typed").exists()


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_imports_point_one_way(path):
    modules = imported_modules(ast.parse(path.read_text()))
    assert not forbidden_imports(path.parent.relative_to(ROOT).as_posix(), modules)


def test_the_import_rule_can_fail():
    assert forbidden_imports("structured/engines", {"latticework.speculative.draft"})
    assert forbidden_imports("speculative", {"latticework.plugins"})
    assert forbidden_imports("plugins", {"vllm.config"})
    assert forbidden_imports("adapters/vllm", {"sglang.srt"})
    assert forbidden_imports("adapters/cli", {"integration.server"})
    assert forbidden_imports("plugins", {"structured.spec"})
    assert not forbidden_imports("adapters/vllm", {"vllm.config", "latticework.structured", "numpy"})
    assert imported_modules(ast.parse("def f():\n import importlib\n importlib.import_module('vllm.x')")) == {
        "importlib",
        "vllm.x",
    }


def entry_points() -> list[tuple[str, str]]:
    groups = {"console_scripts": PROJECT["project"]["scripts"], **PROJECT["project"]["entry-points"]}
    return [(f"{group}:{name}", target) for group, names in groups.items() for name, target in names.items()]


@pytest.mark.parametrize(("name", "target"), entry_points(), ids=[name for name, _ in entry_points()])
def test_entry_points_name_something_that_exists(name, target):
    module, _, attribute = target.partition(":")
    path = ROOT.joinpath(*module.split(".")[1:])
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    defined = set()
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            defined |= {alias.asname or alias.name for alias in node.names}
    assert attribute in defined


def test_the_papers_are_there():
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/index.md"):
        assert (ROOT / name).stat().st_size > 200, name


def test_every_dependency_is_explained():
    extras = PROJECT["project"]["optional-dependencies"].values()
    requirements = [*PROJECT["project"]["dependencies"], *(name for extra in extras for name in extra)]
    page = (ROOT / "docs" / "dependencies.md").read_text()
    names = {re.match(r"[A-Za-z0-9-]+", requirement).group() for requirement in requirements}
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_wheel_contains_only_latticework(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in (*RANK, "integration", "tests"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "cpu_vllm"))
    build = "import setuptools.build_meta as b; b.build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = source.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    data = [path for folder in RANK for ending in ("json", "txt") for path in (ROOT / folder).rglob(f"*.{ending}")]
    expected = {f"latticework/{path.relative_to(ROOT).as_posix()}" for path in (*SOURCES, *data)}
    assert names == expected | {f"latticework/{folder}/py.typed" for folder in RANK}
