"""The reference of settings and request options, docs/options.md, written from their pydantic models.

``python -m integration.options_page`` writes the page.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from integration.capabilities import ROOT
from latticework.adapters.cli.listing import Entry, Option, listing
from latticework.plugins.ab.live import LIVE_SECTIONS
from latticework.plugins.base import ENTRY_POINT_GROUPS, Role
from latticework.plugins.budgeting import BUDGET_OPTION
from latticework.plugins.describing import Described, Schema, field_of, resolved, value_by_name
from latticework.plugins.json_layout import JSON_PREFIX
from latticework.plugins.requests import ARM_OPTION, TRACE_OPTION
from latticework.plugins.scoping import SCOPE_OPTION
from latticework.plugins.settings import Settings

PAGE = ROOT / "docs" / "options.md"

#: Settings that are defaults of a request option.
_DEFAULTS_OF = {
    "grammar.engine": "lw_engine",
    "drafter.default": "lw_drafter",
    "drafter.scope": SCOPE_OPTION,
    "drafter.budget": BUDGET_OPTION,
    "processor.default": "lw_processor",
    "search.default": "lw_search",
}
#: What each table of the file is about. `NAME` is a name of the operator's own.
_TABLES = {
    "grammar": "Constraints: how they are made and compiled.",
    "grammar.json_layout": "How [JSON is written](json-schema.md#how-documents-are-written) unless a request says so.",
    "grammar.limits": "What one grammar may cost. Beyond it, its request is an error.",
    "drafter": "Drafters. They never change what is written.",
    "processor": "Logits processors.",
    "search": "Searches.",
    "limits": "What one process does at once and keeps.",
    "access": "Which options [requests may name](threats.md), and whose requests.",
    "switch": "What is off for all requests, whatever they ask for. Constraints cannot be switched off.",
    "telemetry": "What is written down of requests, beside [metrics](metrics.md#the-request-log).",
    "trace": "Which requests may have their decode [written down](tracing.md): all, once a folder is named.",
    "ab": "All [experiments](experiments.md).",
    "ab.experiments.NAME": "One experiment. A request with none of its identities takes no part.",
    "ab.experiments.NAME.arms.NAME": "One way of serving.",
    "ab.experiments.NAME.eligible": "Which requests take part: those that fit every line given.",
    "ab.experiments.NAME.guardrails": "What takes an arm back, judged over a sliding window in each server process.",
}
_CHOICES = {
    Role.ENGINE: "who enforces the constraint",
    Role.GRAMMAR: "what makes a constraint out of the request's input",
    Role.DRAFTER: "who guesses ahead",
    Role.PROCESSOR: "what changes the distribution",
    Role.SEARCH: "how several answers become one",
}


def settings() -> Iterator[tuple[str, Described]]:
    """Every setting of a deployment, by its dotted name."""
    root = Settings.model_json_schema()
    yield from _leaves("", root, root)


def _leaves(stem: str, schema: Schema, root: Schema) -> Iterator[tuple[str, Described]]:
    for name, part in schema["properties"].items():
        below, dotted = resolved(part, root), stem + name
        if "properties" in below:
            yield from _leaves(f"{dotted}.", below, root)
            continue
        yield dotted, field_of(name, part, root)
        named = value_by_name(below, root)
        if named is not None and "properties" in named:
            yield from _leaves(f"{dotted}.NAME.", named, root)


def request_option_of(setting: str) -> str:
    """The option by which a request overrides a setting; empty if there is none."""
    layout = setting.removeprefix("grammar.json_layout.")
    return _DEFAULTS_OF.get(setting, JSON_PREFIX + layout if layout != setting else "")


def our_entries() -> list[Entry]:
    """What ``latticework plugins`` lists of this package, whatever else is installed here."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    ours = {(role, name) for role, group in ENTRY_POINT_GROUPS.items() for name in groups[group]}
    return [entry for entry in listing() if not entry.name or (entry.role, entry.name) in ours]


def page() -> str:
    """The page."""
    template = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    for name, lines in (("{settings}", _settings_tables()), ("{requests}", _request_tables())):
        template = template.replace(name, "\n".join(lines).strip())
    return template


def _settings_tables() -> Iterator[str]:
    found = dict(settings())
    for table, what in _TABLES.items():
        live = table.partition(".")[0] in LIVE_SECTIONS
        restart = "A change is obeyed without a restart." if live else "A change needs a restart."
        yield from ("", f"### `[{table}]`", "", f"{what} {restart}", "")
        yield from _head("setting", "type and limits", "default", "meaning", "who may set it")
        for name in [name for name in found if name.rpartition(".")[0] == table]:
            field, option = found.pop(name), request_option_of(name)
            who = f"operator, or a request by `{option}`" if option else "operator"
            yield _row(
                f"`{name.rpartition('.')[2]}`", _words(field.values), _default(field.default), field.meaning, who
            )
    if found:
        raise ValueError(f"settings without a table: {', '.join(found)}")


def _request_tables() -> Iterator[str]:
    entries = our_entries()
    yield from ("", "### Which plugin", "")
    yield from _head("option", "values", "default from", "meaning")
    for role, what in _CHOICES.items():
        names = [entry.name for entry in entries if entry.role == role and entry.name]
        off = "auto" if role is Role.ENGINE else "off"
        setting = next((f"`{name}`" for name, option in _DEFAULTS_OF.items() if option == f"lw_{role}"), "none: `off`")
        values = ", ".join(f"`{name}`" for name in dict.fromkeys((off, *names)))
        yield _row(f"`lw_{role}`", values, setting, what)
    yield _row(
        f"`{ARM_OPTION}`", "`EXPERIMENT/ARM`", "none", "choose an experiment's arm, if `ab.forced_arm` allows it"
    )
    yield _row(f"`{TRACE_OPTION}`", "boolean", "none: `false`", "write the decode down, if `trace.directory` allows it")
    yield _row("`lw_choice`", "list of texts", "none", "SGLang only: the answer is one of them")
    for entry in entries:
        if entry.options:
            selected = f"`lw_{entry.role}={entry.name}`" if entry.name else entry.summary
            yield from ("", f"### {selected[0].upper()}{selected[1:]}", "")
            yield from (f"{entry.summary[0].upper()}{entry.summary[1:]}.", "") if entry.name else ()
            yield from _options(entry.options)


def _options(options: Sequence[Option]) -> Iterator[str]:
    yield from _head("option", "type and limits", "default", "meaning")
    for option in options:
        yield _row(f"`{option.name}`", _words(option.type), _default(option.default), option.description)


def _head(*columns: str) -> tuple[str, str]:
    return _row(*columns), "|" + "---|" * len(columns)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _words(values: str) -> str:
    """A bar would end the cell."""
    return values.replace(" | ", " or ")


def _default(default: str) -> str:
    return default if default == "required" else f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} written\n")
