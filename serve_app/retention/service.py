"""Retention for the API: runs are queued in the ledger, submitted as jobs, and awaited."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from uuid import UUID

import structlog

from deployments.errors import MemoryLayerError
from deployments.schemas.retention import RetentionReport, RetentionRequest, RunStatus
from deployments.storage.retention.runs import RetentionRunRepository

logger = structlog.get_logger(__name__)

SubmitRun = Callable[[UUID], Awaitable[None]]

POLL_SECONDS = 0.25
# A job needs some seconds to start, and sends a heartbeat with every batch.
STALE_SECONDS = 60.0
MOST_BETWEEN_LOOKS_SECONDS = 15.0


class RetentionService:
    """Accepts retention requests. A run in the ledger is executed sooner or later, even if its job is lost."""

    def __init__(self, runs: RetentionRunRepository, submit: SubmitRun, longest_wait_seconds: float) -> None:
        """`submit`: submit a job for a run. Raises `MemoryLayerError` on failure.

        `longest_wait_seconds`: upper limit of a request's wait.
        """
        self._runs = runs
        self._submit = submit
        self._longest_wait = longest_wait_seconds
        self._handing_over: set[asyncio.Task[None]] = set()

    async def start(self, request: RetentionRequest, requested_by: str) -> RetentionReport:
        """Create a run and wait for its end, at most as long as requested and allowed. Raises what `create` raises."""
        run_id = await self._runs.create(request, requested_by)
        return await self._done(run_id, request.wait_seconds)

    async def undo(
        self, run_id: UUID, tenant_id: str | None, requested_by: str, wait_seconds: float
    ) -> RetentionReport:
        """Create a run that undoes another one's archiving, and wait likewise. Raises what `create_undo` raises."""
        undo_id = await self._runs.create_undo(run_id, tenant_id, requested_by)
        return await self._done(undo_id, wait_seconds)

    async def _done(self, run_id: UUID, wait_seconds: float) -> RetentionReport:
        # Submit concurrently with the wait: Ray may be slow to accept a job, and the wait limits the request's
        # duration.
        handing_over = asyncio.create_task(hand_over(self._submit, run_id))
        self._handing_over.add(handing_over)
        handing_over.add_done_callback(self._handing_over.discard)
        deadline = monotonic() + min(wait_seconds, self._longest_wait)
        while monotonic() < deadline and (await self._runs.get(run_id)).status is RunStatus.RUNNING:  # noqa: ASYNC110 - set elsewhere
            await asyncio.sleep(POLL_SECONDS)
        return await self._runs.report(run_id)


class RetentionScheduler:
    """Submits the scheduled run when it is due, and runs whose job was lost. Each replica has one.

    The database decides which replica submits, so a run is submitted once however many replicas poll, and also if all
    of them were down at the scheduled time.
    """

    def __init__(self, runs: RetentionRunRepository, submit: SubmitRun, schedule_seconds: float | None) -> None:
        """`schedule_seconds`: interval between scheduled runs; None: no schedule."""
        self._runs = runs
        self._submit = submit
        self._schedule_seconds = schedule_seconds

    async def run(self) -> None:
        """Poll until cancelled."""
        pause = min(MOST_BETWEEN_LOOKS_SECONDS, (self._schedule_seconds or MOST_BETWEEN_LOOKS_SECONDS) / 4)
        while True:
            try:
                await self.look()
            except MemoryLayerError as error:
                logger.warning("retention_not_looked_after", code=error.code, reason=error.message)
            except Exception:
                # Keep polling after an unexpected error.
                logger.exception("retention_watch_broke")
            await asyncio.sleep(pause)

    async def look(self, stale_seconds: float = STALE_SECONDS) -> None:
        """Submit the runs that are due. `stale_seconds`: a run without a heartbeat for this long has lost its job."""
        due = None if self._schedule_seconds is None else await self._runs.create_scheduled(self._schedule_seconds)
        for run_id in (due, await self._runs.claim_orphans(stale_seconds)):
            if run_id is not None:
                await hand_over(self._submit, run_id)


async def hand_over(submit: SubmitRun, run_id: UUID) -> None:
    """Submit a job for a run. If that fails, the run stays in the ledger, and `RetentionScheduler` tries again."""
    try:
        await submit(run_id)
    except MemoryLayerError as error:
        logger.warning("retention_job_not_submitted", run_id=str(run_id), code=error.code, reason=error.message)
