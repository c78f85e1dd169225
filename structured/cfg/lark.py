"""The Lark dialect: a lexer of terminals, and rules over them.

Served: rules and terminals with priorities, ``?rules``, ``!rules``, aliases, ``* + ?``, ``~n..m``, ``[...]``, string
ranges, flags on strings and expressions, templates, ``%ignore``, ``%import common.*``, ``%extend`` and ``%override``.
The text starts at rule ``start``. Which lexeme a text is read as: :mod:`latticework.structured.cfg.lexer`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from latticework.structured.automata.casing import without_case
from latticework.structured.automata.codepoints import CodePoints
from latticework.structured.automata.regex_syntax import Alternate, Chars, Concat, Node
from latticework.structured.automata.regex_syntax import Repeat as RepeatNode
from latticework.structured.cfg.lark_common import COMMON
from latticework.structured.cfg.lark_syntax import (
    Definition,
    Definitions,
    Leaf,
    Options,
    Series,
    Times,
    Tree,
    Use,
    read_definitions,
)
from latticework.structured.cfg.positions import FIELD, Source
from latticework.structured.cfg.python_regex import ends_early, max_width, parse_python
from latticework.structured.cfg.syntax import (
    Choice,
    Expression,
    LexedGrammar,
    Lexeme,
    Name,
    Repeat,
    Sequence,
    Terminal,
)
from latticework.structured.errors import BudgetExceededError, LatticeworkError

START = "start"
#: What names of the library begin with, so that a grammar's own terminals do not change them.
_PREFIX = "common."
#: Rules that templates may be unfolded into.
_MAX_INSTANCES = 1_000
#: Bound on the length of an instance of a template with its arguments spelled out.
_MAX_TEMPLATE_NAME = 600
#: Bound on the parts of a terminal once the terminals it names are put in.
_MAX_PARTS = 20_000


def read_lark(text: str, max_nesting: int) -> LexedGrammar:
    """The rules and terminals.

    Raises:
        GrammarError: Not Lark, a name that is missing or defined twice, no ``start``; with line and column.
        UnsupportedGrammarError: What cannot be served, named; see :func:`.read_definitions` and :func:`.parse_python`.
        BudgetExceededError: Nested too deeply, or templates or terminals that unfold without end.
    """
    source = Source(text)
    definitions = read_definitions(source, max_nesting)
    terminals = _Terminals(source, definitions, max_nesting)
    rules = _Rules(source, definitions, terminals)
    ignored = tuple(dict.fromkeys(terminals.anonymous(tree, at) for tree, at in definitions.ignored))
    return LexedGrammar(rules.read(), terminals.found, ignored)


class _Terminals:
    """Terminals are resolved when something names them."""

    def __init__(self, source: Source, definitions: Definitions, max_nesting: int) -> None:
        self.source = source
        self.max_nesting = max_nesting
        self.found: dict[str, Terminal] = {}
        self._definitions = dict(definitions.terminals)
        self._nodes: dict[str, tuple[Node, int]] = {}
        self._open: list[str] = []
        for name, local, at in definitions.imports:
            if _PREFIX + name not in _common():
                known = ", ".join(sorted(full.removeprefix(_PREFIX) for full in _common()))
                source.wrong(at, f"'common' has no terminal {name!r}; it has {known}")
            self._definitions.setdefault(local, Definition(local, at, Use(_PREFIX + name, at)))
        #: Named terminals that are one leaf: an equal leaf in a rule means them.
        self._named = {
            (d.body.kind, d.body.text, d.body.last): name
            for name, d in reversed(self._definitions.items())
            if isinstance(d.body, Leaf)
        }

    def named(self, name: str, at: int) -> str:
        """Register the terminal called ``name``."""
        if name not in self.found:
            definition = self._definition(name, at)
            self._register(name, self._node_of(name, at)[0], definition.body, definition.priority, definition.at)
        return name

    def anonymous(self, tree: Tree, at: int) -> str:
        """Register the terminal that stands in a rule or in ``%ignore``."""
        if isinstance(tree, Use):
            return self.named(tree.name, at)
        if isinstance(tree, Leaf):
            if (known := self._named.get((tree.kind, tree.text, tree.last))) is not None:
                return self.named(known, at)
            name = tree.text if not tree.last else f"{tree.text}..{tree.last}"
        else:
            name = f"%ignore at offset {at}"
        if name not in self.found:
            self._register(name, self._node(tree)[0], tree, 0, at)
        return name

    def _register(self, name: str, node: Node, body: Tree, priority: int, at: int) -> None:
        try:
            shortest = ends_early(node, FIELD)
        except LatticeworkError as error:
            raise type(error)(FIELD, self.source.located(at, error.reason)) from None
        fixed = isinstance(body, Leaf) and body.kind == "string"
        length = len(body.text) if isinstance(body, Leaf) else 0
        self.found[name] = Terminal(name, node, priority, fixed, (-max_width(node), -length, len(self.found)), shortest)

    def _definition(self, name: str, at: int) -> Definition:
        if name.startswith(_PREFIX):
            return _common()[name]
        if name not in self._definitions:
            self.source.wrong(at, f"terminal {name!r} is not defined")
        return self._definitions[name]

    def _node_of(self, name: str, at: int) -> tuple[Node, int]:
        """The tree of a named terminal, and how many parts it has."""
        if name not in self._nodes:
            definition = self._definition(name, at)
            if definition.parameters:
                self.source.unsupported(definition.at, f"terminal {name!r}: templates are served for rules only")
            if name in self._open:
                self.source.wrong(definition.at, f"terminal {name!r} contains itself; only rules may do that")
            if len(self._open) > self.max_nesting:
                self.source.too_much(at, f"terminals are nested deeper than {self.max_nesting}")
            self._open.append(name)
            self._nodes[name] = self._node(definition.body)
            self._open.pop()
        return self._nodes[name]

    def _node(self, tree: Tree) -> tuple[Node, int]:
        match tree:
            case Leaf():
                return self._leaf(tree), 1
            case Use(name, at, arguments):
                if arguments or _is_rule(name.removeprefix(_PREFIX)):
                    self.source.wrong(at, f"a terminal is made of terminals; {name!r} is a rule")
                return self._node_of(name, at)
            case Times(body, low, high):
                node, size = self._node(body)
                return RepeatNode(Concat((node,)) if isinstance(node, RepeatNode) else node, low, high), size + 1
            case Series(parts) | Options(parts):
                made = [self._node(part) for part in parts]
                size = sum(count for _, count in made)
                if size > _MAX_PARTS:
                    raise BudgetExceededError(FIELD, f"terminal {self._open[0]!r} unfolds into too many parts")
                nodes = tuple(node for node, _ in made)
                return (Concat(nodes) if isinstance(tree, Series) else Alternate(nodes)), size + 1

    def _leaf(self, leaf: Leaf) -> Node:
        if leaf.kind == "regex":
            body, _, flags = leaf.text[1:].rpartition("/")
            try:
                return parse_python(body.replace(r"\/", "/"), flags, field=FIELD, max_nesting=self.max_nesting)
            except LatticeworkError as error:
                raise type(error)(FIELD, self.source.located(leaf.at, error.reason)) from None
        if leaf.kind == "range":
            first, last = self._text(leaf.text, leaf.at), self._text(leaf.last, leaf.at)
            if len(first) != 1 or len(last) != 1 or last < first:
                self.source.wrong(leaf.at, "a range needs one character on each side, the lower one first")
            return Chars(((ord(first), ord(last)),))
        text = self._text(leaf.text, leaf.at)
        if not text:
            self.source.wrong(leaf.at, "an empty literal; a part may be left out with '?'")
        sets: list[CodePoints] = [((ord(character), ord(character)),) for character in text]
        if leaf.text.endswith("i"):
            sets = [without_case(points) for points in sets]
        return Concat(tuple(Chars(points) for points in sets))

    def _text(self, quoted: str, at: int) -> str:
        r"""A literal's text: ``\n \f \t \r \xHH \uHHHH \UHHHHHHHH \\ \"`` are escapes, other backslashes stay."""
        escapes = {"n": "\n", "f": "\f", "t": "\t", "r": "\r", "\\": "\\", '"': '"'}
        digits = {"x": 2, "u": 4, "U": 8}
        body = quoted.removesuffix("i")[1:-1]
        characters: list[str] = []
        position = 0
        while position < len(body):
            letter = body[position + 1 : position + 2]
            if body[position] != "\\":
                characters.append(body[position])
                position += 1
            elif letter in digits:
                code = body[position + 2 : position + 2 + digits[letter]]
                try:
                    characters.append(chr(int(code, 16)) if len(code) == digits[letter] else "\ud800")
                except (ValueError, OverflowError):
                    self.source.wrong(at + 1 + position, f"expected {digits[letter]} hexadecimal digits")
                position += 2 + digits[letter]
            else:
                characters.append(escapes.get(letter, "\\" + letter))
                position += 2
        text = "".join(characters)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.source.wrong(at, "holds an escape that stands for no character")
        return text


class _Rules:
    """Rules are read when something names them, so that a template is unfolded once for each list of arguments."""

    def __init__(self, source: Source, definitions: Definitions, terminals: _Terminals) -> None:
        self._source = source
        self._definitions = definitions.rules
        self._terminals = terminals
        self._found: dict[str, Expression] = {}
        self._todo: list[tuple[str, Definition, dict[str, Expression]]] = []
        self._known: set[str] = set()

    def read(self) -> dict[str, Expression]:
        if START not in self._definitions:
            self._source.wrong(0, f"there is no rule {START!r}, where the text would start")
        for definition in self._definitions.values():
            if not definition.parameters:
                self._need(definition.name, definition, {})
        while self._todo:
            name, definition, arguments = self._todo.pop()
            self._found[name] = self._expression(definition.body, arguments)
        return self._found

    def _need(self, name: str, definition: Definition, arguments: dict[str, Expression]) -> None:
        if name not in self._known:
            if len(self._known) > len(self._definitions) + _MAX_INSTANCES:
                self._source.too_much(definition.at, f"templates unfold into more than {_MAX_INSTANCES} rules")
            self._known.add(name)
            self._todo.append((name, definition, arguments))

    def _expression(self, tree: Tree, arguments: dict[str, Expression]) -> Expression:
        match tree:
            case Leaf():
                return Lexeme(self._terminals.anonymous(tree, tree.at))
            case Use():
                return self._use(tree, arguments)
            case Times(body, low, high):
                return Repeat(self._expression(body, arguments), low, high)
            case Series(parts):
                return Sequence(tuple(self._expression(part, arguments) for part in parts))
            case Options(options):
                return Choice(tuple(self._expression(option, arguments) for option in options))

    def _use(self, use: Use, arguments: dict[str, Expression]) -> Expression:
        if use.name in arguments and not use.arguments:
            return arguments[use.name]
        if not _is_rule(use.name):
            return Lexeme(self._terminals.named(use.name, use.at))
        definition = self._definitions.get(use.name)
        if definition is None:
            self._source.wrong(use.at, f"rule {use.name!r} is not defined")
        if len(definition.parameters) != len(use.arguments):
            count = len(definition.parameters)
            self._source.wrong(use.at, f"template {use.name!r} takes {count} arguments, not {len(use.arguments)}")
        if not use.arguments:
            return Name(use.name, use.at)
        values = [self._expression(argument, arguments) for argument in use.arguments]
        name = f"{use.name}{{{', '.join(map(_spelled, values))}}}"
        if len(name) > _MAX_TEMPLATE_NAME:
            self._source.too_much(use.at, "templates unfold without end")
        self._need(name, definition, dict(zip(definition.parameters, values, strict=True)))
        return Name(name, use.at)


def _spelled(expression: Expression) -> str:
    """An argument as part of the name of what it makes of a template."""
    match expression:
        case Lexeme(name) | Name(name, _):
            return name
        case Sequence(parts):
            return f"({' '.join(map(_spelled, parts))})"
        case Choice(options):
            return f"({' | '.join(map(_spelled, options))})"
        case Repeat(body, low, high):
            return f"{_spelled(body)}~{low}..{high}"
        case _:
            return repr(expression)


def _is_rule(name: str) -> bool:
    return name.lstrip("_")[:1].islower()


@cache
def _common() -> dict[str, Definition]:
    """The library's terminals, under names that begin with :data:`_PREFIX`."""
    found = read_definitions(Source(COMMON), 64).terminals
    return {_PREFIX + name: replace(d, name=_PREFIX + name, body=_prefixed(d.body)) for name, d in found.items()}


def _prefixed(tree: Tree) -> Tree:
    match tree:
        case Use(name, at, _):
            return Use(_PREFIX + name, at)
        case Series(parts):
            return Series(tuple(_prefixed(part) for part in parts))
        case Options(options):
            return Options(tuple(_prefixed(option) for option in options))
        case Times(body, low, high):
            return Times(_prefixed(body), low, high)
        case _:
            return tree
