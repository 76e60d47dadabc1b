"""Retention is killed, doubled, cut off and misled by its clock: the ledger stays true, and nothing is done twice."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from deployments.schemas.retention import RetentionRequest, RunStatus
from deployments.settings import Settings
from deployments.storage.retention.lock import RetentionLock
from tests.integration.recount import execute
from tests.integration.retaining import (
    GATES,
    aged,
    all_counts_hold,
    archived,
    database_of,
    finished,
    gate_closed,
    reached,
    retention_of,
    states,
    undone,
)
from tests.integration.service import Service
from tests.paths import ROOT

DEADLINE_SECONDS = 60


def start_job(settings: Settings, *options: str) -> "subprocess.Popen[str]":
    """`python -m jobs.retention` as a process of its own, in batches of two."""
    assert settings.database.url is not None
    environment = {
        **os.environ,
        "MEMORY_DATABASE_URL": settings.database.url.get_secret_value(),
        "MEMORY_RETENTION_BATCH_SIZE": "2",
        "MEMORY_RETENTION_PAUSE_FACTOR": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.retention", *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def a_memory(service: Service) -> tuple[list[str], list[str]]:
    """Messages to archive and to delete, among important ones."""
    await aged(service, 20, importance=0.9)
    return await aged(service, 7), await archived(service, 5, days_ago=100)


async def stop_in(service: Service, phase: str, number: signal.Signals) -> tuple[int, str]:
    """Send a job a signal while it is in a phase. Its exit code, and what it complained of."""
    async with gate_closed(service, phase) as connection:
        process = start_job(service.settings)
        try:
            await reached(connection)
            process.send_signal(number)
            complaint = (await asyncio.to_thread(process.communicate))[1]
        finally:
            process.kill()
        # What is still under way in the database is rolled back as soon as it notices.
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event = 'advisory'"
        )
    return process.returncode, complaint


@pytest.mark.parametrize("phase", GATES)
async def test_a_run_that_is_killed_goes_on_where_it_was(service: Service, phase: str) -> None:
    to_archive, to_delete = await a_memory(service)
    before = set(await states(service))

    assert (await stop_in(service, phase, signal.SIGKILL))[0] == -signal.SIGKILL
    async with retention_of(service.settings) as (runs, runner):
        (left,) = await runs.page(None, 10, None)
        assert (left.status, left.phase) == ("running", phase)
        partly = {"planning": (0, 0), "archiving": (2, 0), "deleting": (7, 2), "finishing": (7, 5)}
        assert (left.archived, left.deleted) == partly[phase]
        await all_counts_hold(service)

        await runner.finish(left.run_id)
        over = await runs.get(left.run_id)

    assert (over.status, over.archived, over.deleted, over.skipped) == ("completed", 7, 5, 0)
    after = await states(service)
    assert set(after) == before - set(to_delete)
    assert {each for each, is_archived in after.items() if is_archived} == set(to_archive)
    await all_counts_hold(service)
    assert (await undone(service.settings, left.run_id)).restored == 7
    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM retention_items") == 0


async def test_a_run_that_is_told_to_stop_is_cancelled_and_can_be_undone(service: Service) -> None:
    await a_memory(service)

    status, complaint = await stop_in(service, "archiving", signal.SIGTERM)

    assert (status, "cancelled" in complaint) == (130, True)
    async with retention_of(service.settings) as (runs, _):
        (run,) = await runs.page(None, 10, None)
    assert (run.status, run.archived) == ("cancelled", 2)
    assert (await undone(service.settings, run.run_id)).restored == 2


async def test_an_undo_that_is_killed_goes_on_where_it_was(service: Service) -> None:
    to_archive, _ = await a_memory(service)
    run = await finished(service.settings, dry_run=False, actions=["archive"])
    async with gate_closed(service, "archiving") as connection:
        process = start_job(service.settings, "--undo", str(run.run_id))
        try:
            await reached(connection)
        finally:
            process.kill()
            await asyncio.to_thread(process.communicate)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event = 'advisory'"
        )

    async with retention_of(service.settings) as (runs, runner):
        undo = (await runs.page(None, 1, None))[0]
        await runner.finish(undo.run_id)
        over = await runs.get(undo.run_id)

    assert (undo.restored, over.status, over.restored) == (2, "completed", 7)
    assert not any([(await states(service))[each] for each in to_archive])


async def test_two_that_are_started_at_once_take_turns(service: Service) -> None:
    to_archive, _ = await a_memory(service)
    processes = [start_job(service.settings) for _ in range(2)]
    done = [await asyncio.to_thread(process.communicate) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], done
    async with retention_of(service.settings) as (runs, _):
        second, first = await runs.page(None, 10, None)
    assert [(each.archived, each.deleted) for each in (first, second)] == [(7, 5), (0, 0)]
    assert first.finished_at is not None
    assert second.as_of is not None
    assert second.as_of >= first.finished_at
    assert sum([(await states(service))[each] for each in to_archive]) == 7


async def test_a_job_waits_for_the_lock_and_does_what_is_left_before_its_own(service: Service) -> None:
    await a_memory(service)
    database = database_of(service.settings)
    async with retention_of(service.settings) as (runs, runner):
        orphan = await runs.create(RetentionRequest(dry_run=False), "killed")
        own = await runs.create(RetentionRequest(dry_run=True), "test")
        async with RetentionLock(database).held():
            finishing = asyncio.create_task(runner.finish(own))
            await asyncio.wait([finishing], timeout=0.5)
            assert (await runs.get(orphan)).status is RunStatus.RUNNING
        await asyncio.wait_for(finishing, DEADLINE_SECONDS)
        first, second = await runs.get(orphan), await runs.get(own)

    assert (first.status, first.archived, second.status, second.archived) == ("completed", 7, "completed", 0)


async def test_a_run_that_another_has_taken_is_left_to_it(service: Service) -> None:
    """As when the connection that holds the lock was cut unnoticed."""
    await a_memory(service)
    async with retention_of(service.settings) as (runs, runner), retention_of(service.settings) as (_, other):
        run_id = await runs.create(RetentionRequest(dry_run=False), "test")
        async with gate_closed(service, "archiving") as connection:
            slow = asyncio.create_task(runner.finish(run_id))
            await reached(connection)
            await execute(
                service,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'",
            )
            taking = asyncio.create_task(other.finish(run_id))
            await asyncio.wait([taking], timeout=0.5)
        await asyncio.wait_for(asyncio.gather(slow, taking), DEADLINE_SECONDS)
        over = await runs.get(run_id)

    assert (over.status, over.archived, over.deleted, over.skipped) == ("completed", 7, 5, 0)
    await all_counts_hold(service)


async def a_year_ahead() -> datetime:
    return datetime.now(UTC) + timedelta(days=365)


async def a_year_behind() -> datetime:
    return datetime.now(UTC) - timedelta(days=365)


async def test_a_clock_that_goes_back_makes_nothing_older(service: Service) -> None:
    await a_memory(service)
    before = await states(service)
    async with retention_of(service.settings, clock=a_year_behind) as (runs, runner):
        run_id = await runs.create(RetentionRequest(dry_run=False), "test")
        await runner.finish(run_id)
        run = await runs.get(run_id)

    assert (run.status, run.archived, run.deleted) == ("completed", 0, 0)
    assert await states(service) == before


async def test_a_run_of_a_clock_that_went_back_since_is_not_gone_on_with(service: Service) -> None:
    await a_memory(service)
    before = await states(service)
    async with retention_of(service.settings, clock=a_year_ahead) as (runs, runner):
        run_id = await runs.create(RetentionRequest(dry_run=True, force=True), "test")
        await runner.finish(run_id)
        plan = await runs.get(run_id)
    assert plan.archived == 7
    await execute(service, "UPDATE retention_runs SET status = 'running', dry_run = false, phase = 'archiving'")

    async with retention_of(service.settings) as (runs, runner):
        await runner.finish(run_id)
        run = await runs.get(run_id)

    assert run.status == "failed"
    assert "clock went back" in str(run.error)
    assert await states(service) == before


async def test_the_schedule_is_due_once_however_many_ask(service: Service) -> None:
    async with retention_of(service.settings) as (runs, _):
        everyone = [(await asyncio.gather(*(r.create_scheduled(3600) for r in [runs] * 8))) for _ in range(3)]
        created = [run_id for each in everyone for run_id in each if run_id is not None]
        assert len(created) == 1
        assert (await runs.get(created[0])).requested_by == "schedule"


async def test_the_schedule_goes_on_when_it_is_due_and_when_the_clock_went_back(service: Service) -> None:
    async with retention_of(service.settings) as (runs, runner):
        now = await runs.now()

        async def due(hours: float) -> bool:
            run_id = await runs.create_scheduled(3600, now + timedelta(hours=hours))
            if run_id is not None:
                await runner.finish(run_id)
            return run_id is not None

        asked = [0, 0.5, 1.0, 1.5, 2.5, -24, -23.5, -23]
        assert [await due(hours) for hours in asked] == [True, False, True, False, True, True, False, True]


async def test_a_scheduled_run_that_is_not_over_is_not_followed_by_another(service: Service) -> None:
    async with retention_of(service.settings) as (runs, _):
        now = await runs.now()
        assert await runs.create_scheduled(60, now) is not None
        assert await runs.create_scheduled(60, now + timedelta(hours=1)) is None


async def test_a_run_whose_job_is_gone_is_handed_over_once(service: Service) -> None:
    async with retention_of(service.settings) as (runs, runner):
        run_id: UUID = await runs.create(RetentionRequest(dry_run=False), "test")
        assert await runs.claim_orphans(60) is None
        await execute(service, "UPDATE retention_runs SET submitted_at = now() - interval '61 seconds'")

        claimed = await asyncio.gather(*(each.claim_orphans(60) for each in [runs] * 8))

        assert [each for each in claimed if each is not None] == [run_id]
        await runner.finish(run_id)
        await execute(service, "UPDATE retention_runs SET submitted_at = now() - interval '61 seconds'")
        assert await runs.claim_orphans(60) is None
