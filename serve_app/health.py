"""Whether the service is well, from the parts that it stands on."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from time import monotonic, perf_counter
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from deployments.errors import ConfigurationError, MemoryLayerError
from deployments.settings import Environment
from deployments.storage.embedding_jobs import JobCounts

CHECK_TIMEOUT_SECONDS = 3.0


class Status(StrEnum):
    """`degraded`: searches go on by words alone, and what is stored waits for its embedding."""

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class Health(BaseModel):
    """How every part is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "database": "ok",
                    "embedding": "ok",
                    "pending_embeddings": 0,
                    "failed_embeddings": 0,
                    "problems": [],
                    "latency_ms": 2.4,
                    "uptime_seconds": 86400.0,
                    "environment": "production",
                    "version": "0.1.0",
                    "timestamp": "2026-11-23T09:30:00Z",
                }
            ]
        }
    )

    status: Status
    database: Status
    embedding: Status
    pending_embeddings: int | None = Field(description="Messages that wait for their embedding; null if unknown.")
    failed_embeddings: int | None = Field(description="Messages given up; `POST /v1/admin/embeddings/retry`.")
    problems: list[str] = Field(description="What is wrong, in a sentence each.")
    latency_ms: float = Field(description="How long the checks took.")
    uptime_seconds: float
    environment: Environment
    version: str
    timestamp: datetime


class Readiness(BaseModel):
    """Whether requests may be sent here."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok", "problems": []}]})

    status: Status
    problems: list[str]


class Liveness(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Status


class JobCounter(Protocol):
    """What counts the pending embeddings."""

    async def counts(self) -> JobCounts:
        """How many wait, how many were given up."""
        ...


class HealthReporter:
    """Asks the database and the embedding deployment, side by side, within a time limit."""

    def __init__(
        self,
        jobs: JobCounter,
        check_schema: Callable[[], Awaitable[None]],
        probe_embedding: Callable[[], Awaitable[str | None]],
        environment: Environment,
    ) -> None:
        """`check_schema` raises what is wrong; `probe_embedding` returns it."""
        self._jobs = jobs
        self._check_schema = check_schema
        self._probe_embedding = probe_embedding
        self._environment = environment
        self._started = monotonic()

    async def health(self) -> Health:
        """Everything, with the time that it took."""
        started = perf_counter()
        counts, database, embedding = await asyncio.gather(
            self._counts(), self._trouble(self._check_schema()), self._embedding_trouble()
        )
        return Health(
            status=_overall(database, embedding),
            database=Status.UNAVAILABLE if database else Status.OK,
            embedding=Status.UNAVAILABLE if embedding else Status.OK,
            pending_embeddings=counts and counts.pending,
            failed_embeddings=counts and counts.failed,
            problems=[problem for problem in (database, embedding) if problem],
            latency_ms=round((perf_counter() - started) * 1e3, 2),
            uptime_seconds=round(monotonic() - self._started, 1),
            environment=self._environment,
            version=version("ai-memory-layer"),
            timestamp=datetime.now(UTC),
        )

    async def readiness(self) -> Readiness:
        """Ready without the embedding side too, only degraded; never without the database."""
        database, embedding = await asyncio.gather(self._trouble(self._check_schema()), self._embedding_trouble())
        problems = [problem for problem in (database, embedding) if problem]
        return Readiness(status=_overall(database, embedding), problems=problems)

    async def _counts(self) -> JobCounts | None:
        try:
            return await asyncio.wait_for(self._jobs.counts(), CHECK_TIMEOUT_SECONDS)
        except (MemoryLayerError, TimeoutError):
            return None

    async def _embedding_trouble(self) -> str | None:
        try:
            return await asyncio.wait_for(self._probe_embedding(), CHECK_TIMEOUT_SECONDS)
        except (MemoryLayerError, TimeoutError):
            return "The embedding deployment does not answer."

    async def _trouble(self, check: Awaitable[None]) -> str | None:
        try:
            await asyncio.wait_for(check, CHECK_TIMEOUT_SECONDS)
        except (MemoryLayerError, ConfigurationError) as error:
            return error.message
        except TimeoutError:
            return "The database does not answer in time."
        return None


def _overall(database: str | None, embedding: str | None) -> Status:
    if database:
        return Status.UNAVAILABLE
    return Status.DEGRADED if embedding else Status.OK
