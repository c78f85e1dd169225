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
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from latticework.plugins.base import OFF, Role
from latticework.structured.errors import LatticeworkError
from latticework.structured.limits import GrammarLimits

CONFIG_VARIABLE = "LATTICEWORK_CONFIG"
_PREFIX = "LATTICEWORK_"
_DELIMITER = "__"

#: Plugin name to its default options.
OptionDefaults = dict[str, dict[str, Any]]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class GrammarSettings(_Section):
    """How constraints are compiled. ``engine``: the default of ``lw_engine``; ``limits``: cost of one grammar."""

    engine: str = "auto"
    limits: GrammarLimits = GrammarLimits()


class RoleSettings(_Section):
    """One role. ``default``: the plugin of requests that name none; ``options``: default options per plugin name."""

    default: str = OFF
    options: OptionDefaults = {}


class DrafterSettings(RoleSettings):
    """Drafting is on by default: it never changes what is written."""

    default: str = "auto"


class SearchSettings(RoleSettings):
    """``max_n`` bounds the option ``n`` of every search: how many answers one request may cost."""

    max_n: int = Field(default=16, ge=1)


class LimitSettings(_Section):
    """Bounds on what a process does at once and keeps.

    ``compile_threads``: grammars compiled at the same time. ``plugin_instances``: drafters, and processors, kept with
    different options at the same time.
    """

    compile_threads: int = Field(default=2, ge=1)
    plugin_instances: int = Field(default=16, ge=1)


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

    def role(self, role: Role) -> RoleSettings:
        """The section of a drafter, processor or search."""
        sections = {Role.DRAFTER: self.drafter, Role.PROCESSOR: self.processor, Role.SEARCH: self.search}
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
    """The settings of this process, read once.

    Raises:
        LatticeworkError: The file or a variable is wrong; ``field`` names the setting.
    """
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
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise LatticeworkError(CONFIG_VARIABLE, f"cannot read {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise LatticeworkError(CONFIG_VARIABLE, f"{str(path)!r} is neither TOML nor (.json) JSON: {error}") from error
    if not isinstance(values, dict):
        raise LatticeworkError(CONFIG_VARIABLE, f"{str(path)!r} must hold an object of sections")
    return values


def _refuse_unknown_sections() -> None:
    """``LATTICEWORK_DRAFTR__DEFAULT`` would otherwise be ignored in silence."""
    for name in os.environ:
        section, delimiter, _ = name.upper().removeprefix(_PREFIX).partition(_DELIMITER)
        if name.upper().startswith(_PREFIX) and delimiter and section.lower() not in Settings.model_fields:
            known = ", ".join(Settings.model_fields)
            raise LatticeworkError(name, f"there is no section {section.lower()!r}; sections: {known}")
