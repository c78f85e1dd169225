"""The regular parts of a GBNF grammar, made as large as they can be.

A rule that never comes back to itself is a regular language; so is one that comes back only at its very end or only at
its very beginning (``ws ::= ([ \\t\\n] ws)?``), once that is written as a repeat. What is regular is put in where it is
named, and sequences, choices and repeats of regular parts become one. A scanner then reads them without a stack.
"""

from __future__ import annotations

from collections.abc import Mapping

from latticework.structured.automata.regex_syntax import Alternate, Chars, Concat, Node
from latticework.structured.automata.regex_syntax import Repeat as RepeatNode
from latticework.structured.cfg.syntax import (
    EMPTY,
    Choice,
    Expression,
    Name,
    Repeat,
    Sequence,
    Text,
    choice,
    names,
    sequence,
)

#: What is larger stays a rule of its own: characters, repeats counted out, and levels of the tree.
_MAX_SIZE = 20_000
_MAX_DEPTH = 150

#: A tree with its size and depth.
_Sized = tuple[Node, int, int]


def merge_regular(rules: Mapping[str, Expression], *, loops: bool) -> dict[str, Expression]:
    """The same language with regular parts merged.

    Args:
        rules: By name.
        loops: Whether rules that come back to themselves at their end or beginning are written as repeats.
    """
    rewritten = {name: as_loop(name, rule) if loops else rule for name, rule in rules.items()}
    merger = _Merger()
    merged: dict[str, Expression] = {}
    for name in _callees_first(rewritten):
        merged[name] = rule = merger.merge(rewritten[name])
        if isinstance(rule, Text):
            merger.regular[name] = merger.sized(rule)
    return {name: merged[name] for name in rules}


def _callees_first(rules: Mapping[str, Expression]) -> list[str]:
    """Rules in an order in which what a rule names comes before it, cycles aside."""
    order: list[str] = []
    entered: set[str] = set()
    for root in rules:
        stack = [(root, iter([*names(rules[root])]))] if root not in entered else []
        entered.add(root)
        while stack:
            name, callees = stack[-1]
            for callee in callees:
                if callee.name not in entered:
                    entered.add(callee.name)
                    stack.append((callee.name, iter([*names(rules[callee.name])])))
                    break
            else:
                order.append(name)
                stack.pop()
    return order


def as_loop(name: str, rule: Expression) -> Expression:
    """``A: x A | y`` as ``x* y``, and ``A: A x | y`` as ``y x*``; other rules as they are."""
    if not any(used.name == name for used in names(rule)):
        return rule
    options = [_parts(option) for option in _options(rule)]
    for edge in (-1, 0):
        loops, ends = [], []
        for parts in options:
            if parts and _is_name(parts[edge], name):
                loops.append(parts[:-1] if edge else parts[1:])
            else:
                ends.append(sequence(parts))
        if not loops or any(not parts or _is_name(parts[-1 - edge], name) for parts in loops):
            continue
        repeat = Repeat(choice([sequence(parts) for parts in loops]), 0, None)
        rest = choice(ends) if ends else Choice(())
        return Sequence((repeat, rest) if edge else (rest, repeat))
    return rule


def _is_name(expression: Expression, name: str) -> bool:
    return isinstance(expression, Name) and expression.name == name


def _options(rule: Expression) -> list[Expression]:
    match rule:
        case Choice(options):
            return [inner for option in options for inner in _options(option)]
        case Repeat(body, 0, 1):
            return [*_options(body), Text(EMPTY)]
        case Sequence((*first, Choice() | Repeat(_, 0, 1) as last)):
            return [Sequence((*first, option)) for option in _options(last)]
        case Sequence((only,)):
            return _options(only)
        case _:
            return [rule]


def _parts(rule: Expression) -> list[Expression]:
    return [inner for part in rule.parts for inner in _parts(part)] if isinstance(rule, Sequence) else [rule]


class _Merger:
    def __init__(self) -> None:
        self.regular: dict[str, _Sized] = {}
        self._sizes: dict[int, _Sized] = {}
        self._kept: list[Expression] = []  # so that no id is used twice

    def sized(self, text: Text) -> _Sized:
        """The size of a text that :meth:`merge` gave."""
        return self._sizes.get(id(text)) or (text.node, *_measure(text.node))

    def merge(self, expression: Expression) -> Expression:
        """``expression`` with its regular parts merged."""
        match expression:
            case Name(name, _):
                return self._text(self.regular[name]) if name in self.regular else expression
            case Sequence(parts):
                return self._sequence([self.merge(part) for part in parts])
            case Choice(options):
                return self._choice([self.merge(option) for option in options])
            case Repeat(body, low, high):
                return self._repeat(self.merge(body), low, high)
            case _:
                return expression

    def _text(self, sized: _Sized) -> Text:
        text = Text(sized[0])
        self._sizes[id(text)] = sized
        self._kept.append(text)
        return text

    def _joined(self, texts: list[Text], how: type[Concat] | type[Alternate]) -> Text | None:
        """The texts as one, if that is not too large."""
        if len(texts) == 1:
            return texts[0]
        made = [self.sized(text) for text in texts]
        size = sum(size for _, size, _ in made)
        depth = 1 + max((depth for _, _, depth in made), default=0)
        if size > _MAX_SIZE or depth > _MAX_DEPTH:
            return None
        return self._text((how(tuple(node for node, _, _ in made)), size + 1, depth))

    def _sequence(self, parts: list[Expression]) -> Expression:
        found: list[Expression] = []
        run: list[Text] = []
        for part in (inner for outer in parts for inner in _parts(outer)):
            if isinstance(part, Text):
                run.append(part)
                continue
            found.extend(self._run(run))
            run = []
            found.append(part)
        found.extend(self._run(run))
        return sequence(found) if found else Text(EMPTY)

    def _run(self, run: list[Text]) -> list[Expression]:
        if not run:
            return []
        joined = self._joined(run, Concat)
        return [*run] if joined is None else [joined]

    def _choice(self, options: list[Expression]) -> Expression:
        texts = [option for option in options if isinstance(option, Text)]
        joined = self._joined(texts, Alternate) if texts else None
        if joined is None:
            return Choice(tuple(options))
        rest = [option for option in options if not isinstance(option, Text)]
        return choice([*rest, joined])

    def _repeat(self, body: Expression, low: int, high: int | None) -> Expression:
        if isinstance(body, Text):
            node, size, depth = self.sized(body)
            size = size * max(low, high or 0, 1) + 1
            if size <= _MAX_SIZE and depth < _MAX_DEPTH:
                # A bare repeat inside a repeat is set apart, as the regex parser does.
                inner = Concat((node,)) if isinstance(node, RepeatNode) else node
                return self._text((RepeatNode(inner, low, high), size, depth + 1))
        return Repeat(body, low, high)


def _measure(node: Node) -> tuple[int, int]:
    """Size and depth of a tree that a reader made."""
    match node:
        case Chars():
            return 1, 1
        case Concat(parts) | Alternate(parts):
            made = [_measure(part) for part in parts]
            return 1 + sum(size for size, _ in made), 1 + max((depth for _, depth in made), default=0)
        case RepeatNode(inner, low, high):
            size, depth = _measure(inner)
            return size * max(low, high or 0, 1) + 1, depth + 1
    return 1, 1
