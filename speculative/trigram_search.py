"""The compiled loops of the tri-gram drafter: an adaptive table, and a tree search over what may follow.

The table maps two tokens to weighted successors. Weights begin as probabilities of a corpus or at nothing, and rise by
a fixed step each time the running text confirms them, up to a cap; they are used raw. The search balances heavy
successors and unexplored ones as Monte Carlo tree search does, and the draft is made of the lines it visited most.

Source: speculative spec, section 3 (ADED), steps 2 to 4.
"""

from __future__ import annotations

import numba
import numpy as np

from latticework.speculative.ngram_table import claim, extended, find, set_entry, token_at, weight_at, width_of

#: Exploration: how much a heavy successor is preferred, and how slowly that grows with visits (``c1``, ``c2``).
_HEAVY, _SLOW = 32.0, 8.0


@numba.njit(cache=True, nogil=True, inline="always")
def pair_key(before, last):  # type: ignore[no-untyped-def]
    """The table's key of two tokens."""
    return extended(extended(np.uint64(0), last), before)


@numba.njit(cache=True, nogil=True)
def reinforce(table, tokens, amount, most):  # type: ignore[no-untyped-def]
    """Every tri-gram of ``tokens`` (``int32[n]``) gains ``amount``, up to ``most``. A full row forgets its lightest."""
    width = width_of(table)
    for at in range(2, tokens.shape[0]):
        slot = claim(table, pair_key(tokens[at - 2], tokens[at - 1]))
        place = width - 1
        for i in range(width):
            if weight_at(table, slot, i) == 0.0 or token_at(table, slot, i) == tokens[at]:
                place = i
                break
        known = weight_at(table, slot, place) > 0.0 and token_at(table, slot, place) == tokens[at]
        weight = np.float32(min(most, (weight_at(table, slot, place) if known else 0.0) + amount))
        while place > 0 and weight_at(table, slot, place - 1) <= weight:
            set_entry(table, slot, place, token_at(table, slot, place - 1), weight_at(table, slot, place - 1))
            place -= 1
        set_entry(table, slot, place, tokens[at], weight)


@numba.njit(cache=True, nogil=True)
def heaviest(table, before, last):  # type: ignore[no-untyped-def]
    """The heaviest successor of two tokens and its share of their weight; -1 if they have none."""
    slot = find(table, pair_key(before, last))
    if slot < 0 or weight_at(table, slot, 0) <= 0.0:
        return np.int32(-1), 0.0
    total = 0.0
    for i in range(width_of(table)):
        total += weight_at(table, slot, i)
    return token_at(table, slot, 0), weight_at(table, slot, 0) / total


@numba.njit(cache=True, nogil=True)
def chain(table, before, last, length, least):  # type: ignore[no-untyped-def]
    """The heaviest successors one after another (``int32[<= length]``), as long as each has a share of ``least``."""
    out = np.empty(length, np.int32)
    for at in range(length):
        token, share = heaviest(table, before, last)
        if token < 0 or share < least:
            return out[:at]
        out[at] = token
        before, last = last, token
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def search(table, before, last, iterations, length, exploration, seed):  # type: ignore[no-untyped-def]
    """Monte Carlo tree search from two tokens.

    Args:
        table: Read.
        before, last: The last two tokens of the text.
        iterations: How many lines are tried.
        length: Longest line, in tokens.
        exploration: Weight of the exploration term; 1 as published.
        seed: Of the roll-outs, ``uint64``.

    Returns:
        ``token``, ``parent``, ``depth`` (``int32[m]``; the root is node 0, of parent -1) and ``visits`` (``int64[m]``);
        parents come before children, children of a node next to each other with the heaviest first.
    """
    width = width_of(table)
    room = 1 + iterations * width
    token, parent = np.zeros(room, np.int32), np.full(room, -1, np.int32)
    depth, visits = np.zeros(room, np.int32), np.zeros(room, np.int64)
    weight, reward = np.zeros(room, np.float64), np.zeros(room, np.float64)
    first, count = np.full(room, -1, np.int64), np.zeros(room, np.int64)
    token[0] = last
    nodes = 1
    state = np.uint64(seed) | np.uint64(1)
    for _ in range(iterations):
        node, previous = np.int64(0), before
        gained = 1.0
        while count[node] > 0:
            best, best_value = first[node], -1.0
            scale = exploration * (_HEAVY + np.log((visits[node] + _SLOW + 1.0) / _SLOW)) * np.sqrt(visits[node])
            for child in range(first[node], first[node] + count[node]):
                if visits[child] == 0:
                    best = child
                    break
                value = reward[child] / visits[child] + scale * weight[child] / (1.0 + visits[child])
                if value > best_value:
                    best, best_value = child, value
            previous, node = token[node], best
            gained += weight[node]
        slot = find(table, pair_key(previous, token[node])) if depth[node] < length else np.int64(-1)
        if slot >= 0:
            first[node] = nodes
            for i in range(width):
                if weight_at(table, slot, i) <= 0.0:
                    break
                token[nodes], parent[nodes], depth[nodes] = token_at(table, slot, i), node, depth[node] + 1
                weight[nodes] = weight_at(table, slot, i)
                nodes += 1
            count[node] = nodes - first[node]
            previous, node = token[node], np.int64(nodes - 1)
            gained += weight[node]
        rolled_before, rolled_last, rolled = previous, token[node], depth[node]
        while rolled < length:
            slot = find(table, pair_key(rolled_before, rolled_last))
            if slot < 0:
                break
            total = 0.0
            for i in range(width):
                total += weight_at(table, slot, i)
            state ^= state << np.uint64(13)  # xorshift64
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            left = total * (np.float64(state >> np.uint64(11)) / 9007199254740992.0)
            chosen = 0
            while (
                chosen + 1 < width
                and left >= weight_at(table, slot, chosen)
                and weight_at(table, slot, chosen + 1) > 0.0
            ):
                left -= weight_at(table, slot, chosen)
                chosen += 1
            rolled_before, rolled_last = rolled_last, token_at(table, slot, chosen)
            gained += weight_at(table, slot, chosen)
            rolled += 1
        while node >= 0:
            visits[node] += 1
            reward[node] += gained
            node = np.int64(parent[node])
    return token[:nodes], parent[:nodes], depth[:nodes], visits[:nodes]


@numba.njit(cache=True, nogil=True)
def most_visited(table, before, found, paths, max_nodes, max_depth):  # type: ignore[no-untyped-def]
    """The draft: the most visited paths of a search, each with the heaviest successor of its end, merged.

    Args:
        table: Read.
        before: The token before the root's.
        found: What :func:`search` returned.
        paths: How many paths are taken at most.
        max_nodes, max_depth: The budget.

    Returns:
        ``token``, ``parent``, ``depth`` of the draft (``int32[m]``).
    """
    token, parent, depth, visits = found
    out_token, out_parent = np.empty(max_nodes, np.int32), np.empty(max_nodes, np.int32)
    out_depth = np.empty(max_nodes, np.int32)
    place = np.full(token.shape[0], -2, np.int64)  # of each node of the search in the draft
    place[0] = -1
    made = taken = 0
    for node in np.argsort(-visits, kind="mergesort"):  # of equally visited nodes parents come first
        if node == 0 or visits[node] == 0:
            continue
        if taken == paths or made == max_nodes:
            break
        above = place[parent[node]]
        if depth[node] > max_depth or above == -2:
            continue
        taken += 1
        at = _placed(out_token, out_parent, made, above, token[node])
        if at == made:
            out_token[made], out_parent[made], out_depth[made] = token[node], above, depth[node]
            made += 1
        place[node] = at
        if made < max_nodes and depth[node] < max_depth:
            follower, _ = heaviest(table, token[parent[node]], token[node])
            if follower >= 0 and _placed(out_token, out_parent, made, at, follower) == made:
                out_token[made], out_parent[made], out_depth[made] = follower, at, depth[node] + 1
                made += 1
    return out_token[:made], out_parent[:made], out_depth[:made]


@numba.njit(cache=True, nogil=True, inline="always")
def _placed(tokens, parents, made, parent, token):  # type: ignore[no-untyped-def]
    """Where the draft has this child already; ``made`` if it has not."""
    at = made
    for node in range(made):
        if tokens[node] == token and parents[node] == parent:
            at = node
            break
    return at
