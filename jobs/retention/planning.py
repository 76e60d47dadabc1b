"""Plans a run: stores which messages it may change, tenant by tenant and page by page."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from deployments.retention.policy import Selection, effective, is_more_than_half, selection
from deployments.schemas.retention import Action, PlannedTenant
from deployments.storage.retention.plans import HeldTenant, PageOf, Place, PlannedPage, RetentionPlanRepository
from deployments.storage.retention.runs import ClaimedRun
from jobs.progress import Advance
from jobs.retention.pace import Pace

ReadPage = Callable[[PageOf], Awaitable[PlannedPage]]


class Planner:
    """Plans the tenants that a run has not planned yet. A partial plan of a tenant is dropped and made again."""

    def __init__(self, plans: RetentionPlanRepository, pace: Pace) -> None:
        self._plans = plans
        self._pace = pace

    async def plan(self, run: ClaimedRun, as_of: datetime, advance: Advance) -> None:
        """Plan all tenants of a run as of one moment. `advance` is called with the number of messages read.

        A run of a user has one tenant, which is marked as planned from the start. Raises `UnavailableError` if the
        database is unavailable or the claim is lost.
        """
        await self._pace.drain(
            lambda: self._plans.drop_items(run.id, run.planned, self._pace.page_size), lambda _dropped: None
        )
        if run.user_id is not None and await self._plans.is_planned(run.id):
            return
        after, planned = run.planned_tenant if run.user_id is None else "", run.planned
        while (tenant := await self._plans.next_tenant(after, run.tenant_id, run.user_id)) is not None:
            planned += await self._plan_tenant(run, tenant, as_of, planned)
            after = tenant.tenant_id
            advance(tenant.stored)

    async def _plan_tenant(self, run: ClaimedRun, tenant: HeldTenant, as_of: datetime, planned: int) -> int:
        """Return how many items the tenant adds to the `planned` ones before it."""
        policy = effective(run.policy, tenant.own)
        selected = selection(policy, run.actions, as_of)
        archive = await self._plan_archiving(run, tenant.tenant_id, selected, planned)
        delete = await self._plan_deleting(run, tenant.tenant_id, selected, planned + archive)
        counts = [(Action.ARCHIVE, archive, tenant.live), (Action.DELETE, delete, tenant.stored)]
        plans = [
            PlannedTenant(
                tenant_id=tenant.tenant_id,
                action=action,
                planned=count,
                messages=messages,
                refused=is_more_than_half(count, messages),
                policy=policy,
            )
            for action, count, messages in counts
            if count
        ]
        await self._plans.note_tenant(run, tenant.tenant_id, policy, plans, planned + archive + delete)
        return archive + delete

    async def _plan_archiving(self, run: ClaimedRun, tenant_id: str, selected: Selection, planned: int) -> int:
        if selected.archive_before is None:
            return 0
        kept_from = None
        if selected.keep_newest:
            kept_from = await self._plans.oldest_kept(tenant_id, selected.keep_newest)
            if kept_from is None:
                return 0
        return await self._read_all(
            lambda page: self._plans.plan_archiving(run, tenant_id, selected, kept_from, page), planned
        )

    async def _plan_deleting(self, run: ClaimedRun, tenant_id: str, selected: Selection, planned: int) -> int:
        if selected.delete_until is None:
            return 0
        return await self._read_all(lambda page: self._plans.plan_deleting(run, tenant_id, selected, page), planned)

    async def _read_all(self, read: ReadPage, planned: int) -> int:
        """Return how many items were planned after the `planned` ones before them."""
        place, position = Place(), planned

        async def next_page() -> int:
            nonlocal place, position
            page = await read(PageOf(place, position, self._pace.page_size))
            place, position = page.end, position + page.planned
            return page.read

        await self._pace.drain(next_page, lambda _read: None)
        return position - planned
