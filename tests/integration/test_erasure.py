"""Erasing a tenant or a conversation: nothing is left, nothing comes back, and the receipt says so."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from alembic import command

from deployments.schemas.api_keys import KeyScope
from deployments.schemas.erasure import ErasureStatus
from deployments.settings import Settings
from deployments.storage.embeddings.jobs import Result
from deployments.storage.postgres.schema import upgrade
from deployments.storage.tenants.erasure import BATCH, ErasureOrder
from tests.integration.calls import error_of, found, message, store, store_many
from tests.integration.failing import Slow
from tests.integration.keys import make, sent
from tests.integration.many_messages import alike
from tests.integration.postgres import SPACE, PostgresServer
from tests.integration.recount import execute, make_large, recounted
from tests.integration.retaining import aged, finished_run
from tests.integration.service import Service
from tests.integration.test_leases import worker_with
from tests.integration.test_schema import config_for, fetch

ACME = {"tenant_id": "acme"}
# A table that holds something of a tenant is erased with it, or it is said here why not.
COUNTED = {"messages", "embedding_jobs", "idempotency_keys", "tenant_statistics", "tenant_terms", "tenant_usage"}
ERASED = {
    *COUNTED,
    "message_history",
    "retention_policies",
    "retention_items",
    "tenant_languages",
    "reanalyses",
    "large_tenants",
}
KEPT = {
    "api_keys": "revoked, so that the service never opens",
    "erasures": "the receipts",
    "user_erasures": "the receipts",
    "retention_runs": "the ledger",
    "retention_tenants": "the ledger, in figures",
}


async def erase(service: Service, tenant_id: str = "acme", **parameters: Any) -> dict[str, Any]:
    answer = await service.client.delete(f"/v1/admin/tenants/{tenant_id}", params=parameters)
    assert answer.status_code in {200, 202}, answer.text
    receipt: dict[str, Any] = answer.json()
    assert (answer.status_code == 200) == (receipt["status"] == "completed")
    return receipt


async def left_of(service: Service, tenant_id: str) -> dict[str, int]:
    async with service.database.connection() as connection:
        tables = [
            row["table_name"]
            for row in await connection.fetch(
                "SELECT table_name FROM information_schema.columns "
                "WHERE table_schema = 'public' AND column_name = 'tenant_id'"
            )
        ]
        counts = {
            table: await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant_id)  # noqa: S608
            for table in tables
        }
    assert set(counts) == ERASED | set(KEPT)
    return {table: count for table, count in counts.items() if count and table not in KEPT}


async def store_with_key(service: Service, key: str, **fields: Any) -> httpx.Response:
    return await service.client.post("/v1/messages", json=message(**fields), headers={"Idempotency-Key": key})


async def test_nothing_of_a_tenant_is_left_and_the_receipt_counts_it(service: Service) -> None:
    await make_large(service, "acme")
    await store_many(service, [message(f"apple {n}") for n in range(3)] + [message("pear", tenant_id="globex")])
    await service.embed_all()
    await store_with_key(service, "k", content="cherry")
    assert set(await left_of(service, "acme")) == COUNTED | {"large_tenants"}

    receipt = await erase(service)

    counted = ("messages", "vectors", "pending_embeddings", "idempotency_keys", "revoked_keys")
    assert [receipt[name] for name in counted] == [4, 3, 1, 1, 0]
    assert (receipt["status"], receipt["requested_by"], receipt["conversation_id"]) == ("completed", "anyone", None)
    assert await left_of(service, "acme") == {}
    assert await found(service, "apple") == []
    assert await found(service, "pear", tenant_id="globex") == ["pear"]
    assert set(await recounted(service)) == {"globex"}
    usage = (await service.client.get("/v1/admin/tenants/acme/usage")).json()
    assert [usage[name] for name in ("messages", "bytes", "pending_embeddings", "embedded_today")] == [0, 0, 0, 0]


async def test_what_retention_plans_for_a_tenant_goes_with_it(service: Service) -> None:
    await aged(service, 2)
    await aged(service, 2, tenant_id="globex")
    await service.client.put("/v1/admin/tenants/acme/retention", json={"max_age_days": 1})
    await finished_run(service.settings, dry_run=True, force=True)
    assert {"retention_policies", "retention_items"} <= set(await left_of(service, "acme"))

    await erase(service)

    assert await left_of(service, "acme") == {}
    assert (await left_of(service, "globex"))["retention_items"] == 2


async def test_erasing_again_is_no_error_and_counts_nothing(service: Service) -> None:
    await store(service)
    first, second = await erase(service), await erase(service)

    assert (first["messages"], second["messages"]) == (1, 0)
    assert first["id"] != second["id"]


async def test_the_last_receipt_can_be_read(service: Service) -> None:
    nothing = await service.client.get("/v1/admin/tenants/acme/erasure")
    await store(service)
    receipt = await erase(service)

    assert nothing.status_code == 404
    assert (await service.client.get("/v1/admin/tenants/acme/erasure")).json() == receipt
    of_conversation = await service.client.get("/v1/admin/tenants/acme/erasure", params={"conversation_id": "c1"})
    assert of_conversation.status_code == 404


async def test_one_conversation_is_erased_with_a_receipt(service: Service) -> None:
    await store_many(service, [message("apple"), message("pear", conversation_id="c2")])
    await service.embed_all()
    key = await make(service)

    answer = await service.client.delete("/v1/admin/tenants/acme", params={"conversation_id": "c1"}, headers=sent(key))

    assert [answer.json()[name] for name in ("messages", "vectors", "revoked_keys")] == [1, 1, 0]
    assert (await recounted(service))["acme"].messages == 1
    again = await service.client.get("/v1/messages", params=ACME, headers=sent(key))
    assert [each["content"] for each in again.json()["items"]] == ["pear"]


async def test_an_erasure_that_is_cut_off_goes_on_with_the_same_receipt(service: Service) -> None:
    await execute(service, alike("acme", "apples and pears", 2 * BATCH + 10))
    first = await erase(service, wait_seconds=0)
    assert (first["status"], first["messages"], first["finished_at"]) == ("unfinished", BATCH, None)
    assert (await recounted(service))["acme"].messages == BATCH + 10

    receipts = [first]
    while receipts[-1]["status"] == "unfinished" and len(receipts) < 10:
        receipts.append(await erase(service, wait_seconds=0))

    assert {receipt["id"] for receipt in receipts} == {first["id"]}
    assert receipts[-1]["status"] == "completed"
    assert receipts[-1]["messages"] == 2 * BATCH + 10
    assert await left_of(service, "acme") == {}


async def test_two_who_erase_at_once_share_one_receipt(service: Service) -> None:
    await execute(service, alike("acme", "apples and pears", 2 * BATCH))

    one, other = await asyncio.gather(erase(service), erase(service))

    assert await left_of(service, "acme") == {}
    assert max(one["messages"], other["messages"]) == 2 * BATCH
    assert {one["status"], other["status"]} == {"completed"}


async def test_a_worker_that_holds_a_claim_brings_nothing_back(service: Service) -> None:
    await store_many(service, [message(f"apple {n}") for n in range(5)])
    slow = Slow()
    working = asyncio.create_task(worker_with(service, slow).work_once())
    await slow.asked.wait()

    receipt = await erase(service)
    slow.answer.set()
    await working

    assert receipt["pending_embeddings"] == 5
    assert await left_of(service, "acme") == {}
    await slow.close()


async def test_what_a_worker_completes_at_the_same_moment_is_counted_off_again(service: Service) -> None:
    await store_many(service, [message(f"apple {n} pear{n % 7}") for n in range(300)])
    claim_id = uuid4()
    jobs = await service.jobs.claim(claim_id, 300, 60.0)
    vector = (await Slow()._local.embed_documents(["apple"]))[0]
    batches = [[Result(job.message_id, vector, 0.5) for job in jobs[n : n + 30]] for n in range(0, 300, 30)]

    await asyncio.gather(erase(service), *(service.jobs.complete(claim_id, batch, SPACE) for batch in batches))

    assert await left_of(service, "acme") == {}
    assert await recounted(service) == {}


async def test_what_is_stored_while_it_is_erased_is_whole_or_not_there(service: Service) -> None:
    await store_many(service, [message(f"apple {n}") for n in range(200)])
    await service.embed_all()

    await asyncio.gather(
        erase(service), *(store_many(service, [message(f"pear {n}") for n in range(20)]) for _ in range(10))
    )
    await service.embed_all()

    counted = (await recounted(service)).get("acme")
    listed = (await service.client.get("/v1/messages", params={**ACME, "limit": 200})).json()["items"]
    assert (counted.messages if counted else 0) == len(listed)
    assert all(each["content"].startswith("pear") for each in listed)
    await erase(service)
    assert await left_of(service, "acme") == {}


async def test_a_search_that_was_under_way_leaves_nothing(service: Service) -> None:
    await store_many(service, [message(f"apple {n}") for n in range(20)])
    await service.embed_all()

    await asyncio.gather(*(found(service, "apple") for _ in range(5)), erase(service))

    assert await found(service, "apple") == []
    assert await left_of(service, "acme") == {}


async def waits_for_a_lock(service: Service) -> None:
    """Until somebody does."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(20), service.database.connection() as connection:
        while not await connection.fetchval(waiting):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)


async def test_an_erasure_waits_for_none_but_those_it_must(service: Service) -> None:
    """Another tenant's writes go on while a batch of this one is held open."""
    await store(service)
    await service.embed_all()
    async with service.database.transaction() as connection:
        await connection.execute("SELECT * FROM messages WHERE tenant_id = 'acme' FOR UPDATE")
        waiting = asyncio.create_task(erase(service))
        await waits_for_a_lock(service)
        await store(service, "pear", tenant_id="globex")
        await service.embed_all()
        assert await found(service, "pear", tenant_id="globex") == ["pear"]
        assert not waiting.done()
    assert (await waiting)["messages"] == 1


class TestKeys:
    """Who holds a tenant's key could bring it back: its keys are revoked, that of the asker last."""

    async def test_a_tenants_keys_open_nothing_afterwards(self, service: Service) -> None:
        asker, other, elsewhere = await make(service), await make(service), await make(service, "globex")

        answer = await service.client.delete("/v1/admin/tenants/acme", headers=sent(asker))
        await service.keyring.refresh()

        assert answer.json()["revoked_keys"] == 2
        assert answer.json()["requested_by"] == asker.prefix
        statuses = [(await service.client.get("/v1/messages", headers=sent(key))).status_code for key in (asker, other)]
        assert statuses == [401, 401]
        assert (await service.client.get("/v1/messages", headers=sent(elsewhere))).status_code == 200

    async def test_who_asks_can_ask_again_until_it_is_done(self, service: Service) -> None:
        asker, other = await make(service), await make(service)
        await execute(service, alike("acme", "apples", BATCH + 1))

        first = await service.client.delete("/v1/admin/tenants/acme?wait_seconds=0", headers=sent(asker))
        await service.keyring.refresh()
        assert (first.status_code, first.json()["revoked_keys"]) == (202, 1)
        assert (await service.client.get("/v1/messages", headers=sent(other))).status_code == 401
        second = await service.client.delete("/v1/admin/tenants/acme", headers=sent(asker))

        assert (second.status_code, second.json()["revoked_keys"]) == (200, 2)

    async def test_keys_can_be_kept(self, service: Service) -> None:
        key = await make(service)

        answer = await service.client.delete("/v1/admin/tenants/acme?keep_keys=true", headers=sent(key))
        await service.keyring.refresh()

        assert answer.json()["revoked_keys"] == 0
        assert (await service.client.get("/v1/messages", headers=sent(key))).status_code == 200

    async def test_a_tenants_administrator_erases_no_other(self, service: Service) -> None:
        key = await make(service, "globex", KeyScope.ADMIN)
        await execute(service, alike("acme", "apples", 1))

        answer = await service.client.delete("/v1/admin/tenants/acme", headers=sent(key))

        assert error_of(answer)["code"] == "forbidden"
        assert (await recounted(service))["acme"].messages == 1


class TestKeptAnswers:
    """The answer to a store is kept for its retries: it holds the message, so it goes when the message does."""

    async def answers(self, service: Service) -> list[str]:
        async with service.database.connection() as connection:
            return [row["answer"] for row in await connection.fetch("SELECT answer FROM idempotency_keys")]

    @pytest.mark.parametrize("deleted", ["message", "conversation", "conversation with a receipt"])
    async def test_it_goes_with_its_message(self, deleted: str, service: Service) -> None:
        stored = (await store_with_key(service, "k", content="apple")).json()
        await store_with_key(service, "k2", content="pear", conversation_id="c2")
        if deleted == "message":
            await service.client.delete(f"/v1/messages/{stored['id']}")
        elif deleted == "conversation":
            await service.client.delete("/v1/conversations/c1", params=ACME)
        else:
            assert (await erase(service, conversation_id="c1"))["idempotency_keys"] == 1

        forgotten, kept = sorted(await self.answers(service))
        assert forgotten == "null"
        assert "pear" in kept

    async def test_a_late_retry_does_not_store_it_again(self, service: Service) -> None:
        stored = (await store_with_key(service, "k", content="apple")).json()
        await service.client.delete(f"/v1/messages/{stored['id']}")

        answer = await store_with_key(service, "k", content="apple")

        assert error_of(answer)["code"] == "idempotency_conflict"
        assert await found(service, "apple") == []


async def test_a_conversation_of_many_batches_is_deleted_as_a_whole(service: Service) -> None:
    statement = alike("acme", "apples", 2 * BATCH + 1).replace("'c' || n", "'c1'")
    await execute(service, statement)

    assert (await service.client.delete("/v1/conversations/c1", params=ACME)).status_code == 204
    assert await left_of(service, "acme") == {"tenant_statistics": 1, "tenant_usage": 1}
    assert (await service.client.delete("/v1/conversations/c1", params=ACME)).status_code == 404


async def test_the_order_of_the_command_line_has_no_deadline(service: Service, settings: Settings) -> None:
    await execute(service, alike("acme", "apples", BATCH + 1))
    heard: list[int] = []

    erasure = await service.erasures.erase(ErasureOrder("acme", "job"), erased=heard.append)

    assert erasure.status is ErasureStatus.COMPLETED
    assert sum(heard) == BATCH + 1


ANSWERED = """
    INSERT INTO idempotency_keys (tenant_id, key, fingerprint, answer)
    SELECT 'acme', 'k', '', jsonb_build_object('id', gen_random_uuid(), 'content', 'what was said')
"""


def test_answers_whose_messages_are_gone_are_forgotten_by_the_upgrade(postgres: PostgresServer) -> None:
    url = postgres.create(template="template1")
    command.upgrade(config_for(url), "0005")
    fetch(url, f"{ANSWERED} RETURNING 1")

    upgrade(url)
    assert fetch(url, "SELECT answer FROM idempotency_keys") == ["null"]

    command.downgrade(config_for(url), "0005")
    assert fetch(url, "SELECT key FROM idempotency_keys") == []
    postgres.drop(url)


async def test_fewer_long_messages_go_together(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the counts of their terms that a transaction holds locks of."""
    await execute(service, alike("acme", "apples and pears", 10))
    async with service.database.connection() as connection:
        terms = await connection.fetchval("SELECT max(term_count) FROM messages")
    monkeypatch.setattr("deployments.storage.tenants.erasure.MOST_TERMS", 3 * terms)

    assert (await erase(service, wait_seconds=0))["messages"] == 3
    assert (await erase(service))["messages"] == 10
