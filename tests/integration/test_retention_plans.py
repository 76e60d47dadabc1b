"""A plan before a deed: what applies it touches what it said, and what archived is undone. Too much is refused."""

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest

from deployments.errors import InvalidRequestError, RetentionConflictError
from deployments.schemas.retention import Phase, RetentionReport, RetentionRequest
from tests.integration.calls import change, found, get
from tests.integration.recount import execute
from tests.integration.retaining import aged, all_counts_hold, archived, finished, retention_of, states, undone
from tests.integration.service import Service


async def test_a_plan_says_what_would_be_done_and_touches_nothing(service: Service) -> None:
    old = [*await aged(service, 12), *await archived(service, 3, days_ago=100)]
    await aged(service, 20, importance=0.9)
    before = await states(service)

    plan = await finished(service.settings, dry_run=True)

    assert (plan.status, plan.dry_run, plan.archived, plan.deleted) == ("completed", True, 12, 3)
    assert [(each.action, each.planned, each.messages) for each in plan.tenants] == [
        ("archive", 12, 32),
        ("delete", 3, 35),
    ]
    assert {str(each.message_id) for each in plan.samples} <= set(old)
    assert [each.action for each in plan.samples] == ["archive"] * 10 + ["delete"] * 3
    assert await states(service) == before


Changes = Callable[[Service, list[str]], Awaitable[object]]
CHANGES: dict[str, Changes] = {
    "importance": lambda s, ids: execute(s, "UPDATE messages SET importance = 0.2 WHERE id = $1", UUID(ids[0])),
    "override": lambda s, ids: change(s, ids[0], importance_override=0.1),
    "content": lambda s, ids: change(s, ids[0], content="Something else"),
    "metadata": lambda s, ids: change(s, ids[0], metadata={"a": 1}),
    "archived": lambda s, ids: execute(s, "UPDATE messages SET archived = true WHERE id = $1", UUID(ids[0])),
    "deleted": lambda s, ids: s.client.delete(f"/v1/messages/{ids[0]}"),
    "embedded again": lambda s, ids: execute(
        s, "UPDATE messages SET embedding_status = 'pending' WHERE id = $1", UUID(ids[0])
    ),
}


@pytest.mark.parametrize("changed", CHANGES)
async def test_applying_a_plan_touches_what_it_said_but_for_what_changed_since(service: Service, changed: str) -> None:
    planned = await aged(service, 7)
    await aged(service, 20, importance=0.9)
    plan = await finished(service.settings, dry_run=True)
    later = await aged(service, 5)
    await CHANGES[changed](service, planned)
    before = await states(service)

    report = await finished(service.settings, dry_run=False, run_id=plan.run_id)

    assert (report.status, report.archived, report.skipped) == ("completed", 6, 1)
    after = await states(service)
    assert {each for each in after if after[each] != before[each]} == set(planned[1:])
    assert not any(after[each] for each in later)


@pytest.mark.parametrize("changed", ["importance", "restored", "archived anew", "content"])
async def test_a_deletion_that_was_planned_leaves_alone_what_changed_since(service: Service, changed: str) -> None:
    planned = await archived(service, 3, days_ago=100)
    await aged(service, 20, importance=0.9)
    plan = await finished(service.settings, dry_run=True)
    statement = {
        "importance": "importance = 0.2",
        "restored": "archived = false",
        "archived anew": "archived_at = now()",
        "content": "updated_at = now(), content = 'new'",
    }[changed]
    await execute(service, f"UPDATE messages SET {statement} WHERE id = $1", UUID(planned[0]))  # noqa: S608 - constants

    report = await finished(service.settings, dry_run=False, run_id=plan.run_id)

    assert (report.deleted, report.skipped) == (2, 1)
    assert planned[0] in await states(service)
    await all_counts_hold(service)


async def test_a_message_that_is_being_changed_is_left_alone(service: Service) -> None:
    """And holds nothing up."""
    ids = await aged(service, 4)
    await aged(service, 20, importance=0.9)
    async with service.database.transaction() as connection:
        await connection.fetch("SELECT FROM messages WHERE id = $1 FOR UPDATE", UUID(ids[1]))

        report = await finished(service.settings, dry_run=False)

    assert (report.archived, report.skipped) == (3, 1)
    assert not (await states(service))[ids[1]]


async def test_a_tenant_that_is_exempt_by_now_is_left_alone(service: Service) -> None:
    await aged(service, 4)
    await archived(service, 2, days_ago=100)
    await aged(service, 20, importance=0.9)
    plan = await finished(service.settings, dry_run=True)
    await service.client.put("/v1/admin/tenants/acme/retention", json={"exempt": True})

    report = await finished(service.settings, dry_run=False, run_id=plan.run_id)

    assert (report.archived, report.deleted, report.skipped) == (0, 0, 6)


async def test_a_plan_is_applied_once(service: Service) -> None:
    await aged(service, 2)
    await aged(service, 5, importance=0.9)
    plan = await finished(service.settings, dry_run=True)
    await finished(service.settings, dry_run=False, run_id=plan.run_id)

    with pytest.raises(RetentionConflictError):
        await finished(service.settings, dry_run=False, run_id=plan.run_id)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE retention_runs SET finished_at = now() - interval '8 days'",
        "UPDATE retention_runs SET as_of = now() + interval '1 hour'",
        "UPDATE retention_runs SET status = 'failed'",
        "UPDATE retention_runs SET status = 'running'",
        "UPDATE retention_runs SET dry_run = false",
    ],
)
async def test_a_plan_that_is_no_plan_any_more_is_not_applied(service: Service, statement: str) -> None:
    await aged(service, 2)
    await aged(service, 5, importance=0.9)
    plan = await finished(service.settings, dry_run=True)
    await execute(service, statement)

    with pytest.raises(RetentionConflictError):
        await finished(service.settings, dry_run=False, run_id=plan.run_id)


async def test_no_work_list_is_left_when_it_is_done(service: Service) -> None:
    await aged(service, 9)
    await aged(service, 20, importance=0.9)
    old_plan = await finished(service.settings, dry_run=True)
    await execute(service, "UPDATE retention_runs SET finished_at = now() - interval '8 days'")
    plan = await finished(service.settings, dry_run=True)

    await finished(service.settings, dry_run=False, run_id=plan.run_id)

    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM retention_items") == 0
        kept = await connection.fetch("SELECT id FROM retention_runs WHERE plan_kept AND id = $1", old_plan.run_id)
    assert kept == []


async def test_what_was_archived_is_restored_by_an_undo_and_found_again(service: Service) -> None:
    ids = await aged(service, 7)
    await archived(service, 1, days_ago=5)
    await aged(service, 20, importance=0.9)
    before = await states(service)
    run = await finished(service.settings, dry_run=False)
    await change(service, ids[0], metadata={"seen": True})
    assert run.archived == 7

    undo = await undone(service.settings, run.run_id)

    assert (undo.status, undo.restored, undo.source_run_id, undo.actions) == (
        "completed",
        7,
        run.run_id,
        ["restore"],
    )
    assert await states(service) == before
    assert len(await found(service, "note", top_k=50)) == 27
    assert (await get(service, ids[0]))["metadata"] == {"seen": True}
    await all_counts_hold(service)
    assert (await undone(service.settings, run.run_id)).restored == 0


async def test_what_was_deleted_since_is_not_restored(service: Service) -> None:
    await aged(service, 4)
    await aged(service, 20, importance=0.9)
    run = await finished(service.settings, dry_run=False)
    await execute(
        service,
        "UPDATE messages SET archived_at = now() - interval '100 days'"
        " WHERE id IN (SELECT id FROM messages WHERE archived LIMIT 3)",
    )
    assert (await finished(service.settings, dry_run=False)).deleted == 3

    assert (await undone(service.settings, run.run_id)).restored == 1


async def test_a_run_that_archived_nothing_or_is_under_way_cannot_be_undone(service: Service) -> None:
    plan = await finished(service.settings, dry_run=True)
    run = await finished(service.settings, dry_run=False)
    await execute(service, "UPDATE retention_runs SET status = 'running' WHERE id = $1", run.run_id)

    for each in (plan, run):
        with pytest.raises(RetentionConflictError):
            await undone(service.settings, each.run_id)


async def test_who_would_undo_a_plan_is_told_which_run_applied_it(service: Service) -> None:
    await aged(service, 3)
    await aged(service, 20, importance=0.9)
    plan = await finished(service.settings, dry_run=True)
    run = await finished(service.settings, dry_run=False, run_id=plan.run_id)

    with pytest.raises(RetentionConflictError, match=f"undo run {run.run_id}, which applied it") as refused:
        await undone(service.settings, plan.run_id)

    assert refused.value.details == {"run_id": str(run.run_id)}
    assert (await undone(service.settings, run.run_id)).restored == 3


async def most_of_acme(service: Service) -> None:
    """Six of ten are old; and of globex one of ten."""
    for tenant_id, old in (("acme", 6), ("globex", 1)):
        await aged(service, old, tenant_id=tenant_id)
        await aged(service, 10 - old, importance=0.9, tenant_id=tenant_id)


def refusals(report: RetentionReport) -> dict[str, bool]:
    return {each.tenant_id: each.refused for each in report.tenants}


async def test_more_than_half_of_a_tenant_is_left_alone_unless_forced(service: Service) -> None:
    await most_of_acme(service)

    report = await finished(service.settings, dry_run=False)
    assert (report.status, report.archived, refusals(report)) == ("completed", 1, {"acme": True, "globex": False})

    forced = await finished(service.settings, dry_run=False, force=True)
    assert (forced.status, forced.archived, forced.forced) == ("completed", 6, True)


@pytest.mark.parametrize("action", ["archive", "delete"])
async def test_a_run_of_nothing_but_too_much_is_refused(service: Service, action: str) -> None:
    await most_of_acme(service)
    if action == "delete":
        await execute(
            service,
            "UPDATE messages SET archived = true, archived_at = now() - interval '1 year' WHERE importance < 0.5",
        )
    before = await states(service)

    report = await finished(service.settings, tenant_id="acme", dry_run=False)

    assert (report.status, report.archived, report.deleted) == ("refused", 0, 0)
    assert await states(service) == before


async def test_a_plan_that_was_refused_is_applied_with_force_alone(service: Service) -> None:
    await most_of_acme(service)
    plan = await finished(service.settings, tenant_id="acme", dry_run=True)
    assert (plan.status, plan.archived, refusals(plan)) == ("refused", 0, {"acme": True})

    assert (await finished(service.settings, dry_run=False, run_id=plan.run_id)).status == "refused"
    assert (await finished(service.settings, dry_run=False, run_id=plan.run_id, force=True)).archived == 6


async def test_half_of_a_tenant_is_not_too_much(service: Service) -> None:
    await aged(service, 5)
    await aged(service, 5, importance=0.9)

    assert (await finished(service.settings, dry_run=False)).archived == 5


class TestOfAUser:
    """A run of one user touches that user's messages alone, by the policy of the tenant."""

    async def of_users(self, service: Service) -> tuple[list[str], list[str]]:
        """The ids of two old messages of ada's beside three young ones, and of three old ones of bob's."""
        hers, his = await aged(service, 2), await aged(service, 3)
        young = await aged(service, 3, days=1)
        for ids, user_id in ((hers + young, "ada"), (his, "bob")):
            await execute(service, "UPDATE messages SET user_id = $1 WHERE id = ANY($2)", user_id, list(map(UUID, ids)))
        return hers, his

    async def test_others_are_left_alone(self, service: Service) -> None:
        hers, _ = await self.of_users(service)
        gone = await archived(service, 2, days_ago=100)
        await execute(service, "UPDATE messages SET user_id = 'ada' WHERE id = $1", UUID(gone[0]))

        plan = await finished(service.settings, dry_run=True, tenant_id="acme", user_id="ada")
        assert (plan.user_id, plan.archived, plan.deleted) == ("ada", 2, 1)
        # What is refused beyond the half is counted of hers.
        assert [(each.action, each.messages, each.refused) for each in plan.tenants] == [
            ("archive", 5, False),
            ("delete", 6, False),
        ]
        with pytest.raises(InvalidRequestError, match="another user"):
            await finished(service.settings, dry_run=False, run_id=plan.run_id, user_id="bob")
        report = await finished(service.settings, dry_run=False, run_id=plan.run_id)

        assert (report.user_id, report.archived, report.deleted) == ("ada", 2, 1)
        after = await states(service)
        assert {each for each in after if after[each]} == {*hers, gone[1]}
        assert gone[0] not in after
        restored = await undone(service.settings, report.run_id)
        assert (restored.user_id, restored.restored) == ("ada", 2)
        await all_counts_hold(service)

    async def test_more_than_half_of_a_users_is_refused(self, service: Service) -> None:
        await self.of_users(service)
        before = await states(service)

        report = await finished(service.settings, dry_run=False, tenant_id="acme", user_id="bob")

        assert (report.status, [(each.planned, each.messages) for each in report.tenants]) == ("refused", [(3, 3)])
        assert await states(service) == before

    async def test_one_that_is_taken_up_again_is_not_planned_twice(self, service: Service) -> None:
        await self.of_users(service)
        request = RetentionRequest(tenant_id="acme", user_id="ada", dry_run=False)
        async with retention_of(service.settings) as (runs, runner):
            run_id = await runs.create(request, "test")
            # A job of the release before looks for the tenants behind this one.
            claimed = await runs.claim(run_id, uuid4())
            assert claimed is not None
            assert claimed.planned_tenant == "acme"
            await runs.enter_phase(claimed, Phase.PLANNING, await runs.now())
            await runner._planner.plan(claimed, await runs.now(), lambda _count: None)

            await runner.finish(run_id)
            report = await runs.report(run_id)

        assert (report.status, report.archived) == ("completed", 2)
        assert [each.planned for each in report.tenants] == [2]
