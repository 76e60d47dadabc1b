"""Health checks of the service."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from time import monotonic
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from deployments.runtime.health import Ask, Check, Probe, overall, probe_check
from deployments.schemas.health import Part, Problem, Status
from deployments.settings import Environment
from deployments.storage.embeddings.jobs import JobCounts

DATABASE, EMBEDDING, SEARCH, SCORING = "database", "embedding", "search", "scoring"
# Workers claim due messages within seconds; the slowest batch of a provider ends sooner than this.
STUCK_SECONDS = 120.0
# Twice what a retry after an outage waits at most by default (MEMORY_EMBEDDING_RETRY_MAX_SECONDS).
NO_PROGRESS_SECONDS = 600.0


class Health(BaseModel):
    """The state of every part of the service."""

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
                    "parts": [
                        {"name": "database", "status": "ok", "latency_ms": 9.1, "problem": None},
                        {"name": "embedding", "status": "ok", "latency_ms": 2.4, "problem": None},
                    ],
                    "latency_ms": 9.1,
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
    parts: list[Part] = Field(description="Each part that was asked; all are asked side by side.")
    latency_ms: float = Field(description="How long the slowest part took.")
    uptime_seconds: float
    environment: Environment
    version: str
    timestamp: datetime


class Readiness(BaseModel):
    """The readiness of this replica to take requests."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok", "problems": []}]})

    status: Status
    problems: list[str]


class Liveness(BaseModel):
    """The health of this process, by the rule of Serve's checks."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok", "problems": []}]})

    status: Status
    problems: list[str]


class JobCounter(Protocol):
    """Counts the pending embeddings."""

    async def counts(self) -> JobCounts:
        """Return the numbers of pending and of failed messages."""
        ...


@dataclass(frozen=True)
class Probes:
    """Probes of the other deployments: each returns a problem or None, and raises `UnavailableError` without an answer.

    `metrics`: None if metrics are switched off.
    """

    search: Probe
    embedding: Probe
    scoring: Probe
    rate_limits: Probe
    metrics: Probe | None


class Backlog:
    """Counts pending messages, and detects when no worker claims the oldest ones, or none is completed."""

    def __init__(self, jobs: JobCounter) -> None:
        self._jobs = jobs
        self._front: tuple[datetime | None, int] = (None, 0)
        self._since = 0.0
        self._removed: int | None = None
        self._progress_at = 0.0
        self.counts: JobCounts | None = None

    async def problem(self) -> str | None:
        """Return the problem of the backlog, or None. Raises `DatabaseUnavailableError`, `OverloadedError`."""
        counted: JobCounts | None = None
        try:
            counted = await self._jobs.counts()
        finally:
            self.counts = counted
        return self.judge(counted, monotonic())

    def judge(self, counts: JobCounts, now: float) -> str | None:
        """Return the problem of these counts, or None. `now`: seconds of a monotonic clock."""
        front = (counts.due_since, counts.due_first)
        if front != self._front:
            self._front, self._since = front, now
        if counts.removed != self._removed:
            self._removed, self._progress_at = counts.removed, now
        if counts.due_since is not None and now - self._since >= STUCK_SECONDS:
            return f"No worker has taken any of {counts.pending} pending messages for {now - self._since:.0f} s."
        return self._no_progress(counts, now)

    def excuse(self, now: float) -> None:
        """Take note that what embeds is known to be away: nothing can be completed, and it is told of already."""
        self._progress_at = now

    def _no_progress(self, counts: JobCounts, now: float) -> str | None:
        """Judge by the oldest message and by the last completion: a backlog that is worked off is as it should be."""
        idle, age = now - self._progress_at, counts.oldest_seconds
        if age is None or min(age, idle) < NO_PROGRESS_SECONDS:
            return None
        oldest = (datetime.now(UTC) - timedelta(seconds=age)).isoformat(timespec="seconds")
        return (
            f"Workers have completed none of {counts.pending} pending messages for {idle:.0f} s, and the oldest has "
            f"waited since {oldest}: the log of Embedding says why, and a worker that hangs has to be restarted."
        )


class HealthReporter:
    """Checks all parts concurrently, each with a timeout: a slow part delays neither the others nor the answer."""

    def __init__(self, database: Ask, pool: Probe, jobs: JobCounter, probes: Probes, environment: Environment) -> None:
        """`database`: check that Postgres answers at all. `pool`: check the connection pool of this replica."""
        self._backlog = Backlog(jobs)
        self._environment = environment
        self._started = monotonic()
        silent = "The database does not answer in time."
        embedding_away = Problem("The embedding deployment does not answer.")
        search_away = Problem("The search deployment does not answer: searches fail.")
        scoring_away = Problem("The scoring deployment does not answer: new messages wait.")
        each_alone = "The count of rate limits does not answer: each replica counts for itself."
        self._needed = [
            Check(DATABASE, database, Problem(silent)),
            probe_check(EMBEDDING, probes.embedding, embedding_away),
            probe_check(SEARCH, probes.search, search_away),
        ]
        self._all = [
            *self._needed,
            probe_check("pool", pool, Problem(silent, Status.DEGRADED)),
            probe_check("backlog", self._backlog.problem, Problem("The backlog cannot be counted.", Status.DEGRADED)),
            probe_check(SCORING, probes.scoring, scoring_away),
            probe_check("rate_limits", probes.rate_limits, Problem(each_alone, Status.DEGRADED)),
        ]
        if probes.metrics is not None:
            metrics_away = Problem("The metrics deployment does not answer.")
            self._all.append(probe_check("metrics", probes.metrics, metrics_away))

    async def health(self) -> Health:
        """Return the state of every part, with latencies."""
        parts = await _parts(self._all)
        status = {part.name: part.status for part in parts}
        if {status[EMBEDDING], status[SCORING]} != {Status.OK}:
            self._backlog.excuse(monotonic())
        counts = self._backlog.counts
        return Health(
            status=overall(parts, DATABASE),
            database=status[DATABASE],
            embedding=status[EMBEDDING],
            pending_embeddings=counts and counts.pending,
            failed_embeddings=counts and counts.failed,
            problems=_problems(parts),
            parts=parts,
            latency_ms=max(part.latency_ms for part in parts),
            uptime_seconds=round(monotonic() - self._started, 1),
            environment=self._environment,
            version=version("ai-memory-layer"),
            timestamp=datetime.now(UTC),
        )

    async def readiness(self) -> Readiness:
        """Return the readiness: degraded without embedding or search, unavailable without the database."""
        parts = await _parts(self._needed)
        return Readiness(status=overall(parts, DATABASE), problems=_problems(parts))


async def _parts(checks: Sequence[Check]) -> list[Part]:
    return list(await asyncio.gather(*(check.part() for check in checks)))


def _problems(parts: Sequence[Part]) -> list[str]:
    """Return the problems without duplicates: several parts may lack the same dependency."""
    return list(dict.fromkeys(part.problem for part in parts if part.problem is not None))
