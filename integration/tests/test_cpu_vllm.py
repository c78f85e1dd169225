"""CPU support for vLLM: the stand-in distribution and the repair of sampled speculation."""

import os
import subprocess
import sys
import types
import venv
from importlib import metadata
from pathlib import Path

import pytest

from integration.model import model_path

shim = pytest.importorskip("latticework_vllm_cpu.shim", reason="the CPU support package is not installed")

REAL_METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def put_distribution(site: Path, name: str, version: str) -> Path:
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(REAL_METADATA.format(name=name, version=version))
    return folder


@pytest.fixture
def site(tmp_path):
    put_distribution(tmp_path, "vllm-cpu", "0.32.0")
    return tmp_path


def test_shim_round_trip(site):
    before = sorted(site.rglob("*"))
    folder = shim.install(site)
    assert shim.installed_version(site) == "0.32.0+cpu"
    found = next(iter(metadata.distributions(name="vllm", path=[str(site)])))
    assert {str(file) for file in found.files} == {
        f"{folder.name}/{name}" for name in ("METADATA", "INSTALLER", "RECORD")
    }
    assert all(file.locate().exists() for file in found.files)
    shim.install(site)
    assert shim.remove(site)
    assert sorted(site.rglob("*")) == before
    assert not shim.remove(site)


def test_shim_follows_the_wheel(site):
    stale = shim.install(site)
    (site / "vllm_cpu-0.32.0.dist-info" / "METADATA").write_text(
        REAL_METADATA.format(name="vllm-cpu", version="0.33.0")
    )
    shim.install(site)
    assert shim.installed_version(site) == "0.33.0+cpu"
    assert not stale.exists()


def test_real_vllm_is_never_touched(site):
    real = put_distribution(site, "vllm", "0.32.0")
    with pytest.raises(shim.ShimError, match=r"a real vllm 0\.32\.0"):
        shim.install(site)
    assert not shim.remove(site)
    assert (real / "METADATA").exists()


def test_nothing_without_the_wheel(tmp_path):
    with pytest.raises(shim.ShimError, match="vllm-cpu is not installed"):
        shim.install(tmp_path)


def test_pip_can_uninstall_the_shim(tmp_path):
    venv.create(tmp_path, with_pip=False)
    (site,) = tmp_path.glob("lib/python*/site-packages")
    put_distribution(site, "vllm-cpu", "0.32.0")
    folder = shim.install(site)
    python = str(tmp_path / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--isolated", "--python", python]
    subprocess.run([*pip, "uninstall", "--yes", "vllm"], check=True)
    assert not folder.exists()
    assert (site / "vllm_cpu-0.32.0.dist-info" / "METADATA").exists()


def broken(x, cu_num_tokens, num_tokens, replace_from=0, replace_to=0):
    """What vLLM 0.32 does on CPU: memory nobody wrote to (here: zeros)."""
    return x.new_zeros(num_tokens)


def module_with(function):
    module = types.ModuleType("rejection_sampler")
    module.expand_batch_to_tokens = function
    return module


def test_broken_function_is_replaced_at_the_first_call():
    import torch

    from latticework_vllm_cpu import expansion

    module = module_with(broken)
    expansion.guard(module)
    expansion.guard(module)
    arguments = (torch.tensor([0.5, 0.0]), torch.tensor([1, 3], dtype=torch.int32), 3)
    assert module.expand_batch_to_tokens(*arguments, replace_from=0, replace_to=1).tolist() == [0.5, 1.0, 1.0]
    assert module.expand_batch_to_tokens is expansion.expand_batch_to_tokens


def test_working_function_is_left_alone():
    import torch

    from latticework_vllm_cpu import expansion

    def working(x, cu_num_tokens, num_tokens, replace_from=0, replace_to=0):
        return expansion.expand_batch_to_tokens(x, cu_num_tokens, num_tokens, replace_from, replace_to)

    module = module_with(working)
    expansion.guard(module)
    module.expand_batch_to_tokens(torch.tensor([2]), torch.tensor([2], dtype=torch.int32), 2)
    assert module.expand_batch_to_tokens is working
    expansion.guard(module)
    expansion.guard(module_with(expansion.expand_batch_to_tokens))


def test_unknown_signature_is_left_alone():
    from latticework_vllm_cpu import expansion

    def other(x, counts):
        return x

    module = module_with(other)
    expansion.guard(module)
    assert module.expand_batch_to_tokens is other


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "float64"])
def test_replacement_expands(dtype):
    import torch

    from latticework_vllm_cpu.expansion import expand_batch_to_tokens

    x = torch.tensor([7, 0, 3, 9], dtype=getattr(torch, dtype))
    cumulative = torch.tensor([1, 1, 4, 6], dtype=torch.int32)  # the second request has no drafted tokens
    expanded = expand_batch_to_tokens(x, cumulative, 6, replace_from=9, replace_to=-1)
    assert expanded.tolist() == [7, 3, 3, 3, -1, -1]
    assert expanded.dtype == x.dtype


def test_status_is_empty_without_the_wheel(monkeypatch):
    from latticework_vllm_cpu import status

    monkeypatch.setattr(status.shim, "WHEEL", "no-such-wheel")
    assert status.status() == []


def test_registering_imports_nothing_heavy():
    code = (
        "import sys; from latticework_vllm_cpu.plugin import register; register(); register();"
        "assert not {'torch', 'vllm'} & set(sys.modules); assert len([f for f in sys.meta_path"
        " if type(f).__name__ == '_OnImport']) == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.engine
def test_installed_vllm_is_detected_and_repaired():
    """In a fresh process: the bug is there, and after vLLM's own start-up sequence the function is right."""
    pytest.importorskip("vllm", reason="vLLM is not installed")
    code = """
import torch
from latticework_vllm_cpu import plugin, status
plugin.register()
from vllm.v1.sample import rejection_sampler
from vllm.platforms import current_platform
current_platform.register_triton_kernel_overrides()
assert hasattr(rejection_sampler.expand_batch_to_tokens, "guarded")
assert status.speculation_bug_present()
x = torch.tensor([0.8, 0.0, 0.5]); cumulative = torch.tensor([2, 5, 6], dtype=torch.int32)
for _ in range(2):
    y = rejection_sampler.expand_batch_to_tokens(x, cumulative, 6, replace_from=0, replace_to=1)
    torch.testing.assert_close(y, torch.tensor([0.8, 0.8, 1, 1, 1, 0.5]))
assert status.speculation_bug_present()
"""
    if metadata.version("vllm-cpu") != "0.32.0":
        pytest.skip("the bug is known to be in vllm-cpu 0.32.0")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def runner_with(discarded, seed=3):
    """As much of a model runner as the guard touches, with one request whose token may be thrown away."""
    import numpy as np
    import torch

    class GPUModelRunner:
        def __init__(self):
            batch = types.SimpleNamespace(num_reqs=1, generators={0: torch.Generator().manual_seed(seed)})
            self.input_batch = batch
            self.discard_request_mask = types.SimpleNamespace(np=np.array([discarded]))

        def _sample(self):
            return torch.rand(1, generator=self.input_batch.generators[0]).item()

        def _bookkeeping_sync(self):
            for row in np.flatnonzero(self.discard_request_mask.np):
                if (generator := self.input_batch.generators.get(int(row))) is not None:
                    generator.set_offset(generator.get_offset() - 4)

    return GPUModelRunner


def test_thrown_away_token_leaves_a_seeded_request_as_it_was():
    from latticework_vllm_cpu import seeds

    draws = {}
    for discarded in (True, False):
        module = types.ModuleType("gpu_model_runner")
        module.GPUModelRunner = runner_with(discarded)
        seeds.guard(module)
        seeds.guard(module)
        runner = module.GPUModelRunner()
        draws[discarded] = []
        for _ in range(2):
            draws[discarded].append(runner._sample())
            runner._bookkeeping_sync()
        assert list(runner.input_batch.generators) == [0]
    assert draws[True][0] == draws[True][1] == draws[False][0]
    assert draws[False][0] != draws[False][1]


@pytest.mark.engine
@pytest.mark.long
def test_seeded_request_with_a_long_prompt(exclusive_engine, tmp_path):
    """Stock vLLM's engine dies of this on a CPU: a seeded request whose prompt is read in chunks."""
    pytest.importorskip("vllm", reason="vLLM is not installed")
    code = """
import sys
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    llm = LLM(sys.argv[1], dtype="float32", enforce_eager=True, max_model_len=512, max_num_batched_tokens=64)
    sampling = SamplingParams(seed=11, temperature=1.0, max_tokens=8)
    prompt = "one two three four five six seven eight nine ten " * 20
    first, second = (llm.generate(prompt, sampling, use_tqdm=False)[0].outputs[0].token_ids for _ in range(2))
    assert len(first) == 8 and list(first) == list(second), (first, second)
"""
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    script = tmp_path / "seeded.py"
    script.write_text(code)
    subprocess.run([sys.executable, str(script), str(model_path())], check=True, timeout=240, env=environment)
