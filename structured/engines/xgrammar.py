"""``xgrammar``: the serving engines' default engine (a pushdown automaton with masks prepared per rule), wrapped.

Differences from calling it directly, each for a reason: a JSON Schema that it would enforce only in part is refused
(:mod:`latticework.structured.engines.xgrammar_schema`), and so are the constructs of a regex that it drops; blanks in
JSON are bounded (:mod:`latticework.structured.engines.json_layout`), where serving engines leave them free; the
vocabulary's own bytes are its tokens, so it need not guess the tokenizer's family.

Works with xgrammar 0.2.7 and 0.2.8. The former lets some bytes that are not UTF-8 into free strings.
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
from latticework.structured.engines.json_layout import (
    ITEM_SEPARATOR,
    KEY_SEPARATOR,
    MAX_WHITESPACE,
    refuse_other_layouts,
)
from latticework.structured.engines.per_vocabulary import PerVocabulary
from latticework.structured.engines.regex_limits import ignored_construct
from latticework.structured.engines.schema_check import check_schema
from latticework.structured.engines.structural_tag import (
    embedded_schemas,
    is_legacy,
    legacy_tags,
    refuse_our_formats,
    triggered,
)
from latticework.structured.engines.xgrammar_schema import refuse_unenforced
from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarKind, GrammarSpec
from latticework.structured.vocabulary import Vocabulary

NAME = "xgrammar"
_LAYOUT = {"any_whitespace": False, "separators": (ITEM_SEPARATOR, KEY_SEPARATOR)}
_COMPILE_THREADS = 4


class XGrammarMatcher:
    """See :class:`latticework.structured.engines.base.Matcher`. Wraps one ``GrammarMatcher``."""

    def __init__(self, grammar: XGrammarGrammar, inner: Any, length: int = 0) -> None:
        self._grammar = grammar
        self._inner = inner
        self._length = length  # tokens accepted, the end token included

    @property
    def can_end(self) -> bool:
        """See :attr:`Matcher.can_end`."""
        return not self.finished and bool(self._inner.is_completed())

    @property
    def finished(self) -> bool:
        """See :attr:`Matcher.finished`."""
        return bool(self._inner.is_terminated())

    def fill_bitmask(self, row: Bitmask) -> None:
        """See :meth:`Matcher.fill_bitmask`."""
        size = self._grammar.vocabulary.size
        width = bitmask.words(size)
        row[width:] = 0
        if self.finished:
            row[:width] = 0
            return
        # xgrammar leaves the row as it is when it forbids nothing.
        target = np.full((1, width), -1, np.int32)
        self._inner.fill_next_token_bitmask(target)
        row[:width] = target[0]
        if size % 32:
            row[width - 1] &= np.int32((1 << size % 32) - 1)

    def accept(self, token_id: int) -> bool:
        """See :meth:`Matcher.accept`."""
        if self.finished or not 0 <= token_id < self._grammar.vocabulary.size:
            return False
        accepted = bool(self._inner.accept_token(token_id))
        self._length += accepted
        return accepted

    def count_valid(self, token_ids: Sequence[int]) -> int:
        """See :meth:`Matcher.count_valid`."""
        count = 0
        while count < len(token_ids) and self.accept(token_ids[count]):
            count += 1
        self.rollback(count)
        return count

    def rollback(self, count: int) -> None:
        """See :meth:`Matcher.rollback`."""
        if not 0 <= count <= self._length:
            raise ValueError(f"cannot undo {count} tokens of {self._length}")
        if count:
            self._inner.rollback(count)
            self._length -= count

    def fork(self) -> XGrammarMatcher:
        """See :meth:`Matcher.fork`."""
        return XGrammarMatcher(self._grammar, self._inner.fork(), self._length)

    def forced_tokens(self, limit: int = 32) -> list[int]:
        """See :meth:`Matcher.forced_tokens`. A last token that later bytes could lengthen is left out."""
        if self.finished or self.can_end:
            return []
        text = self._forced_bytes()
        vocabulary = self._grammar.vocabulary
        tokens = vocabulary.encode(text) if text else None
        if not tokens:
            return []
        if vocabulary.trie.extends(vocabulary.tokens[tokens[-1]]):
            tokens = tokens[:-1]
        return tokens[: self.count_valid(tokens)][:limit]

    def _forced_bytes(self) -> bytes:
        try:
            return bytes(self._inner.find_jump_forward_string().encode())
        except UnicodeDecodeError as error:
            return bytes(error.object)  # what is forced ends within a character


@dataclass(frozen=True, eq=False)
class XGrammarGrammar:
    """A compiled constraint; every request's matcher shares xgrammar's compiled grammar."""

    spec: GrammarSpec
    vocabulary: Vocabulary
    compiled: Any
    engine: str = NAME

    def matcher(self) -> XGrammarMatcher:
        """See :meth:`CompiledGrammar.matcher`."""
        import xgrammar

        return XGrammarMatcher(self, xgrammar.GrammarMatcher(self.compiled))


class XGrammarEngine:
    """Serves all six kinds; of JSON Schema the part that it enforces in full."""

    name = NAME

    def __init__(self) -> None:
        self._compilers = PerVocabulary(make_compiler)

    def compile(self, spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> XGrammarGrammar:
        """See :meth:`GrammarEngine.compile`."""
        compiler = self._compilers.get(vocabulary)
        _refuse(spec)
        try:
            compiled = run_with_deadline(
                lambda: _compile(compiler, spec), limits.compile_seconds, spec.kind, "xgrammar's compiler"
            )
        except (RuntimeError, ValueError, TypeError) as error:
            if isinstance(error, GrammarError):
                raise
            raise _refusal(spec, _reason(error)) from error
        return XGrammarGrammar(spec, vocabulary, compiled)


def make_compiler(vocabulary: Vocabulary) -> Any:
    """xgrammar's compiler for one vocabulary."""
    import xgrammar

    info = xgrammar.TokenizerInfo(
        list(vocabulary.tokens),
        xgrammar.VocabType.RAW,
        vocab_size=vocabulary.size,
        stop_token_ids=sorted(vocabulary.eos_ids),
    )
    # Compiled grammars are cached for all engines together, so xgrammar need not keep its own.
    return xgrammar.GrammarCompiler(info, max_threads=_COMPILE_THREADS, cache_enabled=False)


def _refuse(spec: GrammarSpec) -> None:
    """Raise for what xgrammar would accept and not enforce."""
    refuse_other_layouts(spec, NAME)
    if spec.kind is GrammarKind.JSON_SCHEMA:
        refuse_unenforced(spec.payload, spec.kind)
    elif spec.kind is GrammarKind.REGEX:
        if "\0" in spec.text:
            raise UnsupportedGrammarError(spec.kind, "xgrammar cannot read a NUL character in a pattern")
        if (construct := ignored_construct(spec.text)) is not None:
            raise UnsupportedGrammarError(spec.kind, f"xgrammar ignores {construct}")


def _compile(compiler: Any, spec: GrammarSpec) -> Any:
    match spec.kind:
        case GrammarKind.JSON_SCHEMA:
            return compiler.compile_json_schema(spec.text, **_LAYOUT)
        case GrammarKind.JSON_OBJECT:
            return compiler.compile_json_schema('{"type":"object"}', **_LAYOUT)
        case GrammarKind.REGEX:
            return compiler.compile_regex(spec.text)
        case GrammarKind.CHOICE:
            return compiler.compile_grammar("root ::= " + " | ".join(map(_literal, spec.payload)))
        case GrammarKind.GRAMMAR:
            return (compiler.compile_grammar if is_gbnf(spec.text) else compiler.compile_lark)(spec.text)
        case GrammarKind.STRUCTURAL_TAG:
            return compiler.compile_structural_tag(json.dumps(_tag_format(json.loads(spec.text))))


def _literal(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'


def _tag_format(tag: dict[str, Any]) -> dict[str, Any]:
    """The tag in the ``format`` form, every schema in it checked and its blanks bounded. Changes ``tag``."""
    if not is_legacy(tag):
        refuse_our_formats(tag, NAME)
        for where, content in embedded_schemas(tag):
            _check_content(where, content)
            content.setdefault("max_whitespace_cnt", MAX_WHITESPACE)
        return tag
    tags = []
    for i, item in enumerate(legacy_tags(tag)):
        refuse_unenforced(item.schema, f"{GrammarKind.STRUCTURAL_TAG}/structures/{i}/schema")
        content = {"type": "json_schema", "json_schema": item.schema, "max_whitespace_cnt": MAX_WHITESPACE}
        tags.append({"type": "tag", "begin": item.begin, "content": content, "end": item.end})
    return triggered(tag, tags)


def _check_content(where: str, content: dict[str, Any]) -> None:
    field = f"{GrammarKind.STRUCTURAL_TAG}/{where}"
    check_schema(content["json_schema"], f"{field}/json_schema")
    refuse_unenforced(content["json_schema"], f"{field}/json_schema")
    if content.get("type") != "json_schema" or content.get("style", "json") != "json":
        raise UnsupportedGrammarError(field, "only schemas of style json are known to be enforced")
    if content.get("any_order"):
        raise UnsupportedGrammarError(field, "xgrammar does not check required keys under any_order")


def _refusal(spec: GrammarSpec, reason: str) -> GrammarError:
    """Wrong for every engine, or only beyond this one? xgrammar is the reference for GBNF and for structural tags."""
    if spec.kind is GrammarKind.GRAMMAR and is_gbnf(spec.text):
        return GrammarError(spec.kind, f"not a GBNF grammar: {reason}")
    if spec.kind is GrammarKind.STRUCTURAL_TAG:
        return GrammarError(spec.kind, reason)
    if spec.kind is GrammarKind.REGEX:
        try:
            re.compile(spec.text)
        except (re.error, OverflowError, RecursionError) as error:
            return GrammarError(spec.kind, f"not a regular expression: {error}")
    return UnsupportedGrammarError(spec.kind, reason)


def _reason(error: Exception) -> str:
    """Its message without time stamps and source positions (``[12:00:00] /project/cpp/x.cc:42: what happened``)."""
    text = re.sub(r"\[[\d:]+\]\s+\S+\.(?:cc|h):\d+:\s*", "", str(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__
