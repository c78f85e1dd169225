"""The special tokens of a vocabulary as formats name them: by id, by name, or by a name within a text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.vocabulary import Vocabulary


class SpecialTokens:
    """A text that the tokenizer has as a special token means that token."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._names = vocabulary.special_names
        self._ids = vocabulary.special_ids
        self._ends = vocabulary.eos_ids

    def split(self, where: str, text: str) -> list[bytes | int]:
        """``text`` as bytes and tokens. Raises ``UnsupportedGrammarError`` for end tokens."""
        parts: list[bytes | int] = []
        position = begin = 0
        while position < len(text):
            name = max((name for name in self._names if text.startswith(name, position)), key=len, default="")
            if name:
                parts += [text[begin:position].encode(), self._checked(where, self._names[name])]
                position = begin = position + len(name)
            else:
                position += 1
        return [*parts, text[begin:].encode()]

    def token(self, where: str, token: Any) -> int:
        """A token by id or name.

        Raises:
            UnsupportedGrammarError: It is not a special token, or ends the output.
            GrammarError: It is neither an id nor a name.
        """
        token_id = self._names.get(token) if isinstance(token, str) else token
        if token_id is None or (type(token_id) is int and token_id not in self._ids):
            raise UnsupportedGrammarError(where, "only special tokens are told from their text")
        if type(token_id) is not int:
            raise GrammarError(where, "expected a token's text or id")
        return self._checked(where, token_id)

    def tokens(self, where: str, value: Mapping[str, Any], member: str) -> list[int]:
        """A possibly missing array of tokens. Raises like :meth:`token`."""
        found = value.get(member, [])
        if not isinstance(found, list):
            raise GrammarError(f"{where}/{member}", "expected an array of tokens")
        return [self.token(f"{where}/{member}/{index}", token) for index, token in enumerate(found)]

    def others(self, excluded: Collection[int]) -> list[int]:
        """All that may stand in the middle of an output, but ``excluded``."""
        return sorted(self._ids - self._ends - set(excluded))

    def _checked(self, where: str, token_id: int) -> int:
        if token_id in self._ends:
            raise UnsupportedGrammarError(where, "an end token ends the whole output, not a part of it")
        return token_id
