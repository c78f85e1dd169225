"""Arguments of tools as XML elements: the same texts as xgrammar, which defined the styles."""

from __future__ import annotations

import re
from typing import Any

import pytest
import xgrammar
from engine_walks import BYTES, accepts
from test_engines_structural_tags import compiled, tag

from latticework.structured import GrammarError, UnsupportedGrammarError
from latticework.structured.engines.xgrammar import make_compiler

SCHEMA = {
    "type": "object",
    "description": "the arguments of a function",
    "properties": {
        "city": {"type": "string", "description": "where"},
        "days": {"type": "integer"},
        "unit": {"enum": ["C", "F"]},
        "more": {"$ref": "#/$defs/more", "type": "object"},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
    "$defs": {
        "more": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    },
}
TEXTS = [
    "<parameter=city>\nRome\n</parameter>\n<parameter=days>\n3\n</parameter>\n",
    "<parameter=city></parameter><parameter=days>3</parameter><parameter=unit>\nC\n</parameter>",
    "<parameter=city></parameter><parameter=days>3</parameter><parameter=unit>D</parameter>",
    "<parameter=days>3</parameter>",
    "<parameter=city>Rome</parameter><parameter=days>x</parameter>",
    '<parameter=city>Rome</parameter><parameter=days>3</parameter><parameter=more>{"a": "b"}</parameter>',
    '<parameter=city>Rome</parameter><parameter=days>3</parameter><parameter=more>{"b": "b"}</parameter>',
    "<parameter=city>a</b<parameter=x>\n</parameter><parameter=days> 3</parameter>",
    "<parameter=days>3</parameter><parameter=city>Rome</parameter>",
    "<parameter=city>Rome</parameter><parameter=days>3</parameter><parameter=sky>x</parameter>",
    "",
]


def deepseek(text: str, blank: str) -> str:
    text = re.sub(r"<parameter=(city|unit|sky)>", rf'<｜DSML｜{blank}parameter name="\1" string="true">', text)
    text = re.sub(r"<parameter=(\w+)>", rf'<｜DSML｜{blank}parameter name="\1" string="false">', text)
    return text.replace("</parameter>", f"</｜DSML｜{blank}parameter>")


STYLES = {
    "qwen_xml": lambda text: text,
    "minimax_xml": lambda text: re.sub(r"<parameter=(\w+)>", r'<parameter name="\1">', text),
    "glm_xml": lambda text: re.sub(
        r"<parameter=(\w+)>", r"<arg_key>\1</arg_key>\n<arg_value>", text
    ).replace("</parameter>", "</arg_value>"),
    "deepseek_xml": lambda text: deepseek(text, ""),
    "deepseek_v4_1_xml": lambda text: deepseek(text, " "),
}  # fmt: skip


def arguments(schema: Any, style: str = "qwen_xml", **members: Any) -> dict[str, Any]:
    content = {"type": "json_schema", "json_schema": schema, "style": style, **members}
    return tag("<f>", content, "</f>")


@pytest.mark.parametrize("style", STYLES)
def test_takes_the_same_texts_as_xgrammar(style: str) -> None:
    ours = compiled(arguments(SCHEMA, style), engine="lattice")
    peer = make_compiler(BYTES).compile_structural_tag(
        {"type": "structural_tag", "format": arguments(SCHEMA, style)}
    )
    taken = []
    for text in (f"<f>{STYLES[style](text)}</f>" for text in TEXTS):
        matcher = xgrammar.GrammarMatcher(peer)
        taken.append(matcher.accept_string(text) and matcher.is_completed())
        assert accepts(ours, text) == taken[-1], text
    assert 2 < sum(taken) < len(taken) - 3


def test_the_older_format_means_the_same() -> None:
    grammar = compiled(tag("<f>", {"type": "qwen_xml_parameter", "json_schema": SCHEMA}, "</f>"), engine="lattice")
    assert accepts(grammar, f"<f>{TEXTS[0]}</f>")
    assert not accepts(grammar, f"<f>{TEXTS[3]}</f>")


def test_markup_that_tells_texts_from_json_lets_anything_be_either() -> None:
    grammar = compiled(arguments(of(a=True), "deepseek_xml"), engine="lattice")
    before, after = '<f><｜DSML｜parameter name="a" string="', "</｜DSML｜parameter></f>"
    assert accepts(grammar, f'{before}true">12 x{after}')
    assert accepts(grammar, f'{before}false">[12]{after}')
    assert not accepts(grammar, f'{before}false">"12"{after}')
    assert not accepts(grammar, f'{before}false">12 x{after}')


#: Models of xgrammar's registry whose layouts of tool calls are served, with their reasoning, for all kinds of tools.
SERVED = [
    "llama", "kimi", "deepseek_r1", "deepseek_v3_1", "qwen_3_5", "qwen_3_coder", "mimo", "qwen_3", "harmony", "minimax",
    "glm_4_7", "exaone", "deepseek_v3_2", "deepseek_v4", "deepseek_v4_1",
]  # fmt: skip


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("model", SERVED)
def test_the_layouts_of_most_models_are_served(model: str, strict: bool) -> None:
    parameters = {key: value for key, value in SCHEMA.items() if strict or key != "additionalProperties"}
    tools = [{"type": "function", "function": {"name": n, "parameters": parameters, "strict": strict}} for n in "fg"]
    for choice in ("auto", "required"):
        built = xgrammar.get_model_structural_tag(model, tools=tools, tool_choice=choice, reasoning="enabled")
        assert compiled(built.model_dump()["format"], engine="lattice").engine == "lattice"


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (False, "json_schema"),
        ({**of(), "required": ["a"]}, "json_schema/required"),
        ({"additionalProperties": {"type": "string", "pattern": "a"}}, "json_schema/additionalProperties/pattern"),
        ({**of(), "minProperties": 1}, "json_schema/minProperties"),
        (of(a={"type": ["string", "null"]}), "json_schema/properties/a"),
        (of(a={"anyOf": [{"type": "string"}]}), "json_schema/properties/a"),
        (of(a={"type": "string", "minLength": 3}), "json_schema/properties/a/minLength"),
        (of(a={"enum": ["x</parameter>"]}), "json_schema/properties/a"),
        (of(a={"type": "object", "$ref": "#/properties/b"}), "json_schema/properties/a"),
        (of(**{"a>": {"type": "null"}}), "json_schema/properties/a>"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_its_path(schema: Any, path: str) -> None:
    with pytest.raises(UnsupportedGrammarError) as error:
        compiled(arguments(schema), engine="lattice")
    assert error.value.field == f"structural_tag/format/content/{path}"


def test_other_styles_and_orders_are_refused() -> None:
    for fmt, member in ((arguments(SCHEMA, "cohere_xml"), "style"), (arguments(SCHEMA, any_order=True), "any_order")):
        with pytest.raises(UnsupportedGrammarError) as error:
            compiled(fmt, engine="lattice")
        assert error.value.field == f"structural_tag/format/content/{member}"
    with pytest.raises(GrammarError, match="schema of an object"):
        compiled(arguments({"type": "array"}), engine="lattice")


@pytest.mark.parametrize(
    ("schema", "taken", "refused"),
    [
        (True, ["", "<parameter=a>x</parameter><parameter=b_1>\n</parameter>"], ["<parameter=1>x</parameter>", "x"]),
        ({"properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "integer"}},
         ["<parameter=a>null</parameter><parameter=b>1</parameter><parameter=aa>2</parameter>",
          "<parameter=b>3</parameter>"],
         ["<parameter=a>1</parameter>", "<parameter=b>null</parameter>",
          "<parameter=b>1</parameter><parameter=a>1</parameter>"]),
    ],
)  # fmt: skip
def test_properties_that_are_not_named_follow_those_that_are(schema: Any, taken: list[str], refused: list[str]) -> None:
    grammar = compiled(arguments(schema), engine="lattice")
    assert [text for text in taken if not accepts(grammar, f"<f>{text}</f>")] == []
    assert [text for text in refused if accepts(grammar, f"<f>{text}</f>")] == []
