"""The formats of JSON Schema (2020-12 validation, section 7.3) as machines over characters.

Each is the grammar of the RFC that JSON Schema names, written as a regular expression. ``docs/regex.md`` says where a
format is narrower than its RFC, and why three formats are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from latticework.structured.automata.moore import Moore, combined, relabelled
from latticework.structured.automata.regex_machine import regex_machine
from latticework.structured.automata.tries import length_machine
from latticework.structured.errors import UnsupportedGrammarError

#: Formats that no machine can enforce, and why.
REFUSED = {
    "idn-hostname": "its labels are limited by the length of their Punycode, which no finite machine computes",
    "idn-email": "its domain may have internationalized labels, see idn-hostname",
    "regex": "the brackets of a regular expression nest",
}


def _date() -> str:
    """RFC 3339, section 5.6 and appendix C, which says what a leap year is."""
    leap = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
    day = r"(?:0[1-9]|1\d|2[0-8])"
    return (
        rf"(?:\d{{4}}-(?:(?:0[13578]|1[02])-(?:{day}|29|3[01])|(?:0[469]|11)-(?:{day}|29|30)|02-{day})|{leap}-02-29)"
    )


def _time() -> str:
    """RFC 3339, section 5.6. Second 60 is the last of a day in UTC (section 5.7), whatever the offset makes of it."""
    clock = r"(?:[01]\d|2[0-3]):[0-5]\d"
    leaps = []
    for hour in range(24):
        minutes = []
        for minute in (14, 29, 44, 59):  # offsets are multiples of a quarter of an hour
            late = (60 * hour + minute + 1) % 1440
            early = (-late) % 1440
            offsets = [rf"\+{late // 60:02}:{late % 60:02}", f"-{early // 60:02}:{early % 60:02}"]
            if late == 0:
                offsets.append("[Zz]")
            minutes.append(rf"{minute}:60(?:\.\d+)?(?:{'|'.join(offsets)})")
        leaps.append(rf"{hour:02}:(?:{'|'.join(minutes)})")
    return rf"(?:{clock}:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-]{clock})|{'|'.join(leaps)})"


def _duration() -> str:
    """RFC 3339, appendix A."""
    time = r"[Tt](?:\d+[Hh](?:\d+[Mm](?:\d+[Ss])?)?|\d+[Mm](?:\d+[Ss])?|\d+[Ss])"
    date = r"(?:\d+[Dd]|\d+[Mm](?:\d+[Dd])?|\d+[Yy](?:\d+[Mm](?:\d+[Dd])?)?)"
    return rf"[Pp](?:{date}(?:{time})?|{time}|\d+[Ww])"


_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_GROUP = r"[\dA-Fa-f]{1,4}"


def _ipv6(most: int) -> str:
    """RFC 3986, appendix A: eight groups, or at most ``most`` beside ``::``; the last two may be an IPv4 address."""
    options = [rf"(?:{_GROUP}:){{6}}(?:{_GROUP}:{_GROUP}|{_IPV4})"]
    for before in range(most + 1):
        left = rf"{_GROUP}(?::{_GROUP}){{{before - 1}}}" if before else ""
        after = most - before
        right = [rf"(?:{_GROUP}(?::{_GROUP}){{0,{after - 1}}})?" if after else ""]
        if after >= 2:
            right.append(rf"(?:{_GROUP}:){{0,{after - 2}}}{_IPV4}")
        options.append(rf"{left}::(?:{'|'.join(right)})")
    return rf"(?:{'|'.join(options)})"


_LABEL = r"[A-Za-z\d](?:[A-Za-z\d-]{0,61}[A-Za-z\d])?"


def _hostname() -> str:
    """RFC 1123, section 2.1, without the labels that RFC 5890, section 2.3.1 reserves: hyphens third and fourth."""
    some, inner = r"[A-Za-z\d]", r"[A-Za-z\d-]"
    label = f"{some}(?:{some}|{inner}{some}(?:{inner}{{0,59}}{some})?|{inner}-{some}(?:{inner}{{0,58}}{some})?)?"
    return rf"{label}(?:\.{label})*"


def _email() -> str:
    """RFC 5321, section 4.1.2; of address literals those whose tag is registered."""
    atom = r"[\w!#$%&'*+/=?^`{|}~-]+"
    quoted = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
    domain = rf"{_LABEL}(?:\.{_LABEL})*"
    return rf"(?:{atom}(?:\.{atom})*|{quoted})@(?:{domain}|\[{_IPV4}\]|\[[Ii][Pp][Vv]6:{_ipv6(6)}\])"


_UCS = r"\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef" + "".join(
    rf"\u{{{plane:x}{'1000' if plane == 14 else '0000'}}}-\u{{{plane:x}fffd}}" for plane in range(1, 15)
)
_PRIVATE = r"\ue000-\uf8ff\u{f0000}-\u{ffffd}\u{100000}-\u{10fffd}"


def _identifier(*, reference: bool, international: bool) -> str:
    """RFC 3986, appendix A; RFC 3987, section 2.2, if ``international``; relative references too, if ``reference``."""
    extra, private = (_UCS, _PRIVATE) if international else ("", "")
    plain = rf"\w.~!$&'()*+,;=\-{extra}"
    escaped = r"%[\dA-Fa-f]{2}"

    def some(members: str) -> str:
        return rf"(?:[{plain}{members}]|{escaped})"

    literal = rf"\[(?:{_ipv6(7)}|[Vv][\dA-Fa-f]+\.[\w.~!$&'()*+,;=:\-]+)\]"
    authority = rf"(?:{some(':')}*@)?(?:{literal}|{some('')}*)(?::\d*)?"
    rest = rf"(?:/{some(':@')}*)*"
    rooted = rf"//{authority}{rest}|/(?:{some(':@')}+{rest})?"
    tail = rf"(?:\?{some(f':@/?{private}')}*)?(?:#{some(':@/?')}*)?"
    absolute = rf"[A-Za-z][A-Za-z\d+.\-]*:(?:{rooted}|(?:{some(':@')}+{rest})?)"
    if not reference:
        return absolute + tail
    return rf"(?:{absolute}|{rooted}|(?:{some('@')}+{rest})?){tail}"


def _template() -> str:
    """RFC 6570, section 2."""
    literal = rf"[!#$&'(-;=?-\[\]_a-z~{_UCS}{_PRIVATE}]|%[\dA-Fa-f]{{2}}"  # with erratum 6937
    character = r"(?:\w|%[\dA-Fa-f]{2})"
    variable = rf"{character}(?:\.?{character})*(?::[1-9]\d{{0,3}}|\*)?"
    return rf"(?:{literal}|\{{[+#./;?&=,!@|]?{variable}(?:,{variable})*\}})*"


_POINTER = r"(?:/(?:[^~/]|~[01])*)*"  # RFC 6901, section 3

_PATTERNS: dict[str, Callable[[], str]] = {
    "date": _date,
    "time": _time,
    "date-time": lambda: f"{_date()}[Tt]{_time()}",
    "duration": _duration,
    "email": _email,
    "hostname": _hostname,
    "ipv4": lambda: _IPV4,  # RFC 2673, section 3.2
    "ipv6": lambda: _ipv6(7),
    "uri": lambda: _identifier(reference=False, international=False),
    "uri-reference": lambda: _identifier(reference=True, international=False),
    "iri": lambda: _identifier(reference=False, international=True),
    "iri-reference": lambda: _identifier(reference=True, international=True),
    "uri-template": _template,
    "uuid": lambda: r"[\dA-Fa-f]{8}(?:-[\dA-Fa-f]{4}){3}-[\dA-Fa-f]{12}",  # RFC 9562, section 4
    "json-pointer": lambda: _POINTER,
    "relative-json-pointer": lambda: rf"(?:0|[1-9]\d*)(?:#|{_POINTER})",
}

#: The formats that are enforced.
FORMATS = frozenset(_PATTERNS)


@lru_cache(maxsize=len(_PATTERNS))
def format_machine(name: str) -> Moore:
    """The minimal machine with label 1 for the texts in the format ``name``, and 0 for the others.

    Raises:
        UnsupportedGrammarError: It is not known, or no machine can enforce it.
    """
    if name in REFUSED:
        raise UnsupportedGrammarError("format", f"the format {name!r} cannot be enforced: {REFUSED[name]}")
    if name not in _PATTERNS:
        raise UnsupportedGrammarError("format", f"the format {name!r} is not known")
    machine = regex_machine(_PATTERNS[name](), field="format", search=False)
    if name != "hostname":
        return machine
    both, labels = combined([machine, length_machine(1, 253)], field="format")
    return relabelled(both, [all(vector) for vector in labels])
