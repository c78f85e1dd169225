"""Lark's notation, read into definitions: rules, terminals, templates and statements, nothing resolved yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from latticework.structured.cfg.lark_tokens import Token, tokenize
from latticework.structured.cfg.positions import Source

_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Leaf:
    """A ``string`` or ``regex`` as it is written, or the ``range`` of two strings."""

    kind: str
    text: str
    at: int
    last: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """A rule, terminal or template parameter, with the arguments of a template."""

    name: str
    at: int
    arguments: tuple[Tree, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """One part after the other."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """Any one of the options."""

    options: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """``low`` to ``high`` times."""

    body: Tree
    low: int
    high: int | None


Tree = Leaf | Use | Series | Options | Times


@dataclass(frozen=True, slots=True)
class Definition:
    """A rule or a terminal; ``parameters`` are those of a template."""

    name: str
    at: int
    body: Tree
    priority: int = 0
    parameters: tuple[str, ...] = ()


@dataclass(slots=True)
class Definitions:
    """A grammar file. ``imports``: ``(terminal of common, name here, at)``."""

    rules: dict[str, Definition] = field(default_factory=dict)
    terminals: dict[str, Definition] = field(default_factory=dict)
    imports: list[tuple[str, str, int]] = field(default_factory=list)
    ignored: list[tuple[Tree, int]] = field(default_factory=list)


def read_definitions(source: Source, max_nesting: int) -> Definitions:
    """Read Lark's notation.

    Raises:
        GrammarError: With line and column.
        UnsupportedGrammarError: Imports from elsewhere than ``common``, ``%declare``, and llguidance's extensions.
        BudgetExceededError: Groups nested deeper than ``max_nesting``.
    """
    return _Reader(source, max_nesting).read()


class _Reader:
    def __init__(self, source: Source, max_nesting: int) -> None:
        self.source = source
        self.tokens = tokenize(source)
        self.position = 0
        self.max_nesting = max_nesting
        self.depth = 0
        self.found = Definitions()

    @property
    def here(self) -> Token:
        return self.tokens[self.position]

    def next(self) -> Token:
        token = self.here
        self.position += 1
        return token

    def take(self, text: str) -> bool:
        if self.here.text == text and self.here.kind in ("mark", "arrow", "range"):
            self.position += 1
            return True
        return False

    def need(self, text: str) -> None:
        if not self.take(text):
            self.source.expected(self.here.at, repr(text))

    def read(self) -> Definitions:
        while self.here.kind != "end":
            token = self.next()
            if token.kind == "statement":
                self.statement(token)
            elif token.kind in ("rule", "terminal"):
                self.define(token, "")
            else:
                self.source.expected(token.at, "a rule, a terminal or a statement such as %import")
        return self.found

    def statement(self, token: Token) -> None:
        if token.text == "%ignore":
            self.found.ignored.append((self.options(), token.at))
        elif token.text == "%import":
            self.imported(token)
        elif token.text in ("%override", "%extend"):
            if self.here.kind not in ("rule", "terminal"):
                self.source.expected(self.here.at, "a rule or a terminal")
            self.define(self.next(), token.text)
        elif token.text == "%declare":
            self.source.unsupported(token.at, "%declare names terminals that only a program can read")
        else:
            self.source.unsupported(token.at, f"{token.text} is not a statement of Lark")

    def imported(self, token: Token) -> None:
        path = [self.name()]
        while self.take("."):
            if self.here.text == "(":
                break
            path.append(self.name())
        if path[0].text != "common":
            self.source.unsupported(token.at, "only the terminals of 'common' can be imported")
        if self.take("("):
            while True:
                name = self.name()
                self.found.imports.append((name.text, name.text, name.at))
                if not self.take(","):
                    break
            self.need(")")
            return
        if len(path) != 2:
            self.source.expected(self.here.at, "the name of a terminal of 'common', as in %import common.WS")
        local = self.name().text if self.take("->") else path[1].text
        self.found.imports.append((path[1].text, local, path[1].at))

    def name(self) -> Token:
        if self.here.kind not in ("rule", "terminal"):
            self.source.expected(self.here.at, "a name")
        return self.next()

    def define(self, token: Token, how: str) -> None:
        table = self.found.terminals if token.kind == "terminal" else self.found.rules
        name = token.text.lstrip("!?")
        parameters = self.parameters()
        priority = self.priority()
        if self.here.text == "[":
            self.source.unsupported(self.here.at, "attributes in brackets are llguidance's; Lark has none")
        self.need(":")
        body = self.options()
        if name in table and not how:
            self.source.wrong(token.at, f"{name!r} is defined a second time")
        if how == "%extend" and name in table:
            body = Options((table[name].body, body))
        table[name] = Definition(name, token.at, body, priority, parameters)

    def parameters(self) -> tuple[str, ...]:
        if not self.take("{"):
            return ()
        names = [self.name().text]
        while self.take(","):
            names.append(self.name().text)
        self.need("}")
        return tuple(names)

    def priority(self) -> int:
        if not self.take("."):
            return 0
        if self.here.kind != "number":
            self.source.expected(self.here.at, "a priority, which is a number")
        return int(self.next().text[: _MAX_DIGITS + 1])

    def options(self) -> Tree:
        options = [self.series()]
        while self.take("|"):
            options.append(self.series())
        return options[0] if len(options) == 1 else Options(tuple(options))

    def series(self) -> Tree:
        parts: list[Tree] = []
        while (part := self.part()) is not None:
            parts.append(part)
        if self.take("->"):
            self.name()  # an alias names a node of the tree that Lark builds; the language is the same
        return parts[0] if len(parts) == 1 else Series(tuple(parts))

    def part(self) -> Tree | None:
        token = self.here
        tree: Tree
        if token.kind == "special":
            self.source.unsupported(token.at, f"the special token {token.text} is not served in a grammar")
        if token.kind == "statement" and token.text in ("%json", "%regex", "%lark"):
            self.source.unsupported(token.at, f"{token.text} is llguidance's, not Lark's")
        if token.text in ("(", "[") and token.kind == "mark":
            tree = self.group()
        elif token.kind in ("string", "regex"):
            tree = self.leaf()
        elif token.kind in ("rule", "terminal") and not self.begins_definition():
            tree = self.use()
        else:
            return None
        return self.times(tree)

    def begins_definition(self) -> bool:
        """Whether the name here is followed by ``:``, after parameters and a priority if there are any."""
        if self.here.text[0] in "!?":
            return True
        ahead = self.position + 1
        if self.tokens[ahead].text == "{":
            while self.tokens[ahead].kind != "end" and self.tokens[ahead].text != "}":
                ahead += 1
            ahead += 1
        if ahead + 1 < len(self.tokens) and self.tokens[ahead].text == "." and self.tokens[ahead + 1].kind == "number":
            ahead += 2
        return ahead < len(self.tokens) and self.tokens[ahead].text == ":" and self.tokens[ahead].kind == "mark"

    def group(self) -> Tree:
        opening = self.next()
        self.depth += 1
        if self.depth > self.max_nesting:
            self.source.too_much(opening.at, f"groups are nested deeper than {self.max_nesting}")
        tree = self.options()
        self.depth -= 1
        self.need(")" if opening.text == "(" else "]")
        return Times(tree, 0, 1) if opening.text == "[" else tree

    def leaf(self) -> Tree:
        token = self.next()
        if token.kind == "string" and self.take(".."):
            if self.here.kind != "string":
                self.source.expected(self.here.at, "the last character of the range")
            return Leaf("range", token.text, token.at, self.next().text)
        return Leaf(token.kind, token.text, token.at)

    def use(self) -> Tree:
        token = self.next()
        arguments: list[Tree] = []
        if self.take("{"):
            while True:
                argument = self.part()
                if argument is None:
                    self.source.expected(self.here.at, "an argument of the template")
                arguments.append(argument)
                if not self.take(","):
                    break
            self.need("}")
        return Use(token.text, token.at, tuple(arguments))

    def times(self, tree: Tree) -> Tree:
        bounds: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self.here.kind == "mark" and self.here.text in bounds:
            return Times(tree, *bounds[self.next().text])
        if not self.take("~"):
            return tree
        at = self.here.at
        low = high = self.count()
        if self.take(".."):
            high = self.count()
        if high < low:
            self.source.wrong(at, f"the bounds {low} and {high} are out of order")
        return Times(tree, low, high)

    def count(self) -> int:
        token = self.here
        if token.kind != "number" or not token.text.isdigit():
            self.source.expected(token.at, "a number")
        if len(token.text) > _MAX_DIGITS:
            self.source.too_much(token.at, "the repeat count is too large")
        self.position += 1
        return int(token.text)
