"""Health types: the parts of the service, and their problems."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, Field


class Status(StrEnum):
    """Health of a part. `degraded`: the service works with the limitation that the problem describes."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Problem:
    """A user-safe sentence about what is wrong with a part, and the resulting status."""

    sentence: str
    status: Status = Status.UNAVAILABLE


class Part(BaseModel):
    """One part of the service, as seen by this replica."""

    name: str
    status: Status
    latency_ms: float = Field(description="How long it took to answer.")
    problem: str | None = Field(description="What is wrong, in a sentence; null where nothing is.")
