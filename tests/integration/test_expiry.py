"""Messages that expire: hidden from that moment on, and deleted soon afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from deployments.embedding.pruner import Pruner
from deployments.schemas.retention import TenantPolicy
from deployments.storage.messages.expiry import ExpiryRepository
from deployments.storage.retention.policies import RetentionPolicyRepository, default_policy
from deployments.storage.tenants.erasure import ErasureOrder
from deployments.storage.transfer.snapshots import tenant_snapshot
from tests.integration.calls import Json, change, error_of, get, message, store, store_many
from tests.integration.expiring import HOUR, expire, left, row_of, seconds_between
from tests.integration.failing import Scripted
from tests.integration.polling import until
from tests.integration.recount import execute
from tests.integration.retaining import aged, all_counts_hold, archived, finished, states
from tests.integration.service import Service
from tests.integration.test_embedding_worker import worker_with

# Seconds from now, none of them near it; None: never.
EXPIRIES = st.one_of(st.none(), st.integers(-100_000_000, -1), st.integers(600, 100_000_000))


async def listed(service: Service, tenant_id: str, **parameters: str) -> set[str]:
    answer = await service.client.get("/v1/messages", params={"tenant_id": tenant_id, **parameters})
    return {item["id"] for item in answer.json()["items"]}


async def recent(service: Service, tenant_id: str) -> set[str]:
    """Those of the one conversation that a context begins with."""
    body = {"tenant_id": tenant_id, "conversation_id": "c1", "top_k": 0, "token_budget": 10_000}
    answer = await service.client.post("/v1/memory/context", json=body)
    return {item["message_id"] for item in answer.json()["items"]}


async def exported(service: Service, tenant_id: str) -> set[str]:
    async with tenant_snapshot(service.database, tenant_id) as snapshot:
        count = (await snapshot.counts()).messages
        lines = [line async for page in snapshot.pages(None, with_vectors=False) for line in page.lines]
    assert len(lines) == count
    return {orjson.loads(line)["id"] for line in lines}


async def conversations(service: Service, tenant_id: str) -> dict[str, int]:
    """How many messages each has, by the listing and by itself."""
    answer = await service.client.get("/v1/conversations", params={"tenant_id": tenant_id})
    for each in answer.json()["items"]:
        path = f"/v1/conversations/{each['conversation_id']}"
        assert (await service.client.get(path, params={"tenant_id": tenant_id})).json() == each
    return {each["conversation_id"]: each["messages"] for each in answer.json()["items"]}


@given(expiries=st.lists(st.tuples(EXPIRIES, st.sampled_from(["c1", "c2"])), min_size=1, max_size=6))
@hypothesis_settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_message_is_read_if_and_only_if_its_expiry_is_to_come(
    service: Service, expiries: list[tuple[int | None, str]]
) -> None:
    tenant_id = str(uuid4())
    stored = await store_many(
        service, [message(f"note {n}", tenant_id=tenant_id, conversation_id=c) for n, (_, c) in enumerate(expiries)]
    )
    for each, (seconds, _) in zip(stored, expiries, strict=True):
        if seconds is not None:
            await expire(service, each["id"], seconds)
    live = {
        each["id"]: each["conversation_id"]
        for each, (seconds, _) in zip(stored, expiries, strict=True)
        if seconds is None or seconds > 0
    }

    assert await listed(service, tenant_id) == await exported(service, tenant_id) == set(live)
    assert await listed(service, tenant_id, conversation_id="c1") == await recent(service, tenant_id)
    assert await recent(service, tenant_id) == {each for each, conversation in live.items() if conversation == "c1"}
    counts = {name: list(live.values()).count(name) for name in set(live.values())}
    assert await conversations(service, tenant_id) == counts
    for each in stored:
        status = (await service.client.get(f"/v1/messages/{each['id']}")).status_code
        assert status == (200 if each["id"] in live else 404)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "?refresh_ttl=true", None),
        ("PATCH", "", {"content": "It says something else."}),
        ("PATCH", "", {"expires_at": None}),
        ("DELETE", "", None),
        ("POST", "/retry", None),
    ],
)
async def test_an_expired_message_is_not_found(service: Service, method: str, path: str, body: Json | None) -> None:
    stored = await store(service, ttl_seconds=60)
    await expire(service, stored["id"])
    before = await row_of(service, stored["id"])

    answer = await service.client.request(method, f"/v1/messages/{stored['id']}{path}", json=body)

    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")
    assert (before and before["written_by"]) == ((await row_of(service, stored["id"])) or {}).get("written_by")


async def test_a_conversation_of_expired_messages_is_not_found_and_yet_deleted(service: Service) -> None:
    stored = await store(service)
    await expire(service, stored["id"])

    answers = [
        await service.client.request(method, "/v1/conversations/c1", params={"tenant_id": "acme"})
        for method in ("GET", "DELETE")
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert await row_of(service, stored["id"]) is None


async def test_a_first_answer_is_forgotten_when_its_message_expires(service: Service) -> None:
    once = partial(service.client.post, "/v1/messages", json=message(ttl_seconds=60), headers={"Idempotency-Key": "k"})
    first = (await once()).json()
    again = (await once()).json()
    await expire(service, first["id"])
    hidden = await once()
    await ExpiryRepository(service.database).delete_all()
    deleted = await once()

    assert again == first
    assert [hidden.status_code, deleted.status_code] == [409, 409]
    assert "Python" not in hidden.text


async def test_an_erasure_counts_what_had_expired(service: Service) -> None:
    first, _ = await store_many(service, [message("one"), message("two")])
    await expire(service, first["id"])

    receipt = await service.erasures.erase(ErasureOrder("acme", "test"))

    assert receipt.messages == 2


async def test_what_has_expired_is_deleted_with_its_job_and_nothing_else_is(service: Service) -> None:
    embedded = await store_many(service, [message(f"embedded {n}", ttl_seconds=60) for n in range(3)])
    await service.embed_all()
    waiting = await store_many(service, [message(f"waiting {n}", ttl_seconds=60) for n in range(3)])
    kept = await store(service)
    for each in (*embedded[:2], *waiting[:2]):
        await expire(service, each["id"])

    deleted = await asyncio.gather(*(ExpiryRepository(service.database).delete_all(0) for _ in range(3)))

    assert sum(deleted) == 4
    assert set(await states(service)) == {embedded[2]["id"], waiting[2]["id"], kept["id"]}
    assert (await service.jobs.counts()).pending == 2
    await service.embed_all()
    await all_counts_hold(service)


async def test_more_than_a_batch_is_deleted(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.storage.messages.expiry.BATCH", 2)
    await aged(service, 5)
    await execute(service, "UPDATE messages SET expires_at = now()")

    assert await ExpiryRepository(service.database).delete_all() == 5


async def test_what_is_refreshed_at_the_last_moment_stays(service: Service) -> None:
    stored = await store(service)
    await expire(service, stored["id"])
    connection = await service.database.connect()
    try:
        async with connection.transaction():
            await connection.execute("UPDATE messages SET expires_at = now() + interval '1 hour'")
            while_locked = await ExpiryRepository(service.database).delete_all()
        afterwards = await ExpiryRepository(service.database).delete_all()
    finally:
        await connection.close()

    assert (while_locked, afterwards) == (0, 0)
    assert (await get(service, stored["id"]))["id"] == stored["id"]


async def test_the_service_deletes_without_any_retention(service: Service) -> None:
    stored = await store(service)
    await expire(service, stored["id"])

    with capture_logs() as logs:
        running = asyncio.create_task(
            Pruner("expired_messages", ExpiryRepository(service.database).delete_all, 0.01).run()
        )
        await until(lambda: any(log["event"] == "pruned" for log in logs))
        running.cancel()
        await asyncio.wait([running])

    assert await row_of(service, stored["id"]) is None
    assert [log["count"] for log in logs] == [1]


async def test_what_expires_before_it_is_embedded_never_is(service: Service) -> None:
    gone, _ = await store_many(service, [message("It expires."), message("It stays.")])
    await expire(service, gone["id"])
    provider = Scripted()

    assert await worker_with(service, provider).work_once() == 1

    assert [len(texts) for texts in provider.documents] == [1]
    assert "It stays." in provider.documents[0][0]
    await provider.close()


async def test_a_retention_run_deletes_what_has_expired_in_its_tenant_and_plans_none_of_it(service: Service) -> None:
    """Also of a tenant that is exempt from its policy: an expiry is an order of its own."""
    policies = RetentionPolicyRepository(service.database, default_policy(service.settings.retention))
    await policies.put("acme", TenantPolicy(exempt=True))
    ids = [*await aged(service, 2), *await archived(service, 2, days_ago=100), *await aged(service, 1)]
    other = await aged(service, 1, tenant_id="globex")
    for each in (*ids[:4], *other):
        await expire(service, each)

    dry = await finished(service.settings, tenant_id="acme", dry_run=True)
    there = await states(service)
    run = await finished(service.settings, tenant_id="acme", dry_run=False)

    assert len(there) == 6
    assert (dry.archived, dry.deleted, run.archived, run.deleted) == (0, 0, 0, 0)
    assert set(await states(service)) == {ids[4], *other}
    await all_counts_hold(service)


async def test_a_plan_leaves_out_what_has_expired(service: Service) -> None:
    """So that its counts are those of what it decides, and its samples show nothing that is hidden."""
    live, dead = await aged(service, 3), await aged(service, 2)
    old, older = await archived(service, 1, days_ago=100), await archived(service, 1, days_ago=101)
    for each in (*dead, *older):
        await expire(service, each)

    report = await finished(service.settings, force=True, dry_run=True)
    assert (report.archived, report.deleted) == (3, 1)
    await expire(service, live[0])
    shown = await service.client.get(f"/v1/admin/retention/runs/{report.run_id}")

    assert {each["message_id"] for each in shown.json()["samples"]} == {*live[1:], *old}


async def test_an_expiry_is_changed_and_taken_away(service: Service) -> None:
    stored = await store(service, ttl_seconds=60)

    later = await change(service, stored["id"], ttl_seconds=HOUR)
    at = await change(service, stored["id"], expires_at="2099-01-01T00:00:00+01:00")
    reworded = await change(service, stored["id"], name="Ada")
    never = await change(service, stored["id"], expires_at=None)

    assert later["ttl_seconds"] == HOUR
    assert HOUR - 60 < seconds_between(later["created_at"], later["expires_at"]) < HOUR + 60
    assert (at["ttl_seconds"], at["expires_at"]) == (None, "2098-12-31T23:00:00Z")
    assert (reworded["ttl_seconds"], reworded["expires_at"]) == (None, "2098-12-31T23:00:00Z")
    assert (never["ttl_seconds"], never["expires_at"]) == (None, None)
    assert never == await get(service, stored["id"])
    row = await row_of(service, stored["id"])
    assert row is not None
    assert row["version"] == 5


@pytest.mark.parametrize(
    "fields",
    [
        {"ttl_seconds": 0},
        {"ttl_seconds": -1},
        {"ttl_seconds": True},
        {"ttl_seconds": 10**12},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2099-01-01T00:00:00"},
        {"expires_at": 4_000_000_000},
        {"ttl_seconds": 60, "expires_at": "2099-01-01T00:00:00Z"},
    ],
    ids=str,
)
async def test_an_expiry_that_makes_no_sense_is_refused(service: Service, fields: Json) -> None:
    stored = await store(service)

    answers = [
        await service.client.post("/v1/messages", json=message(**fields)),
        await service.client.patch(f"/v1/messages/{stored['id']}", json=fields),
    ]

    assert [answer.status_code for answer in answers] == [422, 422]


async def test_the_moment_itself(service: Service) -> None:
    """By the database's clock: what expires now has expired."""
    stored = await store(service)
    async with service.database.transaction() as connection:
        await connection.execute("UPDATE messages SET expires_at = now()")

        assert await connection.fetchval("SELECT count(*) FROM messages WHERE expires_at <= now()") == 1

    assert (await service.client.get(f"/v1/messages/{stored['id']}")).status_code == 404


Read = Callable[[Service, str, str], Awaitable[None]]


async def _get(service: Service, message_id: str, refresh: str) -> None:
    answer = await service.client.get(f"/v1/messages/{message_id}", params={"refresh_ttl": refresh})
    assert answer.json()["id"] == message_id


async def _list(service: Service, message_id: str, refresh: str) -> None:
    answer = await service.client.get("/v1/messages", params={"tenant_id": "acme", "refresh_ttl": refresh})
    assert message_id in [item["id"] for item in answer.json()["items"]]


async def _search(service: Service, message_id: str, refresh: str) -> None:
    parameters = {"tenant_id": "acme", "query": "Python", "refresh_ttl": refresh}
    answer = await service.client.get("/v1/memory/search", params=parameters)
    assert [item["message_id"] for item in answer.json()["items"]] == [message_id]


async def _search_by_body(service: Service, message_id: str, refresh: str) -> None:
    body = {"tenant_id": "acme", "query": "Python", "refresh_ttl": refresh == "true"}
    answer = await service.client.post("/v1/memory/search", json=body)
    assert [item["message_id"] for item in answer.json()["items"]] == [message_id]


async def _context(service: Service, message_id: str, refresh: str) -> None:
    body = {"tenant_id": "acme", "conversation_id": "c1", "query": "Python", "refresh_ttl": refresh == "true"}
    answer = await service.client.post("/v1/memory/context", json=body)
    assert [item["message_id"] for item in answer.json()["items"]] == [message_id]


READS = pytest.mark.parametrize("read", [_get, _list, _search, _search_by_body, _context])


@READS
async def test_a_read_that_asks_for_it_has_a_message_live_on(service: Service, read: Read) -> None:
    """No version and no time of change tell of it: nobody changed the message."""
    stored = await store(service, ttl_seconds=int(HOUR))
    other = await store(service, tenant_id="globex", ttl_seconds=int(HOUR))
    for each in (stored, other):
        await expire(service, each["id"], 300)
    before = await row_of(service, stored["id"])

    await read(service, stored["id"], "false")
    unasked = await row_of(service, stored["id"])
    await read(service, stored["id"], "true")
    after = await row_of(service, stored["id"])

    assert before is not None
    assert unasked is not None
    assert after is not None
    assert unasked["written_by"] == before["written_by"]
    assert after["left"] > HOUR - 200
    assert (after["version"], after["updated_at"]) == (before["version"], before["updated_at"])
    assert await left(service, other["id"]) <= 300


@READS
async def test_a_refresh_that_gains_next_to_nothing_writes_nothing(service: Service, read: Read) -> None:
    stored = await store(service, ttl_seconds=1_000_000)
    before = await row_of(service, stored["id"])

    await read(service, stored["id"], "true")

    assert (before and before["written_by"]) == ((await row_of(service, stored["id"])) or {}).get("written_by")


@pytest.mark.parametrize("path", ["", "?tenant_id=acme"])
async def test_a_refreshed_message_says_how_long_it_lives_now(service: Service, path: str) -> None:
    stored, fixed = await store_many(
        service, [message("one", ttl_seconds=int(HOUR)), message("two", expires_at="2099-01-01T00:00:00Z")]
    )
    await expire(service, stored["id"], 300)
    path = path or f"/{stored['id']}?"

    answer = (await service.client.get(f"/v1/messages{path}&refresh_ttl=true")).json()

    items = {item["id"]: item for item in answer.get("items", [answer])}
    assert items[stored["id"]] == await get(service, stored["id"])
    assert await left(service, stored["id"]) > HOUR - 200
    assert (await get(service, fixed["id"]))["expires_at"] == "2099-01-01T00:00:00Z"
