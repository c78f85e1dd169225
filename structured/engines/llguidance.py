"""``llguidance``: Microsoft's engine (an Earley parser over derivative lexers), wrapped.

Differences from calling it directly, each for a reason: end tokens are ours (the inner matcher never sees one), so that
the end is undone and copied like any other token; blanks in JSON are bounded
(:mod:`latticework.structured.engines.json_layout`), where serving engines leave them free; keywords that it would
weaken are refused (:mod:`latticework.structured.engines.llguidance_schema`); the tokenization of forced text is left to
the model.

Works with llguidance 1.7 to 1.9.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latticework.structured import bitmask
from latticework.structured.bitmask import Bitmask
from latticework.structured.engines.deadline import run_with_deadline
from latticework.structured.engines.grammar_syntax import is_gbnf
from latticework.structured.engines.json_layout import ITEM_SEPARATOR, KEY_SEPARATOR, refuse_other_layouts
from latticework.structured.engines.llguidance_schema import close_keys
from latticework.structured.engines.llguidance_tags import format_to_lark
from latticework.structured.engines.per_vocabulary import PerVocabulary
from latticework.structured.engines.structural_tag import in_format_form
from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarKind, GrammarSpec
from latticework.structured.vocabulary import Vocabulary

NAME = "llguidance"
# `lenient` would ignore unknown keywords and `coerce_one_of` would read oneOf as anyOf; a schema can ask for both.
_JSON_OPTIONS = {
    "whitespace_flexible": False,
    "item_separator": ITEM_SEPARATOR,
    "key_separator": KEY_SEPARATOR,
    "lenient": False,
    "coerce_one_of": False,
}
# Without it the masks of forced text hold one token, the tokenizer's own, where others spell the same bytes.
_OPTIONS = '%llguidance {"no_forcing": true}'
_SILENT = 0  # llguidance's log level: its messages come back in our errors instead


class LLGuidanceMatcher:
    """See :class:`latticework.structured.engines.base.Matcher`. Wraps one ``LLMatcher``."""

    def __init__(self, grammar: LLGuidanceGrammar, inner: Any, length: int = 0, finished: bool = False) -> None:
        self._grammar = grammar
        self._inner = inner
        self._length = length  # tokens that the inner matcher has consumed
        self._finished = finished

    @property
    def can_end(self) -> bool:
        """See :attr:`Matcher.can_end`."""
        return not self._finished and bool(self._inner.is_accepting())

    @property
    def finished(self) -> bool:
        """See :attr:`Matcher.finished`."""
        return self._finished

    def fill_bitmask(self, row: Bitmask) -> None:
        """See :meth:`Matcher.fill_bitmask`. Raises ``BudgetExceededError`` if llguidance gives up on the grammar."""
        vocabulary = self._grammar.vocabulary
        width = bitmask.words(vocabulary.size)
        row[width:] = 0
        if self._finished:
            row[:width] = 0
            return
        target = row[:width] if row.flags.c_contiguous else np.empty(width, np.int32)
        self._inner.unsafe_compute_mask_ptr(target.ctypes.data, target.nbytes)
        self._check()
        row[:width] = target
        write = bitmask.set_bit if self.can_end else bitmask.clear_bit
        for token_id in vocabulary.eos_ids:
            write(row, token_id)

    def accept(self, token_id: int) -> bool:
        """See :meth:`Matcher.accept`."""
        if self._finished:
            return False
        if token_id in self._grammar.vocabulary.eos_ids:
            self._finished = self.can_end
            return self._finished
        # An id beyond the vocabulary would put the inner matcher into an error it never leaves.
        if not 0 <= token_id < self._grammar.vocabulary.size or self._inner.try_consume_tokens([token_id]) != 1:
            self._check()
            return False
        self._length += 1
        return True

    def count_valid(self, token_ids: Sequence[int]) -> int:
        """See :meth:`Matcher.count_valid`."""
        if self._finished:
            return 0
        vocabulary = self._grammar.vocabulary
        plain: list[int] = []
        for token_id in token_ids:
            if token_id in vocabulary.eos_ids or not 0 <= token_id < vocabulary.size:
                break
            plain.append(token_id)
        count = int(self._inner.validate_tokens(plain)) if plain else 0
        self._check()
        rest = token_ids[count : count + 1]
        if count == len(plain) and rest and rest[0] in vocabulary.eos_ids:
            fork = self.fork()
            count += int(all(fork.accept(token_id) for token_id in [*plain, rest[0]]))
        return count

    def rollback(self, count: int) -> None:
        """See :meth:`Matcher.rollback`."""
        if not 0 <= count <= self._length + self._finished:
            raise ValueError(f"cannot undo {count} tokens of {self._length + self._finished}")
        if count and self._finished:
            self._finished = False
            count -= 1
        if count:
            self._inner.rollback(count)
            self._check()
            self._length -= count

    def fork(self) -> LLGuidanceMatcher:
        """See :meth:`Matcher.fork`."""
        return LLGuidanceMatcher(self._grammar, self._inner.deep_copy(), self._length, self._finished)

    def forced_tokens(self, limit: int = 32) -> list[int]:
        """See :meth:`Matcher.forced_tokens`. llguidance leaves out a last token that later bytes could lengthen."""
        if self._finished or self.can_end:
            return []
        # Under no_forcing the tokens are cut from the bytes that were found forced, so those must be asked for first.
        if not self._inner.compute_ff_bytes():
            return []
        tokens: list[int] = self._inner.compute_ff_tokens()[:limit]
        return tokens[: self.count_valid(tokens)]

    def _check(self) -> None:
        if self._inner.is_error():
            raise BudgetExceededError(self._grammar.spec.kind, f"llguidance gave up: {_first_line(self._inner)}")


@dataclass(frozen=True, eq=False)
class LLGuidanceGrammar:
    """A compiled constraint: a matcher at the start that is copied for each request and itself never moves."""

    spec: GrammarSpec
    vocabulary: Vocabulary
    prototype: Any
    engine: str = NAME

    def matcher(self) -> LLGuidanceMatcher:
        """See :meth:`CompiledGrammar.matcher`."""
        return LLGuidanceMatcher(self, self.prototype.deep_copy())


class LLGuidanceEngine:
    """Serves JSON Schema, JSON objects, regex, choice, Lark, GBNF as far as it converts, and most structural tags."""

    name = NAME

    def __init__(self) -> None:
        self._tokenizers = PerVocabulary(build_tokenizer)

    def compile(self, spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> LLGuidanceGrammar:
        """See :meth:`GrammarEngine.compile`. llguidance bounds most of its work by counting it, none by the clock."""
        import llguidance

        tokenizer = self._tokenizers.get(vocabulary)
        source = llguidance.LLMatcher.grammar_from_lark(f"{_OPTIONS}\n{_lark(spec, tokenizer)}\n")
        prototype = run_with_deadline(
            lambda: llguidance.LLMatcher(tokenizer, source, log_level=_SILENT),
            limits.compile_seconds,
            spec.kind,
            "llguidance's parser",
        )
        if prototype.is_error():
            raise _refusal(spec, _first_line(prototype))
        return LLGuidanceGrammar(spec, vocabulary, prototype)


def build_tokenizer(vocabulary: Vocabulary) -> Any:
    """An ``LLTokenizer`` whose tokens write exactly the bytes that ``vocabulary`` says.

    From the serialized tokenizer, which knows the names of special tokens; from the bytes where there is none, or where
    llguidance reads other bytes out of it than the vocabulary holds.
    """
    import llguidance

    end = sorted(vocabulary.eos_ids)
    if vocabulary.tokenizer_json is not None:
        try:
            tokenizer = llguidance.LLTokenizer(vocabulary.tokenizer_json, n_vocab=vocabulary.size, eos_token=end)
        except ValueError:
            tokenizer = None  # a tokenizer family it does not know
        if tokenizer is not None and _same_bytes(tokenizer, vocabulary):
            return tokenizer
    try:
        wrapper = llguidance.TokenizerWrapper(_ByteTokenizer(vocabulary))
        return llguidance.LLTokenizer(wrapper, n_vocab=vocabulary.size, eos_token=end)
    except Exception as error:
        raise UnsupportedGrammarError("tokenizer", f"llguidance cannot use this vocabulary: {error}") from error


def _same_bytes(tokenizer: Any, vocabulary: Vocabulary) -> bool:
    special, tokens = vocabulary.special_ids, vocabulary.tokens
    ordinary = [token_id for token_id, token in enumerate(tokens) if token and token_id not in special]
    return bool(tokenizer.decode_bytes(ordinary) == b"".join(tokens[token_id] for token_id in ordinary))


class _ByteTokenizer:
    """The shape that ``TokenizerWrapper`` asks for."""

    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary) -> None:
        # Special and unused ids need a spelling of their own that no text contains: 0xFF never occurs in UTF-8.
        self.tokens = [token or b"\xff[%d]" % token_id for token_id, token in enumerate(vocabulary.tokens)]
        self.special_token_ids = [token_id for token_id, token in enumerate(vocabulary.tokens) if not token]
        self.eos_token_id = min(vocabulary.eos_ids)
        self._encode = vocabulary.encode

    def __call__(self, text: bytes | str) -> list[int]:
        return self._encode(text if isinstance(text, bytes) else text.encode()) or []


def _lark(spec: GrammarSpec, tokenizer: Any) -> str:
    """The constraint in llguidance's dialect of Lark."""
    refuse_other_layouts(spec, NAME)
    from llguidance import regex_to_lark

    match spec.kind:
        case GrammarKind.JSON_SCHEMA:
            return f"start: {_json_rule(spec.payload, spec.kind)}"
        case GrammarKind.JSON_OBJECT:
            return f"start: {_json_rule({'type': 'object'}, spec.kind)}"
        case GrammarKind.REGEX:
            if spec.text.endswith("\\") and (fault := _python_fault(spec.text)) is not None:
                raise GrammarError(spec.kind, f"not a regular expression: {fault}")  # it would escape the slash below
            return f"start: /{regex_to_lark(spec.text, use_ascii='')}/"
        case GrammarKind.CHOICE:
            return "start: " + " | ".join(json.dumps(option, ensure_ascii=False) for option in spec.payload)
        case GrammarKind.GRAMMAR:
            return _from_source(spec.text)
        case GrammarKind.STRUCTURAL_TAG:
            return format_to_lark(in_format_form(spec.payload), tokenizer, _json_rule)


def _json_rule(schema: Any, field: str) -> str:
    if schema is False:
        raise GrammarError(field, "the schema false allows no document at all")
    prepared = {} if schema is True else close_keys(schema, field)
    return "%json " + json.dumps({**prepared, "x-guidance": _JSON_OPTIONS})


def _from_source(source: str) -> str:
    if not is_gbnf(source):
        return source
    from llguidance.gbnf_to_lark import any_to_lark

    try:
        return str(any_to_lark(source))
    except Exception as error:
        raise UnsupportedGrammarError(GrammarKind.GRAMMAR, f"not convertible from GBNF: {error}") from error


def _refusal(spec: GrammarSpec, message: str) -> GrammarError:
    """Wrong for every engine, or only beyond this one? llguidance's message does not say, so the source is asked."""
    if message.startswith("Unsatisfiable schema"):
        return GrammarError(spec.kind, message)
    if spec.kind is GrammarKind.REGEX and (fault := _python_fault(spec.text)) is not None:
        return GrammarError(spec.kind, f"not a regular expression: {fault}")
    if spec.kind is GrammarKind.GRAMMAR and not is_gbnf(spec.text):
        return GrammarError(spec.kind, f"not a Lark grammar: {message}")
    return UnsupportedGrammarError(spec.kind, message)


def _python_fault(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None


def _first_line(matcher: Any) -> str:
    """llguidance's message without the state dump below it and without positions in Lark that is not the client's."""
    first = str(matcher.get_error()).strip().split("\n", 1)[0]
    return re.sub(r"^(?:at )?\d+\(\d+\): (?:failed to compile JSON schema: )?", "", first)
