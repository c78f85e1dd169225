"""CPU platform for SGLang: its plain-torch operations against brute force, and how it gets into an environment."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("latticework_sglang_cpu", reason="the CPU platform package is not installed")

from integration.server import ENGINES, Server
from latticework_sglang_cpu import plugin, sampling, slots, startup, status, tree
from latticework_sglang_cpu.tree_attention import attend, verification_masks

NONE = -1


@st.composite
def parents(draw, most: int = 7) -> list[int]:
    """A tree: the parent of every node, which comes before it; the root has none."""
    n = draw(st.integers(1, most))
    return [NONE, *(draw(st.integers(0, node - 1)) for node in range(1, n))]


def path_to(node: int, parent: list[int]) -> list[int]:
    """The node and its ancestors."""
    return [node, *(path_to(parent[node], parent) if parent[node] != NONE else [])]


def mask_of(parent: list[int]) -> torch.Tensor:
    n = len(parent)
    return torch.tensor([[j in path_to(i, parent) for j in range(n)] for i in range(n)])


def links_of(batch: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``retrieve_index``, ``retrieve_next_token`` and ``retrieve_next_sibling``, by looking at every other node."""
    n = len(batch[0])
    index = torch.arange(len(batch) * n).view(len(batch), n)

    def first(nodes: list[int]) -> int:
        return min(nodes, default=NONE)

    child = [[first([k for k in range(n) if p[k] == i]) for i in range(n)] for p in batch]
    sibling = [[first([k for k in range(i + 1, n) if p[k] == p[i] != NONE]) for i in range(n)] for p in batch]
    return index, torch.tensor(child), torch.tensor(sibling)


@given(st.lists(parents(5), min_size=1, max_size=3), st.integers(0, 9))
def test_links_of_a_tree_from_its_mask(batch, prefix):
    n = max(map(len, batch))
    # Shorter drafts are filled up with nodes that have no ancestors.
    batch = [[*parent, *[NONE] * (n - len(parent))] for parent in batch]
    lengths = torch.tensor([prefix + request for request in range(len(batch))])
    positions = torch.zeros(len(batch) * n, dtype=torch.int64)
    links = [torch.zeros(len(batch), n, dtype=torch.int64) for _ in range(3)]
    mask = torch.stack([mask_of(parent) for parent in batch]).flatten()
    tree.reconstruct_indices_from_tree_mask(mask, lengths, positions, *links, len(batch), n)
    for written, expected in zip(links, links_of(batch), strict=True):
        assert written.tolist() == expected.tolist()
    depths = [[len(path_to(node, parent)) - 1 for node in range(n)] for parent in batch]
    assert positions.view(-1, n).tolist() == (torch.tensor(depths) + lengths[:, None]).tolist()


def verify(function, batch, depth, **arguments):
    """Call a verification; returns what it wrote, one entry a request: ``(next token by node, visited nodes)``."""
    n = len(batch[0])
    index, child, sibling = links_of(batch)
    predicts = torch.full((len(batch) * n,), -7, dtype=torch.int32)
    accepted = torch.full((len(batch), depth), NONE, dtype=torch.int32)
    count = torch.empty(len(batch), dtype=torch.int32)
    function(predicts, accepted, count, arguments.pop("candidates"), index, child, sibling, **arguments)
    visited = [[node - request * n for node in row if node != NONE] for request, row in enumerate(accepted.tolist())]
    assert count.tolist() == [len(nodes) - 1 for nodes in visited]
    return [
        ({node: token for node, token in enumerate(row) if token != -7}, nodes)
        for row, nodes in zip(predicts.view(-1, n).tolist(), visited, strict=True)
    ]


@given(st.data(), parents(), st.integers(1, 7))
def test_greedy_verification_follows_the_models_choice(data, parent, depth):
    n, tokens = len(parent), st.integers(0, 2)
    token = data.draw(st.lists(tokens, min_size=n, max_size=n))
    choice = data.draw(st.lists(tokens, min_size=n, max_size=n))
    expected, node = [0], 0
    while len(expected) < depth:
        fitting = [k for k in range(n) if parent[k] == node and token[k] == choice[node]]
        if not fitting:
            break
        node = fitting[0]
        expected.append(node)
    tensors = {"candidates": torch.tensor([token, token]), "target_predict": torch.tensor([choice, choice])}
    for predicted, visited in verify(tree.verify_tree_greedy, [parent, parent], depth, **tensors):
        assert visited == expected
        assert predicted == {node: choice[node] for node in expected}


VOCABULARY = 5
QUARTERS = sorted(q for q in product(range(5), repeat=VOCABULARY) if sum(q) == 4)


def coins(steps: int) -> list[float]:
    """The middles of equal parts of ``[0, 1)``: a fair choice among things whose probabilities are such parts."""
    return [(step + 0.5) / steps for step in range(steps)]


@settings(max_examples=40, deadline=None)
@given(st.data(), parents(4), st.booleans())
def test_sampled_verification_has_exactly_the_models_distribution(data, parent, cut):
    """Every random number of a fine grid once: the shares are exact, no statistics needed."""
    n = len(parent)
    siblings = [[k for k in range(n) if parent[k] == node] for node in range(n)]
    token = [0] * n
    for nodes in siblings:
        distinct = data.draw(st.permutations(range(VOCABULARY)))
        for node, drafted in zip(nodes, distinct, strict=False):
            token[node] = drafted
    quarters = [data.draw(st.sampled_from(QUARTERS)) for _ in range(n)]
    finals = coins(math.lcm(1, 2, 3, 4))
    grid = list(product(*[coins(4)] * n, finals))
    results = verify(
        sampling.tree_speculative_sampling_target_only,
        [parent] * len(grid),
        depth=max(1, n - 1) if cut else n,
        candidates=torch.tensor([token] * len(grid)),
        uniform_samples=torch.tensor([row[:n] for row in grid]),
        uniform_samples_for_final_sampling=torch.tensor([row[n] for row in grid]),
        target_probs=(torch.tensor(quarters) / 4).expand(len(grid), n, VOCABULARY),
        draft_probs=torch.zeros(0),
    )
    for node in range(n):
        following = [predicted[node] for predicted, visited in results if node in visited]
        shares = [following.count(drafted) * 4 for drafted in range(VOCABULARY)]
        assert shares == [len(following) * quarter for quarter in quarters[node]]
    for predicted, visited in results:
        for earlier, later in pairwise(visited):
            assert parent[later] == earlier
            assert predicted[earlier] == token[later]


def test_sampled_verification_depends_on_its_random_numbers_alone():
    arguments = {
        "candidates": torch.tensor([[0, 1, 2]]),
        "uniform_samples": torch.tensor([[0.3, 0.9, 0.1]]),
        "uniform_samples_for_final_sampling": torch.tensor([0.4]),
        "target_probs": torch.full((1, 3, VOCABULARY), 0.2),
        "draft_probs": torch.zeros(0),
    }
    runs = [verify(sampling.tree_speculative_sampling_target_only, [[NONE, 0, 0]], 3, **arguments) for _ in range(3)]
    assert runs[0] == runs[1] == runs[2] == [({0: 2, 2: 2}, [0, 2])]


@pytest.mark.parametrize("coin", [0.0, 0.5, 1 - 2**-24])
def test_token_without_probability_is_never_sampled(coin):
    ((predicted, visited),) = verify(
        sampling.tree_speculative_sampling_target_only,
        [[NONE, 0]],
        depth=2,
        candidates=torch.tensor([[0, 0]]),
        uniform_samples=torch.tensor([[0.0, 0.0]]),
        uniform_samples_for_final_sampling=torch.tensor([coin]),
        target_probs=torch.tensor([0.0, 0.1, 0.9, 0.0]).expand(1, 2, 4),
        draft_probs=torch.zeros(0),
    )
    assert visited == [0]
    assert predicted[0] in (1, 2)


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6, unique=True), st.integers(1, 8), st.floats(0.01, 1.0))
def test_top_k_and_top_p_keep_the_most_probable(weights, k, p):
    probabilities = torch.tensor([weights], dtype=torch.float64)
    probabilities /= probabilities.sum()
    ranked = sorted(range(len(weights)), key=lambda token: -weights[token])

    def expected(kept: list[int]) -> list[float]:
        total = sum(weights[token] for token in kept)
        return [weights[token] / total if token in kept else 0.0 for token in range(len(weights))]

    by_k = sampling.top_k_renorm_prob(probabilities, torch.tensor([k]))[0]
    assert by_k.tolist() == pytest.approx(expected(ranked[:k]))
    by_p = sampling.top_p_renorm_prob(probabilities, torch.tensor([p], dtype=torch.float64))[0]
    kept = [token for token in ranked if by_p[token] > 0]
    assert by_p.tolist() == pytest.approx(expected(kept))
    assert kept == ranked[: len(kept)]
    mass = [probabilities[0, kept[:-1]].sum(), probabilities[0, kept].sum()]
    assert mass[0] <= p + 1e-9
    assert mass[1] >= p - 1e-9


@given(st.data(), st.integers(1, 3), st.integers(1, 4))
def test_slots_of_windows(data, batch, n):
    table = torch.arange(100, 150, dtype=torch.int32).view(5, 10)
    rows = data.draw(st.lists(st.integers(0, 4), min_size=batch, max_size=batch, unique=True))
    starts = data.draw(st.lists(st.integers(0, 10 - n), min_size=batch, max_size=batch))
    start = torch.tensor(starts)
    windows = slots.assign_extend_cache_locs(torch.tensor(rows), table, start, start + n, batch, n, "cpu")
    assert windows.tolist() == [int(table[r, s + i]) for r, s in zip(rows, starts, strict=True) for i in range(n)]
    assert windows.dtype == torch.int64

    lengths = data.draw(st.lists(st.integers(0, n), min_size=batch, max_size=batch))
    new = list(range(1000, 1000 + sum(lengths)))
    written = table.clone()
    slots.assign_req_to_token_pool(
        torch.tensor(rows), written, start, start + torch.tensor(lengths), torch.tensor(new), batch
    )
    expected, rest = table.tolist(), iter(new)
    for row, first, length in zip(rows, starts, lengths, strict=True):
        for token in range(first, first + length):
            expected[row][token] = next(rest)
    assert written.tolist() == expected

    front = torch.full((batch * n + 1,), -5)
    slots.fill_front_out_cache_loc(torch.tensor(lengths), windows, front)
    packed = [int(windows[request * n + i]) for request in range(batch) for i in range(lengths[request])]
    assert front.tolist() == packed + [-5] * (batch * n + 1 - len(packed))

    accepted = [[request * n + i if i < lengths[request] else NONE for i in range(n)] for request in range(batch)]
    now = torch.full((batch * n,), -5)
    slots.fill_accept_out_cache_loc(torch.tensor(accepted, dtype=torch.int32), windows, now, batch * n)
    assert now.tolist() == packed + [-5] * (batch * n - len(packed))


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | parents(4)), min_size=1, max_size=3), st.integers(1, 4))
def test_masks_let_a_token_see_the_prefix_and_its_ancestors(requests, n):
    chain = [node - 1 for node in range(n)]
    trees = [chain if parent is None else (parent + chain)[:n] for _, parent in requests]
    prefixes = [prefix for prefix, _ in requests]
    full = [
        torch.cat([torch.ones(n, prefix, dtype=torch.bool), mask_of(parent)], dim=1)
        for prefix, parent in zip(prefixes, trees, strict=True)
    ]
    masks = verification_masks(torch.cat([mask.flatten() for mask in full]), prefixes, n)
    assert [mask.tolist() for mask in masks] == [mask.tolist() for mask in full]
    if all(parent == chain for parent in trees):
        assert [mask.tolist() for mask in verification_masks(None, prefixes, n)] == [mask.tolist() for mask in full]


def test_attention_is_the_softmax_over_what_the_mask_allows():
    generator = torch.Generator().manual_seed(1)
    n, width, heads, groups, size = 3, 7, 6, 2, 4
    query = torch.randn(n, heads, size, generator=generator, dtype=torch.float64)
    keys = torch.randn(width, groups, size, generator=generator, dtype=torch.float64)
    values = torch.randn(width, groups, size + 1, generator=generator, dtype=torch.float64)
    mask = torch.cat([torch.ones(n, width - n, dtype=torch.bool), mask_of([NONE, 0, 0])], dim=1)
    answer = attend(query, keys, values, mask, scale=0.3)
    for token, head in product(range(n), range(heads)):
        seen = [i for i in range(width) if mask[token, i]]
        group = head // (heads // groups)
        weights = [math.exp(0.3 * float(query[token, head] @ keys[i, group])) for i in seen]
        expected = sum(w * values[i, group] for w, i in zip(weights, seen, strict=True)) / sum(weights)
        torch.testing.assert_close(answer[token, head], expected)


@pytest.fixture
def site(tmp_path):
    """A ``site-packages`` with a torchvision that, as the CUDA build does, needs its operations to be known."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import torch\n"
        "for name in ('nms', 'qnms'): torch.library.register_fake(f'torchvision::{name}', lambda *args: None)\n"
    )
    metadata = tmp_path / "torchvision-0.28.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    return tmp_path


def run_python(site: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a Python that treats ``site`` as a ``site-packages``, before its own."""
    prepare = f"import site, sys; sys.path.insert(0, {str(site)!r}); site.addsitedir({str(site)!r}); "
    return subprocess.run([sys.executable, "-c", prepare + code], capture_output=True, text=True, check=False)


@pytest.mark.skipif("+cpu" not in torch.__version__, reason="needed beside a CPU build of torch only")
def test_torchvision_can_be_imported_once_prepared(site):
    startup.install(site)
    assert startup.is_installed(site)
    done = run_python(site, "import importlib.util; importlib.util.find_spec('torchvision'); import torchvision")
    assert done.returncode == 0, done.stderr
    assert startup.remove(site)
    assert not startup.remove(site)
    assert not startup.is_installed(site)


def test_start_of_python_stays_light(site):
    startup.install(site)
    code = "import importlib.util; importlib.util.find_spec('torchvision'); assert 'torch' not in sys.modules"
    done = run_python(site, code)
    assert done.returncode == 0, done.stderr


def test_file_without_the_package_does_no_harm(site):
    line = startup.CONTENT.replace("latticework_sglang_cpu", "latticework_uninstalled")
    (site / startup.NAME).write_text(line)
    done = run_python(site, "print('started')")
    assert (done.stdout, done.stderr) == ("started\n", "")


def test_status_is_empty_without_sglang(monkeypatch):
    def absent(name: str) -> str:
        raise status.metadata.PackageNotFoundError

    monkeypatch.setattr(status.metadata, "version", absent)
    assert status.status() == []


def test_platform_leaves_gpus_to_sglang(monkeypatch):
    monkeypatch.delenv("SGLANG_PLATFORM", raising=False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert plugin.activate() == plugin.PLATFORM
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert plugin.activate() is None
    monkeypatch.setenv("SGLANG_PLATFORM", plugin.NAME)
    assert plugin.activate() == plugin.PLATFORM


@pytest.mark.engine
def test_installed_sglang_is_the_one_the_table_was_made_for():
    pytest.importorskip("sglang", reason="SGLang is not installed")
    from latticework_sglang_cpu import hooks

    assert hooks.problems() == []
    assert status.metadata.version("sglang") == hooks.SGLANG
    assert all(finding.ok for finding in status.status()), status.status()


@pytest.mark.engine
def test_changed_sglang_is_refused(monkeypatch):
    pytest.importorskip("sglang", reason="SGLang is not installed")
    from latticework_sglang_cpu import hooks

    (first, *_) = hooks.REPLACED
    monkeypatch.setitem(hooks.REPLACED, first, lambda something, else_: None)
    monkeypatch.setitem(hooks.REPLACED, "sglang.srt.no_such_module.function", lambda: None)
    assert len(hooks.problems()) == 2
    with pytest.raises(hooks.HookError, match=r"0\.5\.23.*other parameters.*no_such_module"):
        hooks.install()


PROMPTS = [
    "The capital of France is",
    "Repeat: the cat sat on the mat. the cat sat on the mat. the cat",
    "1 2 3 4 5 1 2 3 4 5 1 2 3 4 5 1 2",
    "Once upon a time there was a",
]
NGRAM = ("--speculative-algorithm", "NGRAM", "--speculative-num-draft-tokens", "6")


@pytest.fixture(scope="module")
def generated(server_pool):
    """Greedy answers by SGLang itself, with and without its tree speculation; what is asked twice is drafted well."""
    sglang = ENGINES["sglang"]
    if not sglang.is_installed_here():
        pytest.skip("SGLang has an environment of its own: make test-engine ENGINE=sglang")

    def ask(server: Server) -> list[dict[str, Any]]:
        sampling_params = {"max_new_tokens": 32, "temperature": 0}
        body = {"text": PROMPTS, "sampling_params": sampling_params}
        response = httpx.post(f"{server.url}/generate", json=body, timeout=180)
        assert response.status_code == 200, response.text
        return response.json()

    config = replace(sglang.stock, dtype="float32")
    server = server_pool.get(config.with_flags(*NGRAM))
    drafted = {"first": ask(server), "again": ask(server)}
    return {"plain": ask(server_pool.get(config)), **drafted}


@pytest.mark.engine
@pytest.mark.long
@pytest.mark.parametrize("prompt", range(len(PROMPTS)))
@pytest.mark.parametrize("run", ["first", "again"])
def test_speculative_output_of_sglang_is_its_plain_output(generated, run, prompt):
    assert generated[run][prompt]["output_ids"] == generated["plain"][prompt]["output_ids"]


@pytest.mark.engine
@pytest.mark.long
def test_speculation_accepted_branches_of_several_tokens(generated):
    """Otherwise the equality above would say nothing about moving the KV cache."""
    assert all(answer["meta_info"]["spec_accept_length"] > 3 for answer in generated["again"])
