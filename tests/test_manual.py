"""The manual builds without a warning, and the commands it tells people to type exist with these flags."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from integration.capabilities import ROOT
from latticework.adapters.cli.main import app
from latticework.adapters.sglang import grammar as sglang_grammar
from latticework.adapters.sglang import speculation
from latticework.adapters.vllm import grammar as vllm_grammar
from latticework.adapters.vllm import options as vllm_options

DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
#: Flags of the engines' own that pages use beside ours. Read in vLLM 0.32 and SGLang 0.5.23.
ENGINE_FLAGS = {
    "vllm serve": {"--structured-outputs-config", "--speculative-config"},
    "sglang.launch_server": {
        *("--model-path", "--enable-metrics", "--grammar-backend", "--speculative-algorithm"),
        "--cuda-graph-backend-decode",
    },
}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manual, built as ``make docs`` does: a broken link, anchor or snippet or a page outside the menu ends it."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return site


def test_the_manual_builds_strictly(built: Path) -> None:
    for page in DOCS.glob("*.md"):
        folder = built if page.stem == "index" else built / page.stem
        assert (folder / "index.html").stat().st_size > 1000, page.name


def test_pages_show_the_source_of_the_examples(built: Path) -> None:
    shown = (built / "writing-plugins" / "index.html").read_text(encoding="utf-8")
    assert "--8&lt;--" not in shown
    for name in ("SuccessorDrafter", "NoRepeatSession", "ListedAnswerPlugin", "ShortestOptions"):
        assert name in shown


def test_files_outside_the_manual_link_to_what_is_there() -> None:
    for page in (path for path in PAGES if path.parent == ROOT):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


def commands() -> Iterator[tuple[str, str]]:
    """Every command line of the pages, whole, with its page."""
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
        for line in _code_lines(text):
            line = re.sub(r"(\s+#|\s{2,}lw_).*", "", line.strip().removeprefix("$ "))
            if re.match(r"(\S*/)?latticework \w|make \w|vllm serve|python -m sglang", line):
                yield page.name, line


def _code_lines(text: str) -> Iterator[str]:
    """The lines of fenced blocks of commands, and of indented blocks."""
    fence = ""
    for line in text.splitlines():
        if line.startswith("```"):
            fence = "" if fence else line
        elif fence in ("```", "```console", "```bash") or (not fence and line.startswith("    ")):
            yield line


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_commands_exist_with_these_flags(page: str, command: str) -> None:
    words = shlex.split(command)
    if words[0].endswith("latticework"):
        _check_ours(words[1:])
    elif words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    else:
        engine = "vllm serve" if words[0] == "vllm" else "sglang.launch_server"
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert flags <= ENGINE_FLAGS[engine]


def _check_ours(words: list[str]) -> None:
    """Raise unless the words name a command, and its own options."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words, f"{command.name} needs a command"
        command = command.commands[words.pop(0)]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_the_commands_of_the_pages_are_found() -> None:
    found = [command for _, command in commands()]
    for wanted in ("latticework doctor", "make demo", "vllm serve", "python -m sglang", "latticework bench serve"):
        assert any(wanted in command for command in found), wanted
    with pytest.raises((AssertionError, KeyError)):
        _check_ours(["bench", "serve", "--no-such-flag"])


def test_the_flags_of_the_start_pages_are_those_that_errors_name() -> None:
    for page in (ROOT / "README.md", DOCS / "quickstart.md"):
        text = " ".join(page.read_text(encoding="utf-8").replace("\\\n", " ").split())
        ours = (vllm_grammar.FLAG, vllm_options._PROPOSER_FLAG, sglang_grammar.FLAG, speculation.FLAG)
        assert [flag for flag in ours if flag not in text] == [], page.name


def test_numbers_of_the_readme_are_in_the_benchmarks() -> None:
    """The table is copied from there: whoever measures anew changes both."""
    readme, benchmarks = ((ROOT / name).read_text() for name in ("README.md", "docs/benchmarks.md"))
    table = re.search(r"<!-- numbers: begin.*?-->(.*?)<!-- numbers: end -->", readme, re.DOTALL)
    assert table is not None
    rows = [line for line in table[1].splitlines() if line.startswith("|")][2:]
    numbers = re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)", re.sub(r"`[^`]*`|\([^)]*\)", "", "\n".join(rows)))
    known = set(re.findall(r"\d+(?:\.\d+)?", benchmarks))
    assert len(numbers) >= 8
    assert [number for number in numbers if number not in known] == []
