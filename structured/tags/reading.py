"""Both forms of a structural tag, read into a network: one method for each type of format.

The meaning is xgrammar's, which defined the format form. Free text in a tag does not contain the tag's end; a trigger,
once written in free text, becomes one of its tags; with ``at_least_one`` the first tag comes at once. A text that the
tokenizer has as a special token means that token. What is not enforced exactly is refused by its path.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.lexemes import regex_table
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarKind
from latticework.structured.tags.lexing import AmbiguousCallError, Lexing, determinize
from latticework.structured.tags.members import COMMON_MEMBERS, Members, check_members, flag, items, string, texts
from latticework.structured.tags.network import Network
from latticework.structured.tags.parts import Part, PartReader
from latticework.structured.tags.source import TagSource
from latticework.structured.tags.special_tokens import SpecialTokens
from latticework.structured.tags.xml_layouts import xml_elements
from latticework.structured.vocabulary import Vocabulary

#: Texts and special tokens that free text must not contain, because they end the tag around it.
_Ends = tuple[bytes | int, ...]

_FIELD = GrammarKind.STRUCTURAL_TAG

# The members of each format read here, and the values that leave a member without effect (empty: it is read).
_MEMBERS: dict[str, Members] = {
    **COMMON_MEMBERS,
    "any_text": {"excludes": (), "max_tokens": (None,), "max_chars": ()},
    "any_tokens": {"exclude_tokens": (), "max_tokens": (None,)},
    "token_triggered_tags": {
        "trigger_tokens": (),
        "tags": (),
        "exclude_tokens": (),
        "at_least_one": (),
        "stop_after_first": (),
    },
    "dispatch": {"rules": (), "loop": (), "excludes": ()},
    "token_dispatch": {"rules": (), "loop": (), "exclude_tokens": ()},
}


def tag_source(
    tag: Mapping[str, Any], vocabulary: Vocabulary, limits: GrammarLimits, parts: Mapping[str, PartReader]
) -> TagSource:
    """The source of a structural tag in the ``format`` form.

    Args:
        tag: The whole object.
        vocabulary: Whose special tokens count.
        limits: ``max_states`` bounds the markers' machine.
        parts: Reads the formats of other types: documents, grammars, names.

    Raises:
        UnsupportedGrammarError: Not all of it can be enforced exactly.
        GrammarError: It is malformed.
        Both name the path of the format at fault.
    """
    if unknown := sorted(tag.keys() - {"type", "format"}):
        raise UnsupportedGrammarError(_FIELD, f"unknown member {unknown[0]!r}")
    known: dict[str, Part] = {}
    spelled: set[str] = set()
    while True:
        reader = _Reader(vocabulary, limits, parts, known, spelled)
        try:
            lexing = reader.lexing(tag.get("format"))
        except AmbiguousCallError as error:
            # What the next byte does not tell apart, one machine does.
            unread = [reader.called[number].call.path for number in error.calls if reader.called[number].table]
            if not unread:
                raise
            spelled.update(unread)
        else:
            return TagSource(lexing, [part.source for part in reader.called])


class _Reader:
    """Every method appends a format to the network after state ``at`` and returns the state after it."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        limits: GrammarLimits,
        parts: Mapping[str, PartReader],
        known: dict[str, Part],  # by content: equal parts are one, wherever they stand
        spelled: Collection[str],
    ) -> None:
        self.network = Network(_FIELD, limits.max_states)
        self.called: list[Part] = []
        self._specials = SpecialTokens(vocabulary)
        self._limits = limits
        self._parts = parts
        self._known = known
        self._spelled = spelled  # paths of the parts to read as part of the machine
        self._numbers: dict[str, int] = {}

    def lexing(self, value: Any) -> Lexing:
        """The machine of a whole format. Raises like :func:`tag_source`."""
        start = self.network.state()
        final = self.read(f"{_FIELD}/format", value, (), start)
        if start not in self.network.trim(final):
            raise GrammarError(_FIELD, "allows no text at all")
        return determinize(self.network, start, final, [part.call for part in self.called], self._limits.max_states)

    def read(self, where: str, value: Any, ends: _Ends, at: int) -> int:
        kind = value.get("type") if isinstance(value, Mapping) else None
        if not isinstance(kind, str):
            raise GrammarError(where, "expected an object with a 'type'")
        if kind == "qwen_xml_parameter":
            return self._xml(where, {**value, "style": "qwen_xml"}, at)
        if kind == "json_schema" and value.get("style", "json") != "json":
            return self._xml(where, value, at)
        if kind in self._parts:
            return self._part(where, kind, value, at)
        if kind not in _MEMBERS:
            raise UnsupportedGrammarError(where, f"formats of type {kind!r} are not served")
        check_members(where, value, _MEMBERS[kind])
        match kind:
            case "const_string":
                return self._text(where, string(where, value, "value"), at)
            case "regex":
                return self._pattern(where, value, at)
            case "any_text":
                return self._any_text(where, value, ends, at)
            case "any_tokens":
                excludes = self._specials.tokens(where, value, "exclude_tokens")
                return self._any_tokens(excludes, ends, self.network.join([at]))
            case "token":
                return self.network.special(self._specials.token(f"{where}/token", value.get("token")), at)
            case "sequence":
                for index, item in enumerate(items(where, value, "elements")):
                    at = self.read(f"{where}/elements/{index}", item, ends, at)
                return at
            case "or":
                options = enumerate(items(where, value, "elements"))
                return self.network.join([self.read(f"{where}/elements/{i}", item, ends, at) for i, item in options])
            case "tag":
                return self._tag(where, value, at)
            case "triggered_tags":
                return self._triggered(where, value, ends, at)
            case "dispatch":
                return self._dispatch(where, value, ends, at)
            case "token_triggered_tags":
                return self._token_triggered(where, value, ends, at)
            case "token_dispatch":
                return self._token_dispatch(where, value, ends, at)
            case "tags_with_separator":
                return self._separated(where, value, at)
        return self._repeated(where, kind, value, ends, at)

    def _any_text(self, where: str, value: Mapping[str, Any], ends: _Ends, at: int) -> int:
        most = value.get("max_chars")
        if most is not None and (type(most) is not int or most < 0):
            raise GrammarError(f"{where}/max_chars", "expected a whole number that is not negative")
        excludes = [*_encoded(where, value, "excludes"), *_spelled(ends)]
        return self.network.free_text(at, (), excludes, most)[0]

    def _repeated(self, where: str, kind: str, value: Mapping[str, Any], ends: _Ends, at: int) -> int:
        low, high = {"optional": (0, 1), "plus": (1, -1), "star": (0, -1)}.get(
            kind, (value.get("min"), value.get("max"))
        )
        if type(low) is not int or type(high) is not int or low < 0 or not (high == -1 or high >= low):
            raise GrammarError(where, "expected integers 0 <= min <= max, or max = -1")
        for _ in range(low):
            at = self.read(f"{where}/content", value.get("content"), ends, at)
        if high == -1:
            begin = self.network.join([at])
            end = self.read(f"{where}/content", value.get("content"), ends, begin)
            self.network.join([end], begin)
            return self.network.join([begin])
        ways = [at]
        for _ in range(high - low):
            at = self.read(f"{where}/content", value.get("content"), ends, at)
            ways.append(at)
        return self.network.join(ways)

    def _part(self, where: str, kind: str, value: Mapping[str, Any], at: int) -> int:
        key = json.dumps(value)
        if key not in self._known:
            self._known[key] = self._parts[kind](where, value)
        part = self._known[key]
        if part.call.path in self._spelled and part.table is not None:
            return self.network.table(part.table, at)
        if key not in self._numbers:
            self._numbers[key] = len(self.called)
            self.called.append(part)
        return self.network.call(self._numbers[key], at)

    def _xml(self, where: str, value: Mapping[str, Any], at: int) -> int:
        layout = xml_elements(where, value)
        for element in layout.elements:
            after = self.read(element.path, element.format, (), at)
            at = after if element.required else self.network.join([at, after])
        if layout.other is not None:
            at = self.network.join([at])
            self.network.join([self.read(layout.other.path, layout.other.format, (), at)], at)
        return self.read(where, layout.blanks, (), at)

    def _pattern(self, where: str, value: Mapping[str, Any], at: int) -> int:
        table = regex_table(
            string(where, value, "pattern"), field=f"{where}/pattern", max_states=self._limits.max_states
        )
        return self.network.table(table, at)

    def _tag(self, where: str, value: Mapping[str, Any], at: int) -> int:
        return self._rest(where, value, self._marker(f"{where}/begin", value.get("begin"), at))

    def _rest(self, where: str, value: Mapping[str, Any], at: int) -> int:
        """Content and end of a tag."""
        end = value.get("end")
        options = end if isinstance(end, list) else [end]
        if not options:
            raise GrammarError(f"{where}/end", "expected at least one end")
        ends = [
            option.encode() if isinstance(option, str) else self._marker_token(f"{where}/end", option)
            for option in options
            if option != ""
        ]
        at = self.read(f"{where}/content", value.get("content"), tuple(ends), at)
        return self.network.join([self._marker(f"{where}/end", option, at) for option in options])

    def _marker(self, where: str, marker: Any, at: int) -> int:
        if isinstance(marker, str):
            return self._text(where, marker, at)
        return self.network.special(self._marker_token(where, marker), at)

    def _marker_token(self, where: str, marker: Any) -> int:
        if not isinstance(marker, Mapping) or marker.get("type") != "token":
            raise GrammarError(where, "expected a string or a token")
        check_members(where, marker, _MEMBERS["token"])
        return self._specials.token(f"{where}/token", marker.get("token"))

    def _tags(self, where: str, value: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
        tags = [(f"{where}/tags/{i}", item) for i, item in enumerate(items(where, value, "tags"))]
        for path, item in tags:
            if not isinstance(item, Mapping) or item.get("type") != "tag":
                raise GrammarError(path, "expected a format of type 'tag'")
            check_members(path, item, _MEMBERS["tag"])
        return tags

    def _separated(self, where: str, value: Mapping[str, Any], at: int) -> int:
        tags = self._tags(where, value)
        begin = self.network.join([at])
        end = self.network.join([self._tag(path, item, begin) for path, item in tags])
        if not flag(where, value, "stop_after_first"):
            again = self._text(where, string(where, value, "separator"), end)
            self.network.join([again], begin)
        return self.network.join([end] if flag(where, value, "at_least_one") else [at, end])

    def _triggered(self, where: str, value: Mapping[str, Any], ends: _Ends, at: int) -> int:
        triggers = _encoded(where, value, "triggers")
        excludes = [*_encoded(where, value, "excludes"), *_spelled(ends)]
        _refuse_overlaps(where, triggers, excludes)
        tags = self._tags(where, value)
        begins = [self._triggered_begin(path, tag, triggers) for path, tag in tags]
        at_least_one, once = flag(where, value, "at_least_one"), flag(where, value, "stop_after_first")
        if at_least_one:
            at = self.network.join([self._tag(path, tag, at) for path, tag in tags])
            if once:
                return at
        begin = self.network.join([at])
        end, triggered = self.network.free_text(begin, triggers, excludes)
        done = []
        for (path, tag), number in zip(tags, begins, strict=True):
            after = self._after_trigger(path, tag["begin"], triggers[number], end, triggered[number])
            done.append(self._rest(path, tag, after))
        return self._again(begin, end, done, once=once)

    def _dispatch(self, where: str, value: Mapping[str, Any], ends: _Ends, at: int) -> int:
        rules = _rules(where, value, str)
        patterns = [rule[0].encode() for rule in rules]
        excludes = [*_encoded(where, value, "excludes"), *_spelled(ends)]
        _refuse_overlaps(where, patterns, excludes)
        begin = self.network.join([at])
        end, triggered = self.network.free_text(begin, patterns, excludes)
        done = []
        for i, (rule, state) in enumerate(zip(rules, triggered, strict=True)):
            after = self._after_trigger(f"{where}/rules/{i}", rule[0], rule[0].encode(), end, state)
            done.append(self.read(f"{where}/rules/{i}/1", rule[1], ends, after))
        return self._again(begin, end, done, once=not flag(where, value, "loop", default=True))

    def _token_triggered(self, where: str, value: Mapping[str, Any], ends: _Ends, at: int) -> int:
        triggers = self._specials.tokens(where, value, "trigger_tokens")
        excludes = self._specials.tokens(where, value, "exclude_tokens")
        tags = [
            (path, tag, self._marker_token(f"{path}/begin", tag.get("begin"))) for path, tag in self._tags(where, value)
        ]
        if stray := next((path for path, _, begin in tags if begin not in triggers), None):
            raise GrammarError(f"{stray}/begin", "is none of the trigger tokens")
        at_least_one, once = flag(where, value, "at_least_one"), flag(where, value, "stop_after_first")
        if at_least_one:
            at = self.network.join([self._tag(path, tag, at) for path, tag, _ in tags])
            if once:
                return at
        begin = self._any_tokens([*triggers, *excludes], ends, self.network.join([at]))
        done = [self._tag(path, tag, begin) for path, tag, _ in tags]
        return self._again(begin, begin, done, once=once)

    def _token_dispatch(self, where: str, value: Mapping[str, Any], ends: _Ends, at: int) -> int:
        rules = _rules(where, value, str | int)
        tokens = [self._specials.token(f"{where}/rules/{i}/0", rule[0]) for i, rule in enumerate(rules)]
        excludes = self._specials.tokens(where, value, "exclude_tokens")
        begin = self._any_tokens([*tokens, *excludes], ends, self.network.join([at]))
        done = []
        for i, (rule, token) in enumerate(zip(rules, tokens, strict=True)):
            done.append(self.read(f"{where}/rules/{i}/1", rule[1], ends, self.network.special(token, begin)))
        return self._again(begin, begin, done, once=not flag(where, value, "loop", default=True))

    def _again(self, begin: int, end: int, done: Sequence[int], *, once: bool) -> int:
        """On from free text that ends in ``end``, and from what it turned into, which may come only ``once``."""
        if once:
            return self.network.join([end, *done])
        self.network.join(done, begin)
        return end

    def _any_tokens(self, excludes: Sequence[int], ends: _Ends, at: int) -> int:
        """Any tokens but some special ones; ``at`` must be a state of its own."""
        excluded = {*excludes, *(end for end in ends if isinstance(end, int))}
        return self.network.any_tokens(self._specials.others(excluded), at)

    def _after_trigger(self, where: str, begin: str, trigger: bytes, text: int, triggered: int) -> int:
        """The state after ``begin``: on from its trigger, or from free text if it needs a special token first.

        No text can be mistaken for a special token, so wherever the text stands, the token may come.
        """
        plain = self._specials.split(where, begin)[0]
        if isinstance(plain, bytes) and plain.startswith(trigger):
            return self._text(where, begin[len(trigger.decode()) :], triggered)
        return self._text(where, begin, text)

    @staticmethod
    def _triggered_begin(where: str, tag: Mapping[str, Any], triggers: Sequence[bytes]) -> int:
        """Which trigger begins the tag."""
        begin = string(where, tag, "begin").encode()
        matching = [i for i, trigger in enumerate(triggers) if begin.startswith(trigger)]
        if len(matching) != 1:
            raise GrammarError(where, f"'begin' must start with exactly one trigger, not {len(matching)}")
        return matching[0]

    def _text(self, where: str, text: str, at: int) -> int:
        """``text``, in which the name of a special token means that token."""
        for part in self._specials.split(where, text):
            at = self.network.special(part, at) if isinstance(part, int) else self.network.literal(part, at)
        return at


def _refuse_overlaps(where: str, triggers: Sequence[bytes], excludes: Sequence[bytes]) -> None:
    if not triggers:
        raise GrammarError(f"{where}/triggers", "expected a non-empty array")
    for i, trigger in enumerate(triggers):
        if any(trigger in other for j, other in enumerate(triggers) if i != j):
            raise UnsupportedGrammarError(f"{where}/triggers", f"{trigger.decode()!r} is part of another trigger")
        if any(excluded in trigger or excluded.endswith(trigger) for excluded in excludes):
            reason = f"{trigger.decode()!r} is excluded, or the end of what is"
            raise UnsupportedGrammarError(f"{where}/triggers", reason)


def _rules(where: str, value: Mapping[str, Any], kind: Any) -> list[Any]:
    """Pairs of what begins a format, not empty, and the format."""
    rules = items(where, value, "rules")
    if not all(isinstance(rule, list) and len(rule) == 2 and isinstance(rule[0], kind) for rule in rules):
        raise GrammarError(f"{where}/rules", "expected pairs of what begins a format and the format")
    if any(rule[0] == "" for rule in rules):
        raise GrammarError(f"{where}/rules", "an empty text begins nothing")
    return rules


def _spelled(ends: _Ends) -> list[bytes]:
    return [end for end in ends if isinstance(end, bytes)]


def _encoded(where: str, value: Mapping[str, Any], member: str) -> list[bytes]:
    return [text.encode() for text in texts(where, value, member)]
