"""Types of health: the parts of the service, and what is wrong with them."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, Field


class Status(StrEnum):
    """`degraded`: the service goes on with less, as the part's problem says."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Problem:
    """What is wrong with a part, in a sentence that may be shown to anyone, and the status that it has with it."""

    sentence: str
    status: Status = Status.UNAVAILABLE


class Part(BaseModel):
    """One part of the service as this replica sees it."""

    name: str
    status: Status
    latency_ms: float = Field(description="How long it took to answer.")
    problem: str | None = Field(description="What is wrong, in a sentence; null where nothing is.")
