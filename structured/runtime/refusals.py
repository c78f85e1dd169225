"""Captured texts that must not end as they would: taking the tokens out of a mask that would end them so.

A walk of the vocabulary leaves captured texts out of account (:mod:`.steps`). Here they are looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection

from latticework.structured import bitmask
from latticework.structured.bitmask import Bitmask
from latticework.structured.runtime.layout import MAX_SUSPECTS, NONE, WHOLE
from latticework.structured.runtime.machine_arrays import MachineArrays
from latticework.structured.runtime.symbols import Symbols
from latticework.structured.vocabulary import Vocabulary

#: What was read since each capturing symbol on the stack was pushed, the lowest first.
Texts = tuple[bytes, ...]

_TOKEN = (1 << 32) - 1


class Refusals:
    """The captured texts of one machine. Not thread-safe.

    Args:
        symbols, arrays, vocabulary: The machine's.
        ending_tokens: End and special tokens.
        takes: Whether a token is allowed at a configuration with texts, or so many bytes of it: the exact answer.
    """

    def __init__(
        self,
        symbols: Symbols,
        arrays: MachineArrays,
        vocabulary: Vocabulary,
        ending_tokens: Collection[int],
        takes: Callable[[int, Texts, int, int], bool],
    ) -> None:
        self._symbols = symbols
        self._arrays = arrays
        self._vocabulary = vocabulary
        self._ending_tokens = ending_tokens
        self._takes = takes
        self._known: dict[int, list[bytes]] = {}
        self._concerning: dict[int, bool] = {}
        self._capturing: dict[int, tuple[int, ...]] = {NONE: ()}

    def concern(self, configuration: int) -> bool:
        """Whether any text is refused that is being captured at a configuration."""
        known = self._concerning.get(configuration)
        if known is None:
            known = any(map(self._texts_of, self.capturing(configuration)))
            self._concerning[configuration] = known
        return known

    def _texts_of(self, owner: int) -> list[bytes]:
        """The texts that a capturing symbol refuses, in order."""
        refusals = self._known.get(owner)
        if refusals is None:
            refusals = self._known[owner] = sorted(self._symbols.refused(owner))
        return refusals

    def take_out(self, configuration: int, texts: Texts, row: Bitmask, suspects: int) -> None:
        """Take out of a mask the tokens that would end a captured text which is refused.

        Such a token either ends a text that is being captured now: then it begins with what is left of a refused one,
        and its next byte decides. Or it holds the whole text: those are ``suspects``, which the walk wrote down.
        """
        owners = self.capturing(configuration)
        tokens: list[int] = []
        if suspects > MAX_SUSPECTS:
            tokens = bitmask.indices(row[: self._arrays.words]).tolist()
        elif suspects:
            tokens = self._arrays["suspects"][:suspects].tolist()
            if min(tokens) < 0:
                held = [-1 - token for token in tokens if token < 0]
                tokens = [token for token in tokens if token >= 0]
                concerned = [pair for pair in zip(owners, texts, strict=True) if self._symbols.concerns(*pair)]
                if len(concerned) == 1:
                    held = self._judge(*concerned[0], row, held)
                tokens += [token & _TOKEN for token in held] if concerned else []
        for owner, text in zip(owners, texts, strict=True):
            refusals = self._texts_of(owner)
            for refused in refusals[bisect_left(refusals, text) :]:
                if not refused.startswith(text):
                    break
                self._refuse_text(configuration, texts, row, refused[len(text) :])
                if refused == text:
                    tokens.extend(token_id for token_id in self._ending_tokens if bitmask.test(row, token_id))
        for token_id in tokens:
            if self._takes(configuration, texts, token_id, WHOLE):
                bitmask.set_bit(row, token_id)
            else:
                bitmask.clear_bit(row, token_id)

    def _judge(self, owner: int, text: bytes, row: Bitmask, held: list[int]) -> list[int]:
        """Clear those of the tokens held back that end a captured text which is refused; those that remain to be tried.

        ``held``: see ``suspects`` in :data:`~.layout.MACHINE`. What several tokens write is judged once.
        """
        known: dict[tuple[int, bytes], bool | None] = {}
        left = []
        for each in held:
            token_id = each & _TOKEN
            token = self._vocabulary.tokens[token_id]
            written = each >> 48, token[: len(token) - (each >> 32 & 0xFFFF)]
            if written not in known:
                known[written] = self._symbols.refuses(owner, written[0], text + written[1])
            if known[written]:
                bitmask.clear_bit(row, token_id)
            elif known[written] is None:
                left.append(each)
        return left

    def _refuse_text(self, configuration: int, texts: Texts, row: Bitmask, rest: bytes) -> None:
        """Clear the tokens that begin with ``rest`` and end the lexeme there, if that is refused."""
        trie = self._vocabulary.trie
        node = trie.find(rest)
        if node < 0:
            return
        length = len(rest)
        children = [node] if length else []
        child = node + 1
        while child < trie.end[node]:
            children.append(child)
            child = int(trie.end[child])
        for child in children:
            ids = trie.ids[trie.first_id[child] : trie.first_id[trie.end[child]]]
            own = length if child == node else length + 1
            if not self._takes(configuration, texts, int(ids[0]), own):
                for token_id in ids.tolist():
                    bitmask.clear_bit(row, token_id)

    def capturing(self, configuration: int) -> tuple[int, ...]:
        """The owners of the symbols on the stack that capture, the lowest first."""
        return self._capturing_below(int(self._arrays["configurations"][3 * configuration + 2]))

    def _capturing_below(self, node: int) -> tuple[int, ...]:
        nodes, symbols = self._arrays["nodes"], self._arrays["symbols"]
        path = []
        while node not in self._capturing:
            path.append(node)
            node = int(nodes[4 * node])
        for above in reversed(path):
            symbol = int(nodes[4 * above + 1])
            known = self._capturing[node]
            captures, owner = symbols[5 * symbol + 2 : 5 * symbol + 4].tolist()
            self._capturing[above] = (*known, owner) if captures else known
            node = above
        return self._capturing[node]
