"""The words that backend and workers share: kinds, states, and the bodies of their requests."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
Json = dict[str, Any]


class Kind(StrEnum):
    """What an operation is, and what a worker is capable of."""

    BACKTEST = "backtest"
    TRAINING = "training"


class State(StrEnum):
    """Where an operation stands. The last two are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class Params(BaseModel):
    """How much work an operation is: `steps`, each at least `step_seconds` long.

    Its result depends on neither the time nor the worker: `seed` and `steps` alone decide it.
    """

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**31)
    steps: int = Field(default=100, ge=1, le=1_000_000)
    step_seconds: float = Field(default=0.0, ge=0, le=60)


class Submission(BaseModel):
    """A new operation. With an `id`, submitting it again is harmless. A misspelt field is an error."""

    model_config = ConfigDict(extra="forbid")

    id: Name | None = None
    kind: Kind
    params: Params = Params()


class Registration(BaseModel):
    """A worker that starts, and so holds no operation.

    Here and below unknown fields are let through: during a rollout, workers may be of a newer release.
    """

    id: Name
    kind: Kind
    release: str
    capabilities: list[Kind]
    device: str = "cpu"


class Drain(BaseModel):
    """Whether a worker is to get no further operation."""

    draining: bool = True


class Held(BaseModel):
    """Who speaks about an operation: the worker, and which claim of the operation (`attempt`) it works on."""

    worker: Name
    attempt: int


class Checkpoint(Held):
    """What another worker needs to go on from here."""

    checkpoint: Json


class Release(Held):
    """An operation given back unfinished, with a last checkpoint where there is one."""

    checkpoint: Json | None = None


class Completion(Held):
    """An operation that is done."""

    result: Json


class Failure(Held):
    """An operation that cannot be done, and why."""

    error: str
