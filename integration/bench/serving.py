"""Engines compared as they serve: starts a server for each that is needed and runs ``latticework bench serve`` on them.

    python -m integration.bench.serving --engine vllm --dtype float32 --arms none,ngram,guided --concurrency 8

Arms are the stock engine (``none``), its own drafters (vLLM: ``ngram``, ``suffix``; SGLang: ``ngram``), latticework
without drafts (``off``) and with one of its drafters (any other name). Arms of latticework share one server; vLLM's
with ``+trees`` behind the name (``fusion+trees``) share another, which verifies whole trees. What is not known here
goes to ``latticework bench serve``; see its ``--help``.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from rich.console import Console

from integration.bench.overhead import machine
from integration.launch import Engine, ServerConfig, ServerError
from integration.server import ENGINES, engine_slot, serve
from integration.sglang_server import speculation
from integration.vllm_server import STRUCTURED_OUTPUTS, proposer

#: Behind the name of a drafter: its trees are verified whole.
TREES = "trees"


def stock_arms(engine: Engine, tokens: int) -> Mapping[str, ServerConfig]:
    """The engine without latticework: plain, and with each drafter of its own, ``tokens`` drafted tokens a step."""
    if engine.name == "vllm":
        flags = {
            "ngram": f'{{"method": "ngram", "num_speculative_tokens": {tokens}, "prompt_lookup_max": 8}}',
            "suffix": f'{{"method": "suffix", "num_speculative_tokens": {tokens}}}',
        }
        own = {name: engine.stock.with_flags("--speculative-config", flag) for name, flag in flags.items()}
    else:
        count = ("--speculative-num-draft-tokens", str(tokens + 1))
        own = {"ngram": engine.stock.with_flags("--speculative-algorithm", "NGRAM", *count)}
    return {"none": engine.stock, **own}


def our_server(engine: Engine, tokens: int) -> ServerConfig:
    """The engine with latticework, ``tokens`` drafted tokens a step."""
    if engine.name == "vllm":
        return engine.installed.with_flags(*STRUCTURED_OUTPUTS, *proposer(tokens))
    return engine.constraining.with_flags(*speculation(tokens))


def main() -> int:
    """Start the servers, run the benchmark, stop them."""
    parser = argparse.ArgumentParser(prog="python -m integration.bench.serving", description=__doc__)
    parser.add_argument("--engine", choices=list(ENGINES), default="vllm")
    parser.add_argument("--arms", default="none,ngram,off,auto,fusion,guided", help="comma-separated, the base first")
    parser.add_argument("--tokens", type=int, default=8, help="most drafted tokens a step, in every arm")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--model", default="", help="folder of a model (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--logs", type=Path, help="keep the servers' logs in this folder")
    parser.add_argument("--python-path", default="", help="folder with packages that a stock drafter needs")
    parser.add_argument("--environment", action="append", default=[], help="NAME=VALUE for latticework's server")
    arguments, passed_on = parser.parse_known_args()
    console, engine = Console(stderr=True), ENGINES[arguments.engine]
    stock, ours = stock_arms(engine, arguments.tokens), our_server(engine, arguments.tokens)
    ours = replace(ours, environment=tuple(tuple(pair.split("=", 1)) for pair in arguments.environment))
    urls: dict[ServerConfig, str] = {}
    arms: list[str] = []
    try:
        with engine_slot(console), ExitStack() as running:
            for name in arguments.arms.split(","):
                drafter, _, shape = name.partition("+")
                config = replace(stock.get(name, ours), model=arguments.model, dtype=arguments.dtype)
                if shape == TREES:
                    config = replace(config, environment=(*config.environment, ("LATTICEWORK_DRAFTER__TREES", "true")))
                if name in stock and arguments.python_path:
                    config = replace(config, environment=(("PYTHONPATH", arguments.python_path),))
                if config not in urls:
                    log = arguments.logs / f"{name}.log" if arguments.logs else None
                    server = running.enter_context(serve(config, console=console, exclusive=False, log=log))
                    urls[config] = server.url
                option = "" if name in stock else f",lw_drafter={drafter}"
                arms += ["--arm", f"{name},url={urls[config]}{option}"]
            console.print(_title(engine, arguments.dtype, arguments.tokens), markup=False)
            command = [str(Path(sys.executable).with_name("latticework")), "bench", "serve", *arms, *passed_on]
            return subprocess.run(command, check=False).returncode
    except ServerError as error:
        console.print(f"error: {error}", markup=False, style="red")
        return 1


def _title(engine: Engine, dtype: str, tokens: int) -> str:
    version = ""
    with contextlib.suppress(metadata.PackageNotFoundError):  # it may live in another environment than this process
        version = metadata.version(engine.distribution)
    return f"{engine.title} {version}, {dtype}, at most {tokens} drafted tokens a step, {machine()}"


if __name__ == "__main__":
    sys.exit(main())
