"""What the operator decides once, for the whole deployment.

Read from the file named by ``LATTICEWORK_CONFIG`` (TOML or JSON) and from environment variables, which win::

    [grammar]                        LATTICEWORK_GRAMMAR__ENGINE=auto
    engine = "auto"
    [drafter]                        LATTICEWORK_DRAFTER__DEFAULT=prompt_lookup
    default = "prompt_lookup"
    [drafter.options.prompt_lookup]  LATTICEWORK_DRAFTER__OPTIONS='{"prompt_lookup": {"max_match": 12}}'
    max_match = 12

A request may override every default. Unknown keys are errors: a typo must not silently leave a default in place.
"""

from __future__ import annotations

import json
import os
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from latticework.plugins.ab.settings import AbSettings
from latticework.plugins.access import AccessSettings
from latticework.plugins.base import OFF, Role
from latticework.plugins.budgeting import MOST
from latticework.plugins.json_layout import JsonLayout
from latticework.plugins.scoping import Scope
from latticework.structured.errors import LatticeworkError
from latticework.structured.limits import GrammarLimits

CONFIG_VARIABLE = "LATTICEWORK_CONFIG"
#: Bytes of a settings file.
MAX_FILE = 1 << 20
_PREFIX = "LATTICEWORK_"
_DELIMITER = "__"

#: Plugin name to its default options.
OptionDefaults = dict[str, dict[str, Any]]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class GrammarSettings(_Section):
    """How constraints are made and compiled."""

    engine: str = Field(default="auto", description="the engine of requests that name none")
    json_layout: JsonLayout = Field(default=JsonLayout(), description="how JSON is written unless a request says so")
    limits: GrammarLimits = Field(default=GrammarLimits(), description="what one grammar may cost")
    options: OptionDefaults = Field(
        default={},
        description="default options of what makes a constraint out of a request's input, by its name; requests choose "
        "one themselves, there is no default",
    )
    catalogues: dict[str, str] = Field(
        default={}, description="files of names, one a line, by the names under which such constraints use them"
    )


class RoleSettings(_Section):
    """One role of plugins."""

    default: str = Field(default=OFF, description="the plugin of requests that name none")
    options: OptionDefaults = Field(default={}, description="default options of each plugin, by its name")


class DrafterSettings(RoleSettings):
    """Drafting is on by default: it never changes what is written."""

    default: str = Field(default="auto", description="the drafter of requests that name none")
    scope: Scope = Field(default=Scope.TENANT, description="which other requests a drafter learns from")
    budget: Literal["auto"] | Annotated[int, Field(ge=1, le=MOST)] = Field(
        default="auto", description="nodes drafted in a step: as many as pay, or a fixed number"
    )
    budget_margin: float = Field(
        default=0.03,
        ge=0.0,
        le=1.0,
        description="by what share of tokens a second drafting must beat not drafting to be done (`auto`)",
    )
    tenant: str = Field(
        default="",
        description="whom the deployment serves, if all requests without a cache salt are one tenant's; empty if that "
        "is not known: such requests then learn from themselves alone",
    )
    trees: bool = Field(default=False, description="verify trees on vLLM too (CPU attention only)")
    placeholders: tuple[int, ...] = Field(
        default=(), description="token ids that stand for images and the like in prompts; drafters are not shown them"
    )
    datastores: dict[str, str] = Field(
        default={}, description="folders made by `latticework datastore build`, by the names that requests use"
    )
    models: dict[str, str] = Field(
        default={}, description="folders of small models that draft, by the names that requests use"
    )


class SearchSettings(RoleSettings):
    """Searches write several answers for one."""

    max_n: int = Field(
        default=16, ge=1, description="most answers one request may cost: bounds the option `n` of every search"
    )


class LimitSettings(_Section):
    """Bounds on what a process does at once and keeps."""

    compile_threads: int = Field(default=2, ge=1, description="grammars compiled at the same time")
    plugin_instances: int = Field(
        default=16, ge=1, description="drafters, and processors, kept with different options at the same time"
    )


class SwitchSettings(_Section):
    """What is off for all requests, whatever they ask for: the operator's emergency switch, obeyed without a restart.

    Constraints cannot be switched off: their clients count on them.
    """

    off: tuple[Role, ...] = Field(default=(), description="any of `drafter`, `processor`, `search`")

    @field_validator("off")
    @classmethod
    def _can_be_off(cls, off: tuple[Role, ...]) -> tuple[Role, ...]:
        if wrong := [role for role in off if role in (Role.ENGINE, Role.GRAMMAR)]:
            raise ValueError(f"{wrong[0]} cannot be switched off: clients count on their constraints")
        return off


class TelemetrySettings(_Section):
    """What is written down of requests, beside metrics."""

    request_log: str = Field(default="", description="a file that gets one line of JSON a request; empty: none")
    log_text: bool = Field(default=False, description="whether prompts and answers are in it")


class TraceSettings(_Section):
    """Who may have a request's decode written down (``lw_trace``): everybody, once a folder is named for it.

    A trace holds the text of the answer and what was drafted for it, which a drafter may have from the same tenant's
    other requests; prompts are not in it.
    """

    directory: str = Field(
        default="", description="an existing folder that gets one file a request; empty: `lw_trace` is refused"
    )
    max_files: int = Field(
        default=100, ge=1, le=100_000, description="when there are more files, the oldest are removed"
    )
    max_tokens: int = Field(
        default=20_000,
        ge=1,
        le=500_000,
        description="written and drafted tokens of one trace; what is beyond is counted in it",
    )
    max_requests: int = Field(
        default=8,
        ge=1,
        le=1000,
        description="requests traced at the same time, until they are written; others are served without",
    )


class Settings(BaseSettings):
    """All settings. Construct directly (``Settings(drafter=...)``) in tests; :func:`load_settings` elsewhere."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter=_DELIMITER, extra="forbid", frozen=True, validate_default=True
    )

    grammar: GrammarSettings = GrammarSettings()
    drafter: DrafterSettings = DrafterSettings()
    processor: RoleSettings = RoleSettings()
    search: SearchSettings = SearchSettings()
    limits: LimitSettings = LimitSettings()
    access: AccessSettings = AccessSettings()
    switch: SwitchSettings = SwitchSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    trace: TraceSettings = TraceSettings()
    ab: AbSettings = AbSettings()

    def role(self, role: Role) -> RoleSettings:
        """The section of a drafter, processor or search; the options of grammars, which are off by default."""
        sections = {Role.DRAFTER: self.drafter, Role.PROCESSOR: self.processor, Role.SEARCH: self.search}
        sections[Role.GRAMMAR] = RoleSettings(options=self.grammar.options)
        return sections[role]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then what the caller passes (the file): no ``.env``, no secrets directory."""
        return env_settings, init_settings


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The settings of this process, read once. What may change while it runs is in :mod:`latticework.plugins.ab.live`.

    Raises:
        LatticeworkError: The file or a variable is wrong; ``field`` names the setting.
    """
    return read_settings()


def read_settings() -> Settings:
    """The settings as they are written now. Raises as :func:`load_settings`."""
    path = os.environ.get(CONFIG_VARIABLE)
    values = _read(Path(path)) if path else {}
    _refuse_unknown_sections()
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise LatticeworkError(".".join(str(part) for part in first["loc"]) or CONFIG_VARIABLE, first["msg"]) from error
    except ValueError as error:  # pydantic-settings wraps malformed JSON in a variable into its own error
        raise LatticeworkError(CONFIG_VARIABLE, str(error)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        text = _text(path)
        values = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise LatticeworkError(CONFIG_VARIABLE, f"cannot read {str(path)!r}: {error.strerror}") from error
    except RecursionError:
        raise LatticeworkError(CONFIG_VARIABLE, f"{str(path)!r} is nested too deeply to be read") from None
    except ValueError as error:
        raise LatticeworkError(CONFIG_VARIABLE, f"{str(path)!r} is neither TOML nor (.json) JSON: {error}") from error
    if not isinstance(values, dict):
        raise LatticeworkError(CONFIG_VARIABLE, f"{str(path)!r} must hold an object of sections")
    return values


def _text(path: Path) -> str:
    """What is in a file. Servers read it between two requests, so nothing is read that could take for ever."""
    if path.exists() and not path.is_file():  # reading a pipe would wait for whoever writes it
        raise LatticeworkError(CONFIG_VARIABLE, f"{str(path)!r} is not a file")
    with path.open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise LatticeworkError(CONFIG_VARIABLE, f"{str(path)!r} has more than {MAX_FILE} bytes")
    return content.decode("utf-8")


def _refuse_unknown_sections() -> None:
    """``LATTICEWORK_DRAFTR__DEFAULT`` would otherwise be ignored in silence."""
    for name in os.environ:
        section, delimiter, _ = name.upper().removeprefix(_PREFIX).partition(_DELIMITER)
        if name.upper().startswith(_PREFIX) and delimiter and section.lower() not in Settings.model_fields:
            known = ", ".join(Settings.model_fields)
            raise LatticeworkError(name, f"there is no section {section.lower()!r}; sections: {known}")
