"""``latticework doctor --wheel``, on wheels made of the installed vLLM's own source and of nothing."""

import importlib.util
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from latticework.adapters.cli.doctor_wheel import WheelError, check_wheel
from latticework.adapters.cli.main import app
from latticework.adapters.vllm.seams import SEAMS

SERVER = "vllm/v1/structured_output/__init__.py"


@pytest.fixture
def sources() -> dict[str, str]:
    """The files that our table names."""
    spec = importlib.util.find_spec("vllm")
    if spec is None:
        pytest.skip("vLLM is not installed")
    root = Path(spec.submodule_search_locations[0])
    found = {}
    for module in {seam.module for seam in SEAMS}:
        path = root.joinpath(*module.split(".")[1:])
        path = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        found[f"vllm/{path.relative_to(root)}"] = path.read_text()
    return found


def wheel(folder: Path, files: dict[str, str], version: str = "0.32.0") -> Path:
    path = folder / f"vllm-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("vllm/_version.py", f"__version__ = version = {version!r}\n")
    return path


def bad(file: Path) -> set[str]:
    return {check.name for check in check_wheel(file) if not check.ok}


def test_a_supported_release_is_fine(tmp_path, sources):
    assert bad(wheel(tmp_path, sources)) == set()


def test_what_is_gone_is_named(tmp_path, sources):
    name = "StructuredOutputManager.accept_tokens"
    changed = sources | {SERVER: sources[SERVER].replace("def accept_tokens", "def take_tokens")}
    assert bad(wheel(tmp_path, changed)) == {f"grammar: vllm.v1.structured_output.{name}"}
    del changed[SERVER]
    assert len(bad(wheel(tmp_path, changed))) == sum(seam.module == "vllm.v1.structured_output" for seam in SEAMS)


def test_other_parameters_are_named(tmp_path, sources):
    changed = sources[SERVER].replace("new_token_ids", "ids")
    found = [check for check in check_wheel(wheel(tmp_path, sources | {SERVER: changed})) if not check.ok]
    assert "new_token_ids" in found[0].detail


def test_a_new_release_is_looked_at_whole(tmp_path, sources):
    file = wheel(tmp_path, sources, "9.1.0")
    assert bad(file) == {"vllm: vLLM version"}
    assert len(check_wheel(file)) == len(SEAMS) + 2


def test_the_command_ends_with_a_status(tmp_path, sources):
    assert CliRunner().invoke(app, ["doctor", "--wheel", str(wheel(tmp_path, sources))]).exit_code == 0
    new = CliRunner().invoke(app, ["doctor", "--wheel", str(wheel(tmp_path, sources, "9.1.0")), "--json"])
    assert new.exit_code == 1
    assert '"ok": false' in new.stdout


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_wheel_is_refused(tmp_path, content):
    file = tmp_path / "some.whl"
    file.write_bytes(content)
    with pytest.raises(WheelError, match=r"some\.whl"):
        check_wheel(file)
    refused = CliRunner().invoke(app, ["doctor", "--wheel", str(file)])
    assert refused.exit_code == 2
    with pytest.raises(WheelError, match="no file"):
        check_wheel(tmp_path / "none.whl")


def test_nothing_is_written_outside(tmp_path, sources):
    inside = tmp_path / "inside"
    inside.mkdir()
    names = ["vllm/../../../escaped.py", "/vllm/absolute.py", "vllm/../escaped.py"]
    assert bad(wheel(inside, sources | dict.fromkeys(names, "x = 1"))) == set()
    assert not list(tmp_path.rglob("escaped.py"))
    assert not Path("/vllm/absolute.py").exists()


def test_source_that_unpacks_to_too_much_is_refused(tmp_path, sources, monkeypatch):
    monkeypatch.setattr("latticework.adapters.cli.doctor_wheel.MAX_SOURCE_BYTES", 1000)
    with pytest.raises(WheelError, match="source"):
        check_wheel(wheel(tmp_path, sources))


def test_source_that_does_not_parse_is_a_finding(tmp_path, sources):
    broken = sources | {SERVER: "def ("}
    assert any("does not parse" in check.detail for check in check_wheel(wheel(tmp_path, broken)) if not check.ok)
