"""What a message said before: whole, kept for as long as the settings say, and gone with the message."""

import asyncio
from typing import Any, cast

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.storage.messages.history import MessageHistoryRepository
from tests.integration.calls import change, error_of, get, message, store, store_many
from tests.integration.retaining import archived, finished_run
from tests.integration.service import Service

Json = dict[str, Any]
KEPT = 100
TEXTS = st.sampled_from(["a pear", "two plums", "three figs"])
OBJECTS = st.dictionaries(st.sampled_from("abc"), st.none() | st.booleans() | st.integers(0, 2), max_size=2)
# What a caller sends, one after the other; some change nothing.
CHANGES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "content": TEXTS,
            "name": st.none() | TEXTS,
            "metadata": OBJECTS,
            "importance_override": st.none() | st.sampled_from([0, 0.5, 1]),
            "language": st.none() | st.sampled_from(["de", "en"]),
        },
    ).filter(bool),
    max_size=8,
)


async def ask(service: Service, message_id: str, **query: Any) -> httpx.Response:
    return await service.client.get(f"/v1/messages/{message_id}/history", params=query)


async def history(service: Service, message_id: str, **query: Any) -> list[Json]:
    """The versions of a message, newest first."""
    answer = await ask(service, message_id, **query)
    assert answer.status_code == 200, answer.text
    return cast("list[Json]", answer.json()["items"])


async def kept(service: Service) -> int:
    async with service.database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM message_history"))


async def test_a_history_says_what_was_said_from_when_until_when(service: Service) -> None:
    stored = await store(service, "old", name="Ada", metadata={"a": 1}, user_id="ada", importance_override=0.5)
    await change(service, stored["id"], content="new")
    now = await change(service, stored["id"], metadata={"a": None}, name=None, importance_override=None)

    third, second, first = await history(service, stored["id"])

    assert [each["version"] for each in (first, second, third)] == [1, 2, 3]
    same = ("conversation_id", "role", "created_at", "user_id", "external_id", "expires_at")
    assert all(each[name] == now[name] for each in (first, second, third) for name in same)
    fields = ("content", "name", "metadata", "importance_override")
    assert [first[name] for name in fields] == ["old", "Ada", {"a": 1}, 0.5]
    assert [second[name] for name in fields] == ["new", "Ada", {"a": 1}, 0.5]
    assert [third[name] for name in fields] == ["new", None, {}, None]
    assert first["since"] == stored["updated_at"]
    assert (first["until"], second["until"], third["until"]) == (second["since"], third["since"], None)
    assert first["since"] < first["until"] < second["until"]


async def test_what_the_service_does_is_no_history(service: Service) -> None:
    stored = await store(service)
    await service.embed_all()
    async with service.database.connection() as connection:
        await connection.execute("UPDATE messages SET archived = true, archived_at = now()")

    (only,) = await history(service, stored["id"])

    assert (only["version"], only["since"], only["until"]) == (1, stored["updated_at"], None)
    assert await kept(service) == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
async def test_any_sequence_of_changes_replays(service: Service, changes: list[Json]) -> None:
    stored = await store(service)
    said = [stored, *[await change(service, stored["id"], **each) for each in changes]]

    replayed = {each["version"]: each for each in await history(service, stored["id"])}

    assert list(replayed) == list(range(said[-1]["version"], 0, -1))
    for each in said:
        then = replayed[each["version"]]
        assert all(then[name] == each[name] for name in then.keys() & each.keys())


async def test_a_history_is_read_in_pages(service: Service) -> None:
    stored = await store(service)
    for n in range(4):
        await change(service, stored["id"], content=f"version {n + 2}")
    read, cursor = [], None
    for _ in range(3):
        answer = (await ask(service, stored["id"], limit=2, **({"cursor": cursor} if cursor else {}))).json()
        read += [item["version"] for item in answer["items"]]
        cursor = answer["next_cursor"]

    assert (read, cursor) == ([5, 4, 3, 2, 1], None)
    other = await store(service)
    foreign = (await ask(service, stored["id"], limit=2)).json()["next_cursor"]
    refused = await ask(service, other["id"], cursor=foreign)
    assert (refused.status_code, error_of(refused)["code"]) == (422, "invalid_request")
    assert (await ask(service, stored["id"], limit=0)).status_code == 422


async def test_changes_at_once_are_all_in_it(service: Service) -> None:
    stored = await store(service)

    await asyncio.gather(*(change(service, stored["id"], content=f"{n}") for n in range(30)))

    contents = [each["content"] for each in await history(service, stored["id"])]
    assert sorted(contents) == sorted([stored["content"], *map(str, range(30))])
    assert contents[0] == (await get(service, stored["id"]))["content"]


async def test_the_last_hundred_versions_are_kept_however_often_it_changes(service: Service) -> None:
    stored = await store(service)
    async with service.database.connection() as connection:
        for n in range(KEPT + 5):
            await connection.execute("UPDATE messages SET content = $1", f"{n}")

    versions = [each["version"] for each in await history(service, stored["id"], limit=200)]

    assert versions == list(range(KEPT + 6, 5, -1))


async def test_a_history_goes_with_its_message_whoever_deletes_it(service: Service) -> None:
    contents = ["by id", "by conversation", "by a statement"]
    stored = await store_many(service, [message(each, conversation_id=each) for each in contents])
    for each in stored:
        await change(service, each["id"], content="changed")
    assert await kept(service) == 3

    assert (await service.client.delete(f"/v1/messages/{stored[0]['id']}")).status_code == 204
    assert await kept(service) == 2
    gone = await service.client.delete("/v1/conversations/by conversation", params={"tenant_id": "acme"})
    assert gone.status_code == 204
    assert await kept(service) == 1
    async with service.database.connection() as connection:
        await connection.execute("DELETE FROM messages")
    assert await kept(service) == 0
    assert (await ask(service, stored[0]["id"])).status_code == 404


async def test_what_is_changed_while_it_is_deleted_leaves_no_history(service: Service) -> None:
    for _ in range(5):
        stored = await store(service)
        path = f"/v1/messages/{stored['id']}"
        changes = [service.client.patch(path, json={"content": f"{n}"}) for n in range(12)]
        answers = await asyncio.gather(*changes[:6], service.client.delete(path), *changes[6:])
        assert {answer.status_code for answer in answers} <= {200, 204, 404}

    assert await kept(service) == 0


async def test_retention_that_deletes_a_message_deletes_its_history(service: Service) -> None:
    for each in await archived(service, 2, days_ago=100):
        await change(service, each, content="changed")
    assert await kept(service) == 2

    await finished_run(service.settings, dry_run=False, force=True)

    assert await kept(service) == 0


async def test_an_erasure_counts_and_erases_what_messages_said_before(service: Service) -> None:
    for conversation in ("c1", "c2"):
        stored = await store(service, conversation_id=conversation)
        for n in range(2):
            await change(service, stored["id"], content=f"{n}")

    one = await service.client.delete("/v1/admin/tenants/acme", params={"conversation_id": "c1"})
    all_of_it = await service.client.delete("/v1/admin/tenants/acme")
    again = await service.client.get("/v1/admin/tenants/acme/erasure")

    assert [answer.json()["earlier_versions"] for answer in (one, all_of_it, again)] == [2, 2, 2]
    assert await kept(service) == 0


async def test_versions_are_kept_for_as_many_days_as_the_settings_say(service: Service) -> None:
    stored = await store(service, "one")
    await change(service, stored["id"], content="two")
    await change(service, stored["id"], content="three")
    repository = MessageHistoryRepository(service.database)
    async with service.database.connection() as connection:
        await connection.execute(
            "UPDATE message_history SET since = since - interval '31 days', until = until - interval '31 days' "
            "WHERE version = 1"
        )
    shown = [each["content"] for each in await history(service, stored["id"])]

    assert shown == ["three", "two"]
    assert await repository.prune(30) == 1
    assert await repository.prune(30) == 0
    assert await kept(service) == 1


async def test_with_no_days_nothing_is_kept(service: Service) -> None:
    stored = await store(service, "one")
    await change(service, stored["id"], content="two")

    assert await MessageHistoryRepository(service.database).prune(0) == 1
    await change(service, stored["id"], content="three")

    assert await kept(service) == 0
    assert [each["content"] for each in await history(service, stored["id"])] == ["three"]


async def test_pruning_waits_for_nobody(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another transaction holds is left for the next time."""
    monkeypatch.setattr("deployments.storage.messages.history.PRUNED_AT_ONCE", 2)
    for n in range(4):
        await change(service, (await store(service))["id"], content=f"{n}")
    repository = MessageHistoryRepository(service.database)
    async with service.database.transaction() as connection:
        await connection.execute("SELECT FROM message_history ORDER BY until LIMIT 1 FOR UPDATE")
        assert await repository.prune(0) == 3

    assert await repository.prune(0) == 1
