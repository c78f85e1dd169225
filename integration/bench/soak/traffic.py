"""The traffic: which request has which number. A function of a seed and the number, so any request can be sent again.

Every kind of constraint, half of them never seen before, so that whatever is kept for a constraint is made again and
again; some requests stream, some sample, some clients leave in the middle, some requests are wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from integration.bad_input import BAD
from integration.bench.soak import wrong_bodies
from integration.tests.client import Constraint

WORDS = (
    *("river", "bread", "clock", "snow", "glass", "map", "violin", "garden", "ship", "lamp", "stone", "letter"),
    *("bridge", "coat", "table", "wind", "paper", "house", "field", "bird", "engine", "cloud", "salt", "harbour"),
)
USERS = 200
MAX_TOKENS = 64
#: Words of a long prompt: about as many tokens, in a context of 2048.
LONG_PROMPT = 800
LEAVES = 0.12
#: Of what must be refused, what the foreign engine begins all the same: it looks at no more of it than is written.
_ENDLESS = "regex with a huge repetition"
STREAMS = 0.4
SAMPLES = 0.4


@dataclass(frozen=True)
class Planned:
    """One request.

    Attributes:
        number: Its place in the traffic.
        kind: What it is counted as.
        user: Who sends it: decides its arms.
        prompt: What it asks.
        constraint: What the engine is asked to keep to.
        judged_by: What the answer must satisfy: the constraint, or one that says the same and is easier to judge.
        options: Options of latticework.
        fields: Further fields of its body.
        leaves_after: Seconds after which the client goes away, ``None``: it stays.
        refused: What a refusal must name; ``None``: it is a good request.
        may_be_refused: It may be answered by a 400: a real schema that no engine can enforce.
        body: The whole body instead, as text: it is malformed.
    """

    number: int
    kind: str
    user: str
    prompt: str = ""
    constraint: Constraint | None = None
    judged_by: Constraint | None = None
    options: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    leaves_after: float | None = None
    refused: str | None = None
    may_be_refused: bool = False
    body: str | None = None

    @property
    def streams(self) -> bool:
        """Whether its answer comes in pieces."""
        return bool(self.fields.get("stream"))


class Traffic:
    """All requests of a seed.

    Args:
        seed: Another one gives other traffic.
        schemas: Real schemas to ask for beside those made up.
    """

    def __init__(self, seed: int, schemas: Sequence[Any]) -> None:
        self._seed, self._schemas = seed, schemas

    def request(self, number: int) -> Planned:
        """The request with this number, from 0."""
        chance = random.Random(f"{self._seed}/{number}")
        kind = chance.choices(list(_KINDS), [weight for weight, _ in _KINDS.values()])[0]
        user = f"user-{chance.randrange(USERS)}"
        made = _KINDS[kind][1](self, chance)
        if "refused" in made:
            return Planned(number, kind, user, **made)
        fields = {"max_tokens": MAX_TOKENS, **_manner(chance), **made.get("fields", {})}
        leaves = round(chance.uniform(0.05, 2.0), 2) if chance.random() < LEAVES else None
        return Planned(number, kind, user, **{**made, "fields": fields, "leaves_after": leaves})

    def plain(self, chance: random.Random) -> dict[str, Any]:
        """A question."""
        return {"prompt": f"Write two sentences about a {_word(chance)} and a {_word(chance)}."}

    def long_prompt(self, chance: random.Random) -> dict[str, Any]:
        """A long text to go on with."""
        text = " ".join(_word(chance) for _ in range(LONG_PROMPT))
        return {"prompt": f"{text}\nWhich of these words is the first?"}

    def json(self, chance: random.Random) -> dict[str, Any]:
        """A small schema that nobody has asked for before."""
        return _constrained(chance, "json", _object(chance, depth=2))

    def known_json(self, chance: random.Random) -> dict[str, Any]:
        """One of a few schemas, again and again."""
        return _constrained(chance, "json", _object(random.Random(chance.randrange(6)), depth=2))

    def real_schema(self, chance: random.Random) -> dict[str, Any]:
        """One of the real schemas, if there are any."""
        if not self._schemas:
            return self.known_json(chance)
        return {**_constrained(chance, "json", chance.choice(self._schemas)), "may_be_refused": True}

    def regex(self, chance: random.Random) -> dict[str, Any]:
        """An expression with words of its own."""
        one, other = _word(chance), _word(chance)
        forms = (
            rf"({one}|{other}): \d{{1,{chance.randrange(2, 9)}}}",
            rf"{one}-[a-f0-9]{{{chance.randrange(4, 12)}}}",
            rf"(?:{one} {other} ){{{chance.randrange(2, 6)}}}end",
            rf"[A-Z][a-z]{{2,{chance.randrange(3, 12)}}} (?:{one}|{other})\.",
        )
        return _constrained(chance, "regex", chance.choice(forms))

    def grammar(self, chance: random.Random) -> dict[str, Any]:
        """A grammar with words of its own; what it describes is a regular expression too, by which it is judged."""
        grammar, expression = grammar_of(_word(chance), chance.randrange(1, 10**6))
        return {**_constrained(chance, "grammar", grammar), "judged_by": ("regex", expression)}

    def choice(self, chance: random.Random) -> dict[str, Any]:
        """Some of the words."""
        return _constrained(chance, "choice", chance.sample(WORDS, chance.randrange(2, 9)))

    def tool(self, chance: random.Random) -> dict[str, Any]:
        """A tool that must be called."""
        name = f"get_{_word(chance)}"
        parameters = _object(chance, depth=1)
        function = {"name": name, "strict": True, "parameters": parameters}
        fields = {
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": name}},
        }
        prompt = f"Write a haiku about a {_word(chance)}."  # only the constraint can make the call
        return {"prompt": prompt, "fields": fields, "judged_by": ("json", parameters)}

    def search(self, chance: random.Random) -> dict[str, Any]:
        """The best of some candidates."""
        options = {"lw_search": "best_of_n", "lw_search_n": chance.randrange(2, 4)}
        return {**self.plain(chance), "options": options, "fields": {"max_tokens": 24}}

    def processor(self, chance: random.Random) -> dict[str, Any]:
        """A logits processor, on a greedy request."""
        return {**self.plain(chance), "options": {"lw_processor": "fsd"}, "fields": {"temperature": 0}}

    def bad(self, chance: random.Random) -> dict[str, Any]:
        """What latticework must refuse, and say why."""
        name = chance.choice(list(BAD))
        fields, refused, _ = BAD[name]
        own = {key: value for key, value in fields.items() if key not in ("constraint", "options")}
        options = {"lw_engine": "lattice"} if name == _ENDLESS else {}
        stream = {"stream": True} if chance.random() < STREAMS else {}
        return {
            "prompt": f"({name})",
            "constraint": fields.get("constraint"),
            "options": {**options, **fields.get("options", {})},
            "fields": {"max_tokens": 8, **own, **stream},
            "refused": refused,
        }

    def malformed(self, chance: random.Random) -> dict[str, Any]:
        """What the engine itself must refuse."""
        name = chance.choice(list(wrong_bodies.BODIES))
        return {"prompt": f"({name})", "body": wrong_bodies.BODIES[name], "refused": ""}


#: By kind: how often, and how it is made.
_KINDS: dict[str, tuple[int, Callable[[Traffic, random.Random], dict[str, Any]]]] = {
    "plain": (16, Traffic.plain),
    "long prompt": (4, Traffic.long_prompt),
    "new JSON schema": (14, Traffic.json),
    "known JSON schema": (10, Traffic.known_json),
    "real JSON schema": (10, Traffic.real_schema),
    "regex": (10, Traffic.regex),
    "grammar": (8, Traffic.grammar),
    "choice": (5, Traffic.choice),
    "tool": (6, Traffic.tool),
    "search": (3, Traffic.search),
    "processor": (3, Traffic.processor),
    "bad": (9, Traffic.bad),
    "malformed": (2, Traffic.malformed),
}
KINDS = tuple(_KINDS)
#: Those that must not be answered.
REFUSED = frozenset(("bad", "malformed"))


def grammar_of(word: str, number: int) -> tuple[str, str]:
    """A grammar (GBNF), and a regular expression of the same language."""
    gbnf = f'root ::= "{word} {number}: " item (", " item)? "."\nitem ::= [a-e] " = " [0-9]+ | "none"\n'
    item = "(?:[a-e] = [0-9]+|none)"
    return gbnf, rf"{word} {number}: {item}(?:, {item})?\."


def _manner(chance: random.Random) -> dict[str, Any]:
    """How an answer is written and sent."""
    sampled = {"temperature": 0.8, "top_p": 0.95, "seed": chance.randrange(2**31)}
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    return {
        **(sampled if chance.random() < SAMPLES else {}),
        **(streamed if chance.random() < STREAMS else {}),
    }


def _constrained(chance: random.Random, kind: str, payload: Any) -> dict[str, Any]:
    prompt = f"Answer about the {_word(chance)}, briefly."
    return {"prompt": prompt, "constraint": (kind, payload), "judged_by": (kind, payload)}


def _word(chance: random.Random) -> str:
    return chance.choice(WORDS)


def _object(chance: random.Random, depth: int) -> dict[str, Any]:
    """A schema of an object with some properties, all of them required."""
    names = [f"{word}_{chance.randrange(10**4)}" for word in chance.sample(WORDS, chance.randrange(2, 5))]
    properties = {name: _value(chance, depth) for name in names}
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def _value(chance: random.Random, depth: int) -> dict[str, Any]:
    plain = (
        {"type": "integer", "minimum": 0, "maximum": chance.randrange(1, 10**5)},
        {"enum": chance.sample(WORDS, 3)},
        {"type": "boolean"},
        {"type": "string", "maxLength": chance.randrange(3, 12)},
        {"type": "string", "pattern": rf"^{chance.choice(WORDS)} \d{{1,3}}$"},
    )
    if depth and chance.random() < 0.3:
        return _object(chance, depth - 1)
    if depth and chance.random() < 0.2:
        return {"type": "array", "items": chance.choice(plain), "maxItems": 3}
    return chance.choice(plain)
