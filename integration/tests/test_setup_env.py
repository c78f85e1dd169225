"""Setting up: continues after a broken download, falls back for torch, and says plainly what is wrong."""

import sys

import pytest

from integration import setup_env
from integration.setup_env import TORCH_INDEX, Environment, SetupError


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment whose pip is a list of prepared answers; ``calls`` records what it was asked."""
    monkeypatch.setattr(setup_env.time, "sleep", lambda seconds: None)
    made = Environment(tmp_path / "venv")
    made.folder.mkdir()
    made.calls, made.answers = [], []

    def pip(*arguments, capture_errors=False):
        made.calls.append(arguments)
        return made.answers.pop(0) if made.answers else (0, "")

    monkeypatch.setattr(made, "_pip", pip)
    return made


def test_torch_from_the_configured_index(environment):
    environment.install_torch()
    assert len(environment.calls) == 1
    assert TORCH_INDEX not in environment.calls[0]


def test_torch_from_its_own_index_when_not_found(environment):
    environment.answers = [(1, "ERROR: No matching distribution found for torch==2.13.0+cpu")]
    environment.install_torch()
    assert environment.calls[1][-1] == TORCH_INDEX


def test_torch_is_tried_again_where_it_was_found(environment, capsys):
    environment.answers = [(1, "ReadTimeoutError")]
    environment.install_torch()
    assert len(environment.calls) == 2
    assert TORCH_INDEX not in environment.calls[1]
    assert "ReadTimeoutError" in capsys.readouterr().err


def test_download_that_breaks_off_is_tried_again(environment):
    environment.answers = [(1, ""), (1, "")]
    environment.install("something")
    assert environment.calls == [("something",)] * 3


def test_giving_up_says_how_to_continue(environment):
    environment.answers = [(1, "")] * setup_env.ATTEMPTS
    with pytest.raises(SetupError, match="pip install something failed; run the same command again"):
        environment.install("something")


def test_environment_is_current_until_what_it_contains_changes(environment, monkeypatch):
    environment.python.parent.mkdir()
    environment.python.symlink_to(sys.executable)
    assert not environment.is_current()
    environment.finish()
    assert environment.is_current()
    monkeypatch.setattr(setup_env, "fingerprint", lambda: "other pins")
    assert not environment.is_current()


def test_environment_with_a_dead_interpreter_is_not_current(environment):
    environment.finish()
    environment.python.parent.mkdir()
    environment.python.symlink_to("/no/such/python")
    assert not environment.is_current()


@pytest.mark.parametrize("engine", setup_env.FOLDERS)
def test_broken_off_setup_is_not_complete(tmp_path, monkeypatch, engine):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(setup_env, "link_typed_folders", lambda: None)
    monkeypatch.setattr(Environment, "create", lambda self: None)
    monkeypatch.setattr(Environment, "install", lambda self, *arguments: None)
    monkeypatch.setattr(Environment, "install_torch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        setup_env.set_up(engine, tmp_path)
    assert not Environment(tmp_path).stamp.exists()


def test_what_pins_cuda_wheels_is_installed_without_its_dependencies(environment):
    environment.run = lambda *arguments: None
    for _, step in setup_env.sglang_steps(environment):
        step()
    (with_sglang,) = [call for call in environment.calls if any(part.startswith("sglang==") for part in call)]
    assert "--no-deps" in with_sglang


def test_one_command_sets_up_every_engine(monkeypatch):
    made = []
    monkeypatch.setattr(setup_env, "set_up", lambda engine, folder: made.append((engine, folder.name)))
    monkeypatch.setattr(sys, "argv", ["setup_env.py"])
    assert setup_env.main() == 0
    assert made == [("vllm", ".venv"), ("sglang", ".venv-sglang")]
    monkeypatch.setattr(sys, "argv", ["setup_env.py", "sglang"])
    assert setup_env.main() == 0
    assert made[2:] == [("sglang", ".venv-sglang")]


def test_folders_are_those_the_servers_look_in():
    from integration.server import ENGINES

    assert {name: engine.environment_folder for name, engine in ENGINES.items()} == setup_env.FOLDERS


def test_unknown_engine_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["setup_env.py", "tensorrt"])
    assert setup_env.main() == 1
    assert "tensorrt" in capsys.readouterr().err


def test_old_python_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    assert setup_env.main() == 1
    assert "Python 3.11 or newer is needed" in capsys.readouterr().err
