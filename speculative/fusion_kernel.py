"""The fusion drafter's compiled loops: what may follow a context, how likely, and the best tree of it.

**Sequential estimate.** What may follow is asked of every source from the most specific context down: the request's own
text, the texts of earlier requests of its scope, and the tokens the target itself held likely after the same last
tokens (as Token Recycling does). A token that was offered is not offered again. The ``i``-th offer is given
``p_i = a_i * (1 - p_1 - ... - p_{i-1})``, where ``a_i`` is the share of earlier offers *of this kind* that were right
when none before them was. A kind is source, context, rank in the row and how strongly the row stands for it, and then
also whether the target held the token likely after the same last token; the finer kind leans on the coarser one while
it is young, that one on the shares in the row. So the numbers are probabilities, calibrated by what this very traffic
did, and no source is trusted by hand.

**Growth.** A node's offers are worth the product of the estimates along their path. The most valuable offer becomes the
next node, its own offers join the pool, until the budget is spent: DySpec, with these estimates for the draft model's.

Sources: speculative spec, sections 2, 7 and 14; the sequential estimate is prediction by partial matching (PPM) with
exclusion and learned escapes.
"""

from __future__ import annotations

import numba
import numpy as np

from latticework.speculative.ngram_table import count, extended, find, put, token_at, weight_at, width_of
from latticework.speculative.offer_record import OfferRecord, note, odds

#: Lengths of the contexts looked up, in tokens.
ORDERS = np.array([1, 2, 3, 4, 5, 7, 11], np.int64)
LONGEST = 11
#: One context more leaves out the last token and holds the :data:`_GAPPED` before it: text that goes on as before after
#: one changed word.
_GAPPED = 3
_GAP_SEED = np.uint64(0x51ED270B)
CONTEXTS = ORDERS.shape[0] + 1
#: The contexts from the most specific down: indices into :data:`ORDERS`, and the gapped one.
_WALK = np.array([*range(ORDERS.shape[0] - 1, 0, -1), CONTEXTS - 1, 0], np.int64)
#: For so many of the shortest orders the target's own likeliest tokens are kept.
SHOWN_ORDERS = 2
#: At most so many offers of one context are looked at.
OFFERS = 12

OWN, SHARED, SHOWN = 0, 1, 2
_RANKS, _LEVELS, _AGREEMENTS = 4, 16, 4
_COARSE = 3 * CONTEXTS * _RANKS * _LEVELS
_KINDS = _COARSE * (1 + _AGREEMENTS)
#: How many tries the shares of a row are worth against a coarse kind's record, and that against a fine kind's.
_SHARE_TRIES, _COARSE_TRIES = 3.0, 6.0
#: Below this probability nothing is worth looking at.
_WORTHLESS = 1e-3


def make_record() -> OfferRecord:
    """A record of nothing: estimates start from the shares in the rows."""
    return OfferRecord(_KINDS)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _hash_contexts(recent, known, keys):  # type: ignore[no-untyped-def]
    """The hash of each context of a text that ends in ``recent[:known]`` (newest first); 0 where it is too short."""
    keys[:] = np.uint64(0)
    key = np.uint64(0)
    which = 0
    for back in range(min(LONGEST, known)):
        key = extended(key, recent[back])
        if back + 1 == ORDERS[which]:
            keys[which] = key
            which += 1
    if known > _GAPPED:
        key = _GAP_SEED
        for back in range(1, _GAPPED + 1):
            key = extended(key, recent[back])
        keys[CONTEXTS - 1] = key


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _take_recent(tokens, end, recent):  # type: ignore[no-untyped-def]
    """Write the last tokens of ``tokens[:end]`` into ``recent``, newest first; returns how many there are."""
    known = min(LONGEST, end)
    for back in range(known):
        recent[back] = tokens[end - 1 - back]
    return known


@numba.njit(cache=True, nogil=True, error_model="numpy")
def remember(table, tokens, start):  # type: ignore[no-untyped-def]
    """Count every token of ``tokens[start:]`` (``int32[n]``) as successor of the contexts before it."""
    recent = np.empty(LONGEST, np.int32)
    keys = np.empty(CONTEXTS, np.uint64)
    for at in range(max(start, 1), tokens.shape[0]):
        _hash_contexts(recent, _take_recent(tokens, at, recent), keys)
        for context in range(CONTEXTS):
            if keys[context] != 0:
                count(table, keys[context], tokens[at])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def remember_shown(table, before, row_token, row_parent, top_ids, top_logprobs):  # type: ignore[no-untyped-def]
    """Keep what the target held likely at each verified position, the pending token's last, so that it stays.

    Args:
        table: The table's address.
        before: The token before the pending one, -1 if there is none.
        row_token, row_parent: ``int32[m]``, as in ``VerifiedRows``; a parent of -2 is not known.
        top_ids, top_logprobs: ``int32[m, k]`` and ``float32[m, k]``.
    """
    for row in range(row_token.shape[0] - 1, -1, -1):  # of equal contexts the earlier row counts
        key = extended(np.uint64(0), row_token[row])
        weights = np.exp(top_logprobs[row])
        put(table, key, top_ids[row], weights)
        parent = row_parent[row]
        previous = before if parent == -1 else row_token[parent] if parent >= 0 else np.int32(-1)
        if previous >= 0:
            put(table, extended(key, previous), top_ids[row], weights)


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _agreement(shown, likely, token):  # type: ignore[no-untyped-def]
    """What the target showed after the same last token: 0 nothing, 1 other tokens, 2 this one too, 3 this one first."""
    agreement = 0 if likely < 0 else 1
    if likely >= 0:
        for i in range(width_of(shown)):
            if weight_at(shown, likely, i) <= 0.0:
                break
            if token_at(shown, likely, i) == token:
                agreement = 3 if i == 0 else 2
                break
    return agreement


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _level(source, weight, share):  # type: ignore[no-untyped-def]
    """0 to 15: how strongly the row stands for this offer."""
    if source == SHOWN:
        return min(15, int(weight * 16.0))
    seen = 0 if weight < 2.0 else 1 if weight < 3.0 else 2 if weight < 6.0 else 3
    return seen * 4 + min(3, int(share * 4.0))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _offer_row(  # type: ignore[no-untyped-def]
    table, shown, record, source, context, slot, likely, floor, wanted, offers, estimates, kinds, made, left
):
    """Append what one row offers; returns how many offers there are now and the probability left for others."""
    width = width_of(table)
    total = np.float32(0.0)
    for i in range(width):
        total += weight_at(table, slot, i)
    remaining = total
    rank = 0
    for i in range(width):
        weight = weight_at(table, slot, i)
        if weight <= 0.0 or made == OFFERS or left < floor:
            break
        token = token_at(table, slot, i)
        share = weight / remaining
        remaining = max(remaining - weight, np.float32(1e-6))
        known = False
        for j in range(made):
            known |= offers[j] == token
        if known:
            continue
        coarse = ((source * CONTEXTS + context) * _RANKS + min(rank, _RANKS - 1)) * _LEVELS
        coarse += _level(source, weight, weight / total)
        fine = _COARSE + coarse * _AGREEMENTS + _agreement(shown, likely, token)
        right = 0.8 * weight if source == SHOWN else 0.8 * share * weight / (weight + 1.0)
        right = odds(record, fine, odds(record, coarse, right, _SHARE_TRIES), _COARSE_TRIES)
        offers[made], estimates[made], kinds[made] = token, left * right, fine
        left *= 1.0 - right
        made += 1
        rank += 1
        if token == wanted:
            left = -1.0
    return made, left


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _deepest(table, keys):  # type: ignore[no-untyped-def]
    """No longer context (index into :data:`ORDERS`) can be in the table: where a short one is not, no longer one is."""
    deepest = ORDERS.shape[0] - 1
    if keys[1] == 0 or find(table, keys[1]) < 0:
        deepest = 0
    elif keys[3] == 0 or find(table, keys[3]) < 0:
        deepest = 2
    return deepest


@numba.njit(cache=True, nogil=True, error_model="numpy")
def offer(own, shared, shown, record, recent, known, floor, wanted, keys, reach, offers, estimates, kinds):  # type: ignore[no-untyped-def]
    """What may follow a context, in the order in which it is tried.

    Args:
        own, shared, shown: Addresses of what is known: the request's own text, its scope's earlier texts, and what the
            target showed.
        record: Address of the :class:`OfferRecord` of :func:`make_record`.
        recent: ``int32[>= known]``, the context's last ``known`` tokens, the newest first.
        known: How many there are.
        floor: When less than this probability is left, the rest is not looked at.
        wanted: When this token is offered, the rest is not looked at; -1: it may be any.
        keys: Scratch.
        reach: ``int64[2]``, the longest contexts (indices into :data:`ORDERS`) that the own text and the earlier ones
            can have, -1 where nobody knows. Written: the longest ones that they have, or could where nobody looked.
        offers, estimates, kinds: Written: tokens, their probabilities, and the fine kind each is counted under.

    Returns:
        How many offers were made.
    """
    if known == 0:
        return 0
    _hash_contexts(recent, known, keys)
    likely = find(shown, keys[0])
    own_deepest = reach[OWN] if reach[OWN] >= 0 else _deepest(own, keys)
    shared_deepest = reach[SHARED] if reach[SHARED] >= 0 else _deepest(shared, keys)
    reach[:] = -1
    made, left = 0, 1.0
    for step in range(CONTEXTS):
        context = _WALK[step]
        key = keys[context]
        if key == 0:
            continue
        is_order = context < CONTEXTS - 1
        for source in range(3 if context < SHOWN_ORDERS else 2):
            if left < floor or made == OFFERS:
                for unseen in range(2):
                    if reach[unseen] < 0:
                        reach[unseen] = context if is_order else 0
                return made
            if is_order and source < SHOWN and context > (own_deepest if source == OWN else shared_deepest):
                continue
            table = own if source == OWN else shared if source == SHARED else shown
            slot = find(table, key)
            if slot < 0:
                continue
            if is_order and source < SHOWN and reach[source] < 0:
                reach[source] = context
            made, left = _offer_row(
                table, shown, record, source, context, slot, likely, floor, wanted, offers, estimates, kinds, made, left
            )
    return made


@numba.njit(cache=True, nogil=True, error_model="numpy")
def learn(own, shared, shown, record, tokens, start):  # type: ignore[no-untyped-def]
    """Note how the offers before each token of ``tokens[start:]`` (``int32[n]``) fared, then :func:`remember` these."""
    offers, estimates, kinds = np.empty(OFFERS, np.int32), np.empty(OFFERS), np.empty(OFFERS, np.int64)
    keys, recent, reach = np.empty(CONTEXTS, np.uint64), np.empty(LONGEST, np.int32), np.empty(2, np.int64)
    for at in range(max(start, 1), tokens.shape[0]):
        known = _take_recent(tokens, at, recent)
        reach[:] = -1
        made = offer(
            own, shared, shown, record, recent, known, _WORTHLESS, tokens[at], keys, reach, offers, estimates, kinds
        )
        for i in range(made):
            right = offers[i] == tokens[at]
            note(record, kinds[i], right)
            note(record, (kinds[i] - _COARSE) // _AGREEMENTS, right)
    remember(own, tokens, start)


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _insert(pool_token, pool_parent, pool_value, waiting, most, token, parent, value):  # type: ignore[no-untyped-def]
    """Keep an offer among the ``most`` most valuable ones, which fall in value; returns how many there are."""
    at = waiting
    if waiting == most:
        at -= 1
    while at > 0 and pool_value[at - 1] < value:
        pool_token[at], pool_parent[at] = pool_token[at - 1], pool_parent[at - 1]
        pool_value[at] = pool_value[at - 1]
        at -= 1
    pool_token[at], pool_parent[at], pool_value[at] = token, parent, value
    return min(waiting + 1, most)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def grow(own, shared, shown, record, tokens, max_nodes, max_depth, branching):  # type: ignore[no-untyped-def]
    """The best tree of at most ``max_nodes``, by estimate.

    Only as many offers wait as nodes are missing, so a node is looked at no further than they are worth less.

    Args:
        own, shared, shown, record: As in :func:`offer`.
        tokens: ``int32[n]``, the text so far; its last tokens are enough.
        max_nodes, max_depth: The budget.
        branching: Whether a node may have several children; without it the tree is a chain.

    Returns:
        ``token``, ``parent``, ``depth`` (``int32[m]``) and ``score`` (``float32[m]``, the estimate that the node's
        whole path is right), in order of falling score where the tree branches.
    """
    token, parent = np.empty(max_nodes, np.int32), np.empty(max_nodes, np.int32)
    depth, score = np.empty(max_nodes, np.int32), np.empty(max_nodes, np.float32)
    contexts = np.empty((max_nodes + 1, LONGEST), np.int32)  # row 0: the root's; row i + 1: node i's, newest first
    lengths = np.empty(max_nodes + 1, np.int64)
    pool_token, pool_parent = np.empty(max_nodes, np.int32), np.empty(max_nodes, np.int32)
    pool_value = np.empty(max_nodes)  # of offers that wait to become nodes, the most valuable first
    offers, estimates, kinds = np.empty(OFFERS, np.int32), np.empty(OFFERS), np.empty(OFFERS, np.int64)
    keys = np.empty(CONTEXTS, np.uint64)
    reaches = np.empty((max_nodes + 1, 2), np.int64)  # as ``contexts``: the longest contexts that can be known
    reaches[0] = -1
    lengths[0] = _take_recent(tokens, tokens.shape[0], contexts[0])
    waiting = grown = 0
    node = -1
    while grown < max_nodes:
        missing = max_nodes - grown if branching else 1
        waiting = min(waiting, missing) if branching else 0
        if node < 0 or depth[node] < max_depth:
            value = 1.0 if node < 0 else np.float64(score[node])
            least = pool_value[missing - 1] if waiting == missing else 0.0
            floor = max(_WORTHLESS, least) / value
            made = 0
            if floor < 1.0:
                made = offer(
                    own,
                    shared,
                    shown,
                    record,
                    contexts[node + 1],
                    lengths[node + 1],
                    floor,
                    -1,
                    keys,
                    reaches[node + 1],
                    offers,
                    estimates,
                    kinds,
                )
            for i in range(made):
                worth = estimates[i] * value
                if worth >= _WORTHLESS and (waiting < missing or worth > pool_value[waiting - 1]):
                    waiting = _insert(
                        pool_token, pool_parent, pool_value, waiting, missing, offers[i], np.int32(node), worth
                    )
        if waiting == 0:
            break
        node = grown
        above = pool_parent[0]
        token[node], parent[node], score[node] = pool_token[0], above, pool_value[0]
        waiting -= 1
        for i in range(waiting):
            pool_token[i], pool_parent[i], pool_value[i] = pool_token[i + 1], pool_parent[i + 1], pool_value[i + 1]
        depth[node] = 1 if above < 0 else depth[above] + 1
        lengths[node + 1] = min(LONGEST, lengths[above + 1] + 1)
        # What followed a context of n tokens followed its last n - 1: one token more is all that can be known.
        for source in range(2):
            reaches[node + 1, source] = min(reaches[above + 1, source] + 1, ORDERS.shape[0] - 1)
        contexts[node + 1, 0] = token[node]
        for back in range(1, lengths[node + 1]):
            contexts[node + 1, back] = contexts[above + 1, back - 1]
        grown += 1
    return token[:grown], parent[:grown], depth[:grown], score[:grown]
