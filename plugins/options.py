"""What one request asks for: flat keys ``lw_<role>`` and ``lw_<role>_<option>``, the same on every engine.

``{"lw_drafter": "prompt_lookup", "lw_drafter_max_match": 12, "lw_search": "off"}``

Engines carry these as JSON scalars and not always faithfully (an integer may arrive as ``4.0``, ``true`` as ``1``),
so numbers are accepted where they mean the right type exactly, and nothing else is converted.
"""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from latticework.plugins.base import KEPT, OFF, PluginOptions, Role
from latticework.plugins.budgeting import BUDGET_OPTION, budget_of
from latticework.plugins.json_layout import JSON_PREFIX, JsonLayout
from latticework.plugins.registry import Registry, registry
from latticework.plugins.requests import ARM_OPTION, TRACE_OPTION
from latticework.plugins.scoping import SCOPE_OPTION, Scope
from latticework.plugins.settings import Settings, load_settings
from latticework.structured.errors import LatticeworkError, one_line
from latticework.structured.json_options import JsonOptions

PREFIX = "lw_"
AUTO_ENGINE = "auto"

OptionsT = TypeVar("OptionsT", bound=PluginOptions)

#: Options that every drafter has.
_DRAFTER_OPTIONS = (SCOPE_OPTION, BUDGET_OPTION)

#: Characters of a name that are repeated in errors.
_LONGEST_NAME = 100

_OPTIONAL_ROLES = (Role.GRAMMAR, Role.DRAFTER, Role.PROCESSOR, Role.SEARCH)


@dataclass(frozen=True)
class Selection:
    """One plugin with its validated options. Equal selections may share one instance."""

    name: str
    options: PluginOptions


@dataclass(frozen=True)
class RequestOptions:
    """The capabilities of one request; ``None``: off.

    Attributes:
        engine: Name of the grammar engine, or ``auto``.
        json: How JSON documents may be written.
        grammar: What makes the request's constraint out of its input.
        drafter, processor, search: The selected plugins.
        scope: Which other requests the drafter may learn from.
        budget: How many nodes are drafted in every step; ``None``: as many as pay.
        trace: Whether its decode is written down.
    """

    engine: str = AUTO_ENGINE
    json: JsonOptions = field(default_factory=JsonOptions)
    grammar: Selection | None = None
    drafter: Selection | None = None
    processor: Selection | None = None
    search: Selection | None = None
    scope: Scope = Scope.TENANT
    budget: int | None = None
    trace: bool = False

    @classmethod
    def parse(
        cls, extra: Mapping[str, Any] | None, settings: Settings | None = None, plugins: Registry | None = None
    ) -> RequestOptions:
        """Read and validate the ``lw_*`` keys of a request; what it does not name comes from the settings.

        Args:
            extra: Whatever the request carries beside the engine's own fields. Other keys are ignored, ``None`` values
                count as absent.
            settings: Default: those of this process.
            plugins: Default: the installed ones.

        Raises:
            LatticeworkError: ``field`` is the offending key, or the setting if a default is wrong.
        """
        settings = settings or load_settings()
        plugins = plugins or registry()
        given = {key: value for key, value in (extra or {}).items() if key.startswith(PREFIX) and value is not None}
        names = {role: _name(role, given, settings, plugins) for role in Role}
        _refuse_unknown_keys(given, names, plugins)
        selections = {role: _select(role, names[role], given, settings, plugins) for role in _OPTIONAL_ROLES}
        _check_search_size(selections[Role.SEARCH], settings)
        return cls(
            engine=names[Role.ENGINE],
            json=_json(given, settings),
            grammar=selections[Role.GRAMMAR],
            drafter=selections[Role.DRAFTER],
            processor=selections[Role.PROCESSOR],
            search=selections[Role.SEARCH],
            scope=_scope(given, settings),
            budget=_budget(given, settings),
            trace=_trace(given, settings),
        )


def _default_name(role: Role, settings: Settings) -> tuple[str, str]:
    """The default of a role, and the setting it comes from."""
    if role is Role.ENGINE:
        return settings.grammar.engine, "grammar.engine"
    return settings.role(role).default, f"{role}.default"


def _name(role: Role, given: Mapping[str, Any], settings: Settings, plugins: Registry) -> str:
    """The name selected for a role: the request's, or the default's."""
    default, setting = _default_name(role, settings)
    key = PREFIX + role
    name, field = (given[key], key) if key in given else (default, setting)
    known = [AUTO_ENGINE if role is Role.ENGINE else OFF, *plugins.names(role)]
    if not isinstance(name, str):
        raise LatticeworkError(field, f"must be a name (one of {', '.join(known)}), got {_shown(name)}")
    if name not in known:
        broken = next((b for b in plugins.broken if (b.role, b.name) == (role, name)), None)
        if broken is not None:
            raise LatticeworkError(field, f"{role} {name!r} is installed but cannot be loaded: {broken.reason}")
        raise LatticeworkError(field, f"unknown {role} {_shown(name)}{_meant(name, known)}; known: {', '.join(known)}")
    return name


def _refuse_unknown_keys(given: Mapping[str, Any], names: Mapping[Role, str], plugins: Registry) -> None:
    """Every key must be a role, or an option of the plugin selected for its role."""
    roles = {PREFIX + role for role in Role}
    for key in given:
        if key in roles or key == TRACE_OPTION or key.removeprefix(JSON_PREFIX) in JsonLayout.model_fields:
            continue
        if key == ARM_OPTION:
            raise LatticeworkError(key, "only a server with experiments in its settings ([ab]) has arms")
        role = next((role for role in _OPTIONAL_ROLES if key.startswith(f"{PREFIX}{role}_")), None)
        if role is None:
            raise LatticeworkError(_cut(key), f"unknown option{_meant(key, _known_keys(names, plugins))}")
        name = names[role]
        if name == OFF:
            known = ", ".join(plugins.names(role))
            raise LatticeworkError(
                _cut(key), f"is an option of a {role}, but none is on; set {PREFIX}{role} (one of {known})"
            )
        if key in _DRAFTER_OPTIONS:
            continue
        fields = plugins.factory(role, name).options.model_fields
        if key.removeprefix(f"{PREFIX}{role}_") not in fields:
            known = ", ".join(f"{PREFIX}{role}_{field}" for field in fields) or "none"
            meant = _meant(key, _known_keys(names, plugins))
            raise LatticeworkError(_cut(key), f"{role} {name!r} has no such option{meant}; its options: {known}")


def _known_keys(names: Mapping[Role, str], plugins: Registry) -> list[str]:
    keys = [
        *(PREFIX + role for role in Role),
        *(JSON_PREFIX + field for field in JsonLayout.model_fields),
        *_DRAFTER_OPTIONS,
        TRACE_OPTION,
    ]
    for role in _OPTIONAL_ROLES:
        if names[role] != OFF:
            keys += [f"{PREFIX}{role}_{field}" for field in plugins.factory(role, names[role]).options.model_fields]
    return keys


def _select(role: Role, name: str, given: Mapping[str, Any], settings: Settings, plugins: Registry) -> Selection | None:
    """The plugin with its options: the request's over the deployment's over the plugin's own defaults."""
    if name == OFF:
        return None
    model = plugins.factory(role, name).options
    stem = f"{PREFIX}{role}_"
    own = {key: value for key, value in given.items() if key.startswith(stem) and key not in _DRAFTER_OPTIONS}
    requested = {key.removeprefix(stem): value for key, value in own.items()}
    configured = settings.role(role).options.get(name, {})
    values = {**configured, **requested}
    fields = {option: stem + option if option in requested else f"{role}.options.{name}.{option}" for option in values}
    options = _validated(model, values, fields, default_field=PREFIX + role)
    for option in requested:
        if model.model_fields[option].json_schema_extra == KEPT:
            _refuse_more(options, option, configured, fields[option], f"{role}.options.{name}.{option}")
    return Selection(name, options)


def _refuse_more(options: PluginOptions, option: str, configured: Mapping[str, Any], field: str, setting: str) -> None:
    """Let a request ask for as much memory as the deployment does, or less."""
    most, asked = configured.get(option, type(options).model_fields[option].default), getattr(options, option)
    if asked > most:
        raise LatticeworkError(field, f"must be at most {most} on this server ({setting}), got {asked}")


def _scope(given: Mapping[str, Any], settings: Settings) -> Scope:
    value = given.get(SCOPE_OPTION, settings.drafter.scope)
    if value not in list(Scope):
        raise LatticeworkError(SCOPE_OPTION, f"must be one of {', '.join(Scope)}, got {_shown(value)}")
    return Scope(value)


def _budget(given: Mapping[str, Any], settings: Settings) -> int | None:
    value = given.get(BUDGET_OPTION, settings.drafter.budget)
    try:
        return budget_of(value)
    except ValueError as error:
        raise LatticeworkError(BUDGET_OPTION, f"{error}, got {_shown(value)}") from error


def _trace(given: Mapping[str, Any], settings: Settings) -> bool:
    value = _meant_type(given.get(TRACE_OPTION, False), bool)
    if not isinstance(value, bool):
        raise LatticeworkError(TRACE_OPTION, f"must be true or false, got {_shown(value)}")
    if value and not settings.trace.directory:
        reason = "this server writes no traces; its operator allows them by naming a folder for them (trace.directory)"
        raise LatticeworkError(TRACE_OPTION, reason)
    return value


def _json(given: Mapping[str, Any], settings: Settings) -> JsonOptions:
    """How JSON may be written: as the request says, else as the deployment does."""
    requested = {key.removeprefix(JSON_PREFIX): value for key, value in given.items() if key.startswith(JSON_PREFIX)}
    if not requested:
        return settings.grammar.json_layout.options()
    values = {**settings.grammar.json_layout.model_dump(mode="json"), **requested}
    layout = _validated(JsonLayout, values, {option: JSON_PREFIX + option for option in values}, JSON_PREFIX)
    return layout.options()


def compile_options(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those of a request's options that decide what its constraint is compiled to."""
    stems = (PREFIX + Role.ENGINE, JSON_PREFIX)
    return {key: value for key, value in (extra or {}).items() if key.startswith(stems) and value is not None}


def _validated(
    model: type[OptionsT], values: Mapping[str, Any], fields: Mapping[str, str], default_field: str
) -> OptionsT:
    """``values`` as options, strictly; ``fields`` says what to call each one in an error."""
    converted = {
        option: _meant_type(value, model.model_fields[option].annotation) if option in model.model_fields else value
        for option, value in values.items()
    }
    try:
        text = json.dumps(converted)
    except (TypeError, ValueError, RecursionError):
        bad = next((option for option, value in converted.items() if not _is_writable(value)), None)
        raise LatticeworkError(fields.get(bad or "", default_field), "must be a scalar or a list of scalars") from None
    try:
        # JSON mode, because that is what the values are: strict, yet a list may become a tuple and a string an enum.
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]) if first["loc"] else ""
        raise LatticeworkError(fields.get(option, default_field), _reason(first)) from error


def _is_writable(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _meant_type(value: Any, annotation: Any) -> Any:
    """``value`` with what the transport blurred undone: ``4.0`` for an integer, ``1`` for a boolean."""
    accepted = _members(annotation)
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer() and float not in accepted and int in accepted:
        return int(value)
    if isinstance(value, int | float) and value in (0, 1) and not accepted & {int, float} and bool in accepted:
        return bool(value)
    return value


def _members(annotation: Any) -> set[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return set(get_args(annotation))
    return {annotation}


def _reason(detail: ErrorDetails) -> str:
    """One sentence out of one pydantic error."""
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
    return message if detail["type"] == "value_error" else f"{message}, got {_shown(detail['input'])}"


def _check_search_size(search: Selection | None, settings: Settings) -> None:
    """Searches say in their option ``n`` how many answers they write; the deployment bounds it."""
    n = getattr(search.options, "n", None) if search is not None else None
    if isinstance(n, int) and n > settings.search.max_n:
        raise LatticeworkError(f"{PREFIX}search_n", f"must be at most {settings.search.max_n} on this server, got {n}")


def _meant(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word[:_LONGEST_NAME], known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _cut(key: str) -> str:
    """The name of an option that a client made up, as errors and logs repeat it."""
    return one_line(key if len(key) <= _LONGEST_NAME else f"{key[:_LONGEST_NAME]}...")


def _shown(value: object) -> str:
    """A value as the client wrote it, cut: it may be anything, of any size."""
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}..."
