"""A schema as a boolean function of small assertions, one for each kind of value.

All that applies to the same value (``allOf``, ``anyOf``, ``oneOf``, ``not``, ``if``, references, dependencies) becomes
structure of the function; what is left are its variables: predicates of strings and numbers, and the assertions of
:mod:`.atoms`. A function is made when a value of that kind is first asked about.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from latticework.structured.errors import BudgetExceededError, GrammarError
from latticework.structured.json_machine import atoms
from latticework.structured.json_machine.budget import WorkBudget
from latticework.structured.json_machine.diagrams import FALSE, TRUE, Diagrams
from latticework.structured.json_schema.ir import JSONValue, Schema
from latticework.structured.json_schema.values import exact, json_key, json_type
from latticework.structured.lexemes import predicates

#: The kinds of values that are told apart by their first byte.
KINDS = ("null", "true", "false", "number", "string", "object", "array")
#: Kinds without parts to assert anything of.
CONSTANTS = {"null": None, "true": True, "false": False}

_TYPE_OF = {"true": "boolean", "false": "boolean"}


class Formulas:
    """The functions of one grammar's schemas.

    Args:
        budget: What may be computed.
        signs: Properties whose presence decides alternatives: see :func:`sign`.
        document: The schemas of the document in its order, if properties are to come in it.

    Attributes:
        diagrams: Where the functions are.
        atoms: The assertion that each variable stands for.
    """

    def __init__(
        self, budget: WorkBudget, signs: frozenset[str] = frozenset(), document: Iterable[Schema] = ()
    ) -> None:
        self.diagrams = Diagrams(budget)
        self.budget = budget
        self._signs = signs
        self._places: dict[Schema, tuple[int, ...]] = {schema: (n,) for n, schema in enumerate(document)}
        self.atoms: list[Hashable] = []
        self._variables: dict[Hashable, int] = {}
        self._known: dict[tuple[Schema, str], int] = {}
        self._open: set[tuple[Schema, str]] = set()
        self._members: dict[tuple[Schema, str], tuple[Schema, ...]] = {}

    def variable(self, atom: Hashable) -> int:
        """The variable of an assertion."""
        number = self._variables.get(atom)
        if number is None:
            number = self._variables[atom] = len(self.atoms)
            self.atoms.append(atom)
        return number

    def place(self, schema: Schema) -> tuple[int, ...] | None:
        """Where a schema stands among others in the order of the document; ``None``: it does not stand there.

        Variables have no such order: they are numbered as texts come to them.
        """
        return self._places.get(schema)

    def literal(self, atom: Hashable) -> int:
        """The function that says that an assertion holds."""
        return self.diagrams.literal(self.variable(atom))

    def formula(self, schema: Schema, kind: str) -> int:
        """When a value of this kind satisfies the schema.

        Raises:
            GrammarError: The schema applies itself to the same value without end.
            BudgetExceededError: Too many combinations, or too deep a chain of references.
        """
        if schema.constant is not None:
            return TRUE if schema.constant else FALSE
        key = (schema, kind)
        known = self._known.get(key)
        if known is not None:
            return known
        if key in self._open:
            reason = f"{schema.pointer}: refers to itself without reading anything between"
            raise GrammarError(self.budget.field, reason)
        self._open.add(key)
        try:
            known = self._all(self._assertions(schema, kind))
        except RecursionError:
            reason = f"{schema.pointer}: too deep a chain of references"
            raise BudgetExceededError(self.budget.field, reason) from None
        finally:
            self._open.discard(key)
        self._known[key] = known
        return known

    def conjunction(self, schemas: Iterable[Schema], kind: str) -> int:
        """When a value of this kind satisfies all of the schemas."""
        return self._all([self.formula(schema, kind) for schema in schemas])

    def _all(self, functions: Iterable[int]) -> int:
        result = TRUE
        for function in sorted(functions, reverse=True):
            if function == FALSE:
                return FALSE
            result = self.diagrams.both(function, result)
        return result

    def _assertions(self, schema: Schema, kind: str) -> list[int]:
        """Functions that must all hold."""
        if schema.types is not None:
            type_name = _TYPE_OF.get(kind, kind)
            integer = kind == "number" and "number" not in schema.types and "integer" in schema.types
            if type_name not in schema.types and not integer:
                return [FALSE]
            found = [self.literal(predicates.IsInteger(schema.integer_fraction))] if integer else []
        else:
            found = []
        if schema.enum is not None:
            found.append(self._enumerated(schema, kind))
            if found[-1] == FALSE:
                return [FALSE]
        if kind == "object":
            self._object(schema, found)
        elif kind == "array":
            self._array(schema, found)
        elif kind == "string":
            self._string(schema, found)
        elif kind == "number":
            self._number(schema, found)
        for part in (*schema.refs, *schema.all_of):
            found.append(self.formula(part, kind))
            if found[-1] == FALSE:
                return [FALSE]
        if schema.any_of:
            found.append(self._any([self.formula(part, kind) for part in schema.any_of]))
        if schema.one_of:
            found.append(self._one(schema.one_of, kind))
        if schema.negated is not None:
            found.append(self.diagrams.negate(self.formula(schema.negated, kind)))
        if schema.condition is not None:
            branches = [
                TRUE if part is None else self.formula(part, kind)
                for part in (schema.condition, schema.then, schema.otherwise)
            ]
            found.append(self.diagrams.choose(*branches))
        return found

    def _enumerated(self, schema: Schema, kind: str) -> int:
        assert schema.enum is not None
        if kind in CONSTANTS:
            return TRUE if any(value is CONSTANTS[kind] for value in schema.enum) else FALSE
        if kind == "string":
            texts = frozenset(value for value in schema.enum if isinstance(value, str))
            return self.literal(predicates.OneOfStrings(texts)) if texts else FALSE
        if kind == "number":
            numbers = frozenset(
                exact(value) for value in schema.enum if json_type(value) == "number"
            )
            return self.literal(predicates.OneOfNumbers(numbers)) if numbers else FALSE
        if (schema, kind) not in self._members:
            wanted: type = dict if kind == "object" else list
            values = {json_key(value): value for value in schema.enum if isinstance(value, wanted)}
            members = tuple(exactly(value, schema.pointer) for value in values.values())
            if schema in self._places:
                for number, member in enumerate(members):
                    for part in (member, *member.children()):
                        self._places[part] = (*self._places[schema], number)
            self._members[schema, kind] = members
        return self._any([self.formula(member, kind) for member in self._members[schema, kind]])

    def _object(self, schema: Schema, found: list[int]) -> None:
        if schema.properties or schema.pattern_properties or schema.additional_properties is not None:
            found.append(self.literal(atoms.Members(schema)))
        if schema.required:
            # What decides alternatives stands alone, so that it is seen to decide them.
            names = frozenset(schema.required)
            groups = (names - self._signs, *(frozenset((name,)) for name in sorted(names & self._signs)))
            found.extend(self.literal(atoms.Has(group)) for group in groups if group)
        if schema.property_names is not None:
            found.append(self.literal(atoms.Names(schema.property_names)))
        self._counts(schema.min_properties, schema.max_properties, found)
        choose = self.diagrams.choose
        for name, others in schema.dependent_required.items():
            if others:
                there, needed = atoms.Has(frozenset((name,))), atoms.Has(frozenset(others))
                found.append(choose(self.literal(there), self.literal(needed), TRUE))
        for name, part in schema.dependent_schemas.items():
            found.append(choose(self.literal(atoms.Has(frozenset((name,)))), self.formula(part, "object"), TRUE))
        if schema.unevaluated_properties is not None:
            found.append(self.literal(atoms.Unevaluated(schema)))

    def _array(self, schema: Schema, found: list[int]) -> None:
        if schema.prefix_items or schema.items is not None:
            found.append(self.literal(atoms.Elements(schema)))
        self._counts(schema.min_items, schema.max_items, found)
        if schema.contains is not None:
            if schema.min_contains:
                found.append(self.literal(atoms.Contains(schema.contains, schema.min_contains)))
            if schema.max_contains is not None:
                more = self.literal(atoms.Contains(schema.contains, schema.max_contains + 1))
                found.append(self.diagrams.negate(more))
        if schema.unique_items:
            found.append(self.literal(atoms.Unique(schema.pointer)))
        if schema.unevaluated_items is not None:
            found.append(self.literal(atoms.Unevaluated(schema)))

    def _counts(self, low: int | None, high: int | None, found: list[int]) -> None:
        if low:
            found.append(self.literal(atoms.AtLeast(low)))
        if high is not None:
            found.append(self.diagrams.negate(self.literal(atoms.AtLeast(high + 1))))

    def _string(self, schema: Schema, found: list[int]) -> None:
        if schema.min_length or schema.max_length is not None:
            found.append(self.literal(predicates.Length(schema.min_length or 0, schema.max_length)))
        if schema.pattern is not None:
            found.append(self.literal(predicates.Pattern(schema.pattern)))
        if schema.format is not None:
            found.append(self.literal(predicates.Format(schema.format)))

    def _number(self, schema: Schema, found: list[int]) -> None:
        if schema.minimum is not None:
            found.append(self.literal(predicates.AtLeast(schema.minimum)))
        if schema.exclusive_minimum is not None:
            found.append(self.literal(predicates.AtLeast(schema.exclusive_minimum, True)))
        if schema.maximum is not None:
            found.append(self.literal(predicates.AtMost(schema.maximum)))
        if schema.exclusive_maximum is not None:
            found.append(self.literal(predicates.AtMost(schema.exclusive_maximum, True)))
        if schema.multiple_of is not None:
            found.append(self.literal(predicates.MultipleOf(schema.multiple_of)))

    def _any(self, functions: Iterable[int]) -> int:
        listed, rest = self._listed(functions)
        result = self._one_of_values(frozenset().union(*listed), listed[0]) if listed else FALSE
        for function in sorted(rest, reverse=True):
            result = self.diagrams.either(function, result)
        return result

    def _one(self, schemas: Sequence[Schema], kind: str) -> int:
        functions = [self.formula(schema, kind) for schema in schemas]
        if kind == "object":
            apart = sign([s for s, f in zip(schemas, functions, strict=True) if f != FALSE])
            if apart is not None:
                name, required = apart
                there = self.literal(atoms.Has(frozenset((name,))))
                absent = FALSE if required else self._just_one(functions)
                return self.diagrams.choose(there, self._any(functions), absent)
        return self._just_one(functions)

    def _just_one(self, functions: Sequence[int]) -> int:
        listed, rest = self._listed(functions)
        none, one = TRUE, FALSE
        if listed:
            counts: dict[Hashable, int] = {}
            for values in listed:
                for value in values:
                    counts[value] = counts.get(value, 0) + 1
            none = self.diagrams.negate(self._one_of_values(frozenset(counts), listed[0]))
            one = self._one_of_values(frozenset(value for value, count in counts.items() if count == 1), listed[0])
        for function in sorted(rest, reverse=True):
            none, one = self.diagrams.choose(function, FALSE, none), self.diagrams.choose(function, none, one)
        return one

    def _listed(self, functions: Iterable[int]) -> tuple[list[frozenset[Hashable]], list[int]]:
        """The functions that only list values, as those lists, and the others."""
        listed: list[frozenset[Hashable]] = []
        rest: list[int] = []
        for function in functions:
            if function > TRUE:
                variable, low, high = self.diagrams.parts(function)
                atom = self.atoms[variable]
                if low == FALSE and high == TRUE and isinstance(
                    atom, predicates.OneOfStrings | predicates.OneOfNumbers
                ):
                    listed.append(frozenset(atom.values))
                    continue
            rest.append(function)
        return (listed, rest) if len(listed) > 1 else ([], list(rest) + [self._listing(values) for values in listed])

    def _listing(self, values: frozenset[Hashable]) -> int:
        return self._one_of_values(values, values)

    def _one_of_values(self, values: frozenset[Hashable], like: frozenset[Hashable]) -> int:
        if not values:
            return FALSE
        if all(isinstance(value, str) for value in like):
            return self.literal(predicates.OneOfStrings(values))  # type: ignore[arg-type]
        return self.literal(predicates.OneOfNumbers(values))  # type: ignore[arg-type]


def exactly(value: JSONValue, pointer: str) -> Schema:
    """A schema of one object or array, in terms of its parts."""
    if isinstance(value, dict):
        parts = {name: Schema(pointer, enum=(part,)) for name, part in value.items()}
        nothing = Schema(pointer, constant=False)
        kinds = frozenset(("object",))
        return Schema(pointer, types=kinds, properties=parts, additional_properties=nothing, required=tuple(value))
    items = tuple(Schema(pointer, enum=(part,)) for part in value)
    return Schema(
        pointer,
        types=frozenset(("array",)),
        prefix_items=items,
        items=Schema(pointer, constant=False),
        min_items=len(items),
    )


def sign(schemas: Sequence[Schema]) -> tuple[str, bool] | None:
    """A property by whose listed values the schemas exclude each other, and whether all of them require it.

    Of the objects that have it, one schema is satisfied if any is.
    """
    if len(schemas) < 2:
        return None
    signs = [_signs(schema, 0) for schema in schemas]
    found: str | None = None
    for name in signs[0][0]:
        if all(name in values for values, _ in signs):
            listed = [values[name] for values, _ in signs]
            if len(frozenset().union(*listed)) == sum(map(len, listed)):
                if all(name in required for _, required in signs):
                    return name, True
                found = found or name
    return (found, False) if found is not None else None


def sign_names(schemas: Iterable[Schema]) -> frozenset[str]:
    """All properties that tell the alternatives of some ``oneOf`` apart though not all of these require them."""
    found: set[str] = set()
    for schema in schemas:
        parts = [part for part in schema.one_of if part.types is None or "object" in part.types]
        apart = sign(parts)
        if apart is not None and not apart[1]:
            found.add(apart[0])
    return frozenset(found)


def _signs(schema: Schema, depth: int) -> tuple[dict[str, frozenset[Hashable]], set[str]]:
    """The properties whose values are listed, with these, and the names that are required."""
    listed: dict[str, frozenset[Hashable]] = {}
    required = set(schema.required)
    for part in (*schema.refs, *schema.all_of) if depth < 4 else ():
        inner, needed = _signs(part, depth + 1)
        listed.update(inner)
        required |= needed
    for name, there in schema.properties.items():
        if there.enum is not None:
            listed[name] = frozenset(json_key(value) for value in there.enum)
    return listed, required
