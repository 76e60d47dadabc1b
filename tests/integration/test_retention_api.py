"""Retention over HTTP: runs, their ledger, undo, policies, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from deployments.schemas.api_keys import KeyScope
from deployments.schemas.retention import RetentionRequest, RunStatus
from serve_app.retention.service import RetentionScheduler, RetentionService
from tests.integration.calls import Json, error_of
from tests.integration.keys import make, sent
from tests.integration.recount import execute
from tests.integration.retaining import aged, archived, finished, retention_of, states
from tests.integration.service import Service

RUN = "/v1/admin/retention/run"
RUNS = "/v1/admin/retention/runs"
POLICY = "/v1/admin/tenants/acme/retention"


@pytest.fixture
async def busy(service: Service) -> AsyncIterator[Service]:
    """A service with messages to archive and to delete, whose jobs are over when the test is."""
    await aged(service, 20, importance=0.9)
    await aged(service, 7)
    await archived(service, 5, days_ago=100)
    yield service
    await service.retention.close()


async def run(service: Service, status: int = 200, **body: object) -> Json:
    answer = await service.client.post(RUN, json={"actions": ["archive", "delete"], "dry_run": False, **body})
    assert answer.status_code == status, answer.text
    report: Json = answer.json()
    return report


async def test_a_run_is_answered_when_it_is_over(busy: Service) -> None:
    report = await run(busy)

    assert {name: report[name] for name in ("status", "archived", "deleted", "dry_run", "tenant_id")} == {
        "status": "completed",
        "archived": 7,
        "deleted": 5,
        "dry_run": False,
        "tenant_id": None,
    }
    assert (await busy.client.get(f"{RUNS}/{report['run_id']}")).json() == report
    assert sum((await states(busy)).values()) == 7


async def test_a_run_that_takes_longer_than_the_wait_goes_on(busy: Service) -> None:
    busy.retention.held_up = True

    report = await run(busy, status=202, wait_seconds=0.1)

    assert (report["status"], report["phase"], report["archived"]) == ("running", "queued", 0)
    async with retention_of(busy.settings) as (_, runner):
        await runner.finish(busy.retention.submitted[0])
    later = (await busy.client.get(f"{RUNS}/{report['run_id']}")).json()
    assert (later["status"], later["archived"], later["deleted"]) == ("completed", 7, 5)


async def test_a_wait_ends_before_its_request_would(busy: Service) -> None:
    busy.retention.held_up = True

    async with retention_of(busy.settings) as (runs, _), asyncio.timeout(40):
        desk = RetentionService(runs, busy.retention.submit, longest_wait_seconds=0.4)
        report = await desk.start(RetentionRequest(dry_run=False, wait_seconds=50), "root")

    assert report.status is RunStatus.RUNNING


async def test_a_plan_is_made_shown_and_applied(busy: Service) -> None:
    plan = await run(busy, dry_run=True)

    assert (plan["archived"], plan["deleted"], len(plan["samples"])) == (7, 5, 12)
    assert [(each["tenant_id"], each["action"], each["planned"]) for each in plan["tenants"]] == [
        ("acme", "archive", 7),
        ("acme", "delete", 5),
    ]
    assert "content" not in plan["samples"][0]
    assert sum((await states(busy)).values()) == 5

    applied = await run(busy, run_id=plan["run_id"])

    assert (applied["archived"], applied["deleted"], applied["source_run_id"]) == (7, 5, plan["run_id"])
    again = await busy.client.post(RUN, json={"dry_run": False, "run_id": plan["run_id"]})
    assert (again.status_code, error_of(again)["code"]) == (409, "retention_conflict")


async def test_a_run_is_undone(busy: Service) -> None:
    done = await run(busy)

    undone = (await busy.client.post(f"{RUNS}/{done['run_id']}/undo")).json()

    assert (undone["status"], undone["restored"], undone["source_run_id"]) == ("completed", 7, done["run_id"])
    assert not any((await states(busy)).values())


async def test_the_ledger_lists_all_runs_in_pages(busy: Service) -> None:
    made = [(await run(busy, dry_run=True))["run_id"] for _ in range(3)]

    first = (await busy.client.get(RUNS, params={"limit": 2})).json()
    second = (await busy.client.get(RUNS, params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [each["run_id"] for each in first["items"] + second["items"]] == made[::-1]
    assert second["next_cursor"] is None
    assert first["items"][0]["policy"]["max_age_days"] == 30


@pytest.mark.parametrize(
    "body",
    [
        {"actions": []},
        {"actions": ["restore"]},
        {"actions": ["forget"]},
        {"actions": "archive"},
        {"dry_run": None},
        {"wait_seconds": -1},
        {"wait_seconds": 51},
        {"tenant_id": ""},
        {"user_id": "ada"},
        {"tenant_id": "a\0"},
        {"run_id": "nothing"},
        {"run_id": str(uuid4()), "dry_run": True},
        {"forced": True},
    ],
)
async def test_what_makes_no_sense_is_refused(service: Service, body: Json) -> None:
    answer = await service.client.post(RUN, json={"dry_run": False, **body})

    assert (answer.status_code, error_of(answer)["code"]) == (422, "validation_error")
    assert service.retention.submitted == []


async def test_what_does_not_exist_is_not_found(service: Service) -> None:
    for method, path in (("GET", f"{RUNS}/{uuid4()}"), ("POST", f"{RUNS}/{uuid4()}/undo")):
        assert (await service.client.request(method, path)).status_code == 404
    answer = await service.client.post(RUN, json={"dry_run": False, "run_id": str(uuid4())})
    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")


async def test_a_plan_is_applied_as_it_is(busy: Service) -> None:
    plan = await run(busy, dry_run=True, tenant_id="acme")

    other_actions = await busy.client.post(
        RUN, json={"dry_run": False, "run_id": plan["run_id"], "actions": ["delete"]}
    )
    other_tenant = await busy.client.post(RUN, json={"dry_run": False, "run_id": plan["run_id"], "tenant_id": "globex"})

    assert (other_actions.status_code, error_of(other_actions)["code"]) == (422, "invalid_request")
    assert other_tenant.status_code == 404
    assert (await run(busy, run_id=plan["run_id"]))["tenant_id"] == "acme"


async def test_an_administrator_of_a_tenant_has_its_runs_alone(service: Service) -> None:
    key = sent(await make(service, "acme", KeyScope.ADMIN))
    for tenant_id in ("acme", "globex"):
        await aged(service, 2, tenant_id=tenant_id)
        await aged(service, 4, importance=0.9, tenant_id=tenant_id)
    everyones = await finished(service.settings, dry_run=True)

    mine = await service.client.post(RUN, json={"dry_run": False}, headers=key)
    listed = await service.client.get(RUNS, headers=key)
    others = [
        await service.client.get(f"{RUNS}/{everyones.run_id}", headers=key),
        await service.client.post(f"{RUNS}/{everyones.run_id}/undo", headers=key),
        await service.client.post(RUN, json={"dry_run": False, "run_id": str(everyones.run_id)}, headers=key),
    ]
    await service.retention.close()

    assert (mine.json()["tenant_id"], mine.json()["archived"]) == ("acme", 2)
    assert mine.json()["requested_by"].startswith("aml_")
    assert [each["run_id"] for each in listed.json()["items"]] == [mine.json()["run_id"]]
    assert [each.status_code for each in others] == [404, 404, 404]


async def test_a_tenants_policy_is_set_read_and_taken_away(service: Service) -> None:
    defaults = (await service.client.get(POLICY)).json()
    assert defaults["own"] is None

    put = await service.client.put(POLICY, json={"max_age_days": 7, "keep_newest": 50})
    got = await service.client.get(POLICY)
    replaced = await service.client.put(POLICY, json={"exempt": True})
    deleted = await service.client.delete(POLICY)

    assert put.json() == got.json()
    assert got.json()["policy"] == {**defaults["policy"], "max_age_days": 7, "keep_newest": 50}
    assert replaced.json()["policy"] == {**defaults["policy"], "exempt": True}
    assert deleted.status_code == 204
    assert (await service.client.get(POLICY)).json() == defaults
    assert (await service.client.delete(POLICY)).status_code == 204


@pytest.mark.parametrize(
    "own",
    [
        {"max_age_days": 0},
        {"max_age_days": 1.5},
        {"max_age_days": 40_000},
        {"importance_threshold": 1.1},
        {"importance_threshold": -0.1},
        {"delete_after_days": 0},
        {"keep_newest": -1},
        {"exempt": None},
        {"exemption": True},
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(service: Service, own: Json) -> None:
    answer = await service.client.put(POLICY, json=own)

    assert (answer.status_code, error_of(answer)["code"]) == (422, "validation_error")


async def test_a_run_that_no_job_took_is_handed_over_again(busy: Service) -> None:
    busy.retention.held_up = True
    report = await run(busy, status=202, wait_seconds=0)
    busy.retention.held_up = False
    async with retention_of(busy.settings) as (runs, _):
        replicas = [RetentionScheduler(runs, busy.retention.submit, None) for _ in range(3)]
        for each in replicas:
            await each.look()
        assert len(busy.retention.submitted) == 1
        await execute(busy, "UPDATE retention_runs SET submitted_at = now() - interval '61 seconds'")
        for each in replicas:
            await each.look()
    await busy.retention.close()

    assert [str(each) for each in busy.retention.submitted] == [report["run_id"]] * 2
    assert (await busy.client.get(f"{RUNS}/{report['run_id']}")).json()["status"] == "completed"


async def test_the_schedule_runs_once_for_all_replicas(busy: Service) -> None:
    async with retention_of(busy.settings) as (runs, _):
        for each in [RetentionScheduler(runs, busy.retention.submit, 3600) for _ in range(3)]:
            await each.look()
    await busy.retention.close()

    (listed,) = (await busy.client.get(RUNS)).json()["items"]
    assert (listed["requested_by"], listed["status"], listed["archived"]) == ("schedule", "completed", 7)
