"""What is installed: plugins by role and name, found through entry points and imported only when first used.

A plugin that cannot be imported is written down in :attr:`Registry.broken` and logged; it never stops anything from
loading. Asking for it by name is the request's error, with the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from latticework.plugins.base import ENTRY_POINT_GROUPS, Factory, PluginOptions, Role
from latticework.plugins.guard import isolatable
from latticework.structured.engines.base import GrammarEngine
from latticework.structured.errors import LatticeworkError

logger = logging.getLogger("latticework.plugins")

Loader = Callable[[], Any]

_DISTRIBUTION = "latticework"


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that is installed but could not be loaded."""

    role: Role
    name: str
    reason: str


class Registry:
    """Plugins by role and name.

    Args:
        loaders: For each role, what imports the plugin of each name. Default: the installed entry points.
    """

    def __init__(self, loaders: Mapping[Role, Mapping[str, Loader]] | None = None) -> None:
        self._loaders = _installed() if loaders is None else loaders
        self._loaded: dict[tuple[Role, str], Any] = {}
        self._broken: dict[tuple[Role, str], BrokenPlugin] = {}

    @property
    def broken(self) -> tuple[BrokenPlugin, ...]:
        """The plugins that were asked for and could not be loaded."""
        return tuple(self._broken.values())

    def names(self, role: Role) -> tuple[str, ...]:
        """Names of the installed plugins of a role, sorted, without those known to be broken. Imports nothing."""
        return tuple(name for name in sorted(self._loaders.get(role, {})) if (role, name) not in self._broken)

    def factory(self, role: Role, name: str) -> Factory[Any]:
        """The factory of a grammar, drafter, processor or search.

        Raises:
            LatticeworkError: There is no such plugin, or it is broken; ``field`` is the request option.
        """
        factory: Factory[Any] = self._load(role, name)
        return factory

    def engine(self, name: str) -> GrammarEngine:
        """The grammar engine of that name. Raises like :meth:`factory`."""
        engine: GrammarEngine = self._load(Role.ENGINE, name)
        return engine

    def load_all(self) -> tuple[BrokenPlugin, ...]:
        """Import everything, to find out what is broken (for a check at start, or by an operator)."""
        for role, loaders in self._loaders.items():
            for name in loaders:
                if (role, name) not in self._broken:
                    self._try(role, name)
        return self.broken

    def _load(self, role: Role, name: str) -> Any:
        if name not in self._loaders.get(role, {}):
            raise LatticeworkError(f"lw_{role}", f"unknown {role} {name!r}; installed: {', '.join(self.names(role))}")
        plugin = self._loaded.get((role, name)) or self._try(role, name)
        if plugin is None:
            reason = self._broken[role, name].reason
            raise LatticeworkError(f"lw_{role}", f"{role} {name!r} is installed but cannot be loaded: {reason}")
        return plugin

    def _try(self, role: Role, name: str) -> Any | None:
        key = (role, name)
        if key in self._loaded or key in self._broken:
            return self._loaded.get(key)
        try:
            plugin = self._loaders[role][name]()
            plugin = plugin() if isinstance(plugin, type) else plugin
            _check(role, plugin)
        except BaseException as error:
            if not isolatable(error):
                raise
            self._broken[key] = BrokenPlugin(role, name, f"{type(error).__name__}: {error}")
            logger.error("%s plugin %r cannot be loaded: %s", role, name, self._broken[key].reason)
            return None
        self._loaded[key] = plugin
        return plugin


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The registry of this process."""
    return Registry()


def _check(role: Role, plugin: Any) -> None:
    if role is Role.ENGINE:
        if not isinstance(plugin, GrammarEngine):
            raise TypeError("a grammar engine needs a `name` and a method `compile`")
        return
    options = getattr(plugin, "options", None)
    if not (isinstance(options, type) and issubclass(options, PluginOptions)):
        raise TypeError("`options` must be a subclass of PluginOptions")
    if not callable(getattr(plugin, "create", None)):
        raise TypeError("a plugin needs a method `create`")


def _installed() -> dict[Role, dict[str, Loader]]:
    """The entry points of all groups. Our own win over others of the same name, then the first one found."""
    found: dict[Role, dict[str, Loader]] = {}
    for role, group in ENTRY_POINT_GROUPS.items():
        chosen: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=group), key=lambda point: _owner(point) != _DISTRIBUTION):
            kept = chosen.setdefault(point.name, point)
            if kept.value != point.value:
                logger.warning("%s %r of %s is hidden by the one of %s", role, point.name, _owner(point), _owner(kept))
        found[role] = {name: point.load for name, point in chosen.items()}
    return found


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown"
