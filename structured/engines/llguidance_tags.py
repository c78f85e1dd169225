"""The ``format`` form of a structural tag for llguidance: a tree of formats becomes a grammar in its dialect of Lark.

The meaning is xgrammar's, which defined the form: free text inside a tag does not contain the tag's end; a trigger,
once written in free text, must become one of its tags; with ``at_least_one``, the first tag comes at once. A text that
the tokenizer has as a special token means that token. What llguidance cannot enforce exactly is refused with the path
of the format: unknown formats and members, and texts that its lexer would cut in the wrong place
(:mod:`latticework.structured.engines.llguidance_lexemes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from latticework.structured.automata import regex_syntax
from latticework.structured.automata.regex import regex
from latticework.structured.engines.llguidance_lexemes import (
    EMPTY,
    Document,
    Lexeme,
    Piece,
    Repeated,
    Special,
    choice,
    free_text,
    literal,
    refuse_ambiguous,
    series,
    to_lark,
)
from latticework.structured.engines.schema_check import check_schema
from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.spec import GrammarKind
from latticework.structured.tags.members import COMMON_MEMBERS, Members, check_members, flag, items, string, texts

#: A schema and the field that errors name, to a ``%json`` directive.
JsonRule = Callable[[Any, str], str]

# The members of each format, and the values that leave a member without effect.
_MEMBERS: dict[str, Members] = {
    **COMMON_MEMBERS,
    "json_schema": {
        "json_schema": (),
        "style": ("json",),
        "any_order": (False,),
        "excludes": ([],),
        "max_whitespace_cnt": (),
    },
    "any_text": {"excludes": (), "max_tokens": (None,), "max_chars": (None,)},
}
_OPENS = {"object": b"{", "array": b"[", "string": b'"', "boolean": b"tf", "null": b"n"}
_NUMBER_OPENS, _NUMBER_EXTENDS = b"-0123456789", b"0123456789.eE"

#: Strings that free text must not contain because they end the tag around it; ``None`` where that tag has no end.
_Ends = tuple[str, ...] | None


def format_to_lark(tag: Mapping[str, Any], tokenizer: Any, json_rule: JsonRule) -> str:
    """Translate a structural tag of the ``format`` form.

    Args:
        tag: The whole object.
        tokenizer: The ``LLTokenizer`` whose special tokens count.
        json_rule: How the engine writes a JSON Schema.

    Raises:
        UnsupportedGrammarError: llguidance cannot enforce all of it exactly.
        GrammarError: It is malformed.
        Both name the path of the format at fault.
    """
    if unknown := sorted(tag.keys() - {"type", "format"}):
        raise UnsupportedGrammarError(GrammarKind.STRUCTURAL_TAG, f"unknown member {unknown[0]!r}")
    root = _Translation(tokenizer, json_rule).piece(f"{GrammarKind.STRUCTURAL_TAG}/format", tag["format"], ())
    refuse_ambiguous(root, GrammarKind.STRUCTURAL_TAG)
    return to_lark(root)


class _Translation:
    """One translator method for each format; ``where`` is the path that errors name."""

    def __init__(self, tokenizer: Any, json_rule: JsonRule) -> None:
        self._tokenizer = tokenizer
        self._json_rule = json_rule
        self._rests: dict[str, Piece] = {}

    def piece(self, where: str, value: Any, ends: _Ends) -> Piece:
        kind = value.get("type") if isinstance(value, Mapping) else None
        if not isinstance(kind, str):
            raise GrammarError(where, "expected an object with a 'type'")
        if kind not in _MEMBERS:
            raise UnsupportedGrammarError(where, f"llguidance does not serve formats of type {kind!r}")
        check_members(where, value, _MEMBERS[kind])
        match kind:
            case "const_string":
                return self._text(where, string(where, value, "value"))
            case "json_schema":
                return self._document(where, value)
            case "regex":
                return _pattern(where, string(where, value, "pattern"))
            case "any_text":
                return self._free_text(where, texts(where, value, "excludes"), ends)
            case "token":
                return self._token(where, value.get("token"))
            case "sequence":
                return series(*self._elements(where, value, "elements", ends))
            case "or":
                return choice(self._elements(where, value, "elements", ends))
            case "tag":
                return self._tag(where, value)
            case "triggered_tags":
                return self._triggered(where, value, ends)
            case "tags_with_separator":
                return self._separated(where, value)
        return self._repeated(where, kind, value, ends)

    def _elements(self, where: str, value: Mapping[str, Any], member: str, ends: _Ends) -> list[Piece]:
        return [self.piece(f"{where}/{member}/{i}", item, ends) for i, item in enumerate(items(where, value, member))]

    def _repeated(self, where: str, kind: str, value: Mapping[str, Any], ends: _Ends) -> Piece:
        content = self.piece(f"{where}/content", value.get("content"), ends)
        if kind != "repeat":
            return Repeated(content, int(kind == "plus"), 1 if kind == "optional" else None)
        low, high = value.get("min"), value.get("max")
        if type(low) is not int or type(high) is not int or low < 0 or not (high == -1 or high >= low):
            raise GrammarError(where, "expected integers 0 <= min <= max, or max = -1")
        return EMPTY if high == 0 else Repeated(content, low, None if high == -1 else high)

    def _document(self, where: str, value: Mapping[str, Any]) -> Piece:
        if "json_schema" not in value:
            raise GrammarError(where, "'json_schema' is missing")
        if value.get("max_whitespace_cnt") == 0:
            raise UnsupportedGrammarError(f"{where}/max_whitespace_cnt", "JSON is laid out with blanks")
        schema = value["json_schema"]
        check_schema(schema, f"{where}/json_schema")
        named = schema.get("type") if isinstance(schema, Mapping) else None
        names = [named] if isinstance(named, str) else named or [*_OPENS, "number"]
        extends = b"" if set(names) <= _OPENS.keys() else _NUMBER_EXTENDS
        opens = b"".join(_OPENS.get(name, _NUMBER_OPENS) for name in names)
        source = self._json_rule(schema, f"{where}/json_schema")
        return Document(source, where, frozenset(opens), frozenset(extends))

    def _free_text(self, where: str, excludes: Sequence[str], ends: _Ends) -> Lexeme:
        if ends is None:
            raise UnsupportedGrammarError(where, "free text in a tag without an end would never stop")
        return free_text([*excludes, *ends], where)

    def _tag(self, where: str, value: Mapping[str, Any]) -> Piece:
        return series(self._marker(f"{where}/begin", value.get("begin")), self._rest(where, value))

    def _rest(self, where: str, value: Mapping[str, Any]) -> Piece:
        """Content and end of a tag; made once, or tags in tags would double the work at every level."""
        if where not in self._rests:
            self._rests[where] = self._content_and_end(where, value)
        return self._rests[where]

    def _content_and_end(self, where: str, value: Mapping[str, Any]) -> Piece:
        end = value.get("end")
        options = end if isinstance(end, list) else [end]
        if not options:
            raise GrammarError(f"{where}/end", "expected at least one end")
        texts = [option for option in options if isinstance(option, str)]
        inner = None if texts and not any(texts) else tuple(filter(None, texts))
        content = self.piece(f"{where}/content", value.get("content"), inner)
        return series(content, choice([self._marker(f"{where}/end", option) for option in options]))

    def _marker(self, where: str, marker: Any) -> Piece:
        if isinstance(marker, str):
            return self._text(where, marker)
        if isinstance(marker, Mapping) and marker.get("type") == "token":
            return self.piece(where, marker, None)
        raise GrammarError(where, "expected a string or a token")

    def _tags(self, where: str, value: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
        tags = [(f"{where}/tags/{i}", item) for i, item in enumerate(items(where, value, "tags"))]
        for path, item in tags:
            if not isinstance(item, Mapping) or item.get("type") != "tag":
                raise GrammarError(path, "expected a format of type 'tag'")
            check_members(path, item, _MEMBERS["tag"])
        return tags

    def _separated(self, where: str, value: Mapping[str, Any]) -> Piece:
        tags = choice([self._tag(path, item) for path, item in self._tags(where, value)])
        if not flag(where, value, "stop_after_first"):
            separator = self._text(where, string(where, value, "separator"))
            tags = series(tags, Repeated(series(separator, tags), 0, None))
        return tags if flag(where, value, "at_least_one") else Repeated(tags, 0, 1)

    def _triggered(self, where: str, value: Mapping[str, Any], ends: _Ends) -> Piece:
        triggers = texts(where, value, "triggers")
        excludes = [*texts(where, value, "excludes"), *(ends or ())]
        _refuse_overlaps(where, triggers, excludes)
        tags = self._tags(where, value)
        at_least_one, once = flag(where, value, "at_least_one"), flag(where, value, "stop_after_first")
        first = choice([self._tag(path, item) for path, item in tags])
        if at_least_one and once:
            return first
        text = self._free_text(where, [*triggers, *excludes], ends)
        triggered = choice(self._branches(where, tags, triggers, excludes))
        if once:
            return choice([text, triggered])
        return series(*([first] if at_least_one else []), Repeated(triggered, 0, None), text)

    def _branches(
        self, path: str, tags: list[tuple[str, Mapping[str, Any]]], triggers: list[str], excludes: list[str]
    ) -> list[Piece]:
        """Free text up to a trigger and on to the end of one of its tags."""
        branches: list[Piece] = []
        after: dict[str, list[Piece]] = {}
        for where, tag in tags:
            begin = string(where, tag, "begin")
            matching = [trigger for trigger in triggers if begin.startswith(trigger)]
            if len(matching) != 1:
                raise GrammarError(where, f"'begin' must start with exactly one trigger, not {len(matching)}")
            rest, plain = self._rest(where, tag), self._split(begin)[0]
            if isinstance(plain, str) and plain.startswith(matching[0]):
                after.setdefault(matching[0], []).append(series(self._text(where, begin[len(matching[0]) :]), rest))
            else:
                # A special token is part of the trigger, so no text in front of it can be mistaken for it.
                branches.append(series(free_text([*triggers, *excludes], where), self._text(where, begin), rest))
        for trigger, rests in after.items():
            others = [other for other in triggers if other != trigger]
            branches.append(series(free_text([*others, *excludes], path, until=trigger), choice(rests)))
        return branches

    def _text(self, where: str, text: str) -> Piece:
        parts = self._split(text)
        return series(
            *(literal(part, where) if isinstance(part, str) else self._special(where, part) for part in parts)
        )

    def _split(self, text: str) -> list[str | int]:
        """``text`` as plain texts and the ids of the special tokens that a model would write in it."""
        parts: list[str | int] = []
        rest = text
        for token_id in self._tokenizer.tokenize_str(text, parse_special=True):
            if self._tokenizer.is_special_token(token_id):
                before, found, after = rest.partition(self._tokenizer.decode_str([token_id]))
                if found:
                    parts.extend([before, token_id] if before else [token_id])
                    rest = after
        return [*parts, rest] if rest or not parts else parts

    def _special(self, where: str, token_id: int) -> Special:
        if token_id in self._tokenizer.eos_tokens:
            raise UnsupportedGrammarError(where, f"{self._tokenizer.decode_str([token_id])!r} ends the whole output")
        return Special(token_id)

    def _token(self, where: str, token: Any) -> Piece:
        if isinstance(token, str):
            ids = self._tokenizer.tokenize_str(token, parse_special=True)
        elif type(token) is int and 0 <= token < self._tokenizer.vocab_size:
            ids = [token]
        else:
            raise GrammarError(f"{where}/token", "expected a token's text or id")
        if len(ids) != 1 or not self._tokenizer.is_special_token(ids[0]):
            raise UnsupportedGrammarError(f"{where}/token", "llguidance tells only special tokens from their text")
        return self._special(where, ids[0])


def _refuse_overlaps(where: str, triggers: list[str], excludes: list[str]) -> None:
    if not triggers:
        raise GrammarError(f"{where}/triggers", "expected a non-empty array")
    for i, trigger in enumerate(triggers):
        if any(trigger in other for j, other in enumerate(triggers) if i != j):
            raise UnsupportedGrammarError(f"{where}/triggers", f"{trigger!r} is part of another trigger")
        if any(excluded in trigger or excluded.endswith(trigger) for excluded in excludes):
            raise UnsupportedGrammarError(f"{where}/triggers", f"{trigger!r} is excluded, or the end of what is")


def _pattern(where: str, pattern: str) -> Piece:
    """A terminal for ``pattern``, rewritten so that llguidance reads it as our own engine does."""
    field = f"{where}/pattern"
    rewritten = _rewritten(_unanchored(regex_syntax.parse(pattern, field=field)), field)
    return Lexeme(f"/{rewritten}/", regex(rewritten, field=field), where)


def _unanchored(node: regex_syntax.Node) -> regex_syntax.Node:
    """Without anchors at both ends of the whole pattern, where they say nothing new."""
    match node:
        case regex_syntax.Anchor():
            return regex_syntax.Concat(())
        case regex_syntax.Concat(parts):
            first = int(bool(parts) and parts[0] == regex_syntax.Anchor(at_start=True))
            last = len(parts) - int(len(parts) > first and parts[-1] == regex_syntax.Anchor(at_start=False))
            return regex_syntax.Concat(parts[first:last])
    return node


def _rewritten(node: regex_syntax.Node, field: str) -> str:
    match node:
        case regex_syntax.Chars(points):
            return "[" + "".join(rf"\u{{{low:x}}}-\u{{{high:x}}}" for low, high in points) + "]"
        case regex_syntax.Concat(parts):
            return f"(?:{''.join(_rewritten(part, field) for part in parts)})"
        case regex_syntax.Alternate(options):
            return f"(?:{'|'.join(_rewritten(option, field) for option in options)})"
        case regex_syntax.Repeat(inner, low, high):
            return f"(?:{_rewritten(inner, field)}){{{low},{'' if high is None else high}}}"
        case regex_syntax.Anchor():
            raise UnsupportedGrammarError(field, "anchors are served only at the ends of a pattern")
        case regex_syntax.Look():
            raise UnsupportedGrammarError(field, "lookaround and word boundaries are not served")
