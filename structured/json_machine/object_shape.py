"""What the assertions about an object say of each key: the same for every state the object may be in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from latticework.structured.json_machine.atoms import Has, Members, Names, Unevaluated
from latticework.structured.json_machine.diagrams import FALSE
from latticework.structured.json_machine.evaluated import Evaluator, evaluators
from latticework.structured.json_machine.formulas import Formulas
from latticework.structured.json_machine.keys import Supply, supplies
from latticework.structured.json_machine.scalars import matches, satisfied
from latticework.structured.json_schema.ir import Schema
from latticework.structured.lexemes.keys import key_lexeme
from latticework.structured.lexemes.lexeme import Vector
from latticework.structured.lexemes.predicates import OneOfStrings, Pattern, StringPredicate

#: Schemas that a value must satisfy together; ``None`` where none can.
Need = frozenset[Schema] | None

NOTHING: frozenset[Schema] = frozenset()


class ObjectShape:
    """Keys in classes: ``0 .. len(names) - 1`` are the names, from there on the classes of other keys.

    Args:
        formulas: The grammar's functions.
        variables: The assertions in play, as variables.

    Attributes:
        variables: These, and those on which it depends what is evaluated.
        names: Every name that an assertion speaks of, in the order of the schema.
        declared: The names that come in the order of the schema where that matters, as a bit set: the first ones.
            Names of which the document says nothing, but a list of items so far does, are none of them.
        chosen: The predicates of names that matter.
        conditions: The functions on which it depends what is evaluated.
    """

    def __init__(self, formulas: Formulas, variables: tuple[int, ...]) -> None:
        self.formulas = formulas
        later: dict[str, None] = {}
        chosen: dict[StringPredicate, None] = {}
        speaking: dict[Schema, None] = {}
        conditions: dict[int, None] = {}
        self._evaluators: dict[int, list[Evaluator]] = {}
        in_play = list(variables)
        for variable in in_play:  # grows
            atom = formulas.atoms[variable]
            if isinstance(atom, Members):
                speaking[atom.schema] = None
            elif isinstance(atom, Has):
                later.update(dict.fromkeys(sorted(atom.names)))
            elif isinstance(atom, Names):
                for part in formulas.diagrams.support(formulas.formula(atom.schema, "string")):
                    predicate = formulas.atoms[part]
                    if isinstance(predicate, OneOfStrings):
                        later.update(dict.fromkeys(sorted(predicate.values)))
                    else:
                        chosen[predicate] = None  # type: ignore[index]
            elif isinstance(atom, Unevaluated):
                self._evaluators[variable] = evaluators(formulas, atom.schema, "object")
                conditions.update(dict.fromkeys(e.condition for e in self._evaluators[variable]))
                for evaluator in self._evaluators[variable]:
                    support = formulas.diagrams.support(evaluator.condition)
                    in_play += [part for part in support if part not in in_play]
                    speaking[evaluator.schema] = None
        placed = {schema: place for schema in speaking if (place := formulas.place(schema)) is not None}
        names = {name: None for schema in sorted(placed, key=placed.__getitem__) for name in schema.properties}
        self.declared = (1 << len(names)) - 1
        for schema in speaking:
            names.update(dict.fromkeys(schema.properties))
            chosen.update(dict.fromkeys(map(Pattern, schema.pattern_properties)))
        names.update(later)
        self.conditions = tuple(conditions)
        self.variables = tuple(in_play)
        self.names = tuple(names)
        self.index = {name: i for i, name in enumerate(self.names)}
        self.chosen = tuple(chosen)
        self._needs: dict[tuple[int, int], Need] = {}
        self._verdicts: dict[int, Mapping[StringPredicate, bool]] = {}

    @cached_property
    def vectors(self) -> tuple[Vector, ...]:
        """The classes of other keys, by what predicates they satisfy."""
        return key_lexeme(self.names, self.chosen, others=True).vectors if self.chosen else ((),)

    @property
    def classes(self) -> int:
        """How many classes of keys there are, names included."""
        return len(self.names) + len(self.vectors)

    def supply(self, key: int) -> Supply:
        """How many keys there are of a class of other keys."""
        return supplies(self.names, self.chosen)[key - len(self.names)]

    def class_of(self, name: str) -> int:
        """The class of a key."""
        if name in self.index:
            return self.index[name]
        return len(self.names) + self.vectors.index(tuple(matches(predicate, name) for predicate in self.chosen))

    def mask(self, names: Iterable[str]) -> int:
        """Names as a bit set."""
        index = self.index
        return sum(1 << index[name] for name in names)

    def need(self, variable: int, key: int) -> Need:
        """What one assertion demands of the value under a key of this class."""
        known = (variable, key)
        if known not in self._needs:
            self._needs[known] = self._need(variable, key)
        return self._needs[known]

    def needs(self, variables: Iterable[int], key: int) -> Need:
        """What several assertions demand together."""
        result = NOTHING
        for variable in variables:
            need = self.need(variable, key)
            if need is None:
                return None
            result = result | need if result else need
        return result

    def clause(self, variable: int, key: int, conditions: tuple[int, ...]) -> int:
        """Under which condition a key of this class is evaluated, for an ``unevaluatedProperties`` assertion.

        Args:
            variable: The assertion.
            key: The class of keys.
            conditions: What is left of each of :attr:`conditions`.
        """
        diagrams, result = self.formulas.diagrams, FALSE
        root = self.formulas.atoms[variable].schema  # type: ignore[attr-defined]
        for evaluator in self._evaluators[variable]:
            if self._evaluates(evaluator.schema, key, own=evaluator.schema is root):
                result = diagrams.either(conditions[self.conditions.index(evaluator.condition)], result)
        return result

    def _need(self, variable: int, key: int) -> Need:
        atom = self.formulas.atoms[variable]
        if isinstance(atom, Members):
            return self._member(atom.schema, key)
        if isinstance(atom, Names):
            return NOTHING if self._named(self.formulas.formula(atom.schema, "string"), key) else None
        return NOTHING

    def _member(self, schema: Schema, key: int) -> Need:
        found: list[Schema] = []
        name = self.names[key] if key < len(self.names) else None
        listed = False
        if name is not None and name in schema.properties:
            listed = True
            found.append(schema.properties[name])
        for pattern, part in schema.pattern_properties.items():
            if self._holds(Pattern(pattern), key):
                listed = True
                found.append(part)
        if not listed and schema.additional_properties is not None:
            found.append(schema.additional_properties)
        if any(part.constant is False for part in found):
            return None
        return frozenset(part for part in found if part.constant is None)

    def _evaluates(self, schema: Schema, key: int, *, own: bool) -> bool:
        if schema.additional_properties is not None or (not own and schema.unevaluated_properties is not None):
            return True
        if key < len(self.names) and self.names[key] in schema.properties:
            return True
        return any(self._holds(Pattern(pattern), key) for pattern in schema.pattern_properties)

    def _holds(self, predicate: StringPredicate, key: int) -> bool:
        if key < len(self.names):
            return matches(predicate, self.names[key])
        if isinstance(predicate, OneOfStrings):
            return False  # what is listed is a name
        if key not in self._verdicts:
            vector = self.vectors[key - len(self.names)]
            self._verdicts[key] = dict(zip(self.chosen, vector, strict=True))
        return self._verdicts[key][predicate]

    def _named(self, function: int, key: int) -> bool:
        if key < len(self.names):
            return satisfied(self.formulas, function, self.names[key])
        atoms = self.formulas.atoms
        return self.formulas.diagrams.evaluate(function, lambda v: self._holds(atoms[v], key))  # type: ignore[arg-type]
