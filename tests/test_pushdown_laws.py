"""Every kind of pushdown source there is satisfies the laws; sources that break a promise do not."""

from __future__ import annotations

from typing import Any

import pytest
from engine_walks import BYTES, small_vocabulary
from preset_texts import vocabulary_of
from test_engines_structural_tags import LAWFUL
from test_presets import LANGUAGES

from latticework.structured import GrammarLimits, GrammarSpec, Vocabulary
from latticework.structured.automata.json_value import JsonValue
from latticework.structured.engines.lattice import source_of
from latticework.structured.json_options import JsonOptions, Order, Whitespace
from latticework.structured.presets.catalogue import Catalogue
from latticework.structured.pushdown.laws import PushdownSourceLaws, walked
from latticework.structured.pushdown.plain import AutomatonSource
from latticework.structured.pushdown.protocol import Action, Enter, PlainSource, PushdownSource, Return
from latticework.structured.pushdown.steering import DeadEndError
from latticework.structured.pushdown.table import build_table

OBJECT = {
    "properties": {"name": {"type": "string", "maxLength": 9}, "n": {"type": "integer", "minimum": -5}, "x": {}},
    "required": ["n"],
}
SCHEMAS: dict[str, Any] = {
    "anything": True,
    "plain object": {"type": "object", **OBJECT},
    "other keys": {"type": "object", **OBJECT, "patternProperties": {"^x": {"type": "null"}}, "minProperties": 2},
    "different open objects": {
        "type": "array",
        "uniqueItems": True,
        "items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
    },
    "different values that go on": {
        "type": "array",
        "uniqueItems": True,
        "items": {"type": ["object", "number", "string"]},
    },
    "scarce keys": {"type": "object", "propertyNames": {"enum": ["a", "b", "c"]}, "minProperties": 2},
    "few keys of a pattern": {"type": "object", "propertyNames": {"pattern": "^[ab]{1,2}$"}, "minProperties": 3},
    "alternatives": {
        "type": "object",
        "oneOf": [
            {"properties": {"kind": {"const": "p"}, "y": {"type": "integer"}}, "required": ["kind", "y"]},
            {"properties": {"kind": {"const": "q"}}, "required": ["kind", "x"], "minProperties": 3},
        ],
    },
    "unevaluated": {
        "type": "object",
        "anyOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {}}}],
        "unevaluatedProperties": {"type": "null"},
    },
    "dependencies": {
        "type": "object",
        "properties": {"a": {}, "b": {"type": "boolean"}},
        "dependentRequired": {"a": ["b"]},
        "dependentSchemas": {"b": {"maxProperties": 3}},
        "not": {"required": ["z"]},
    },
    "array": {"type": "array", "prefixItems": [{"type": "integer"}, {"enum": ["a", "b"]}], "items": False,
              "minItems": 1},
    "contains": {"type": "array", "contains": {"const": 1}, "minContains": 2, "maxContains": 3, "maxItems": 5},
    "unique strings": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "minItems": 3},
    "unique values": {"type": "array", "items": {"enum": [1, "a", True, [1]]}, "uniqueItems": True, "minItems": 2},
    "unevaluated items": {"type": "array", "prefixItems": [{"type": "integer"}], "if": {"contains": {"const": 1}},
                          "unevaluatedItems": {"type": "boolean"}, "maxItems": 4},
    "tree": {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "leaf": {"type": "null"}},
             "additionalProperties": False},
    "scalars": {"anyOf": [{"format": "date", "type": "string"}, {"multipleOf": 0.5}, {"pattern": "^a.*b$"},
                          {"const": "x"}]},
    "enum of all kinds": {"enum": ["a", 1, None, [1, {"a": []}], {"k": "v", "w": [True]}]},
}  # fmt: skip
LAYOUTS = {
    "served": JsonOptions(),
    "any order": JsonOptions(order=Order.ANY, whitespace=Whitespace.COMPACT),
    "flexible": JsonOptions(order=Order.ANY, whitespace=Whitespace.FLEXIBLE),
}
TEXTS = {
    "regex": GrammarSpec.regex(r"[A-Z][a-z]{1,8} (?:is|was) \d{2,4}\.|é+"),
    "choice": GrammarSpec.choice(["yes", "no", "yesterday", "né", ""]),
    "json": GrammarSpec.json_object(),
    "gbnf": GrammarSpec.grammar('root ::= "(" root ")" | "[" root (", " root)* "]" | [0-9]+ | ""'),
    "gbnf, not LR(1)": GrammarSpec.grammar('root ::= "a" root "a" | "b" root "b" | "c"?'),
    "lark": GrammarSpec.grammar(
        """
        start: "SELECT " names (" WHERE " condition)?
        names: NAME ("," NAME)*
        condition: NAME "=" (NUMBER | STRING) | condition " AND " condition2
        condition2: "NOT " condition | NAME
        NAME: /[a-z]+/
        NUMBER: /[0-9]+(\\.[0-9]+)?/
        STRING: /"[^"]*"/
        """
    ),
    "lark with blanks": GrammarSpec.grammar(
        """
        start: expression
        expression: expression "+" term | term
        term: /[0-9]+/ | "(" expression ")"
        %ignore /[ ]+/
        """
    ),
}


def source_for(spec: GrammarSpec, vocabulary: Vocabulary = BYTES) -> PushdownSource:
    source = source_of(spec, vocabulary, GrammarLimits())
    return source if isinstance(source, PushdownSource) else AutomatonSource(source)


class TestJson(PushdownSourceLaws):
    @pytest.fixture(params=SCHEMAS)
    def source(self, request: pytest.FixtureRequest) -> PushdownSource:
        layout = list(LAYOUTS)[list(SCHEMAS).index(request.param) % len(LAYOUTS)]
        return source_for(GrammarSpec.json_schema(SCHEMAS[request.param], LAYOUTS[layout]))


class TestLayouts(PushdownSourceLaws):
    @pytest.fixture(params=LAYOUTS)
    def source(self, request: pytest.FixtureRequest) -> PushdownSource:
        return source_for(GrammarSpec.json_schema(SCHEMAS["plain object"], LAYOUTS[request.param]))


class TestTexts(PushdownSourceLaws):
    @pytest.fixture(params=TEXTS)
    def source(self, request: pytest.FixtureRequest) -> PushdownSource:
        return source_for(TEXTS[request.param])


class TestAutomata(PushdownSourceLaws):
    """What is too large for a table."""

    @pytest.fixture(params=["json", "choice"])
    def source(self, request: pytest.FixtureRequest) -> PushdownSource:
        if request.param == "json":
            return AutomatonSource(JsonValue(whitespace=Whitespace.LINE, max_depth=4))
        return Catalogue([f"{number} {number * number}" for number in range(2000)], field="choice", max_nodes=32).source


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return small_vocabulary(tmp_path_factory.mktemp("tokenizer"))


class TestTags(PushdownSourceLaws):
    @pytest.fixture(params=LAWFUL)
    def source(self, request: pytest.FixtureRequest, vocabulary: Vocabulary) -> PushdownSource:
        return source_for(
            GrammarSpec.structural_tag({"type": "structural_tag", "format": LAWFUL[request.param]}), vocabulary
        )


class TestPresets(PushdownSourceLaws):
    @pytest.fixture(params=LANGUAGES)
    def source(self, request: pytest.FixtureRequest) -> PushdownSource:
        language = LANGUAGES[request.param]
        return source_for(language.spec, vocabulary_of(language.samples, language.specials))


LETTERS = build_table([[(0x61, 0x61, 1), (0x62, 0x62, 2)], [], []], [-1, 0, 1])


class Pairs(PlainSource):
    """Two letters out of ``ab``, the first of which is captured."""

    def start(self) -> Action:
        return Enter(("pair", "first"), LETTERS, 0)

    def resume(self, symbol: Any, result: int) -> Action | None:
        if symbol == "first":
            return Enter(("second",), LETTERS, 0)
        return Return(0 if symbol == "pair" else result)

    def goal(self, symbol: Any) -> int:
        return 3

    def captures(self, symbol: Any) -> bool:
        return symbol == "first"

    def resume_text(self, symbol: Any, result: int, text: bytes) -> Action | None:
        return self.resume(symbol, result)


class WrongGoal(Pairs):
    def goal(self, symbol: Any) -> int:
        return 1 if symbol == "second" else 3


class DeadEnd(Pairs):
    def resume(self, symbol: Any, result: int) -> Action | None:
        return None if symbol == "second" and result else super().resume(symbol, result)


class RefusesAll(Pairs):
    def refused(self, symbol: Any) -> tuple[bytes, ...]:
        return (b"a", b"b")


class Decides(Pairs):
    def resume_text(self, symbol: Any, result: int, text: bytes) -> Action | None:
        return Enter(("other",), LETTERS, 0) if text == b"a" else super().resume_text(symbol, result, text)

    def goal(self, symbol: Any) -> int:
        return 2 if symbol == "other" else 3


class Wavers(Pairs):
    def __init__(self) -> None:
        self._asked = 0

    def resume(self, symbol: Any, result: int) -> Action | None:
        self._asked += 1
        return Return(self._asked % 2) if symbol == "second" else super().resume(symbol, result)


LAWS = [name for name in vars(PushdownSourceLaws) if name.startswith("test_")]


@pytest.mark.parametrize(
    ("source", "broken"),
    [
        (Pairs, set()),
        (WrongGoal, {"test_goals_are_exact"}),
        (DeadEnd, {"test_goals_are_exact"}),
        (RefusesAll, {"test_every_text_can_be_completed"}),
        (Decides, {"test_a_captured_text_changes_only_what_is_refused", "test_goals_are_exact"}),
        (Wavers, {"test_answers_repeat", "test_a_captured_text_changes_only_what_is_refused"}),
    ],
)
def test_broken_promises_are_found(source: type[Pairs], broken: set[str]) -> None:
    found = set()
    for name in LAWS:
        made = source()
        try:
            getattr(PushdownSourceLaws(), name)(made, walked(made))
        except (AssertionError, DeadEndError):
            found.add(name)
    assert found == broken
