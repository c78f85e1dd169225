"""Rejection rules for sampled drafts: exact by enumeration of every draft, every coin and every draw."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.speculative.chance import Chance, Uniforms
from latticework.speculative.draft import ROOT, Draft, DraftKind
from latticework.speculative.expected_length import acceptance
from latticework.speculative.verify import Verified, greedy_verify
from latticework.speculative.verify_sampled import block_verify, multi_round
from latticework.speculative.verify_typical import typical_verify

V = 3
Text = tuple[int, ...]
Row = npt.NDArray[np.float64]
Rule = Callable[[Draft, Row, Chance], Verified]
IID, WOR, FIXED = DraftKind.SAMPLED_IID, DraftKind.SAMPLED_WITHOUT_REPLACEMENT, DraftKind.DETERMINISTIC

CHAIN = (ROOT, 0)
LONG_CHAIN = (ROOT, 0, 1)
SIBLINGS = (ROOT, ROOT)
TREE = (ROOT, ROOT, 0, 0)


class Lines:
    """A language model: conditionals of every text, made when they are first asked for."""

    def __init__(self, seed: int, zeros: bool = False) -> None:
        self._seed, self._zeros, self._rows = seed, zeros, {}  # type: ignore[var-annotated]

    def __getitem__(self, text: Text) -> Row:
        if text not in self._rows:
            chance = np.random.default_rng((self._seed, len(text), *text))
            row = chance.dirichlet(np.full(V, 0.7)).astype(np.float32).astype(np.float64)
            if self._zeros:
                row[chance.integers(V)] = 0.0
            self._rows[text] = row / row.sum()
        return self._rows[text]  # type: ignore[no-any-return]


class Scripted:
    """A chance that answers as told, then with the first possible outcome; it notes what else was possible."""

    def __init__(self, script: Text) -> None:
        self._script, self._taken = script, ()
        self.weight, self.untaken = 1.0, []  # type: ignore[var-annotated]

    def _choose(self, weights: list[float]) -> int:
        possible = [i for i, weight in enumerate(weights) if weight > 0.0]
        at = len(self._taken)
        if at < len(self._script):
            chosen = self._script[at]
        else:
            chosen = possible[0]
            self.untaken += [(*self._taken, other) for other in possible[1:]]
        self._taken += (chosen,)
        self.weight *= weights[chosen] / sum(weights)
        return chosen

    def coin(self, node: int, probability: float) -> bool:
        assert -1e-15 <= probability <= 1.0 + 1e-15
        return self._choose([1.0 - probability, probability]) == 1

    def draw(self, weights: Row) -> int:
        return self._choose(weights.tolist())


def outcomes(run: Callable[[Chance], Verified]) -> Iterator[tuple[float, Verified]]:
    """Every outcome of a rule, with its probability."""
    waiting: list[Text] = [()]
    while waiting:
        chance = Scripted(waiting.pop())
        verified = run(chance)
        yield chance.weight, verified
        waiting += chance.untaken


def path_to(parents: Text, tokens: Text, node: int) -> Text:
    path: Text = ()
    while node != ROOT:
        path, node = (tokens[node], *path), parents[node]
    return path


def drawn(parents: Text, kind: DraftKind, drafter: Lines) -> Iterator[tuple[float, Draft]]:
    """Every draft of one shape that the drafter may draw, with its probability."""
    depth = [len(path_to(parents, tuple(range(len(parents))), node)) for node in range(len(parents))]
    for tokens in itertools.product(range(V), repeat=len(parents)):
        weight, rows = 1.0, []
        for node, parent in enumerate(parents):
            row = drafter[path_to(parents, tokens, parent)].astype(np.float32)
            if kind is WOR:
                for earlier in range(node):
                    if parents[earlier] == parent:
                        row[tokens[earlier]] = 0.0
            exact = row.astype(np.float64)
            total = exact.sum()
            # A sibling of which nothing is left cannot be drawn; it keeps an empty row and any one token.
            weight *= float(tokens[node] == 0) if total == 0.0 else exact[tokens[node]] / total
            rows.append(row)
        if weight > 0.0:
            arrays = (np.array(values, np.int32) for values in (tokens, parents, depth))
            yield weight, Draft(*arrays, kind=kind, q=np.stack(rows))


def target_rows(draft: Draft, target: Lines) -> Row:
    parents, tokens = tuple(draft.parent.tolist()), tuple(draft.token.tolist())
    return np.stack([target[()], *(target[path_to(parents, tokens, node)] for node in range(len(draft)))])


def law_error(rule: Rule, drafts: Iterator[tuple[float, Draft]], target: Lines, horizon: int) -> float:
    """T2: the largest error of the joint law of ``horizon`` tokens, emitted prefixes completed by the target."""
    joint = dict.fromkeys(itertools.product(range(V), repeat=horizon), 0.0)

    def chance_of(text: Text, start: int) -> float:
        return float(np.prod([target[text[:i]][text[i]] for i in range(start, horizon)]))

    for weight, draft in drafts:
        rows = target_rows(draft, target)
        for share, verified in outcomes(lambda chance, d=draft, r=rows: rule(d, r, chance)):  # type: ignore[misc]
            emitted = verified.tokens
            assert len(emitted) == len(verified.path) + 1
            for rest in itertools.product(range(V), repeat=horizon - len(emitted)):
                text = (*emitted, *rest)
                joint[text] += weight * share * chance_of(text, len(emitted))
    return max(abs(mass - chance_of(text, 0)) for text, mass in joint.items())


def accepted_length(rule: Rule, drafts: Iterator[tuple[float, Draft]], target: Lines) -> float:
    total = 0.0
    for weight, draft in drafts:
        rows = target_rows(draft, target)
        results = outcomes(lambda chance, d=draft, r=rows: rule(d, r, chance))  # type: ignore[misc]
        total += weight * sum(share * len(verified.path) for share, verified in results)
    return total


SAMPLED = [
    (multi_round, CHAIN, IID),
    (multi_round, SIBLINGS, IID),
    (multi_round, TREE, IID),
    (multi_round, SIBLINGS, WOR),
    (multi_round, (ROOT, ROOT, ROOT), WOR),
    (multi_round, TREE, WOR),
    (block_verify, (ROOT,), IID),
    (block_verify, CHAIN, IID),
    (block_verify, LONG_CHAIN, IID),
]


@pytest.mark.parametrize(("rule", "shape", "kind"), SAMPLED)
@pytest.mark.parametrize("zeros", ["none", "target", "drafter", "both"])
def test_sampled_law_is_exact(rule: Rule, shape: Text, kind: DraftKind, zeros: str) -> None:
    """Zeros of the target are a grammar's mask at that very position; raw and masked drafters must both be exact."""
    for seed in range(2):
        target = Lines(seed, zeros in {"target", "both"})
        drafter = Lines(seed + 100, zeros in {"drafter", "both"})
        horizon = max(2, len(path_to(shape, shape, len(shape) - 1)) + 1)
        assert law_error(rule, drawn(shape, kind, drafter), target, horizon) < 1e-12


@pytest.mark.parametrize("shape", [CHAIN, SIBLINGS, TREE, LONG_CHAIN])
def test_deterministic_law_is_exact(shape: Text) -> None:
    """Rule 2, and rule 7 with one-hot siblings, twins included."""
    for tokens in [(0, 0, 1, 2), (2, 1, 0, 1), (1, 2, 2, 0)]:
        depth = [len(path_to(shape, shape, node)) for node in range(len(shape))]
        draft = Draft(*(np.array(values, np.int32) for values in (tokens[: len(shape)], shape, depth)))
        for zeros in (False, True):
            target = Lines(5, zeros)
            assert law_error(multi_round, iter([(1.0, draft)]), target, max(depth) + 1) < 1e-12
            # What sample-and-match keeps: the mass of every distinct path.
            paths = {path_to(shape, tokens, node) for node in range(len(shape))}
            mass = sum(np.prod([target[path[:i]][path[i]] for i in range(len(path))]) for path in paths)
            kept = accepted_length(multi_round, iter([(1.0, draft)]), target)
            assert kept <= mass + 1e-12
            if len(paths) == len(shape):  # twins split a subtree; match follows the first only, coins may take either
                assert kept == pytest.approx(mass, abs=1e-12)


def test_the_enumeration_can_fail() -> None:
    """A deterministic tree verified as if it had been sampled is biased."""

    def as_if_sampled(draft: Draft, rows: Row, chance: Chance) -> Verified:
        return multi_round(replace(draft, kind=IID), rows, chance)

    target, drafter = Lines(0), Lines(100)
    best = int(drafter[()].argmax())
    fixed = [(1.0, d) for _, d in drawn((ROOT,), IID, drafter) if d.token[0] == best]
    assert law_error(as_if_sampled, iter(fixed), target, 2) > 1e-2
    typical = [(weight, replace(d, kind=FIXED, q=None)) for weight, d in drawn(CHAIN, IID, drafter)]
    assert law_error(typical_verify, iter(typical), target, 3) > 1e-2, "typical acceptance is lossy"


@pytest.mark.parametrize("seed", range(8))
def test_block_verification_never_keeps_less(seed: int) -> None:
    for shape in (CHAIN, LONG_CHAIN):
        target, drafter = Lines(seed), Lines(seed + 50)
        block, chain = (
            accepted_length(rule, drawn(shape, IID, drafter), target) for rule in (block_verify, multi_round)
        )
        assert block >= chain - 1e-12


@pytest.mark.parametrize("seed", range(8))
def test_what_siblings_are_worth(seed: int) -> None:
    """One child: ``sum min(p, q)``. Two: more, and without replacement more again. All of them: certain."""
    target, drafter = Lines(seed), Lines(seed + 50)
    one = accepted_length(multi_round, drawn((ROOT,), IID, drafter), target)
    assert one == pytest.approx(acceptance(target[()], drafter[()]), abs=1e-12)
    two = accepted_length(multi_round, drawn(SIBLINGS, IID, drafter), target)
    without = accepted_length(multi_round, drawn(SIBLINGS, WOR, drafter), target)
    assert one - 1e-12 <= two <= without + 1e-12
    everything = accepted_length(multi_round, drawn((ROOT,) * V, WOR, drafter), target)
    assert everything == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("rule", [multi_round, block_verify])
def test_degenerate_drafts(rule: Rule) -> None:
    """T7: nothing drafted is plain sampling; the target as its own drafter is kept whole; nonsense costs nothing."""
    target = Lines(3)
    empty = Draft(kind=IID, q=np.empty((0, V), np.float32))
    assert law_error(rule, iter([(1.0, empty)]), target, 1) < 1e-15
    assert accepted_length(rule, drawn(CHAIN, IID, target), target) == pytest.approx(2.0, abs=1e-6)
    first, second = np.array([[1.0, 0.0, 0.0]]), np.array([0.0, 0.25, 0.75])
    disjoint = replace(Draft.chain([0]), kind=IID, q=first.astype(np.float32))
    emitted = {v.tokens: share for share, v in outcomes(lambda c: rule(disjoint, np.stack([second, second]), c))}
    assert emitted == {(1,): 0.25, (2,): 0.75}


@pytest.mark.parametrize("rule", [multi_round, block_verify, typical_verify])
def test_nothing_follows_the_end_token(rule: Callable[..., Verified]) -> None:
    q = np.full((3, V), 1 / 3, np.float32)
    draft = replace(Draft.chain([1, 2, 1]), kind=IID, q=q)
    draft = draft if rule is not typical_verify else replace(draft, kind=FIXED, q=None)
    rows = np.full((4, V), 1 / 3)
    rows[2:] = 0.0  # nothing is allowed after the end
    found = {verified.tokens for _, verified in outcomes(lambda c: rule(draft, rows, c, eos_ids={2}))}
    assert (1, 2) in found
    assert all(2 not in tokens[:-1] for tokens in found)


@given(seed=st.integers(0, 200), coins=st.lists(st.floats(0, 1, exclude_max=True), min_size=5, max_size=5))
def test_larger_tree_never_keeps_less(seed: int, coins: list[float]) -> None:
    """T6: nested drafts under the same coins."""
    target, drafter = Lines(seed % 5), Lines(seed % 7 + 50)
    options = list(drawn(TREE, WOR, drafter))
    draft = options[seed % len(options)][1]
    lengths = []
    for nodes in range(len(draft) + 1):
        part = draft.within(nodes, 9)
        rows = target_rows(part, target)
        lengths.append(len(multi_round(part, rows, Uniforms(np.array(coins), coins[-1])).path))
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("rule", [multi_round, block_verify])
def test_wrong_input_is_refused(rule: Rule) -> None:
    chance = Uniforms(np.full(4, 0.5), 0.5)
    draft = replace(Draft.chain([0]), kind=IID, q=np.array([[0.0, 1.0, 0.0]], np.float32))
    with pytest.raises(ValueError, match="cannot have been drawn"):
        rule(draft, np.full((2, V), 1 / 3), chance)
    with pytest.raises(ValueError, match="expected 2 rows"):
        rule(draft, np.full((3, V), 1 / 3), chance)
    with pytest.raises(ValueError, match="needs"):
        rule(replace(draft, q=None), np.full((2, V), 1 / 3), chance)
    with pytest.raises(ValueError, match="no token is allowed"):
        rule(Draft(kind=IID, q=np.empty((0, V), np.float32)), np.zeros((1, V)), chance)


def test_typical_acceptance_is_greedy_at_temperature_zero() -> None:
    target = Lines(1)
    for seed in range(20):
        tokens = np.random.default_rng(seed).integers(V, size=4).tolist()
        depth = [1, 1, 2, 2]
        draft = Draft(*(np.array(values, np.int32) for values in (tokens, TREE, depth)))
        rows = np.eye(V)[target_rows(draft, target).argmax(axis=1)]
        assert typical_verify(draft, rows, Uniforms(np.zeros(4), 0.5)).tokens == greedy_verify(draft, rows).tokens


def test_typical_acceptance_takes_the_longest_then_likeliest_path() -> None:
    rows = np.array([[0.5, 0.4, 0.1], [0.0, 0.3, 0.7], [0.9, 0.05, 0.05], [1, 0, 0], [0, 1, 0]])
    draft = Draft(*(np.array(values, np.int32) for values in ([0, 1, 2, 0], [ROOT, ROOT, 0, 1], [1, 1, 2, 2])))
    assert typical_verify(draft, rows, Uniforms(np.zeros(4), 0.5)).path == (1, 3)  # 0.4 * 0.9 beats 0.5 * 0.7
    assert typical_verify(draft.within(3, 9), rows[:4], Uniforms(np.zeros(4), 0.5)).path == (0, 2)
