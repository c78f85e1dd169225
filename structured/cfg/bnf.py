"""From extended to plain Backus-Naur form.

Optional parts become alternatives as far as that stays small, so that a parser need not decide early whether a part is
there. A repeat without a bound is left-recursive: the stack of a parser stays as it is however long a list grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from latticework.structured.automata.regex_syntax import Concat, Node
from latticework.structured.cfg.grammar import Production
from latticework.structured.cfg.positions import FIELD
from latticework.structured.cfg.syntax import Choice, Expression, Lexeme, Name, Repeat, Sequence, Text
from latticework.structured.errors import BudgetExceededError

#: Alternatives that one sequence may be multiplied out into.
_MAX_ALTERNATIVES = 24
#: Bound on the symbols of all productions.
_MAX_SYMBOLS = 60_000

#: Text that is still growing, or a symbol.
_Part = Node | int
_Body = tuple[_Part, ...]


def to_bnf(
    rules: Mapping[str, Expression],
    start: str,
    text: Callable[[Node], tuple[int | None, bool]],
    lexeme: Callable[[str], tuple[int | None, bool]],
) -> tuple[list[str], list[Production], int]:
    """Multiply out.

    Args:
        rules: By name.
        start: The name of the first rule.
        text: The terminal of a regular text (``None``: it has only the empty text, or none), and whether it may be
            empty.
        lexeme: The same for a named terminal.

    Returns:
        The names of the nonterminals, the productions, the start.

    Raises:
        BudgetExceededError: The productions are too many.
    """
    return _Expander(rules, text, lexeme).expand(start)


class _Expander:
    def __init__(
        self,
        rules: Mapping[str, Expression],
        text: Callable[[Node], tuple[int | None, bool]],
        lexeme: Callable[[str], tuple[int | None, bool]],
    ) -> None:
        self._rules = rules
        self._text = text
        self._lexeme = lexeme
        self._numbers = {name: number for number, name in enumerate(rules)}
        self._names = list(rules)
        self._productions: list[Production] = []
        self._symbols = 0
        self._helpers: dict[tuple[str, tuple[_Body, ...]], int] = {}
        self._rule = ""

    def expand(self, start: str) -> tuple[list[str], list[Production], int]:
        for name, expression in self._rules.items():
            self._rule = name
            for body in self._alternatives(expression):
                self._produce(self._numbers[name], body)
        return self._names, self._productions, self._numbers[start]

    def _alternatives(self, expression: Expression) -> list[_Body]:
        match expression:
            case Text(node):
                return [(node,)]
            case Lexeme(name):
                terminal, nullable = self._lexeme(name)
                found: list[_Body] = [] if terminal is None else [(terminal,)]
                return [*found, ()] if nullable else found
            case Name(name, _):
                return [(~self._numbers[name],)]
            case Choice(options):
                return list(dict.fromkeys(body for option in options for body in self._alternatives(option)))
            case Sequence(parts):
                bodies: list[_Body] = [()]
                for part in parts:
                    after = self._alternatives(part)
                    if len(bodies) * len(after) > _MAX_ALTERNATIVES and len(after) > 1:
                        after = [(~self._helper("part", after),)]
                    bodies = [_joined(body, rest) for body in bodies for rest in after]
                return bodies
            case Repeat(body, low, high):
                return self._repeated(self._alternatives(body), low, high)

    def _repeated(self, bodies: list[_Body], low: int, high: int | None) -> list[_Body]:
        if (low, high) == (0, 1):
            return list(dict.fromkeys([*bodies, ()]))
        if high is None and low <= 1:
            plus: _Body = (~self._plus(bodies),)
            return [plus] if low else [plus, ()]
        one: _Body = bodies[0] if len(bodies) == 1 else (~self._helper("part", bodies),)
        self._count(len(one) * max(low, high or 0))
        required: _Body = ()
        for _ in range(low):
            required = _joined(required, one)
        if high is None:
            plus = (~self._plus(bodies),)
            return [_joined(required, plus), required]
        optional: list[_Body] = [()]
        for left in range(high - low):
            optional = [_joined(one, (~self._helper(f"at most {left} more", optional),)), ()] if left else [one, ()]
        return [_joined(required, rest) for rest in optional]

    def _plus(self, bodies: list[_Body]) -> int:
        """A nonterminal for one or more."""
        known = self._helpers.get(("plus", tuple(bodies)))
        if known is not None:
            return known
        number = self._helpers["plus", tuple(bodies)] = self._nonterminal("repeated")
        for body in bodies:
            if body:
                self._produce(number, body)
                self._produce(number, _joined((~number,), body))
            else:
                self._produce(number, ())
        return number

    def _helper(self, what: str, bodies: list[_Body]) -> int:
        known = self._helpers.get((what, tuple(bodies)))
        if known is not None:
            return known
        number = self._helpers[what, tuple(bodies)] = self._nonterminal(what)
        for body in bodies:
            self._produce(number, body)
        return number

    def _nonterminal(self, what: str) -> int:
        self._names.append(f"{self._rule} ({what})")
        return len(self._names) - 1

    def _produce(self, head: int, body: _Body) -> None:
        """Add a production, and those in which a text that may be empty is left out."""
        made: list[tuple[int, ...]] = [()]
        for part in body:
            if isinstance(part, int):
                made = [(*symbols, part) for symbols in made]
                continue
            terminal, nullable = self._text(part)
            with_it = [] if terminal is None else [(*symbols, terminal) for symbols in made]
            made = [*with_it, *made] if nullable else with_it
            if len(made) > _MAX_ALTERNATIVES:
                made = [(~self._helper("rest", [tuple(symbols) for symbols in made]),)]
        for symbols in dict.fromkeys(made):
            self._count(len(symbols) + 1)
            self._productions.append(Production(head, symbols))

    def _count(self, symbols: int) -> None:
        self._symbols += symbols
        if self._symbols > _MAX_SYMBOLS:
            raise BudgetExceededError(
                FIELD, f"rule {self._rule!r} unfolds into too many productions; lower its repeat counts"
            )


def _joined(first: _Body, second: _Body) -> _Body:
    """One after the other; texts that meet become one."""
    if first and second and not isinstance(first[-1], int) and not isinstance(second[0], int):
        return (*first[:-1], Concat((first[-1], second[0])), *second[1:])
    return (*first, *second)
