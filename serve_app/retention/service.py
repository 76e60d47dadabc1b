"""Retention as the API asks for it: queued in the ledger, handed to whoever runs jobs, and waited for."""

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
# A job needs some seconds to start, and says that it works with every batch.
STALE_SECONDS = 60.0
MOST_BETWEEN_LOOKS_SECONDS = 15.0


class RetentionService:
    """Takes requests. A run that is in the ledger is done sooner or later, whatever becomes of its job."""

    def __init__(self, runs: RetentionRunRepository, submit: SubmitRun, longest_wait_seconds: float) -> None:
        """`submit`: have a job take up a run. Raises `MemoryLayerError` where it cannot.

        `longest_wait_seconds`: however long a request wants to wait.
        """
        self._runs = runs
        self._submit = submit
        self._longest_wait = longest_wait_seconds
        self._handing_over: set[asyncio.Task[None]] = set()

    async def start(self, request: RetentionRequest, requested_by: str) -> RetentionReport:
        """Make a run and wait for its end, as long as it says and a request may. Raises what `create` raises."""
        run_id = await self._runs.create(request, requested_by)
        return await self._done(run_id, request.wait_seconds)

    async def undo(
        self, run_id: UUID, tenant_id: str | None, requested_by: str, wait_seconds: float
    ) -> RetentionReport:
        """Take back what a run archived, in the same way. Raises what `create_undo` raises."""
        undo_id = await self._runs.create_undo(run_id, tenant_id, requested_by)
        return await self._done(undo_id, wait_seconds)

    async def _done(self, run_id: UUID, wait_seconds: float) -> RetentionReport:
        # Beside the wait: Ray may take its time to take a job, and the caller has said how much it has.
        handing_over = asyncio.create_task(hand_over(self._submit, run_id))
        self._handing_over.add(handing_over)
        handing_over.add_done_callback(self._handing_over.discard)
        deadline = monotonic() + min(wait_seconds, self._longest_wait)
        while monotonic() < deadline and (await self._runs.get(run_id)).status is RunStatus.RUNNING:  # noqa: ASYNC110 - set elsewhere
            await asyncio.sleep(POLL_SECONDS)
        return await self._runs.report(run_id)


class RetentionScheduler:
    """Hands over the scheduled run when it is due, and runs whose job is gone. One for each replica.

    What decides is in the database, so it happens once however many replicas look, and also when all of them were
    away in between.
    """

    def __init__(self, runs: RetentionRunRepository, submit: SubmitRun, schedule_seconds: float | None) -> None:
        """`schedule_seconds`: None: there is no schedule."""
        self._runs = runs
        self._submit = submit
        self._schedule_seconds = schedule_seconds

    async def run(self) -> None:
        """Look until cancelled."""
        pause = min(MOST_BETWEEN_LOOKS_SECONDS, (self._schedule_seconds or MOST_BETWEEN_LOOKS_SECONDS) / 4)
        while True:
            try:
                await self.look()
            except MemoryLayerError as error:
                logger.warning("retention_not_looked_after", code=error.code, reason=error.message)
            except Exception:
                # A fault of ours is no reason to stop looking.
                logger.exception("retention_watch_broke")
            await asyncio.sleep(pause)

    async def look(self, stale_seconds: float = STALE_SECONDS) -> None:
        """Hand over what is due. `stale_seconds`: for how long nobody must have worked on a run that is left."""
        due = None if self._schedule_seconds is None else await self._runs.create_scheduled(self._schedule_seconds)
        for run_id in (due, await self._runs.claim_orphans(stale_seconds)):
            if run_id is not None:
                await hand_over(self._submit, run_id)


async def hand_over(submit: SubmitRun, run_id: UUID) -> None:
    """Have a job take up a run. Where that fails, the run stays in the ledger, and `RetentionScheduler` tries again."""
    try:
        await submit(run_id)
    except MemoryLayerError as error:
        logger.warning("retention_job_not_submitted", run_id=str(run_id), code=error.code, reason=error.message)
