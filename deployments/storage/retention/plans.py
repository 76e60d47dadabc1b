"""Retention plans: the messages that a run may change, as they were when they were planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from deployments.retention.policy import Selection
from deployments.schemas.retention import PlannedTenant, RetentionPolicy, TenantPolicy
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.retention.runs import PLAN_KEPT_DAYS, ClaimedRun, claim_lost

FIRST_TIME = datetime(1, 1, 1, tzinfo=UTC)
FIRST_ID = UUID(int=0)


@dataclass(frozen=True)
class HeldTenant:
    """A tenant: its number of messages, how many of them are not archived, and its own policy, if any.

    In a run for one user, the numbers are the user's.
    """

    tenant_id: str
    stored: int
    live: int
    own: TenantPolicy | None


@dataclass(frozen=True)
class Place:
    """The position at which a page of messages ended: a time and an id."""

    at: datetime = FIRST_TIME
    id: UUID = FIRST_ID


@dataclass(frozen=True)
class PlannedPage:
    """The number of messages read, how many of them were planned, and the position of the page's end."""

    read: int
    planned: int
    end: Place


class RetentionPlanRepository:
    """Stores plans. Calls that write name the claim on the run.

    Errors of every method: `DatabaseUnavailableError`, `OverloadedError`; of those that write, also
    `UnavailableError` if the claim is lost.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("retention_plans")

    async def is_planned(self, run_id: UUID) -> bool:
        """Return whether planning of at least one tenant or user of the run is complete."""
        async with self._database.connection() as connection:
            return bool(await self._queries.is_planned(connection, run_id=run_id))

    async def next_tenant(self, after: str, only_tenant: str | None, user_id: str | None) -> HeldTenant | None:
        """Return the next tenant after `after`, in the order of names, or None."""
        async with self._database.connection() as connection:
            row = await self._queries.next_tenant(connection, after=after, only_tenant=only_tenant, user_id=user_id)
        if row is None:
            return None
        own = TenantPolicy(**{name: row[name] for name in TenantPolicy.model_fields}) if row["has_own"] else None
        return HeldTenant(row["tenant_id"], row["stored"], row["live"], own)

    async def stored(self, only_tenant: str | None) -> int:
        """Return the number of messages, of one tenant or of all."""
        async with self._database.connection() as connection:
            return int(await self._queries.count_stored(connection, only_tenant=only_tenant))

    async def oldest_kept(self, tenant_id: str, kept: int) -> Place | None:
        """Return the oldest of a tenant's `kept` newest messages; None if it has no other messages to archive."""
        async with self._database.connection() as connection:
            row = await self._queries.oldest_kept(connection, tenant_id=tenant_id, kept=kept)
        return None if row is None else Place(row["created_at"], row["id"])

    async def plan_archiving(
        self, run: ClaimedRun, tenant_id: str, selected: Selection, kept_from: Place | None, page: "PageOf"
    ) -> PlannedPage:
        """Plan the archiving of the selected ones among the next messages of a tenant, oldest first."""
        async with self._database.connection() as connection:
            row = await self._queries.plan_archiving(
                connection,
                **_page(run, tenant_id, page),
                archive_before=selected.archive_before,
                threshold=selected.threshold,
                kept_from=kept_from and kept_from.at,
                kept_from_id=kept_from and kept_from.id,
            )
        return _planned(row)

    async def plan_deleting(self, run: ClaimedRun, tenant_id: str, selected: Selection, page: "PageOf") -> PlannedPage:
        """Plan the deletion of the next archived messages of a tenant, in the order of their archiving."""
        async with self._database.connection() as connection:
            row = await self._queries.plan_deleting(
                connection, **_page(run, tenant_id, page), delete_until=selected.delete_until
            )
        return _planned(row)

    async def note_tenant(
        self, run: ClaimedRun, tenant_id: str, policy: RetentionPolicy, plans: Sequence[PlannedTenant], planned: int
    ) -> None:
        """Record that a tenant is planned. `planned`: the number of items of the whole run so far."""
        async with self._database.connection() as connection:
            ours = await self._queries.note_tenant(
                connection,
                run_id=run.id,
                claim_id=run.claim_id,
                tenant_id=tenant_id,
                planned=planned,
                actions=[each.action for each in plans],
                counts=[each.planned for each in plans],
                messages=[each.messages for each in plans],
                refusals=[each.refused for each in plans],
                policy=policy.model_dump_json(),
            )
        if not ours:
            raise claim_lost()

    async def drop_items(self, run_id: UUID, behind: int, limit: int) -> int:
        """Delete at most `limit` items of a plan after the position `behind`. Return how many."""
        async with self._database.connection() as connection:
            return int(await self._queries.drop_items(connection, run_id=run_id, position=behind, limit=limit))

    async def spent_plans(self, run_id: UUID) -> list[UUID]:
        """Return the plans that can no longer be applied, including the one of this run."""
        async with self._database.connection() as connection:
            rows = self._queries.spent_plans(connection, run_id=run_id, kept_days=PLAN_KEPT_DAYS)
            return [row["id"] async for row in rows]

    async def forget(self, run_id: UUID) -> None:
        """Record that a plan has no items left."""
        async with self._database.connection() as connection:
            await self._queries.forget_plan(connection, run_id=run_id)


@dataclass(frozen=True)
class PageOf:
    """The next `limit` messages after a place. Planned ones get the positions after `position`."""

    after: Place
    position: int
    limit: int


def _page(run: ClaimedRun, tenant_id: str, page: PageOf) -> dict[str, object]:
    return {
        "run_id": run.id,
        "claim_id": run.claim_id,
        "tenant_id": tenant_id,
        "user_id": run.user_id,
        "after": page.after.at,
        "after_id": page.after.id,
        "position": page.position,
        "limit": page.limit,
    }


def _planned(row: Mapping[str, Any]) -> PlannedPage:
    if not row["ours"]:
        raise claim_lost()
    end = Place() if row["last_id"] is None else Place(row["last_at"], row["last_id"])
    return PlannedPage(row["read"], row["planned"], end)
