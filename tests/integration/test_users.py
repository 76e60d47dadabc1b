"""Users of a tenant: listed, counted, erased with a receipt."""

from typing import Any

import pytest

from deployments.schemas.api_keys import KeyScope
from deployments.storage.messages.conversations import ConversationRepository
from deployments.storage.tenants.erasure import BATCH
from tests.integration.calls import Json, error_of, found, message, store_many
from tests.integration.expiring import expire
from tests.integration.keys import make, sent
from tests.integration.many_messages import alike
from tests.integration.recount import execute, recounted
from tests.integration.service import Service

ACME = {"tenant_id": "acme"}
ADA = {**ACME, "user_id": "ada"}


async def listed(service: Service, **parameters: Any) -> Json:
    answer = await service.client.get("/v1/users", params={**ACME, **parameters})
    assert answer.status_code == 200, answer.text
    page: Json = answer.json()
    return page


async def erase(service: Service, **parameters: Any) -> Json:
    answer = await service.client.delete("/v1/admin/users", params={**ADA, **parameters})
    assert answer.status_code in {200, 202}, answer.text
    receipt: Json = answer.json()
    assert (answer.status_code == 200) == (receipt["status"] == "completed")
    return receipt


async def fill(service: Service) -> None:
    await store_many(
        service,
        [
            message("apple", user_id="ada", created_at="2024-03-01T00:00:00Z"),
            message("pear", user_id="ada", conversation_id="c2", created_at="2024-03-03T00:00:00Z"),
            message("cherry", user_id="bob", created_at="2024-03-02T00:00:00Z"),
            message("plum", created_at="2024-03-04T00:00:00Z"),
            message("quince", user_id="ada", tenant_id="globex"),
        ],
    )


class TestListing:
    """By name, each with its counts and times."""

    async def test_each_user_has_its_counts_and_times(self, service: Service) -> None:
        await fill(service)

        assert await listed(service) == {
            "items": [
                {
                    "user_id": "ada",
                    "messages": 2,
                    "first_message_at": "2024-03-01T00:00:00Z",
                    "last_message_at": "2024-03-03T00:00:00Z",
                },
                {
                    "user_id": "bob",
                    "messages": 1,
                    "first_message_at": "2024-03-02T00:00:00Z",
                    "last_message_at": "2024-03-02T00:00:00Z",
                },
            ],
            "next_cursor": None,
        }
        assert (await listed(service, tenant_id="nobody"))["items"] == []

    async def test_the_pages_hold_every_user_once(self, service: Service) -> None:
        names = ["a", "a/b", "b c", "ä世🌍", "x" * 255]
        await store_many(service, [message(user_id=name) for name in names * 2])

        seen, cursor = [], None
        while True:
            page = await listed(service, limit=2, **({"cursor": cursor} if cursor else {}))
            seen += [(each["user_id"], each["messages"]) for each in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break

        assert sorted(seen) == sorted((name, 2) for name in names)
        foreign = {"tenant_id": "globex", "cursor": (await listed(service, limit=1))["next_cursor"]}
        assert (await service.client.get("/v1/users", params=foreign)).status_code == 422

    async def test_a_tenants_key_lists_its_users(self, service: Service) -> None:
        await fill(service)
        reads, administers = await make(service, "globex", KeyScope.READ), await make(service, "globex", KeyScope.ADMIN)

        await service.keyring.refresh()
        answer = await service.client.get("/v1/users", headers=sent(reads))

        assert [(each["user_id"], each["messages"]) for each in answer.json()["items"]] == [("ada", 1)]
        assert (await service.client.get("/v1/users", headers=sent(administers))).status_code == 403


async def test_usage_may_be_asked_for_a_user(service: Service) -> None:
    await fill(service)
    await service.embed_all()
    await store_many(service, [message("Zoë", user_id="ada")])

    async def usage(**parameters: str) -> Json:
        body: Json = (await service.client.get("/v1/admin/tenants/acme/usage", params=parameters)).json()
        return body

    of_user, of_tenant = await usage(user_id="ada"), await usage()
    assert {name: of_user[name] for name in of_user if name != "quotas"} == {
        **ADA,
        "messages": 3,
        "bytes": len("applepearZoë".encode()),
        "pending_embeddings": 1,
        "embedded_today": None,
    }
    assert (of_tenant["user_id"], of_tenant["messages"], of_tenant["embedded_today"]) == (None, 5, 4)
    assert (await usage(user_id="nobody"))["messages"] == 0


async def test_what_has_expired_is_no_users_any_more(service: Service) -> None:
    await fill(service)
    for user_id in ("ada", "aaron"):
        body = message("gone", user_id=user_id, conversation_id="c3", ttl_seconds=60)
        stored = (await service.client.post("/v1/messages", json=body)).json()
        await expire(service, stored["id"])
    conversations = (await service.client.get("/v1/conversations", params=ADA)).json()["items"]
    users = (await listed(service))["items"]

    assert [(each["user_id"], each["messages"]) for each in users] == [("ada", 2), ("bob", 1)]
    assert [each["conversation_id"] for each in conversations] == ["c2", "c1"]
    assert (await service.client.get("/v1/admin/usage", params=ADA)).json()["messages"] == 2
    assert (await service.client.get("/v1/conversations/c3", params=ADA)).status_code == 404


class TestErasure:
    """As that of a tenant: whole, resumable, with a receipt; what is others' stays."""

    async def test_all_of_a_user_is_gone_and_the_receipt_counts_it(self, service: Service) -> None:
        await fill(service)
        await service.embed_all()
        stored = message("damson", user_id="ada")
        first = await service.client.post("/v1/messages", json=stored, headers={"Idempotency-Key": "k"})
        await service.client.patch(f"/v1/messages/{first.json()['id']}", json={"metadata": {"ripe": True}})

        receipt = await erase(service)

        counted = ("messages", "vectors", "pending_embeddings", "earlier_versions", "idempotency_keys", "revoked_keys")
        assert [receipt[name] for name in counted] == [3, 2, 1, 1, 1, 0]
        assert [receipt[name] for name in ("status", "tenant_id", "user_id", "conversation_id", "requested_by")] == [
            "completed",
            "acme",
            "ada",
            None,
            "anyone",
        ]
        assert sorted(await found(service, "apple pear cherry plum damson")) == ["cherry", "plum"]
        assert await found(service, "quince", tenant_id="globex") == ["quince"]
        assert {tenant: counts.messages for tenant, counts in (await recounted(service)).items()} == {
            "acme": 2,
            "globex": 1,
        }
        assert [each["user_id"] for each in (await listed(service))["items"]] == ["bob"]
        again = await service.client.post("/v1/messages", json=stored, headers={"Idempotency-Key": "k"})
        assert error_of(again)["code"] == "idempotency_conflict"

    async def test_the_last_receipt_of_a_user_can_be_read(self, service: Service) -> None:
        await fill(service)
        nothing = await service.client.get("/v1/admin/erasures/latest", params=ADA)
        await erase(service)
        receipt = await erase(service)

        assert nothing.status_code == 404
        assert receipt["messages"] == 0
        assert (await service.client.get("/v1/admin/erasures/latest", params=ADA)).json() == receipt
        others = {**ACME, "user_id": "bob"}
        assert (await service.client.get("/v1/admin/erasures/latest", params=others)).status_code == 404
        both = {**ADA, "conversation_id": "c1"}
        assert (await service.client.get("/v1/admin/erasures/latest", params=both)).status_code == 422
        # Nor is it the tenant's.
        assert (await service.client.get("/v1/admin/tenants/acme/erasure")).status_code == 404

    async def test_an_erasure_that_is_cut_off_goes_on_with_the_same_receipt(self, service: Service) -> None:
        await execute(service, alike("acme", "apples and pears", 2 * BATCH + 10))
        await execute(service, "UPDATE messages SET user_id = 'ada'")
        await store_many(service, [message("plum", user_id="bob")])
        first = await erase(service, wait_seconds=0)
        assert (first["status"], first["messages"], first["finished_at"]) == ("unfinished", BATCH, None)
        # Another's is one of its own meanwhile, as is the conversation's and the tenant's.
        other = await erase(service, user_id="bob")
        assert (other["status"], other["messages"]) == ("completed", 1)

        receipts = [first]
        while receipts[-1]["status"] == "unfinished" and len(receipts) < 10:
            receipts.append(await erase(service, wait_seconds=0))

        assert {receipt["id"] for receipt in receipts} == {first["id"]}
        assert (receipts[-1]["status"], receipts[-1]["messages"]) == ("completed", 2 * BATCH + 10)
        assert await recounted(service) == {}

    @pytest.mark.parametrize("keep_keys", [False, True])
    async def test_the_users_keys_open_nothing_afterwards_unless_they_are_kept(
        self, keep_keys: bool, service: Service
    ) -> None:
        scopes = [KeyScope.READ, KeyScope.WRITE]
        administrator, tenants = await make(service, "acme", KeyScope.ADMIN), await make(service, "acme", *scopes)
        hers, his = [await make(service, "acme", *scopes, user_id=user) for user in ("ada", "bob")]

        path = f"/v1/admin/users?user_id=ada&keep_keys={keep_keys}"
        answer = await service.client.delete(path, headers=sent(administrator))
        await service.keyring.refresh()

        assert answer.json()["revoked_keys"] == (0 if keep_keys else 1)
        statuses = [
            (await service.client.get("/v1/messages", headers=sent(key))).status_code for key in (hers, his, tenants)
        ]
        assert statuses == [200 if keep_keys else 401, 200, 200]

    async def test_whose_it_is_must_be_said(self, service: Service) -> None:
        await fill(service)

        for parameters in (ACME, {"user_id": "ada"}, {**ADA, "user_id": " "}, {**ADA, "keep_keys": "2"}):
            answer = await service.client.delete("/v1/admin/users", params=parameters)
            assert answer.status_code == 422, parameters

        assert len((await service.client.get("/v1/messages", params=ADA)).json()["items"]) == 2

    async def test_a_name_that_ends_like_a_path_is_a_name(self, service: Service) -> None:
        names = ["ada", "ada/erasure", "ada/retention"]
        await store_many(service, [message(user_id=name) for name in names])

        await erase(service, user_id="ada/erasure")

        assert [each["user_id"] for each in (await listed(service))["items"]] == ["ada", "ada/retention"]


async def test_a_users_part_of_a_conversation_is_deleted_alone(service: Service) -> None:
    await fill(service)
    path = "/v1/conversations/c1"

    assert (await service.client.get(path, params=ADA)).json()["messages"] == 1
    assert (await service.client.delete(path, params=ADA)).status_code == 204
    assert (await service.client.get(path, params=ADA)).status_code == 404
    left = await ConversationRepository(service.database).get("acme", "c1")
    assert left.messages == 2
