"""Messages by their callers' names: put, and got and deleted many at once."""

import asyncio
from itertools import product
from typing import Any
from uuid import uuid4

from deployments.settings import DatabaseSettings
from deployments.storage.messages.named_messages import NamedMessageRepository
from deployments.storage.postgres.database import PoolSize
from deployments.tenancy import Visible
from tests.integration.calls import Json, error_of, found, get, message, search, store, store_many
from tests.integration.explaining import ExplainingDatabase, indexes, scanned
from tests.integration.failing import Slow
from tests.integration.many_messages import alike
from tests.integration.service import Service
from tests.integration.test_leases import worker_with
from tests.integration.test_quotas import Limited, limited, used

__all__ = ["limited"]


async def put(service: Service, content: str = "apple", headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """The status and the answer of a put."""
    body = message(content, **{"external_id": "fruit", **fields})
    answer = await service.client.put("/v1/messages", json=body, headers=headers)
    return answer.status_code, answer.json()


async def named(service: Service, path: str, **names: Any) -> Json:
    answer = await service.client.post(f"/v1/messages/{path}", json={"tenant_id": "acme", **names})
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


async def row_versions(service: Service) -> list[str]:
    async with service.database.connection() as connection:
        return [row[0] for row in await connection.fetch("SELECT xmin::text FROM messages ORDER BY id")]


class TestPut:
    """`PUT /v1/messages`."""

    async def test_what_is_not_there_is_stored_and_what_is_there_replaced(self, service: Service) -> None:
        status, stored = await put(
            service, "apple", metadata={"a": 1}, name="Ada", user_id="u1", importance_override=0.9
        )
        await service.embed_all()

        again, replaced = await put(service, "pear", conversation_id="c2", role="assistant", agent_id="bot")

        assert (status, again) == (201, 200)
        assert replaced == await get(service, stored["id"])
        assert replaced["created_at"] == stored["created_at"]
        assert replaced["updated_at"] > stored["updated_at"]
        changed: Json = {
            "content": "pear",
            "conversation_id": "c2",
            "role": "assistant",
            "agent_id": "bot",
            "metadata": {},
        }
        changed |= {"name": None, "user_id": None, "importance_score": None, "importance": None}
        changed |= {"embedding_status": "pending"}
        assert replaced == {**stored, **changed, "updated_at": replaced["updated_at"]} | {
            name: value for name, value in replaced.items() if name == "version"
        }

    async def test_what_it_says_anew_is_found_at_once_and_embedded_again(self, service: Service) -> None:
        await put(service, "apple")
        await service.embed_all()
        assert await found(service, "apple") == ["apple"]

        await put(service, "a quince", created_at="2026-03-04T00:00:00Z")

        assert await found(service, "quince") == ["a quince"]
        await service.embed_all()
        (hit,) = (await search(service, "March", weights={"words": 1, "similarity": 0}))["items"]
        assert (hit["content"], hit["created_at"]) == ("a quince", "2026-03-04T00:00:00Z")
        assert (await service.client.get("/v1/conversations/c1", params={"tenant_id": "acme"})).json()["messages"] == 1

    async def test_what_changes_nothing_writes_nothing(self, service: Service) -> None:
        fields: Json = {
            "metadata": {"a": [1, 1e16]},
            "created_at": "2026-03-04T00:00:00+02:00",
            "importance_override": 0.1,
        }
        _, stored = await put(service, **fields)
        before = await row_versions(service)

        status, answer = await put(service, **fields)
        without_time, _ = await put(service, **{**fields, "created_at": None})

        assert (status, without_time, answer) == (200, 200, stored)
        assert await row_versions(service) == before

    async def test_what_says_the_same_keeps_its_vector(self, service: Service) -> None:
        kept: list[Json] = [{"metadata": {"a": True}}, {"user_id": "ada"}, {"language": "de"}, {"ttl_seconds": 60}]
        kept += [{"conversation_id": "c2"}]
        lost: list[Json] = [{"name": "Ada"}, {"role": "tool"}, {"created_at": "2026-03-04T00:00:00Z"}]
        for n in range(len(kept + lost)):
            await put(service, external_id=f"n{n}", metadata={"a": 1})
        await service.embed_all()

        for n, fields in enumerate(kept + lost):
            _, replaced = await put(service, external_id=f"n{n}", **{"metadata": {"a": 1}, **fields})
            assert replaced["embedding_status"] == ("completed" if fields in kept else "pending"), fields

        assert (await service.jobs.counts()).pending == len(lost)
        assert len(await found(service, "apple")) == len(kept + lost)
        assert await found(service, "apple", conversation_id="c2") == ["apple"]

    async def test_a_worker_that_embeds_what_it_said_before_writes_nothing(self, service: Service) -> None:
        await put(service, "apple")
        slow = Slow()
        working = asyncio.create_task(worker_with(service, slow).work_once())
        await slow.asked.wait()

        _, replaced = await put(service, "a quince")
        slow.answer.set()
        await working

        assert (await get(service, replaced["id"]))["embedding_status"] == "pending"
        await slow.close()

    async def test_a_hundred_at_once_leave_one_message_and_each_answer_is_true(self, service: Service) -> None:
        answers = await asyncio.gather(*(put(service, f"apple {n}") for n in range(100)))

        assert sorted(status for status, _ in answers) == [200] * 99 + [201]
        assert len({answer["id"] for _, answer in answers}) == 1
        assert [answer["content"] for _, answer in answers] == [f"apple {n}" for n in range(100)]
        (left,) = (await service.client.get("/v1/messages", params={"tenant_id": "acme"})).json()["items"]
        assert left == max((answer for _, answer in answers), key=lambda each: each["updated_at"])
        await service.embed_all()
        assert await found(service, "apple") == [left["content"]]

    async def test_puts_and_deletions_at_once_leave_what_was_answered_last(self, service: Service) -> None:
        async def delete() -> None:
            await named(service, "delete", external_ids=["fruit"])

        both = [each for n in range(30) for each in (put(service, f"apple {n}"), delete())]
        answers = [each for each in await asyncio.gather(*both) if each is not None]

        assert {status for status, _ in answers} <= {200, 201}
        left = await named(service, "get", external_ids=["fruit"])
        contents = {f"apple {n}" for n in range(30)}
        assert {item["message"]["content"] for item in left["items"] if item["status"] == 200} <= contents

    async def test_only_a_new_one_is_put_if_none_may_match(self, service: Service) -> None:
        first = await put(service, "apple", {"If-None-Match": "*"})
        second, error = await put(service, "pear", {"If-None-Match": "*"})

        assert (first[0], second, error["error"]["code"]) == (201, 412, "precondition_failed")
        assert await get(service, first[1]["id"]) == first[1]
        assert (await put(service, "apple", {"If-None-Match": '"tag"'}))[0] == 422

    async def test_of_many_who_put_a_new_one_at_once_one_does(self, service: Service) -> None:
        answers = await asyncio.gather(*(put(service, f"apple {n}", {"If-None-Match": "*"}) for n in range(10)))

        assert sorted(status for status, _ in answers) == [201] + [412] * 9

    async def test_what_was_archived_is_found_again(self, service: Service) -> None:
        await put(service)
        async with service.database.connection() as connection:
            await connection.execute("UPDATE messages SET archived = true, archived_at = now()")
        await service.embed_all()
        assert await found(service, "apple") == []

        status, answer = await put(service)

        assert (status, answer["archived"]) == (200, False)
        assert await found(service, "apple") == ["apple"]

    async def test_what_has_expired_is_not_there_and_a_ttl_counts_anew(self, service: Service) -> None:
        _, stored = await put(service, ttl_seconds=60)
        _, renewed = await put(service, ttl_seconds=60)
        async with service.database.connection() as connection:
            await connection.execute("UPDATE messages SET expires_at = now()")
        status, new = await put(service, headers={"If-None-Match": "*"})

        assert renewed["id"] == stored["id"]
        assert renewed["expires_at"] > stored["expires_at"]
        assert (status, new["id"] != stored["id"], new["expires_at"]) == (201, True, None)

    async def test_an_id_is_that_of_the_name_or_a_conflict(self, service: Service) -> None:
        own = str(uuid4())
        nameless = await store(service, "plum")

        created = await put(service, "apple", id=own)
        replaced = await put(service, "pear", id=own)
        other_id = await put(service, "fig", id=str(uuid4()))
        other_name = await put(service, "fig", id=own, external_id="other")
        without_name = await put(service, "fig", id=nameless["id"], external_id="other")

        assert [each[0] for each in (created, replaced)] == [201, 200]
        assert created[1]["id"] == replaced[1]["id"] == own
        assert (other_id[0], other_id[1]["error"]["code"]) == (409, "external_id_conflict")
        for status, answer in (other_name, without_name):
            assert (status, answer["error"]["code"]) == (409, "id_taken")

    async def test_a_put_without_a_name_or_content_is_refused(self, service: Service) -> None:
        bad: list[Json] = [{"external_id": None}, {"external_id": " "}, {"content": ""}, {"unknown": 1}]
        for body in [*({**message(), "external_id": "a", **fields} for fields in bad), message()]:
            answer = await service.client.put("/v1/messages", json=body)
            assert (answer.status_code, error_of(answer)["code"]) == (422, "validation_error")

    async def test_the_names_of_two_tenants_are_apart(self, service: Service) -> None:
        _, ours = await put(service, "apple")
        status, theirs = await put(service, "pear", tenant_id="globex")

        assert status == 201
        assert await get(service, ours["id"]) == ours
        assert theirs["id"] != ours["id"]

    async def test_quotas_hold_and_what_is_there_needs_no_room(self, limited: Limited) -> None:
        service = await limited(messages=2, bytes=20)
        assert (await put(service, "apple"))[0] == 201
        assert (await put(service, "pear", external_id="other"))[0] == 201

        assert (await put(service, "plum", external_id="third"))[1]["error"]["code"] == "quota_messages_exceeded"
        assert (await put(service, "a" * 30))[1]["error"]["code"] == "quota_bytes_exceeded"
        assert (await put(service, "fig"))[0] == 200
        assert await used(service) == (2, 7, 2, 0)
        # The same again is answered though nothing more has room.
        assert (await store(service, "fig", external_id="fruit"))["content"] == "fig"
        body = {
            "messages": [message("fig", external_id="fruit"), message("plum"), message("pear", external_id="other")]
        }
        items = (await service.client.post("/v1/messages/batch", json=body)).json()["items"]
        assert [item["status"] for item in items] == [202, 413, 202]


class TestPutBatch:
    """`PUT /v1/messages/batch`."""

    async def test_each_is_put_for_itself_in_order(self, service: Service) -> None:
        await put(service, "apple")
        messages = [
            message("pear", external_id="fruit"),
            message("plum", external_id="new"),
            message("fig", external_id="new"),
            message("no name"),
            message("plum", external_id="new"),
            message("melon", external_id="melon", id=str(uuid4())),
        ]

        answer = await service.client.put("/v1/messages/batch", json={"messages": messages})

        body = answer.json()
        assert (answer.status_code, body["accepted"], body["rejected"]) == (207, 5, 1)
        assert [item["status"] for item in body["items"]] == [200, 201, 200, 422, 200, 201]
        got = await named(service, "get", external_ids=["fruit", "new", "melon"])
        assert [item["message"]["content"] for item in got["items"]] == ["pear", "plum", "melon"]

    async def test_again_it_changes_nothing(self, service: Service) -> None:
        messages = [message(f"apple {n}", external_id=f"n{n}") for n in range(30)]

        first = await service.client.put("/v1/messages/batch", json={"messages": messages})
        before = await row_versions(service)
        second = await service.client.put("/v1/messages/batch", json={"messages": messages})

        assert await row_versions(service) == before
        assert [item["status"] for item in first.json()["items"]] == [201] * 30
        assert [item["status"] for item in second.json()["items"]] == [200] * 30

    async def test_no_message_and_more_than_a_thousand_are_refused_whole(self, service: Service) -> None:
        for size in (0, 1001):
            body = {"messages": [message("x", external_id="a")] * size}
            assert (await service.client.put("/v1/messages/batch", json=body)).status_code == 422


class TestGetAndDeleteMany:
    """`POST /v1/messages/get` and `/delete`."""

    async def test_they_come_in_the_order_of_their_names(self, service: Service) -> None:
        stored = await store_many(service, [message(f"apple {n}", external_id=f"n{n}") for n in range(5)])
        await store(service, "pear", tenant_id="globex", external_id="theirs")
        names = ["n3", "nothing", "n0", "n3", "theirs"]

        by_name = await named(service, "get", external_ids=names)
        by_id = await named(service, "get", ids=[stored[3]["id"], str(uuid4()), stored[0]["id"]])

        assert (by_name["found"], by_name["missing"]) == (3, 2)
        assert [item["status"] for item in by_name["items"]] == [200, 404, 200, 200, 404]
        assert [by_name["items"][n]["message"] for n in (0, 2, 3)] == [stored[3], stored[0], stored[3]]
        assert by_name["items"][1]["error"]["code"] == "not_found"
        assert [item.get("message") for item in by_id["items"]] == [stored[3], None, stored[0]]

    async def test_what_is_deleted_is_gone_from_search_at_once_and_again_it_is_not_there(
        self, service: Service
    ) -> None:
        stored = await store_many(service, [message(f"apple {n}", external_id=f"n{n}") for n in range(5)])
        await service.embed_all()
        await store(service, "apple 5", external_id="n5")
        names = ["n5", "nothing", "n0", "n5"]

        first = await named(service, "delete", external_ids=names)
        again = await named(service, "delete", external_ids=names)
        by_id = await named(service, "delete", ids=[stored[1]["id"], stored[1]["id"]])

        assert (first["deleted"], first["missing"]) == (2, 2)
        assert first["items"][2] == {"status": 200, "id": stored[0]["id"], "external_id": "n0"}
        assert [item["status"] for item in first["items"]] == [200, 404, 200, 404]
        assert (again["deleted"], again["missing"]) == (0, 4)
        assert [item["status"] for item in by_id["items"]] == [200, 404]
        assert sorted(await found(service, "apple")) == ["apple 2", "apple 3", "apple 4"]
        assert (await service.jobs.counts()).pending == 0

    async def test_those_of_another_tenant_stay(self, service: Service) -> None:
        theirs = await store(service, "pear", tenant_id="globex", external_id="a")

        for names in ({"ids": [theirs["id"]]}, {"external_ids": ["a"]}):
            assert (await named(service, "delete", **names))["deleted"] == 0

        assert await get(service, theirs["id"]) == theirs

    async def test_kept_answers_are_forgotten_with_their_messages(self, service: Service) -> None:
        body = message("apple", external_id="a")
        for n in range(2):
            await service.client.post("/v1/messages", json=body, headers={"Idempotency-Key": f"k{n}"})
        await named(service, "delete", external_ids=["a"])

        late = await service.client.post("/v1/messages", json=body, headers={"Idempotency-Key": "k0"})

        assert (late.status_code, error_of(late)["code"]) == (409, "idempotency_conflict")
        async with service.database.connection() as connection:
            kept = [row[0] for row in await connection.fetch("SELECT answer::text FROM idempotency_keys")]
        assert kept == ["null", "null"]

    async def test_those_who_delete_the_same_at_once_delete_each_once(self, service: Service) -> None:
        stored = await store_many(service, [message(f"apple {n}", external_id=f"n{n}") for n in range(40)])
        names = [f"n{n}" for n in range(40)]
        asked = [
            *({"external_ids": names}, {"external_ids": names[::-1]}),
            *({"ids": [each["id"] for each in stored]}, {"ids": [each["id"] for each in reversed(stored)]}),
        ]

        answers = await asyncio.gather(*(named(service, "delete", **each) for each in asked), service.embed_all())

        assert sum(answer["deleted"] for answer in answers[:4] if answer is not None) == 40

    async def test_names_that_are_none_are_refused(self, service: Service) -> None:
        bad: list[Json] = [
            {},
            {"ids": [], "external_ids": []},
            {"ids": []},
            {"external_ids": None},
            {"external_ids": ["a"], "ids": None},
            {"ids": ["none"]},
            {"external_ids": [" "]},
            {"external_ids": ["x" * 513]},
            {"external_ids": ["a"] * 1001},
            {"ids": ["0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10"], "external_ids": ["a"]},
            {"external_ids": ["a"], "limit": 1},
        ]
        for path, names in product(("get", "delete"), bad):
            answer = await service.client.post(f"/v1/messages/{path}", json={"tenant_id": "acme", **names})
            assert (answer.status_code, error_of(answer)["code"]) == (422, "validation_error"), names

    async def test_no_table_is_read_from_end_to_end(self, service: Service, database_url: str) -> None:
        async with service.database.connection() as connection:
            await connection.execute(alike("acme", "apples", 3000))
            await connection.execute("UPDATE messages SET external_id = id::text")
            await connection.execute("ANALYZE messages")
        database = ExplainingDatabase(database_url, DatabaseSettings(), PoolSize(0, 1))
        repository = NamedMessageRepository(database, service.app.state.services.messages)

        for ask in (repository.get, repository.delete):
            await ask(Visible("acme"), None, ["n1", "n2"])
            assert "messages" not in scanned(database.plan)
            assert "messages_external_id" in indexes(database.plan)
            await ask(Visible("acme"), [uuid4()], None)
            assert "messages" not in scanned(database.plan)
        await database.close()
