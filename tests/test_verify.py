"""Verification keeps the target's law exactly: enumeration on toy language models."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.verify import draw, greedy_verify, match, sample_and_match

V = 3
HORIZON = 3
Model = dict[tuple[int, ...], npt.NDArray[np.float64]]


@cache
def toy_model(seed: int, *, sparse: bool = False) -> Model:
    """Conditionals of every text up to twice the horizon; ``sparse`` forbids some tokens, as a grammar would."""
    chance = np.random.default_rng(seed)
    model = {}
    for length in range(2 * HORIZON + 2):
        for text in itertools.product(range(V), repeat=length):
            row = chance.dirichlet(np.full(V, 0.7))
            if sparse:
                row[chance.integers(V)] = 0.0
            model[text] = row / row.sum()
    return model


def tree(edges: list[tuple[int, int]]) -> Draft:
    """A draft from ``(token, parent)`` pairs."""
    depth: list[int] = []
    for _, parent in edges:
        depth.append(1 if parent == ROOT else depth[parent] + 1)
    draft = Draft(
        np.array([t for t, _ in edges], np.int32), np.array([p for _, p in edges], np.int32), np.array(depth, np.int32)
    )
    draft.check()
    return draft


@st.composite
def trees(draw_: st.DrawFn, max_nodes: int = 6, max_depth: int = HORIZON) -> Draft:
    edges: list[tuple[int, int]] = []
    depth: list[int] = []
    for _ in range(draw_(st.integers(0, max_nodes))):
        parent = draw_(st.sampled_from([ROOT, *(i for i, d in enumerate(depth) if d < max_depth)]))
        edges.append((draw_(st.integers(0, V - 1)), parent))
        depth.append(1 if parent == ROOT else depth[parent] + 1)
    return tree(edges)


def path_of(draft: Draft, node: int) -> tuple[int, ...]:
    tokens: list[int] = []
    while node != ROOT:
        tokens.append(int(draft.token[node]))
        node = int(draft.parent[node])
    return tuple(reversed(tokens))


def rows_of(draft: Draft, model: Model, before: tuple[int, ...] = ()) -> npt.NDArray[np.float64]:
    return np.stack([model[before], *(model[before + path_of(draft, node)] for node in range(len(draft)))])


def coins(rows: npt.NDArray[np.float64], depths: npt.NDArray[np.intp]) -> Iterator[tuple[float, list[float]]]:
    """Every combination of uniforms that can make a difference, with its probability."""
    per_depth = []
    for depth in range(int(depths.max()) + 1):
        cuts = np.unique(np.concatenate(([0.0, 1.0], *(np.cumsum(rows[i]) for i in np.flatnonzero(depths == depth)))))
        cuts = cuts[cuts <= 1.0]
        per_depth.append([(high - low, (low + high) / 2) for low, high in itertools.pairwise(cuts)])
    for combination in itertools.product(*per_depth):
        yield float(np.prod([weight for weight, _ in combination])), [u for _, u in combination]


DRAFTS = {
    "empty": Draft(),
    "chain": Draft.chain([0, 1, 2]),
    "repeating chain": Draft.chain([1, 1]),
    "siblings": tree([(0, ROOT), (1, ROOT), (2, ROOT)]),
    "bushy": tree([(0, ROOT), (1, ROOT), (2, 0), (0, 0), (1, 1), (1, 2)]),
    "twins": tree([(0, ROOT), (0, ROOT), (1, 0), (2, 1)]),
}


@pytest.mark.parametrize("name", DRAFTS)
@pytest.mark.parametrize("sparse", [False, True])
def test_sampled_law_is_exact(name: str, sparse: bool) -> None:
    """T2: enumerate all coins, complete each emitted prefix with the target's conditionals, compare with the joint."""
    draft = DRAFTS[name]
    for seed in range(3):
        model = toy_model(seed, sparse=sparse)
        rows = rows_of(draft, model)
        joint: dict[tuple[int, ...], float] = dict.fromkeys(itertools.product(range(V), repeat=HORIZON + 1), 0.0)
        for weight, uniforms in coins(rows, np.concatenate(([0], draft.depth)).astype(np.intp)):
            emitted = sample_and_match(draft, rows, np.array(uniforms)).tokens
            for rest in itertools.product(range(V), repeat=HORIZON + 1 - len(emitted)):
                text = emitted + rest
                chances = [model[text[:i]][text[i]] for i in range(len(emitted), len(text))]
                joint[text] += weight * float(np.prod(chances))
        expected = {text: np.prod([model[text[:i]][text[i]] for i in range(len(text))]) for text in joint}
        assert max(abs(joint[text] - expected[text]) for text in joint) < 1e-12


def decode(model: Model, uniforms: npt.NDArray[np.float64], drafter: Callable[[tuple[int, ...]], Draft]) -> list[int]:
    """``HORIZON + 1`` tokens with noise keyed by absolute position."""
    text: tuple[int, ...] = ()
    while len(text) <= HORIZON:
        draft = drafter(text)
        text += sample_and_match(draft, rows_of(draft, model, text), uniforms[len(text) :]).tokens
    return list(text[: HORIZON + 1])


@given(seed=st.integers(0, 50), noise=st.integers(0, 10_000), guess=trees())
def test_position_keyed_noise_gives_the_same_text(seed: int, noise: int, guess: Draft) -> None:
    """T9, trees included."""
    model = toy_model(seed % 4)
    uniforms = np.random.default_rng(noise).random(3 * HORIZON + 3)
    plain = decode(model, uniforms, lambda _: Draft())
    assert decode(model, uniforms, lambda _: guess) == plain
    perfect = [Draft.chain(plain[i : i + 2]) for i in range(HORIZON + 2)]
    assert decode(model, uniforms, lambda text: perfect[len(text)]) == plain


@given(seed=st.integers(0, 3), guess=trees())
def test_greedy_is_plain_greedy(seed: int, guess: Draft) -> None:
    """T1: what is emitted is what argmax emits one by one, and exactly one more than was accepted."""
    model = toy_model(seed)
    verified = greedy_verify(guess, np.log(rows_of(guess, model)))
    plain: tuple[int, ...] = ()
    for _ in verified.tokens:
        plain += (int(model[plain].argmax()),)
    assert verified.tokens == plain
    assert len(verified.tokens) == len(verified.path) + 1
    assert tuple(int(guess.token[node]) for node in verified.path) == verified.tokens[:-1]


@given(guess=trees(max_nodes=8), seed=st.integers(0, 1000))
def test_larger_draft_never_gains_less(guess: Draft, seed: int) -> None:
    """T6: prefixes of a draft are nested drafts; same coins, so the emitted length never falls."""
    model = toy_model(seed % 4)
    uniforms = np.random.default_rng(seed).random(HORIZON + 1)
    gained = []
    for nodes in range(len(guess) + 1):
        part = guess.within(nodes, HORIZON)
        part.check()
        gained.append(len(sample_and_match(part, rows_of(part, model), uniforms).tokens))
    assert gained == sorted(gained)


def test_degenerate_drafts() -> None:
    """T7: nothing drafted is plain decoding; the target's own text is accepted whole; nonsense costs nothing."""
    model = toy_model(1)
    best: tuple[int, ...] = ()
    for _ in range(HORIZON + 1):
        best += (int(model[best].argmax()),)
    for guess, accepted in ((Draft(), 0), (Draft.chain(best[:HORIZON]), HORIZON), (Draft.chain([V + 5]), 0)):
        rows = np.stack([model[best[:i]] for i in range(len(guess) + 1)])
        verified = greedy_verify(guess, rows)
        assert verified.tokens == best[: accepted + 1]
        assert verified.path == tuple(range(accepted))


def test_first_of_equal_siblings_is_followed() -> None:
    assert match(DRAFTS["twins"], np.array([0, 1, 2, 2, 2], np.int32)).path == (0, 2)


def test_nothing_follows_the_end_token() -> None:
    """T8: an end token inside an accepted run is the last token emitted."""
    chosen = np.array([1, 2, 0], np.int32)
    assert match(Draft.chain([1, 2]), chosen).tokens == (1, 2, 0)
    ended = match(Draft.chain([1, 2]), chosen, eos_ids={2})
    assert (ended.path, ended.tokens) == ((0,), (1, 2))
    assert match(Draft.chain([1, 2]), np.array([1, 2, -1], np.int32), eos_ids={2}) == ended


def test_row_without_tokens_is_an_error_only_where_it_is_reached() -> None:
    logits = np.array([[0.0, 1.0, -np.inf], [-np.inf] * 3])
    assert greedy_verify(Draft.chain([0]), logits).tokens == (1,)
    with pytest.raises(ValueError, match="allows no token"):
        greedy_verify(Draft.chain([1]), logits)
    with pytest.raises(ValueError, match="allows no token"):
        sample_and_match(Draft(), np.zeros((1, 3)), np.array([0.5]))
    with pytest.raises(ValueError, match="allows no token"):
        greedy_verify(Draft(), np.full((1, 3), np.nan))


def test_choices_must_match_the_draft() -> None:
    with pytest.raises(ValueError, match="expected 3 choices"):
        match(Draft.chain([1, 2]), np.array([1, 2], np.int32))


@given(
    weights=st.lists(st.floats(0, 1e3), min_size=2, max_size=6).filter(lambda w: sum(w) > 0),
    uniform=st.one_of(st.floats(0, 1, exclude_max=True), st.just(float(np.nextafter(1.0, 0.0)))),
)
def test_draw_never_takes_a_token_without_mass(weights: list[float], uniform: float) -> None:
    assert weights[int(draw(np.array([weights]), np.array([uniform]))[0])] > 0
