"""The records that kernels read: what lies where, and how it is numbered.

All fields are ``int64``: counts, or the addresses of arrays that their Python owners keep alive (:mod:`.memory`).
A *position* is ``(table, state, node)``: the lexeme being read, its state, and the top of the stack. Stack nodes are
numbered; each holds the node below and a symbol, so that stacks share what they have in common. A position that was
given a number is a *configuration*.
"""

from __future__ import annotations

import numpy as np

#: No transition, no result, and the node under the lowest symbol.
NONE = -1

# A negative table says what a position is instead.
ENDED = -1  #: The text is complete.
DEAD = -2  #: There is no such position.
UNKNOWN = -3  #: An answer of the source is needed first; it was written down as missing.
FULL = -4  #: An array must grow first.
CAPTURE = -5  #: A captured text must be shown to the source first.
LOOPS = -6  #: The source goes round in circles.
RETURNED = -7  #: Only between kernels: a result for the symbol on top, which stands in place of the state.
#: A walk was given up because it would visit too many nodes.
WIDE = -8
#: A state has so little in common with its table's fallback that their masks cannot be compared.
FAR = -9

# Kinds of answers.
REFUSES, ENTERS, RETURNS = 0, 1, 2

#: Answers followed between two bytes before a source is taken to go round in circles.
MAX_CHAIN = 100_000
#: A state with transitions on more bytes than are listed.
MANY = 255
#: The heat of a state for which lexeme masks do not pay: what is wanted of it is another thing each time.
NEVER = 255

#: Results from here on are not told apart where what follows may depend on a captured text.
DEPENDING = 62
#: Refused texts of this length and more are not told apart by length.
MAX_LENGTH = 61

#: Answers asked for at once.
MAX_MISSING = 64
#: Tokens that may be held back for a closer look before all are.
MAX_SUSPECTS = 4096

# What may be read instead of a token's text. A special token is ``-2 - token``.
END = -1
START = -(1 << 40)
#: Longer than any token.
WHOLE = 1 << 40

# What the reading of a token does next.
READ, POP, FOLLOW = 0, 1, 2


def _record(fields: str) -> np.dtype[np.void]:
    return np.dtype([(name, np.int64) for name in fields.split()])


#: A lexeme table (:class:`latticework.structured.pushdown.table.Table`).
#:
#: - ``closed``: ``uint8[states]``, whether the lexeme is over there.
#: - ``specials``: ``int32[special_count, 3]`` of state, token and result.
#: - ``groups``: how many thresholds there are; ``last``: the last of them.
#: - ``wide``: ``uint8[states]``, whether a walk of the vocabulary takes long from there.
#: - ``heat``: ``uint8[states]``, how often one took a while, or :data:`NEVER`.
#: - ``few``: ``uint8[states, 16]``, how many bytes have a transition, and these; :data:`MANY` for more than 15.
#: - ``alike``: ``int32[states]``, a wide state whose mask differs little, or :data:`NONE`.
#: - ``apart``: ``uint8[states, 16]``, as ``few``, the bytes that do not lead to the same from these two.
TABLE = _record(
    "classes delta result end closed outcomes advance thresholds specials special_count states columns words groups "
    "last wide heat few alike apart"
)

#: One grammar.
#:
#: - ``nodes``: ``int64[., 4]`` of the node below, the symbol, where its goal is noted (:data:`NONE`: not yet; below
#:   that, ``-2 - place`` in the scratch pool) and, if it does not last, after how many bytes of the token it was
#:   pushed.
#:   Nodes from ``node_count`` up to ``node_top`` live only as long as one kernel needs them.
#: - ``configurations``: ``int64[., 3]`` of table, state and node.
#: - ``symbols``: ``int64[., 5]`` of the place and the words of the goal in ``goals``; 0, or if the symbol captures 1
#:   and more (:func:`.members.captures_of`); the number under which its answers are kept, its own
#:   or that which stands for its family (such a one has the number of the family in place of the goal's); its set.
#: - ``families``: ``int64[., 5]`` of the kind, the words of a goal, the words of each bit set of the rule, their place
#:   in ``rules`` (usable, ordered, required, captured), and what a symbol captures if it does.
#: - ``sets``: ``int64[., 2]`` of the place and number of words in ``set_words``; the last word is not empty.
#: - ``member_index``, ``set_index``: where the symbols of families and the sets are found.
#: - ``noted``, ``scratch``: ``uint64[.]``, goals that depend on the stack: the number of words, then as many that say
#:   which results are decided, then as many that say which are taken.
#: - ``answers``: ``int64[., 5]`` of kind, table, state or result, and the place and number of symbols in ``pushes``.
#: - ``pushes``: ``int64[., 2]`` of a symbol and :data:`NONE`; or of what stands for a family and the set that is added.
#: - ``trie_children``: ``int32[256]``, the root's child for each byte, or 0; ``group_children`` of a :data:`PLAN`: the
#:   same for the root of each group.
#: - ``plans``: ``int64[., 5]`` of table, base state, the place and number of words in ``plan_words`` of the wanted base
#:   results, and the address of a :data:`PLAN`, or 0 for a plain walk.
#: - ``ready``: ``int64[configurations]``, where a mask is in the ``ring`` (:mod:`.ready`), or 0; ``base``: the lexeme
#:   mask that the mask at hand was made of.
#: - ``tables``: the :data:`TABLE` records, and how many there is room for.
#: - ``suspects``: ``int64[.]``, tokens; or, if only a text begun before the token matters, ``-1`` less the token, how
#:   many of its bytes are read after that text has ended (from bit 32) and with which result it did (from bit 48).
#: - ``held_position``, ``held_result``: where and how it ended.
#: - ``live``, ``skipped``: trie nodes descended to and passed by, so far: the deterministic measure of cost.
#: - ``path_...``: what a walk knows at each depth.
MACHINE = _record(
    "nodes node_capacity node_count node_top node_index node_slots "
    "configurations configuration_capacity configuration_count configuration_index configuration_slots "
    "symbols symbol_capacity symbol_count goals goal_capacity goal_count member_index member_slots families rules "
    "sets set_capacity set_count set_words set_word_capacity set_word_count set_index set_slots "
    "noted noted_capacity noted_count scratch scratch_capacity scratch_count "
    "answers answer_keys answer_values answer_slots answer_count pushes pushed missing missing_count live skipped "
    "words eos eos_count trie_byte trie_depth trie_end trie_first trie_ids trie_nodes trie_children text offset "
    "chain path_table path_state path_node path_top path_seen path_near path_far "
    "token length table state node top position mode pending_result pending_node consumed skip answer "
    "starts start_count popped saved_starts saved_start_count saved_popped seen inner suspects suspect_count "
    "plans plan_index plan_slots plan_count plan_words wanted asked_table asked_state "
    "held_position held_result floor floor_seen keep spare budget ready ring base tables table_room"
)

#: Where a field of :data:`MACHINE` is, if the record is read as numbers.
PLACE = {name: place for place, name in enumerate(MACHINE.names or ())}

#: A lexeme mask as it is used in one place; see :class:`.lexeme_masks.LexemeMask`.
PLAN = _record(
    "mask outside byte depth end first ids groups group_roots group_results group_advances group_children "
    "walked walked_nodes walked_states walked_advances tokens token_first longest lookahead states results counted"
)
