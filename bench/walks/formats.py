"""The formats of JSON Schema, written down once more: what judges the engine must not be the engine."""

from __future__ import annotations

import re
from calendar import monthrange

from jsonschema import FormatChecker

_FORMATS = FormatChecker()

_TIME = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"  # RFC 3339, section 5.6
_DATE = r"\d{4}-\d\d-\d\d"
_OCTET = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_LABEL = r"[a-z\d]([a-z\d-]{0,61}[a-z\d])?"
_ESCAPED = r"%[\da-f]{2}"
_CHARACTER = rf"([a-z\d._~!$&'()*+,;=:@-]|{_ESCAPED})"  # RFC 3986, appendix A: pchar
_PATH = rf"({_CHARACTER}*(/{_CHARACTER}*)*)"
_AUTHORITY = rf"(([a-z\d._~!$&'()*+,;=:-]|{_ESCAPED})*@)?(\[[\da-f:.]+\]|([a-z\d._~!$&'()*+,;=-]|{_ESCAPED})*)(:\d*)?"
_TAIL = rf"(\?({_CHARACTER}|[/?])*)?(#({_CHARACTER}|[/?])*)?"
_HIERARCHY = rf"(//{_AUTHORITY}(/{_CHARACTER}*)*|(?!//){_PATH})"
_GRAMMARS = {
    name: re.compile(source, re.ASCII | re.IGNORECASE)
    for name, source in {
        "date": _DATE,
        "time": _TIME,
        "date-time": rf"{_DATE}T{_TIME}",
        "duration": r"P(?=[\dT])(\d+W|(\d+Y(\d+M(\d+D)?)?|\d+M(\d+D)?|\d+D)?"
        r"(T(?=\d)(\d+H(\d+M(\d+S)?)?|\d+M(\d+S)?|\d+S))?)",
        "ipv4": rf"{_OCTET}(\.{_OCTET}){{3}}",
        "uuid": r"[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}",
        "uri": rf"[a-z][a-z\d+.-]*:{_HIERARCHY}{_TAIL}",
        "uri-reference": rf"([a-z][a-z\d+.-]*:{_HIERARCHY}|(?![^/?#]*:){_HIERARCHY}){_TAIL}",
        "json-pointer": r"(/([^~/]|~[01])*)*",
        "relative-json-pointer": r"(0|[1-9]\d*)(#|(/([^~/]|~[01])*)*)",
        "email": rf"([a-z\d!#$%&'*+/=?^_`{{|}}~-]+(\.[a-z\d!#$%&'*+/=?^_`{{|}}~-]+)*|\"([^\"\\]|\\.)*\")"
        rf"@({_LABEL}(\.{_LABEL})*|\[{_OCTET}(\.{_OCTET}){{3}}\]|\[IPv6:[\da-f:.]+\])",
        "hostname": rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*",
    }.items()
}


def python_formats(name: str, text: str) -> bool:
    """The formats as their RFCs define them, without Punycode; the rare ones as the ``jsonschema`` package does."""
    if name in _GRAMMARS and not _GRAMMARS[name].fullmatch(text):
        return False
    if name in ("date", "date-time"):
        year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
        if not (1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]):
            return False
    time = text[11:] if name == "date-time" else text
    if name in ("time", "date-time") and time[6:8] == "60":
        return _is_leap_second(time)
    return name in _GRAMMARS or _FORMATS.conforms(text, name)


def _is_leap_second(time: str) -> bool:
    """Whether a time with 60 seconds is the last minute of a day in UTC."""
    hours, minutes = int(time[:2]), int(time[3:5])
    if time[-1] not in "Zz":
        sign = -1 if time[-6] == "+" else 1
        hours, minutes = hours + sign * int(time[-5:-3]), minutes + sign * int(time[-2:])
    return (60 * hours + minutes) % 1440 == 1439
