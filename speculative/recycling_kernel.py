"""Token Recycling's compiled loops: rows of likely successors, and the trees that are looked up in them.

Rows are kept by one token, the last: what the target held likely after it when it was last verified, with
probabilities. A token that was never verified has a seeded row, what followed it in the prompt, with counts.

**Estimate.** The row was shown in another context, so its first token is right less often than its probability says.
The ``i``-th token of a row is given ``p_i = a_i * (1 - p_1 - ... - p_{i-1})`` where ``a_i`` is the share of earlier
tokens *of this kind* that were right when none before them was. A kind is whether the row was shown or seeded, the
rank, and how probable the row holds it.

Source: speculative spec, section 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from latticework.speculative.ngram_table import count, extended, find, put, token_at, weight_at
from latticework.speculative.offer_record import OfferRecord, note, odds

WIDTH = 8
_LEVELS = 10
_KINDS = 2 * WIDTH * _LEVELS
#: How many tries the row's own probability is worth against a kind's record.
_ROW_TRIES = 4.0
_WORTHLESS = 1e-3


class Template(NamedTuple):
    """A tree of fixed shape, parents first: ``int64[n]`` each. ``parent`` is -1 below the pending token."""

    parent: npt.NDArray[np.int64]
    rank: npt.NDArray[np.int64]
    depth: npt.NDArray[np.int64]


def make_record() -> OfferRecord:
    """A record of nothing: estimates start from the rows' own probabilities."""
    return OfferRecord(_KINDS)


@numba.njit(cache=True, nogil=True)
def seed(table, tokens, start):  # type: ignore[no-untyped-def]
    """Count every token of ``tokens[start:]`` (``int32[n]``) as successor of the one before it."""
    for at in range(max(start, 1), tokens.shape[0]):
        count(table, extended(np.uint64(0), tokens[at - 1]), tokens[at])


@numba.njit(cache=True, nogil=True)
def recycle(table, token, parent, committed, top_ids, top_logprobs):  # type: ignore[no-untyped-def]
    """Keep the rows of verified positions. Of one token's rows the accepted one stays, then the earlier one.

    Args:
        table: Address of the table of what was shown.
        token, parent: ``int32[m]``, as in ``VerifiedRows``; a parent of -2 is not known.
        committed: ``int32[c]``, what was written: the accepted path and one token more.
        top_ids, top_logprobs: ``int32[m, k]`` and ``float32[m, k]``.
    """
    rows = token.shape[0]
    accepted = np.zeros(rows, np.bool_)
    path = np.empty(committed.shape[0] + 1, np.int64)
    length, at = 1, 0
    path[0], accepted[0] = 0, True
    for i in range(committed.shape[0] - 1):
        row = at + 1
        while row < rows and not (parent[row] == at and token[row] == committed[i]):
            row += 1
        if row == rows:
            break
        path[length], accepted[row] = row, True
        length, at = length + 1, row
    for row in range(rows - 1, -1, -1):
        if not accepted[row]:
            put(table, extended(np.uint64(0), token[row]), top_ids[row], np.exp(top_logprobs[row]))
    for i in range(length):
        row = path[i]
        put(table, extended(np.uint64(0), token[row]), top_ids[row], np.exp(top_logprobs[row]))


@numba.njit(cache=True, nogil=True)
def recycle_text(table, token, top_ids, top_logprobs):  # type: ignore[no-untyped-def]
    """Keep the rows of a text, arrays as above; of one token's rows the last one stays."""
    for row in range(token.shape[0]):
        put(table, extended(np.uint64(0), token[row]), top_ids[row], np.exp(top_logprobs[row]))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def offer(shown, seeded, record, token, ids, estimates, kinds):  # type: ignore[no-untyped-def]
    """What may follow a token, in the order of its row.

    Args:
        shown, seeded: Addresses of the tables: what the target showed, and what the prompt has.
        record: Address of the :class:`OfferRecord` of :func:`make_record`.
        token: The token.
        ids, estimates, kinds: Written, at most :data:`WIDTH` entries: tokens, their probabilities, their kinds.

    Returns:
        How many there are.
    """
    key = extended(np.uint64(0), token)
    table, source = shown, 0
    slot = find(table, key)
    if slot < 0:
        table, source = seeded, 1
        slot = find(table, key)
    if slot < 0:
        return 0
    total = np.float32(1.0)
    if source == 1:
        for i in range(WIDTH):
            total += weight_at(table, slot, i)
    made, left, beyond = 0, 1.0, 1.0
    for i in range(WIDTH):
        share = np.float64(weight_at(table, slot, i) / total)
        if share <= 0.0:
            break
        kind = (source * WIDTH + i) * _LEVELS + min(_LEVELS - 1, int(share * _LEVELS))
        right = odds(record, kind, 0.8 * min(1.0, share / max(beyond, 1e-6)), _ROW_TRIES)
        ids[i], estimates[i], kinds[i] = token_at(table, slot, i), left * right, kind
        left *= 1.0 - right
        beyond -= share
        made += 1
    return made


@numba.njit(cache=True, nogil=True, error_model="numpy")
def learn(shown, seeded, record, tokens, start):  # type: ignore[no-untyped-def]
    """Note how the rows before each token of ``tokens[start:]`` (``int32[n]``) fared."""
    ids, estimates, kinds = np.empty(WIDTH, np.int32), np.empty(WIDTH), np.empty(WIDTH, np.int64)
    for at in range(max(start, 1), tokens.shape[0]):
        for i in range(offer(shown, seeded, record, tokens[at - 1], ids, estimates, kinds)):
            right = ids[i] == tokens[at]
            note(record, kinds[i], right)
            if right:
                break


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fill(shown, seeded, record, template, last, max_nodes, max_depth):  # type: ignore[no-untyped-def]
    """The template's tree below the token ``last``, without what hangs below tokens that have no row.

    Returns:
        ``token``, ``parent``, ``depth`` (``int32[m]``) and ``score`` (``float32[m]``, see above).
    """
    token, parent = np.empty(max_nodes, np.int32), np.empty(max_nodes, np.int32)
    depth, score = np.empty(max_nodes, np.int32), np.empty(max_nodes, np.float32)
    places = template.parent.shape[0]
    placed = np.full(places + 1, -2, np.int64)  # the last entry is the root's
    placed[places] = -1
    known = np.full(places + 1, -1, np.int64)  # of a place of the template: how many successors it has, once asked
    ids, estimates = np.empty((places + 1, WIDTH), np.int32), np.empty((places + 1, WIDTH))
    kinds = np.empty(WIDTH, np.int64)
    made = 0
    for place in range(places):
        if made == max_nodes:
            break
        above = template.parent[place] if template.parent[place] >= 0 else places
        node = placed[above]
        if node == -2 or template.depth[place] > max_depth:
            continue
        if known[above] < 0:
            before = last if node < 0 else token[node]
            known[above] = offer(shown, seeded, record, before, ids[above], estimates[above], kinds)
        rank = template.rank[place]
        if rank >= known[above]:
            continue
        placed[place] = made
        token[made], parent[made], depth[made] = ids[above, rank], node, template.depth[place]
        score[made] = estimates[above, rank] * (np.float32(1.0) if node < 0 else score[node])
        made += 1
    return token[:made], parent[:made], depth[:made], score[:made]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def grow(shown, seeded, record, last, max_nodes, max_depth, branching, least):  # type: ignore[no-untyped-def]
    """The best tree by estimate below the token ``last``, best first; a chain of first ranks without ``branching``.

    Nothing of an estimated chance below ``least`` is drafted. Returns as :func:`fill`; scores never rise.
    """
    token, parent = np.empty(max_nodes, np.int32), np.empty(max_nodes, np.int32)
    depth, score = np.empty(max_nodes, np.int32), np.empty(max_nodes, np.float32)
    pool = WIDTH * (max_nodes + 1)
    pool_token, pool_parent, pool_value = np.empty(pool, np.int32), np.empty(pool, np.int32), np.empty(pool)
    ids, estimates, kinds = np.empty(WIDTH, np.int32), np.empty(WIDTH), np.empty(WIDTH, np.int64)
    waiting = made = 0
    node, before = -1, last
    while made < max_nodes:
        if not branching:
            waiting = 0
        if node < 0 or depth[node] < max_depth:
            value = 1.0 if node < 0 else np.float64(score[node])
            for i in range(offer(shown, seeded, record, before, ids, estimates, kinds)):
                if estimates[i] * value >= max(least, _WORTHLESS):
                    pool_token[waiting], pool_parent[waiting] = ids[i], node
                    pool_value[waiting] = estimates[i] * value
                    waiting += 1
        if waiting == 0:
            break
        best = np.argmax(pool_value[:waiting])
        node, above, before = made, pool_parent[best], pool_token[best]
        token[node], parent[node], score[node] = before, above, pool_value[best]
        depth[node] = 1 if above < 0 else depth[above] + 1
        waiting -= 1
        pool_token[best], pool_parent[best] = pool_token[waiting], pool_parent[waiting]
        pool_value[best] = pool_value[waiting]
        made += 1
    return token[:made], parent[:made], depth[:made], score[:made]
