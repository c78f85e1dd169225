"""The command line: fast to start, survives whatever it looks at, and says no by its exit status."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from latticework.adapters.cli import doctor
from latticework.adapters.cli.doctor import Check
from latticework.adapters.cli.main import app
from latticework.plugins import registry
from latticework.plugins.base import Role
from latticework.plugins.settings import load_settings


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_importing_the_command_imports_nothing_heavy():
    code = (
        "import sys; import latticework.adapters.cli.main;"
        "assert not {'torch', 'vllm', 'transformers', 'numpy', 'numba', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_names_the_commands(run):
    result = run("--help")
    assert result.exit_code == 0
    assert "doctor" in result.output
    assert "plugins" in result.output


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_doctor_says_no_by_its_exit_status(run, monkeypatch, ok, status):
    checks = [
        Check("engine", "vllm", True, "vllm 0.32.0"),
        Check("seam", "grammar: manager", ok, "x[0] is gone"),
    ]
    monkeypatch.setattr(doctor, "collect", lambda: checks)
    result = run("doctor")
    assert result.exit_code == status
    assert "x[0] is gone" in result.output
    result = run("doctor", "--json")
    assert result.exit_code == status
    assert json.loads(result.stdout) == {"ok": ok, "checks": [vars(check) for check in checks]}


def test_a_check_that_raises_is_a_failed_check(monkeypatch):
    def fail():
        raise RuntimeError("engine is upside down")

    monkeypatch.setattr(doctor, "_seams", lambda engine: fail())
    monkeypatch.setattr(doctor, "_cpu_support", lambda engine: [])
    failed = [check for check in doctor.collect() if check.area == "seam"]
    assert failed == [Check("seam", name, False, "RuntimeError: engine is upside down") for name in ("vLLM", "SGLang")]


def test_output_of_an_engine_does_not_reach_stdout(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_seams", lambda engine: print("chatter") or [])
    monkeypatch.setattr(doctor, "_cpu_support", lambda engine: [])
    doctor.collect()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "chatter" in captured.err


def test_broken_plugin_fails_the_doctor(monkeypatch):
    def broken():
        raise ImportError("no such module")

    found = registry.Registry({Role.DRAFTER: {"mine": broken}})
    monkeypatch.setattr(registry, "registry", lambda: found)
    assert Check("plugin", "drafter: mine", False, "ImportError: no such module") in doctor._plugins()


@pytest.fixture
def fresh_settings():
    """Settings are read once in a process: forget them before the test and after it."""
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def test_bad_settings_fail_the_doctor(monkeypatch, tmp_path, fresh_settings):
    monkeypatch.setenv("LATTICEWORK_CONFIG", str(tmp_path / "absent.toml"))
    (check,) = doctor._guarded("settings", "deployment settings", doctor._settings)
    assert not check.ok
    assert "absent.toml" in check.detail


def test_a_folder_for_traces_that_is_not_there_fails_the_doctor(monkeypatch, tmp_path, fresh_settings):
    monkeypatch.setenv("LATTICEWORK_TRACE__DIRECTORY", str(tmp_path))
    assert doctor._settings()[-1] == Check("settings", "trace.directory", True, str(tmp_path))
    load_settings.cache_clear()
    monkeypatch.setenv("LATTICEWORK_TRACE__DIRECTORY", str(tmp_path / "missing"))
    assert not doctor._settings()[-1].ok


def test_default_that_names_nothing_fails_the_doctor(monkeypatch, fresh_settings):
    monkeypatch.setenv("LATTICEWORK_DRAFTER__DEFAULT", "psychic")
    (check,) = doctor._guarded("settings", "deployment settings", doctor._settings)
    assert not check.ok
    assert "drafter.default" in check.detail


@pytest.mark.parametrize("engine", doctor.ENGINES, ids=lambda engine: engine.title)
@pytest.mark.parametrize(("allowed", "ok"), [(None, True), ("", None), ("other", False), ("other,latticework", True)])
def test_an_engine_told_not_to_load_us(monkeypatch, engine, allowed, ok):
    if allowed is None:
        monkeypatch.delenv(engine.variable, raising=False)
    else:
        monkeypatch.setenv(engine.variable, allowed)
    # Set and empty, the variable means "none" to vLLM and "all" to SGLang.
    assert doctor._loaded_by(engine).ok is (engine.title == "SGLang" if ok is None else ok)


def test_both_engines_are_reported_whether_they_are_there_or_not():
    found = {check.name: check.detail for check in doctor._engines()}
    assert {"vLLM", "SGLang"} <= found.keys()
    for engine in doctor.ENGINES:
        there = any(doctor._version(name) for name in engine.distributions)
        assert (found[engine.title] == "not installed here") is not there


def test_cpu_support_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "1.0+cpu")
    known = {"vllm", "sglang"}
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: object() if name in known else None)
    details = [check.detail for engine in doctor.ENGINES for check in doctor._cpu_support(engine)]
    assert [detail.rpartition(" ")[2] for detail in details] == ["./integration/cpu_vllm", "./integration/cpu_sglang"]


def test_seams_are_listed_in_short_unless_one_is_missing(run, monkeypatch):
    checks = [
        Check("seam", "grammar: a", True, ""),
        Check("seam", "grammar: b", True, ""),
        Check("seam", "search: c", True, ""),
        Check("seam", "search: d", False, "is gone"),
    ]
    monkeypatch.setattr(doctor, "collect", lambda: checks)
    short = run("doctor").output
    assert "all 2 places found" in short
    assert "search: d" in short
    assert "grammar: a" not in short
    assert "grammar: a" in run("doctor", "--all").output


def test_plugins_lists_the_built_in_ones_with_their_options(run):
    entries = {(entry["role"], entry["name"]): entry for entry in json.loads(run("plugins", "--json").stdout)}
    assert {("engine", "lattice"), ("engine", "xgrammar"), ("engine", "llguidance")} <= entries.keys()
    assert {("drafter", "prompt_lookup"), ("drafter", "grammar"), ("search", "best_of_n")} <= entries.keys()
    options = {option["name"]: option for option in entries["drafter", "prompt_lookup"]["options"]}
    assert options["lw_drafter_max_match"]["type"].startswith("integer")
    table = run("plugins")
    assert table.exit_code == 0
    assert "lw_drafter_max_match" in table.output
    assert "lw_processor = fsd" in table.output
