"""What the demo asks, and how it judges the answers.

Six kinds of structured request as an application would send them, and two that show what only latticework does: a
logits processor and a search. Prompts are written for the demo; judges are independent of any grammar engine.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jsonschema

from latticework.structured import GrammarSpec

#: Why an answer is wrong, or ``None``.
Judge = Callable[[str], str | None]


@dataclass(frozen=True)
class Task:
    """One request.

    Attributes:
        kind: Row of the result table.
        prompt: What the user says.
        body: Fields of the chat completion request, beside model and messages; the same for both arms and engines.
        judge: Says why an answer is wrong.
        spec: The constraint again, to count which tokens it forced; ``None`` for free text.
        options: latticework's request options, sent only to a server that has it.
        constraint: Kind and payload of a constraint that every engine has fields of its own for.
    """

    kind: str
    prompt: str
    body: dict[str, Any]
    judge: Judge
    spec: GrammarSpec | None = None
    options: dict[str, Any] = field(default_factory=dict)
    constraint: tuple[str, Any] | None = None


def tasks() -> list[Task]:
    """All tasks, in the order in which they are sent."""
    return [*_tool_calls(), *_extractions(), *_sql(), *_regexes(), *_choices(), *_classifications(), *_extras()]


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _valid_json(schema: dict[str, Any]) -> Judge:
    def judge(text: str) -> str | None:
        try:
            jsonschema.validate(json.loads(text), schema)
        except ValueError as error:
            return f"not JSON: {error}"
        except jsonschema.ValidationError as error:
            return f"not valid: {error.message}"
        return None

    return judge


_TOOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "get_weather": (
        "Current weather of a city",
        _object({"city": {"type": "string", "maxLength": 30}, "unit": {"enum": ["celsius", "fahrenheit"]}}),
    ),
    "create_event": (
        "Put an event into the calendar",
        _object(
            {
                "title": {"type": "string", "maxLength": 40},
                "weekday": {"enum": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]},
                "start_hour": {"type": "integer", "minimum": 0, "maximum": 23},
                "duration_minutes": {"type": "integer", "minimum": 5, "maximum": 480},
            }
        ),
    ),
    "send_message": (
        "Send a text message",
        _object({"recipient": {"type": "string", "maxLength": 30}, "text": {"type": "string", "maxLength": 80}}),
    ),
    "set_thermostat": (
        "Set the temperature of a room",
        _object(
            {
                "room": {"enum": ["kitchen", "bedroom", "living room", "bathroom"]},
                "degrees_celsius": {"type": "integer", "minimum": 10, "maximum": 30},
            }
        ),
    ),
}


def _tool_calls() -> list[Task]:
    asked = {
        "get_weather": "What is the weather like in Paris, in degrees Celsius?",
        "create_event": "Please plan a one-hour budget review on Tuesday at ten in the morning.",
        "send_message": "Text Maria that I will be ten minutes late.",
        "set_thermostat": "It is cold in the bedroom, make it 21 degrees.",
    }
    result = []
    for name, prompt in asked.items():
        description, schema = _TOOLS[name]
        function = {"name": name, "description": description, "parameters": schema, "strict": True}
        body = {
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": name}},
            "max_tokens": 128,
        }
        result.append(Task("tool call", prompt, body, _valid_json(schema), GrammarSpec.json_schema(schema)))
    return result


def _json_task(kind: str, prompt: str, schema: dict[str, Any], **options: Any) -> Task:
    response_format = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    body = {"response_format": response_format, "max_tokens": 200}
    return Task(kind, prompt, body, _valid_json(schema), GrammarSpec.json_schema(schema), options)


_PERSON = _object(
    {
        "name": {"type": "string", "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "occupation": {"type": "string", "maxLength": 40},
        "city": {"type": "string", "maxLength": 40},
    }
)
_ORDER = _object(
    {
        "customer": {"type": "string", "maxLength": 40},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 4,
            "items": _object(
                {
                    "product": {"type": "string", "maxLength": 30},
                    "quantity": {"type": "integer", "minimum": 1, "maximum": 99},
                }
            ),
        },
        "express_delivery": {"type": "boolean"},
    }
)


def _extractions() -> list[Task]:
    ask = "Extract the data from this text as JSON.\n\n"
    return [
        _json_task(
            "extraction",
            ask + "Anna Keller, 34, has worked as a marine biologist in Lisbon since she finished her studies.",
            _PERSON,
        ),
        _json_task(
            "extraction",
            ask + "After thirty years as a train driver, Tom Hill (61) still lives in Leeds with his two dogs.",
            _PERSON,
        ),
        _json_task(
            "extraction",
            ask + "Hello, this is Omar Reyes. I need 3 desk lamps and 12 light bulbs, by express please.",
            _ORDER,
        ),
        _json_task(
            "extraction",
            ask + "Ms. Ito would like to order two boxes of green tea. There is no hurry with the delivery.",
            _ORDER,
        ),
    ]


_SQL_SCHEMA = """
CREATE TABLE employees (id INTEGER, name TEXT, department TEXT, salary INTEGER, hired INTEGER);
CREATE TABLE products (id INTEGER, name TEXT, price INTEGER, stock INTEGER);
"""
_SQL_GRAMMAR = r"""
root ::= "SELECT " (employees | products) ";"
employees ::= ecols " FROM employees" (" WHERE " econd)? (" ORDER BY " ecol (" DESC" | " ASC"))? limit?
products ::= pcols " FROM products" (" WHERE " pcond)? (" ORDER BY " pcol (" DESC" | " ASC"))? limit?
ecols ::= "*" | "COUNT(*)" | "AVG(salary)" | ecol (", " ecol)?
pcols ::= "*" | "COUNT(*)" | "SUM(stock)" | pcol (", " pcol)?
ecol ::= "name" | "department" | "salary" | "hired"
pcol ::= "name" | "price" | "stock"
econd ::= ("salary" | "hired") comparison number | ("name" | "department") " = '" word "'"
pcond ::= ("price" | "stock") comparison number | "name = '" word "'"
comparison ::= " > " | " < " | " = " | " >= " | " <= "
limit ::= " LIMIT " [1-9] [0-9]?
number ::= [1-9] [0-9]? [0-9]? [0-9]? [0-9]? [0-9]?
word ::= [A-Z] [a-z]? [a-z]? [a-z]? [a-z]? [a-z]? [a-z]? [a-z]? [a-z]? [a-z]? [a-z]? [a-z]?
"""


def _runs_as_sql(text: str) -> str | None:
    with sqlite3.connect(":memory:") as database:
        database.executescript(_SQL_SCHEMA)
        try:
            database.execute(text)
        except sqlite3.Error as error:
            return f"not SQL: {error}"
    return None


def _sql() -> list[Task]:
    questions = [
        "Which employees earn more than 50000?",
        "How many products are there?",
        "List the names and prices of the five most expensive products.",
        "What is the average salary in the Sales department?",
    ]
    ask = f"Tables:{_SQL_SCHEMA}Write one SQL query that answers the question.\nQuestion: "
    spec, constraint = GrammarSpec.grammar(_SQL_GRAMMAR), ("grammar", _SQL_GRAMMAR)
    return [
        Task("SQL grammar", ask + question, {"max_tokens": 64}, _runs_as_sql, spec, constraint=constraint)
        for question in questions
    ]


def _regexes() -> list[Task]:
    asked = {
        r"\d{4}-\d{2}-\d{2}": "On which date did humans first land on the moon? Answer as YYYY-MM-DD.",
        r"(?:\d{1,3}\.){3}\d{1,3}": "Give an example of a private IPv4 address.",
        r"[a-z]{2,12}\.[a-z]{2,12}@example\.com": "Invent an e-mail address for Jane Doe at example.com.",
        r"#[0-9a-f]{6}": "Which hex colour code is pure red? Answer like #00ff00.",
    }

    def judge_of(pattern: str) -> Judge:
        return lambda text: None if re.fullmatch(pattern, text, re.ASCII) else "does not match"

    return [
        Task(
            "regex",
            prompt,
            {"max_tokens": 48},
            judge_of(pattern),
            GrammarSpec.regex(pattern),
            constraint=("regex", pattern),
        )
        for pattern, prompt in asked.items()
    ]


def _choice(kind: str, prompt: str, options: list[str]) -> Task:
    return Task(
        kind,
        prompt,
        {"max_tokens": 48},
        lambda text: None if text in options else "not an option",
        GrammarSpec.choice(options),
        constraint=("choice", options),
    )


def _choices() -> list[Task]:
    return [
        _choice("choice", "Is the sky blue on a clear day?", ["yes", "no"]),
        _choice("choice", "Which of these is a mammal?", ["a whale", "a salmon", "a sparrow", "a lizard"]),
        _choice(
            "choice",
            "Which department should handle a broken laptop?",
            ["Human Resources", "Information Technology", "Finance and Accounting", "Facility Management"],
        ),
        _choice("choice", "What is the capital of Italy?", ["Madrid", "Rome", "Athens", "Vienna"]),
    ]


def _classifications() -> list[Task]:
    schema = _object(
        {
            "sentiment": {"enum": ["positive", "neutral", "negative"]},
            "topic": {"enum": ["delivery", "product quality", "price", "customer service"]},
            "needs_reply": {"type": "boolean"},
        }
    )
    reviews = [
        "The kettle broke after two days. I want my money back!",
        "Arrived a day early and well packed. Thank you.",
        "Nobody answered my three e-mails about the missing part.",
        "It is a decent chair, but I have seen it for half the price elsewhere.",
    ]
    return [_json_task("labels", f"Classify this review.\n\n{review}", schema) for review in reviews]


def _does_not_loop(text: str) -> str | None:
    words = text.split()
    runs = [tuple(words[i : i + 6]) for i in range(len(words) - 5)]
    worst = max((runs.count(run) for run in runs), default=0)
    return f"the same six words {worst} times" if worst >= 3 else None


def _extras() -> list[Task]:
    story = {"max_tokens": 160}
    return [
        Task("fsd, free text", prompt, story, _does_not_loop, options={"lw_processor": "fsd"})
        for prompt in ("Tell me about the sea.", "Write a poem about a lighthouse.")
    ] + [
        _json_task(
            "best of 4",
            "Describe a fictional person as JSON.",
            _PERSON,
            lw_search="best_of_n",
            lw_search_n=4,
            lw_search_seed=7,
        )
    ]
