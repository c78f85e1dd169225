"""The command lines of the deployment guide, read by the engines' own parsers. No engine is started."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine  # needs the package of each, and starts none

DEPLOYMENT = Path(__file__).resolve().parents[2] / "docs" / "deployment"
CONTAINERFILE = (DEPLOYMENT / "Containerfile").read_text()


def command(engine: str) -> list[str]:
    """The arguments of a container."""
    stage = CONTAINERFILE.split(f" AS {engine}\n")[1].split("\nFROM ")[0]
    form = re.search(r"^CMD (.+)", re.sub(r"\\\n", " ", stage), re.MULTILINE)
    assert form is not None
    found: list[str] = json.loads(form[1])
    return found


def kubernetes() -> list[str]:
    """Those of the manifests."""
    yaml = pytest.importorskip("yaml")
    objects = yaml.safe_load_all((DEPLOYMENT / "kubernetes" / "engine.yaml").read_text())
    (found,) = [
        one["spec"]["template"]["spec"]["containers"][0]["args"] for one in objects if one["kind"] == "StatefulSet"
    ]
    return list(found)


@pytest.mark.parametrize("where", ["container", "kubernetes"])
def test_vllm_takes_them(where: str) -> None:
    arguments = pytest.importorskip("vllm.utils.argparse_utils", reason="needs vLLM")
    from vllm.entrypoints.launchers.cli_args import make_arg_parser

    from latticework.adapters.vllm import options

    parser = make_arg_parser(arguments.FlexibleArgumentParser())
    parsed: Any = parser.parse_args(["--model", *(command("vllm") if where == "container" else kubernetes())])
    assert (parsed.model, parsed.host, parsed.port, parsed.served_model_name) == (
        *("/models/model", "0.0.0.0", 8000),
        ["model"],
    )
    outputs, speculation = parsed.structured_outputs_config, parsed.speculative_config
    assert (outputs["backend"] if isinstance(outputs, dict) else outputs.backend) == "latticework"
    assert speculation["method"] == "custom_class"
    assert speculation["model"] == options._PROPOSER


#: Registered as SGLang registers its plugins before it reads its command line; in a process of its own: it changes it.
_READ = """
import argparse, json, sys
from latticework.adapters.sglang.plugin import register
register()
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser()
ServerArgs.add_cli_args(parser)
print(json.dumps({key: value for key, value in vars(parser.parse_args(sys.argv[1:])).items() if key in %r}))
"""


def test_sglang_takes_them() -> None:
    pytest.importorskip("sglang.srt.server_args", reason="needs SGLang")
    expected = {
        "model_path": "/models/model",
        "host": "0.0.0.0",
        "port": 8000,
        "enable_metrics": True,
        "grammar_backend": "latticework",
        "speculative_algorithm": "LATTICEWORK",
    }
    run = [sys.executable, "-c", _READ % list(expected), *command("sglang")]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == expected
