"""What a server is started from: a configuration, and an engine that knows how to start it.

The engines themselves are in :mod:`integration.vllm_server` and :mod:`integration.sglang_server`; starting and
stopping, which is the same for both, is in :mod:`integration.server`.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from integration.model import model_path

ROOT = Path(__file__).resolve().parents[1]


class ServerError(RuntimeError):
    """The server did not come up or went away; the message ends with the end of its log."""


@dataclass(frozen=True)
class ServerConfig:
    """What to start. Equal configurations are interchangeable servers.

    Attributes:
        flags: Further arguments of the engine's command, after the ones made from the other attributes.
        latticework: Whether the engine may load latticework at all; ``False`` is the stock engine.
        dtype: ``bfloat16``, or ``float32`` where outputs are compared token by token.
        model: Folder of the model; the converted SmolLM2 if empty.
        max_model_len: Tokens of a request, prompt and answer.
        max_num_seqs: Requests computed at the same time.
        environment: Environment variables, as pairs.
        engine: Name of the engine.
    """

    flags: tuple[str, ...] = ()
    latticework: bool = True
    dtype: str = "bfloat16"
    model: str = ""
    max_model_len: int = 2048
    max_num_seqs: int = 8
    environment: tuple[tuple[str, str], ...] = ()
    engine: str = "vllm"

    def with_flags(self, *flags: str) -> ServerConfig:
        """The same with more flags."""
        return replace(self, flags=(*self.flags, *flags))

    @property
    def folder(self) -> Path:
        """Folder of the model."""
        return Path(self.model) if self.model else model_path()


@dataclass(frozen=True)
class MetricNames:
    """What an engine calls things on ``/metrics``.

    Attributes:
        running: Requests being computed now.
        waiting: Requests that wait for their turn.
        generated: Tokens generated, a counter.
        accepted: Drafted tokens that were accepted, a counter.
    """

    running: str
    waiting: str
    generated: str
    accepted: str


class Engine(ABC):
    """A serving engine.

    Attributes:
        name: As in ``ENGINE=...``.
        title: As its makers write it.
        distribution: The Python distribution that must be installed.
        environment_folder: Virtual environment that ``make`` gives it.
        metrics: Its names of metrics.
        session_labels: Labels of ``latticework_sessions`` where tokens are drafted and masked.
        tool_flags: Flags without which a request may not name a tool.
        sessions_kept: Sessions that an idle engine may hold on to, with its last batch, until the next one.
        stock: The engine as if latticework were not installed.
        installed: latticework installed, nothing switched on.
        constraining: The grammar backend switched on, and no speculation.
        lattice: Grammar backend and speculation switched on; processors and search are switched on by requests.
    """

    name: str
    title: str
    distribution: str
    environment_folder: str
    metrics: MetricNames
    session_labels: Mapping[str, str] = {}
    tool_flags: tuple[str, ...]
    sessions_kept = 0
    stock: ServerConfig
    installed: ServerConfig
    constraining: ServerConfig
    lattice: ServerConfig

    def is_installed_here(self) -> bool:
        """Whether it is in the environment of this process."""
        try:
            metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return False
        return True

    @property
    def python(self) -> Path:
        """The interpreter to start it with: this one if it has the engine, else the one of its own environment."""
        if self.is_installed_here():
            return Path(sys.executable)
        return ROOT / self.environment_folder / "bin" / "python"

    def check_installation(self) -> None:
        """Raise :class:`ServerError` if it cannot be started."""
        if not self.is_installed_here() and not self.python.exists():
            raise ServerError(f"{self.title} is neither installed here nor in {self.environment_folder}: make setup")

    @abstractmethod
    def command(self, config: ServerConfig, port: int) -> list[str]:
        """The whole command line of a server on the loopback interface."""

    @abstractmethod
    def environment(self, config: ServerConfig, scratch: Path) -> Mapping[str, str]:
        """Environment variables to set.

        Args:
            config: What is started; its own variables are added by the caller.
            scratch: An empty folder that exists as long as the server.
        """

    @abstractmethod
    def constraint(self, kind: str, payload: Any) -> dict[str, Any]:
        """Fields of a chat completion request that constrain the answer.

        Args:
            kind: ``regex``, ``grammar`` (EBNF or Lark), ``choice``, ``json`` (a schema), ``json_object`` or
                ``structural_tag``.
            payload: The expression, the answers, or the schema or tag as an object; nothing for ``json_object``.
        """

    @abstractmethod
    def options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of a request that carry latticework's options, ``lw_...``."""
