"""What ``latticework plugins`` lists."""

from __future__ import annotations

from dataclasses import dataclass

from latticework.plugins.base import ENTRY_POINT_GROUPS, PluginOptions, Role
from latticework.plugins.budgeting import AUTO, BUDGET_OPTION, MOST
from latticework.plugins.describing import fields_of
from latticework.plugins.json_layout import JsonLayout
from latticework.plugins.registry import registry
from latticework.plugins.scoping import SCOPE_OPTION, Scope


@dataclass(frozen=True)
class Option:
    """One option of a plugin, as a request writes it (``lw_drafter_max_match``)."""

    name: str
    type: str
    default: str
    description: str


@dataclass(frozen=True)
class Entry:
    """One plugin: ``role`` as in ``lw_<role>``, and its options in the order it declares them.

    Some options belong to no plugin and have an empty ``name``: those of JSON documents (their ``role`` is ``json``),
    and that of all drafters.
    """

    role: str
    name: str
    summary: str
    options: tuple[Option, ...]


def listing() -> list[Entry]:
    """Every plugin that can be loaded, by role and name. ``latticework doctor`` names the others."""
    registry().load_all()
    layout = Entry("json", "", "how JSON documents may be written", _options("json", JsonLayout))
    reach = Option(
        SCOPE_OPTION, " | ".join(Scope), Scope.TENANT, "which other requests a drafter learns from; safe by default"
    )
    budget = Option(
        BUDGET_OPTION, f"auto | 1 to {MOST}", AUTO, "nodes drafted in a step: as many as pay, or a fixed number"
    )
    drafters = Entry(Role.DRAFTER, "", "every drafter", (reach, budget))
    trace = Entry("trace", "true", "write the request's decode down, where the deployment's settings allow it", ())
    common = [layout, trace, drafters]
    return common + [_entry(role, name) for role in ENTRY_POINT_GROUPS for name in registry().names(role)]


def _entry(role: Role, name: str) -> Entry:
    if role is Role.ENGINE:
        engine = registry().engine(name)
        summary = (type(engine).__doc__ or "").strip().partition("\n")[0].replace("``", "")
        return Entry(role, name, summary, ())
    factory = registry().factory(role, name)
    return Entry(role, name, factory.summary, _options(role, factory.options))


def _options(role: str, model: type[PluginOptions]) -> tuple[Option, ...]:
    return tuple(
        Option(f"lw_{role}_{field.name}", field.values, field.default, field.meaning) for field in fields_of(model)
    )
