"""The ``[ab]`` section of the deployment settings: experiments, their arms, and what takes an arm back.

::

    [ab]
    key = "a secret of this deployment"          # all replicas must have the same
    [ab.experiments.drafting]
    identity = ["user", "header:x-session-id"]   # the first that a request has
    share = 0.02                                 # 2 % of the traffic that is eligible
    arms.control = { weight = 1 }
    arms.fusion = { weight = 1, options = { lw_drafter = "fusion" } }
    eligible = { grammar = true }
    guardrails = { error_rate = 0.02, ttft_ratio = 1.5 }

What an option set may say is checked where plugins are known, in :mod:`latticework.plugins.ab.routing`.
"""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

#: Names are labels of metrics and parts of a header: nothing that would have to be escaped, nothing long.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,39}$")]
Short = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]

MAX_EXPERIMENTS = 20
MAX_ARMS = 10
#: Combinations of arms of experiments that run at once: each is a label of every metric.
MAX_COMBINATIONS = 256

_IDENTITY = re.compile(r"user|session|request|header:[A-Za-z0-9-]{1,64}")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class Arm(_Section):
    """One way of serving."""

    weight: float = Field(default=1.0, ge=0.0, le=1e9, description="its part of the traffic")
    options: dict[str, Any] = Field(default={}, description="what a request would ask for")


class Eligibility(_Section):
    """Which requests take part: those that fit every line given."""

    endpoints: tuple[Short, ...] = Field(default=(), max_length=32, description="paths, as `/v1/chat/completions`")
    models: tuple[Short, ...] = Field(default=(), max_length=32, description="names as requests write them")
    grammar: bool | None = Field(default=None, description="with a constraint, or without")
    headers: dict[Short, Short] = Field(default={}, max_length=16, description="values by name, compared exactly")
    options: dict[Short, str | bool | int | float] = Field(
        default={}, max_length=16, description="values of the request's own `lw_*` options"
    )


class Guardrails(_Section):
    """What takes an arm back, judged over a sliding window in each server process. Unset: not watched.

    The ratios are relative to the control arm in the same window, so that load, which hits both, trips nothing.
    """

    window_seconds: float = Field(default=300.0, ge=1.0, le=86_400.0, description="how far back is looked")
    min_requests: int = Field(default=50, ge=1, description="from how many requests of the arm on")
    error_rate: Share | None = Field(default=None, description="largest share that failed")
    refused_rate: Share | None = Field(default=None, description="largest share refused with a 400")
    invalid_rate: Share | None = Field(
        default=None, description="largest share of the constrained answers that are not complete"
    )
    ttft_seconds: float | None = Field(default=None, gt=0.0, description="largest mean time to the first token")
    ttft_ratio: float | None = Field(default=None, gt=1.0, description="the same, relative to control")
    tokens_per_second: float | None = Field(default=None, gt=0.0, description="least mean rate of one answer")
    speed_ratio: float | None = Field(default=None, gt=0.0, lt=1.0, description="the same, relative to control")
    accept_rate: Share | None = Field(default=None, description="least share of drafted tokens that are accepted")


class Experiment(_Section):
    """One experiment. A request with none of its identities takes no part."""

    enabled: bool = Field(default=True, description="`false` takes its arms away from the next request on")
    identity: tuple[str, ...] = Field(
        default=("user", "session", "request"),
        min_length=1,
        max_length=8,
        description="what is assigned, the first that a request has: `user` (the request's field), `session`, "
        "`header:NAME`, `request`",
    )
    share: Share = Field(default=1.0, description="how much of the eligible traffic takes part")
    salt: str = Field(default="", max_length=64, description="another one assigns anew")
    control: Name = Field(
        default="control",
        description="the arm that the others are compared with, and that a tripped arm's traffic goes to",
    )
    arms: dict[Name, Arm] = Field(min_length=2, max_length=MAX_ARMS, description="the ways of serving, by name")
    eligible: Eligibility = Field(default=Eligibility(), description="which requests take part")
    guardrails: Guardrails = Field(default=Guardrails(), description="what takes an arm back")
    reset: int = Field(default=0, description="a higher number forgets what has tripped")

    @field_validator("identity")
    @classmethod
    def _known_identities(cls, identity: tuple[str, ...]) -> tuple[str, ...]:
        return _checked_identity(identity)

    @model_validator(mode="after")
    def _whole(self) -> Experiment:
        if self.control not in self.arms:
            raise ValueError(f"control names no arm; arms: {', '.join(self.arms)}")
        if sum(arm.weight for arm in self.arms.values()) <= 0:
            raise ValueError("arms: at least one weight must be above 0")
        return self

    @cached_property
    def shares(self) -> dict[str, float]:
        """Each arm's part of the traffic that takes part, adding up to 1."""
        total = math.fsum(arm.weight for arm in self.arms.values())
        return {name: arm.weight / total for name, arm in self.arms.items()}


class AbSettings(_Section):
    """All experiments."""

    enabled: bool = Field(default=True, description="the kill switch: `false` ends all of them with the next request")
    key: str = Field(
        default="",
        max_length=64,
        description="keys the assignment's hash; whoever knows it can tell which arm an identity gets",
    )
    identity: tuple[str, ...] = Field(
        default=("user", "session", "request"), min_length=1, max_length=8, description="whom `holdout` counts"
    )
    holdout: Share = Field(
        default=0.0,
        description="share of the identities that take part in nothing, to measure all experiments together",
    )
    forced_arm: bool = Field(
        default=False,
        description="whether a request may choose its arm (`lw_arm`), for debugging; it is then not counted",
    )
    reload_seconds: float = Field(
        default=1.0, gt=0.0, le=3600.0, description="how often the settings file is looked at"
    )
    tripped: str = Field(
        default="",
        description="a file that keeps tripped guardrails over restarts, and shares them between processes and "
        "replicas that see it; empty: each process for itself",
    )
    experiments: dict[Name, Experiment] = Field(
        default={}, max_length=MAX_EXPERIMENTS, description="the experiments, by name"
    )

    @field_validator("key")
    @classmethod
    def _short_key(cls, key: str) -> str:
        if len(key.encode()) > 64:  # what the hash takes
            raise ValueError("must be at most 64 bytes")
        return key

    @field_validator("identity")
    @classmethod
    def _known_identities(cls, identity: tuple[str, ...]) -> tuple[str, ...]:
        return _checked_identity(identity)

    @model_validator(mode="after")
    def _few_labels(self) -> AbSettings:
        combinations = math.prod(len(experiment.arms) + 1 for experiment in self.running().values())
        if combinations > MAX_COMBINATIONS:
            raise ValueError(
                f"experiments: those that are enabled have {combinations} combinations of arms, at most "
                f"{MAX_COMBINATIONS} are possible: each is a label of every metric"
            )
        return self

    def running(self) -> dict[str, Experiment]:
        """The experiments that are enabled, in the order of their names."""
        if not self.enabled:
            return {}
        return {name: self.experiments[name] for name in sorted(self.experiments) if self.experiments[name].enabled}


def _checked_identity(identity: tuple[str, ...]) -> tuple[str, ...]:
    for source in identity:
        if not _IDENTITY.fullmatch(source):
            raise ValueError(f"{source!r} is none of user, session, request, header:NAME")
    return identity
