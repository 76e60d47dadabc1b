"""Executes the runs of the ledger one at a time, each from where it was interrupted."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from time import monotonic
from uuid import UUID, uuid4

import structlog

from deployments.errors import MemoryLayerError, UnavailableError
from deployments.retention.policy import clock_went_back, phases, phases_left
from deployments.schemas.retention import Phase, RunStatus
from deployments.storage.postgres.database import Database
from deployments.storage.retention.lock import RetentionLock
from deployments.storage.retention.plans import RetentionPlanRepository
from deployments.storage.retention.runs import ClaimedRun, RetentionRunRepository
from deployments.storage.retention.work import RetentionWorkRepository
from jobs.progress import Progress
from jobs.retention.pace import Pace
from jobs.retention.planning import Planner

logger = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 600.0
RETRY_SECONDS = 1.0

Clock = Callable[[], Awaitable[datetime]]


class RetentionRunner:
    """Resumes runs after any interruption: each batch commits what is done and what is left.

    A run whose process was killed stays unfinished in the ledger. The next process that holds the lock finishes it
    before its own run.
    """

    def __init__(
        self,
        database: Database,
        runs: RetentionRunRepository,
        pace: Pace,
        progress: Progress,
        clock: Clock | None = None,
        deadline_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """`clock`: replaces the database's clock. `deadline_seconds`: how long the database may be unavailable."""
        self._runs = runs
        self._plans = RetentionPlanRepository(database)
        self._work = RetentionWorkRepository(database)
        self._planner = Planner(self._plans, pace)
        self._lock = RetentionLock(database)
        self._pace = pace
        self._progress = progress
        self._clock = clock or runs.now
        self._deadline_seconds = deadline_seconds
        self._worked_at = monotonic()

    async def finish(self, run_id: UUID) -> None:
        """Finish a run, and all earlier ones. The ledger says how each ended.

        While the database is unavailable, wait for it. Raises `UnavailableError` after the deadline: the run can be
        resumed. Cancelling this task cancels the run.
        """
        self._worked_at = monotonic()
        try:
            while not await self._tried(run_id):  # noqa: ASYNC110 - Postgres sets no event
                await asyncio.sleep(RETRY_SECONDS)
        except asyncio.CancelledError:
            with contextlib.suppress(MemoryLayerError):
                await self._cancel(run_id)
            raise

    async def _tried(self, run_id: UUID) -> bool:
        try:
            await self._finish_in_turn(run_id)
        except UnavailableError as error:
            if monotonic() - self._worked_at > self._deadline_seconds:
                raise
            logger.warning("retention_interrupted", code=error.code, reason=error.message)
            return False
        return True

    async def _finish_in_turn(self, run_id: UUID) -> None:
        async with self._lock.held(lambda: logger.warning("retention_waits", reason="Another run is under way.")):
            while (await self._runs.get(run_id)).status is RunStatus.RUNNING:
                oldest = await self._runs.next_unfinished()
                run = None if oldest is None else await self._runs.claim(oldest, uuid4())
                if run is not None:
                    await self._do(run)

    async def _do(self, run: ClaimedRun) -> None:
        try:
            error = await self._do_phases(run)
        except UnavailableError:
            raise
        except MemoryLayerError as failure:
            error = failure.message
        except Exception:
            logger.exception("retention_broke", run_id=str(run.id))
            error = "It failed for a reason of ours: the log of its job says which."
        await self._runs.end(run, RunStatus.FAILED if error else RunStatus.COMPLETED, error)

    async def _do_phases(self, run: ClaimedRun) -> str | None:
        """Return the reason why the run cannot continue, or None."""
        now = await self._clock()
        as_of = run.as_of or now
        if clock_went_back(as_of, now):
            return f"The clock went back: the run is as of {as_of:%Y-%m-%d %H:%M:%S} UTC, which is yet to come."
        steps = phases(run.actions, dry_run=run.dry_run, has_source=run.source_id is not None)
        for phase in phases_left(steps, run.phase):
            await self._runs.enter_phase(run, phase, as_of)
            await self._do_phase(run, phase, as_of)
        return None

    async def _do_phase(self, run: ClaimedRun, phase: Phase, as_of: datetime) -> None:
        if phase is Phase.PLANNING:
            with self._progress.step(phase, await self._plans.stored(run.tenant_id)) as advance:
                await self._planner.plan(run, as_of, self._alive(advance))
        elif phase is Phase.FINISHING:
            await self._forget_plans(run)
        else:
            if phase is Phase.DELETING:
                await self._delete_expired(run, as_of)
            work = {
                Phase.ARCHIVING: self._work.archive,
                Phase.DELETING: self._work.delete,
                Phase.RESTORING: self._work.restore,
            }[phase]
            with self._progress.step(phase, await self._work.left(run)) as advance:
                await self._pace.drain(lambda: work(run, self._pace.batch_size), self._alive(advance))

    async def _delete_expired(self, run: ClaimedRun, as_of: datetime) -> None:
        """Delete expired messages. They need no policy and no plan, and the run's counts exclude them."""

        async def batch() -> int:
            # Sends the run's heartbeat, and raises if the claim is lost.
            await self._runs.enter_phase(run, Phase.DELETING, as_of)
            return await self._work.delete_expired(run, self._pace.batch_size)

        await self._pace.drain(batch, self._alive(lambda _deleted: None))

    async def _forget_plans(self, run: ClaimedRun) -> None:
        for plan_id in await self._plans.spent_plans(run.id):
            await self._pace.drain(
                partial(self._plans.drop_items, plan_id, 0, self._pace.page_size),
                self._alive(lambda _dropped: None),
            )
            await self._plans.forget(plan_id)

    def _alive(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        """Return an `advance` that restarts the deadline: the database has answered."""

        def advanced(count: int) -> None:
            self._worked_at = monotonic()
            advance(count)

        return advanced

    async def _cancel(self, run_id: UUID) -> None:
        run = await self._runs.claim(run_id, uuid4())
        if run is not None:
            await self._runs.end(run, RunStatus.CANCELLED, "It was stopped. What it did by then can be undone.")
