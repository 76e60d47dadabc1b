"""The table of retention runs, with their progress and result. It is also their queue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from deployments.errors import InvalidRequestError, NotFoundError, RetentionConflictError, UnavailableError
from deployments.retention.policy import clock_went_back
from deployments.schemas.retention import (
    Action,
    Phase,
    PlannedTenant,
    RetentionPolicy,
    RetentionReport,
    RetentionRequest,
    RetentionRun,
    RetentionSample,
    RunStatus,
)
from deployments.storage.postgres.database import Connection, Database
from deployments.storage.postgres.named_queries import load_queries

PLAN_KEPT_DAYS = 7
TENANTS_SHOWN = 100
SAMPLES_SHOWN = 10
SCHEDULE = "schedule"


@dataclass(frozen=True)
class ClaimedRun:
    """A run claimed under `claim_id`."""

    id: UUID
    claim_id: UUID
    tenant_id: str | None
    actions: tuple[Action, ...]
    dry_run: bool
    forced: bool
    source_id: UUID | None
    policy: RetentionPolicy
    phase: Phase
    as_of: datetime | None
    planned_tenant: str
    planned: int
    user_id: str | None = None


class RetentionRunRepository:
    """Stores and claims runs. Tenant None: the caller may see every run. Times come from the database's clock.

    Errors of every method: `DatabaseUnavailableError`, `OverloadedError`.
    """

    def __init__(self, database: Database, defaults: RetentionPolicy) -> None:
        self._database = database
        self._defaults = defaults
        self._queries = load_queries("retention_runs")

    async def create(self, request: RetentionRequest, requested_by: str) -> UUID:
        """Queue a run: only a plan, a plan that is then applied, or the application of the plan `request.run_id`.

        Raises `NotFoundError` if the tenant has no such plan, `InvalidRequestError` if the request names another
        tenant, user or action than the plan, and `RetentionConflictError` if the plan is unfinished, was applied, is
        too old, or is for a time in the future.
        """
        async with self._database.transaction() as connection:
            plan = None if request.run_id is None else await self._applicable(connection, request)
            return await self._insert(
                connection,
                tenant_id=request.tenant_id if plan is None else plan["tenant_id"],
                user_id=request.user_id if plan is None else plan["user_id"],
                actions=request.actions,
                dry_run=request.dry_run,
                forced=request.force,
                source_id=request.run_id,
                requested_by=requested_by,
                policy=self._defaults.model_dump_json() if plan is None else plan["policy"],
                as_of=None if plan is None else plan["as_of"],
            )

    async def create_undo(self, run_id: UUID, tenant_id: str | None, requested_by: str) -> UUID:
        """Queue an undo of what a run archived. A repeated undo restores what is left, if anything.

        Raises `NotFoundError`, and `RetentionConflictError` if the run is unfinished or archived nothing.
        """
        async with self._database.transaction() as connection:
            row = await self._lock_source(connection, run_id, tenant_id)
            if row["status"] == RunStatus.RUNNING:
                raise RetentionConflictError("That run is still under way.")
            if row["dry_run"] and row["applied_by"] is not None:
                raise RetentionConflictError(
                    f"That is a plan, which archived nothing: undo run {row['applied_by']}, which applied it.",
                    {"run_id": str(row["applied_by"])},
                )
            if row["dry_run"] or Action.ARCHIVE not in row["actions"]:
                raise RetentionConflictError("That run archived nothing: there is nothing to undo.")
            return await self._insert(
                connection,
                tenant_id=row["tenant_id"],
                user_id=row["user_id"],
                actions=[Action.RESTORE],
                dry_run=False,
                forced=False,
                source_id=run_id,
                requested_by=requested_by,
                policy=row["policy"],
                as_of=None,
            )

    async def create_scheduled(self, every_seconds: float, now: datetime | None = None) -> UUID | None:
        """Queue the scheduled run if it is due, and return its id. Of concurrent callers one gets it, the others None.

        `now`: replaces the database's clock.
        """
        async with self._database.transaction() as connection:
            if not await self._queries.claim_schedule(connection, every=every_seconds, now=now):
                return None
            return await self._insert(
                connection,
                tenant_id=None,
                user_id=None,
                actions=[Action.ARCHIVE, Action.DELETE],
                dry_run=False,
                forced=False,
                source_id=None,
                requested_by=SCHEDULE,
                policy=self._defaults.model_dump_json(),
                as_of=None,
            )

    async def claim_orphans(self, stale_seconds: float) -> UUID | None:
        """Return the newest run that waits, if no worker was active for `stale_seconds`. Only one caller gets it."""
        async with self._database.connection() as connection:
            orphan: UUID | None = await self._queries.claim_orphans(connection, stale_seconds=stale_seconds)
        return orphan

    async def get(self, run_id: UUID, tenant_id: str | None = None) -> RetentionRun:
        """Return one run. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            return _to_run(await self._row(connection, run_id, tenant_id))

    async def report(self, run_id: UUID, tenant_id: str | None = None) -> RetentionReport:
        """Return one run with its plan. Raises `NotFoundError`."""
        async with self._database.connection() as connection:
            row = await self._row(connection, run_id, tenant_id)
            # A run that applies a plan shows its source's plan. An undo has no plan.
            plan_id = row["source_id"] if Action.RESTORE not in row["actions"] and row["source_id"] else run_id
            tenants = self._queries.planned_tenants(connection, run_id=plan_id, limit=TENANTS_SHOWN)
            planned = [_to_planned(each) async for each in tenants]
            found = self._queries.planned_samples(connection, run_id=plan_id, limit=SAMPLES_SHOWN)
            samples = [RetentionSample(**each) async for each in found]
        return RetentionReport(**dict(_to_run(row)), tenants=planned, samples=samples)

    async def page(self, tenant_id: str | None, limit: int, after: tuple[datetime, UUID] | None) -> list[RetentionRun]:
        """Return at most `limit` runs, newest first, after the position (created_at, id)."""
        before, before_id = after or (None, None)
        async with self._database.connection() as connection:
            rows = self._queries.find_runs(
                connection, id=None, tenant_id=tenant_id, before=before, before_id=before_id, limit=limit
            )
            return [_to_run(row) async for row in rows]

    async def next_unfinished(self) -> UUID | None:
        """Return the oldest unfinished run, or None."""
        async with self._database.connection() as connection:
            unfinished: UUID | None = await self._queries.next_unfinished(connection)
        return unfinished

    async def claim(self, run_id: UUID, claim_id: UUID) -> ClaimedRun | None:
        """Claim a run, also from another worker. None if the run has ended."""
        async with self._database.connection() as connection:
            row = await self._queries.claim_run(connection, id=run_id, claim_id=claim_id)
        return None if row is None else _to_claimed(row)

    async def enter_phase(self, run: ClaimedRun, phase: Phase, as_of: datetime) -> None:
        """Record the phase, and `as_of` if none is recorded yet. Raises `UnavailableError` if the claim is lost."""
        async with self._database.connection() as connection:
            position = await self._queries.enter_phase(
                connection, id=run.id, claim_id=run.claim_id, phase=phase, as_of=as_of
            )
        if position is None:
            raise claim_lost()

    async def end(self, run: ClaimedRun, status: RunStatus, error: str | None = None) -> None:
        """Record how a run ended, unless the claim is lost."""
        async with self._database.connection() as connection:
            await self._queries.end_run(connection, id=run.id, claim_id=run.claim_id, status=status, error=error)

    async def now(self) -> datetime:
        """Return the time of the database's clock."""
        async with self._database.connection() as connection:
            now: datetime = await self._queries.database_time(connection)
        return now

    async def _row(self, connection: Connection, run_id: UUID, tenant_id: str | None) -> Mapping[str, Any]:
        rows = self._queries.find_runs(connection, id=run_id, tenant_id=tenant_id, before=None, before_id=None, limit=1)
        found: list[Mapping[str, Any]] = [row async for row in rows]
        if not found:
            raise NotFoundError("There is no such run.")
        return found[0]

    async def _lock_source(self, connection: Connection, run_id: UUID, tenant_id: str | None) -> Mapping[str, Any]:
        row: Mapping[str, Any] | None = await self._queries.lock_source(
            connection, id=run_id, tenant_id=tenant_id, kept_days=PLAN_KEPT_DAYS
        )
        if row is None:
            raise NotFoundError("There is no such run.")
        return row

    async def _applicable(self, connection: Connection, request: RetentionRequest) -> Mapping[str, Any]:
        if request.run_id is None:
            raise NotFoundError("There is no such run.")
        row = await self._lock_source(connection, request.run_id, request.tenant_id)
        if request.user_id is not None and request.user_id != row["user_id"]:
            raise InvalidRequestError("The plan is for another user: leave the user out, or repeat the plan's.")
        if set(request.actions) != set(row["actions"]) and "actions" in request.model_fields_set:
            raise InvalidRequestError("The plan is for other actions: leave them out, or repeat the plan's.")
        if not row["dry_run"] or row["status"] not in {RunStatus.COMPLETED, RunStatus.REFUSED}:
            raise RetentionConflictError("Only a dry run that came to its end can be applied.")
        if row["used"] or not row["plan_kept"] or row["expired"]:
            raise RetentionConflictError("That plan was applied, or is too old to be: make a new one.")
        if clock_went_back(row["as_of"], row["read_at"]):
            raise RetentionConflictError("That plan is of a time that is yet to come: the clock went back. Plan anew.")
        return row

    async def _insert(self, connection: Connection, *, actions: Sequence[Action], **fields: object) -> UUID:
        run_id: UUID = uuid7()
        await self._queries.create_run(connection, id=run_id, actions=list(actions), **fields)
        return run_id


def claim_lost() -> UnavailableError:
    """Return the error for a worker whose run was claimed by another."""
    return UnavailableError("Another process has taken this run.")


def _to_run(row: Mapping[str, Any]) -> RetentionRun:
    return RetentionRun(
        run_id=row["id"],
        source_run_id=row["source_id"],
        archived=row["would_archive"] if row["dry_run"] else row["archived"],
        deleted=row["would_delete"] if row["dry_run"] else row["deleted"],
        policy=RetentionPolicy.model_validate_json(row["policy"]),
        **{name: row[name] for name in _AS_THEY_ARE},
    )


_AS_THEY_ARE = (
    "status",
    "phase",
    "dry_run",
    "restored",
    "skipped",
    "tenant_id",
    "user_id",
    "actions",
    "forced",
    "requested_by",
    "as_of",
    "error",
    "created_at",
    "finished_at",
)


def _to_planned(row: Mapping[str, Any]) -> PlannedTenant:
    return PlannedTenant(**{**row, "policy": RetentionPolicy(**orjson.loads(row["policy"]))})


def _to_claimed(row: Mapping[str, Any]) -> ClaimedRun:
    return ClaimedRun(
        id=row["id"],
        claim_id=row["claim_id"],
        tenant_id=row["tenant_id"],
        actions=tuple(Action(action) for action in row["actions"]),
        dry_run=row["dry_run"],
        forced=row["forced"],
        source_id=row["source_id"],
        policy=RetentionPolicy.model_validate_json(row["policy"]),
        phase=Phase(row["phase"]),
        as_of=row["as_of"],
        planned_tenant=row["planned_tenant"],
        planned=row["planned"],
        user_id=row["user_id"],
    )
