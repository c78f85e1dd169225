"""Formats against the official suite, an independent judge, and the standard library."""

from __future__ import annotations

import ipaddress
import json
import random
from calendar import isleap, monthrange
from collections.abc import Iterator
from pathlib import Path

import pytest

from latticework.bench.walks.formats import python_formats
from latticework.structured.errors import UnsupportedGrammarError
from latticework.structured.json_schema.formats import FORMATS as STANDARD
from latticework.structured.lexemes.formats import FORMATS, REFUSED, format_machine

SUITE = Path(__file__).parents[2] / "shared" / "data" / "json-schema-test-suite" / "tests"


def holds(name: str, text: str) -> bool:
    return format_machine(name).read(text) == 1


def test_every_standard_format_is_enforced_or_refused_by_name() -> None:
    assert FORMATS | REFUSED.keys() == STANDARD
    for name in [*REFUSED, "color"]:
        with pytest.raises(UnsupportedGrammarError, match=name):
            format_machine(name)


def suite_cases() -> Iterator[tuple[str, str, bool]]:
    for path in sorted(SUITE.glob("*/optional/format/*.json")):
        for group in json.loads(path.read_text()):
            schema = group["schema"]
            if isinstance(schema, dict) and schema.get("format") in FORMATS:
                for test in group["tests"]:
                    if isinstance(test["data"], str):
                        yield schema["format"], test["data"], test["valid"]


@pytest.mark.skipif(not SUITE.exists(), reason="the official JSON Schema test suite is not there")
def test_the_official_suite_has_no_verdict_against_us_but_reserved_labels() -> None:
    wrong = {(name, text, valid) for name, text, valid in suite_cases() if holds(name, text) != valid}
    accepted = {case for case in wrong if not case[2]}
    assert accepted == set()
    assert {(name, "--" in text) for name, text, _ in wrong} <= {("hostname", True)}


def test_dates_are_those_of_the_calendar() -> None:
    years = [0, 1, 4, 100, 400, 1582, 1600, 1900, 1904, 1999, 2000, 2001, 2023, 2024, 2096, 2100, 2400, 9996, 9999]
    for year in years:
        for month in range(14):
            for day in range(33):
                days = monthrange(year, month)[1] if 1 <= month <= 12 else 0
                assert holds("date", f"{year:04}-{month:02}-{day:02}") == (1 <= day <= days)
    for year in range(10_000):
        assert holds("date", f"{year:04}-02-29") == isleap(year)
    assert not any(holds("date", text) for text in ("2024-1-01", "24-01-01", "2024-01-01 ", "2024/01/01"))


@pytest.mark.parametrize("name", ["time", "date-time"])
def test_times_and_leap_seconds(name: str) -> None:
    day = "" if name == "time" else "2016-12-31T"
    rng = random.Random(5)
    for _ in range(4000):
        clock = f"{rng.choice([rng.randrange(26), 23]):02}:{rng.choice([rng.randrange(62), 59]):02}"
        second = rng.choice([0, 59, 60, 60, 61])
        fraction = rng.choice(["", ".5", ".000001", "."])
        shifted = f"{rng.choice('+-')}{rng.randrange(25):02}:{rng.choice([0, 15, 30, 45]):02}"
        offset = rng.choice(["Z", "z", "", shifted])
        text = f"{day}{clock}:{second:02}{fraction}{offset}"
        assert holds(name, text) == python_formats(name, text), text
    for minutes in range(0, 1440, 15):  # every offset in use, on both sides
        for sign in (1, -1):
            local = (1439 + sign * minutes) % 1440
            offset = f"{'+' if sign > 0 else '-'}{minutes // 60:02}:{minutes % 60:02}"
            assert holds(name, f"{day}{local // 60:02}:{local % 60:02}:60{offset}")
            assert not holds(name, f"{day}{(local // 60 + 1) % 24:02}:{local % 60:02}:60{offset}")


def test_ip_addresses_are_those_of_the_standard_library() -> None:
    rng = random.Random(3)
    groups = ["0", "1", "ffff", "aB3", "", "12345", "g", "::", "1.2.3.4", "255.255.255.255", "256.1.1.1"]
    for _ in range(6000):
        text = ":".join(rng.choices(groups, weights=[8, 8, 8, 4, 6, 1, 1, 4, 2, 1, 1], k=rng.randrange(1, 10)))
        if "%" in text:
            continue
        assert holds("ipv6", text) == _parses(ipaddress.IPv6Address, text), text
        octets = ["0", "1", "10", "99", "100", "255", "256", "01", "", "a"]
        dotted = ".".join(rng.choices(octets, k=rng.randrange(3, 6)))
        assert holds("ipv4", dotted) == _parses(ipaddress.IPv4Address, dotted), dotted


def _parses(kind: type, text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


#: What random texts are put together from; judged by the grammars in ``bench/walks/formats.py``.
PIECES = {
    "duration": ["P", "T", "1", "23", "Y", "M", "D", "H", "S", "W", "d", "."],
    "uri": ["http", ":", "//", "/", "a", "b.c", "@", "8", "?", "#", "%41", "%", " ", "é", "[::1]", "[v1.a]", "[", "{"],
    "uri-reference": ["a", ":", "//", "/", "b", "..", "@", "8", "?", "#", "%41", "%4", "\\", "é", "[::1]"],
    "json-pointer": ["/", "~0", "~1", "~", "a", "é", '"', "\n"],
    "relative-json-pointer": ["0", "1", "10", "#", "/", "~0", "~", "a", "-"],
    "hostname": ["a", "b1", "-", ".", "Z9", "_", "x" * 30, "y" * 33, "é"],
    "email": ["a", "b.c", "@", '"', "\\", "x y", "d.e", "-", "[127.0.0.1]", "[IPv6:::1]", ".", "é", "<"],
}


@pytest.mark.parametrize("name", PIECES)
def test_random_texts_are_judged_as_by_the_grammar(name: str) -> None:
    rng = random.Random(name)
    found = 0
    for _ in range(4000):
        text = "".join(rng.choices(PIECES[name], k=rng.randrange(1, 9)))
        if name == "hostname" and any(label[2:4] == "--" for label in text.split(".")):
            continue
        ours = holds(name, text)
        found += ours
        assert ours == python_formats(name, text), text
    assert found > 4


CASES = [
    ("uuid", "2eb8aa08-AA98-11ea-b4aa-73b441d16380", True),
    ("uuid", "2eb8aa08aa98-11ea-b4aa-73b441d16380", False),
    ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d1638g", False),
    ("hostname", ".".join(["a" * 63] * 3 + ["b" * 61]), True),
    ("hostname", ".".join(["a" * 63] * 3 + ["b" * 62]), False),
    ("hostname", "a" * 64, False),
    ("hostname", "ab--c", False),
    ("hostname", "ab-c--d", True),
    ("email", "a" * 64 + "@" + "b" * 64, False),
    ("email", "x@[IPv6:1:2:3:4:5:6::]", True),
    ("email", "x@[IPv6:1:2:3:4:5:6:7::]", False),
    ("email", "x@[tag:anything]", False),
    ("iri", "http://ex\u00e4mple.org/\u4f8b?\ue000#\U0001f432", True),
    ("iri", "http://example.org/\ue000", False),
    ("iri", "http://example.org/\ufdd0", False),
    ("iri", "//example.org", False),
    ("iri-reference", "\u4f8b/..", True),
    ("uri", "http://[::1%25eth0]/", False),
    ("uri-template", "/{+path,x}{?q*,n:3}{&a.b}", True),
    ("uri-template", "/{a{b}}", False),
    ("uri-template", "/{}", False),
    ("uri-template", "/{a:0}", False),
    ("uri-template", "/{a:10000}", False),
    ("uri-template", "100%", False),
]


@pytest.mark.parametrize(("name", "text", "valid"), CASES)
def test_by_hand(name: str, text: str, valid: bool) -> None:
    assert holds(name, text) == valid
