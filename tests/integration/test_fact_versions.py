"""Versions of facts: counted, told by tags, asked for by changes, and kept for as long as the settings say."""

import asyncio
from typing import Any, cast

import httpx
import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.storage.messages.history import MessageHistoryRepository
from deployments.storage.postgres.schema import upgrade
from tests.integration.calls import Json, change, error_of, store
from tests.integration.postgres import PostgresServer
from tests.integration.service import Service
from tests.integration.test_facts import patched, read, store_fact
from tests.integration.test_schema import config_for, fetch

TIMES = st.integers(2020, 2030).map(lambda year: f"{year}-01-01T00:00:00Z")
# Numbers stand for messages and facts that are there.
CHANGES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "content": st.sampled_from(["a pear", "two plums"]),
            "subject": st.none() | st.sampled_from(["Ada", "Bob"]),
            "metadata": st.dictionaries(st.sampled_from("ab"), st.none() | st.booleans(), max_size=2),
            "valid_from": TIMES,
            "valid_to": st.none() | TIMES,
            "source_ids": st.lists(st.integers(0, 2), unique=True),
            "superseded_by": st.none() | st.integers(0, 1),
        },
    ).filter(bool),
    max_size=6,
)


async def ask(service: Service, method: str, fact_id: str, body: Json | None = None, **headers: str) -> httpx.Response:
    """Ask for a fact. `_` in a header's name stands for `-`."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.client.request(method, f"/v1/facts/{fact_id}", headers=sent, json=body)


async def history(service: Service, fact_id: str, **query: Any) -> list[Json]:
    """The versions of a fact, newest first."""
    answer = await service.client.get(f"/v1/facts/{fact_id}/history", params=query)
    assert answer.status_code == 200, answer.text
    return cast("list[Json]", answer.json()["items"])


async def kept(service: Service) -> int:
    async with service.database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM message_history"))


async def test_every_answer_with_a_fact_says_the_same_tag_until_a_caller_changes_it(service: Service) -> None:
    stored = await service.client.post("/v1/facts", json={"tenant_id": "acme", "content": "Ada prefers Python"})
    fact_id = stored.json()["id"]
    await service.embed_all()
    got = await ask(service, "GET", fact_id)
    unchanged = await ask(service, "PATCH", fact_id, {"content": "Ada prefers Python", "valid_to": None})
    changed = await ask(service, "PATCH", fact_id, {"content": "Ada prefers Rust"})

    assert stored.headers["ETag"] == got.headers["ETag"] == unchanged.headers["ETag"] != changed.headers["ETag"]
    assert got.json() == unchanged.json()
    assert all(each.headers["Last-Modified"].endswith("GMT") for each in (stored, got, unchanged, changed))
    assert [each.json()["version"] for each in (stored, got, unchanged, changed)] == [1, 1, 1, 2]


async def test_each_change_counts_once_and_what_is_there_already_is_none(service: Service) -> None:
    said = [(await store(service, each))["id"] for each in ("one", "two")]
    newer = await store_fact(service, "newer", valid_from="2025-01-01T00:00:00Z")
    changes: list[Json] = [
        {"content": "new"},
        {"subject": "Ada"},
        {"valid_from": "2020-01-01T00:00:00Z"},
        {"valid_to": "2030-01-01T00:00:00Z"},
        {"source_ids": said},
        {"source_ids": said[:1]},
        {"superseded_by": newer["id"]},
        {"content": "newest", "metadata": {"a": 1}, "valid_to": None, "superseded_by": None, "source_ids": said},
    ]
    stored = await store_fact(service)

    for version, fields in enumerate(changes, start=2):
        changed = await patched(service, stored["id"], **fields)
        again = await patched(service, stored["id"], **fields)
        assert (changed["version"], again) == (version, changed), fields
    assert [each["version"] for each in await history(service, stored["id"])] == list(range(len(changes) + 1, 0, -1))


async def test_what_another_change_does_to_a_fact_counts(service: Service) -> None:
    """A newer one that comes and goes, and a source that is deleted."""
    first, second = [(await store(service, each))["id"] for each in ("one", "two")]
    stored = await store_fact(service, source_ids=[first, second], valid_from="2020-01-01T00:00:00Z")
    newer = await store_fact(service, "newer", supersedes=stored["id"], valid_from="2024-01-01T00:00:00Z")
    # When the newer one began is nothing that the older one says.
    tag = (await ask(service, "GET", stored["id"])).headers["ETag"]
    await patched(service, newer["id"], valid_from="2025-01-01T00:00:00Z")
    assert (await ask(service, "GET", stored["id"])).headers["ETag"] == tag
    await service.client.delete(f"/v1/facts/{newer['id']}")
    await service.client.delete(f"/v1/messages/{first}")

    versions = await history(service, stored["id"])

    assert [(each["version"], each["superseded_by"]) for each in versions] == [
        (4, None),
        (3, None),
        (2, newer["id"]),
        (1, None),
    ]
    assert [each["source_ids"] for each in versions] == [[second], *[sorted([first, second])] * 3]
    assert (await read(service, stored["id"]))["version"] == 4


async def test_a_history_says_what_held_from_when_until_when(service: Service) -> None:
    said = await store(service)
    given: Json = {"subject": "Ada", "user_id": "ada", "metadata": {"a": 1}, "importance_override": 0.5}
    stored = await store_fact(service, source_ids=[said["id"]], **given)
    now = await patched(service, stored["id"], subject=None, source_ids=[], valid_to="2030-01-01T00:00:00Z")

    second, first = await history(service, stored["id"])

    assert {name: first[name] for name in given} == given
    for version, fact in ((first, stored), (second, now)):
        assert all(version[name] == fact[name] for name in version.keys() & fact.keys())
    assert (first["since"], first["until"], second["until"]) == (stored["updated_at"], second["since"], None)
    assert {"role", "name", "chat"}.isdisjoint(first)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
async def test_any_sequence_of_changes_replays(service: Service, changes: list[Json]) -> None:
    messages = [(await store(service, f"message {number}"))["id"] for number in range(3)]
    others = [(await store_fact(service, f"fact {number}"))["id"] for number in range(2)]
    said = [await store_fact(service, valid_from="2015-01-01T00:00:00Z")]
    for fields in changes:
        body = dict(fields)
        if "source_ids" in body:
            body["source_ids"] = [messages[each] for each in body["source_ids"]]
        if body.get("superseded_by") is not None:
            body["superseded_by"] = others[body["superseded_by"]]
        answer = await ask(service, "PATCH", said[0]["id"], body)
        assert answer.status_code in {200, 422}
        if answer.status_code == 200:
            said.append(answer.json())

    replayed = {each["version"]: each for each in await history(service, said[0]["id"])}

    assert list(replayed) == list(range(said[-1]["version"], 0, -1))
    for each in said:
        then = replayed[each["version"]]
        assert all(then[name] == each[name] for name in then.keys() & each.keys())


async def test_a_history_is_read_in_pages_and_goes_with_its_fact(service: Service) -> None:
    said = await store(service)
    stored = await store_fact(service, source_ids=[said["id"]])
    for number in range(3):
        await patched(service, stored["id"], valid_to=f"203{number}-01-01T00:00:00Z")
    path = f"/v1/facts/{stored['id']}/history"
    page = (await service.client.get(path, params={"limit": 3})).json()
    rest = await history(service, stored["id"], cursor=page["next_cursor"])

    assert [each["version"] for each in (*page["items"], *rest)] == [4, 3, 2, 1]
    assert (await service.client.get(f"/v1/facts/{said['id']}/history")).status_code == 404
    await service.client.delete(f"/v1/messages/{said['id']}")
    assert (await service.client.get(path)).status_code == 404
    assert await kept(service) == 0


async def test_a_receipt_counts_what_facts_said_before_also_of_those_that_go_with_their_sources(
    service: Service,
) -> None:
    said = await store(service, conversation_id="c1")
    for number, sources in enumerate(([said["id"]], [])):
        stored = await store_fact(service, f"fact {number}", source_ids=sources)
        await patched(service, stored["id"], valid_to="2030-01-01T00:00:00Z")
        await patched(service, stored["id"], content="changed")

    one = await service.client.delete("/v1/admin/tenants/acme", params={"conversation_id": "c1"})
    all_of_it = await service.client.delete("/v1/admin/tenants/acme")

    assert [answer.json()["earlier_versions"] for answer in (one, all_of_it)] == [2, 2]
    assert await kept(service) == 0


async def test_with_no_days_a_change_still_counts(service: Service) -> None:
    await MessageHistoryRepository(service.database).prune(0)
    stored = await store_fact(service)
    changed = await patched(service, stored["id"], valid_to="2030-01-01T00:00:00Z")

    assert (changed["version"], await kept(service)) == (2, 0)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_change_holds_for_one_version_alone(service: Service, method: str) -> None:
    stored = await store_fact(service)
    stale = (await ask(service, "GET", stored["id"])).headers
    now = await patched(service, stored["id"], valid_to="2030-01-01T00:00:00Z")
    body = {"content": "new", "valid_to": None} if method == "PATCH" else None

    refused = [
        await ask(service, method, stored["id"], body, **headers)
        for headers in (
            {"If_Match": stale["ETag"]},
            {"If_Match": '"1"'},
            {"If_Unmodified_Since": "Mon, 01 Jan 2024 00:00:00 GMT"},
        )
    ]
    invalid = await ask(service, method, stored["id"], body, If_Match="2")
    kept_as_it_was = await read(service, stored["id"])
    done = await ask(service, method, stored["id"], body, If_Match=f'"{now["version"]}"')
    gone = await ask(service, method, "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10", body, If_Match="*")

    assert [(each.status_code, error_of(each)["details"]) for each in refused] == [(412, {"version": 2})] * 3
    assert "message" not in error_of(refused[0])["message"]
    assert (invalid.status_code, kept_as_it_was, gone.status_code) == (422, now, 404)
    assert done.status_code in {200, 204}


async def test_of_all_that_change_one_version_at_once_one_succeeds(service: Service) -> None:
    stored = await store_fact(service)
    bodies: list[Json] = [{"content": "new"}, {"valid_to": "2030-01-01T00:00:00Z"}] * 6

    answers = await asyncio.gather(*(ask(service, "PATCH", stored["id"], each, If_Match='"1"') for each in bodies))

    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 11]
    assert (await read(service, stored["id"]))["version"] == 2


async def test_a_read_keeps_a_fact_alive_if_asked_for(service: Service) -> None:
    stored = await store_fact(service, ttl_seconds=3_600)
    async with service.database.connection() as connection:
        await connection.execute("UPDATE messages SET expires_at = expires_at - interval '30 min'")

    answer = await service.client.get(f"/v1/facts/{stored['id']}", params={"refresh_ttl": True})

    assert answer.json()["expires_at"] >= stored["expires_at"]
    assert answer.json()["version"] == 1


async def test_a_fact_whose_embedding_failed_is_tried_again(service: Service) -> None:
    stored = await store_fact(service)
    async with service.database.connection() as connection:
        await connection.execute("UPDATE embedding_jobs SET failed = true, attempts = 5")
        await connection.execute("UPDATE messages SET embedding_status = 'failed'")

    answer = await service.client.post(f"/v1/facts/{stored['id']}/retry")

    assert (answer.status_code, answer.json()["embedding_status"]) == (202, "pending")
    await service.embed_all()
    assert (await read(service, stored["id"]))["embedding_status"] == "completed"


async def test_a_message_fires_what_it_did_before_there_were_facts(service: Service) -> None:
    """Of the triggers on messages none is called for the sake of facts by what the service writes."""
    stored = await store(service)
    async with service.database.connection() as connection:
        plan = await connection.fetch(
            "EXPLAIN (ANALYZE) UPDATE messages SET embedding = NULL, importance = 1, embedding_status = 'completed', "
            "archived = true, archived_at = now(), updated_at = now()"
        )
    fired = {line.split()[1].rstrip(":") for (line,) in plan if line.startswith("Trigger")}

    assert "note_changes_on_update" in fired
    assert not {name for name in fired if "version" in name or "fact" in name}
    await change(service, stored["id"], content="changed")
    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT source_ids FROM message_history") is None


def test_the_release_before_keeps_its_own_history(postgres: PostgresServer) -> None:
    """Of messages, after the way down and up again."""
    url = postgres.create(template="template1")
    upgrade(url)
    command.downgrade(config_for(url), "0015")
    fetch(
        url,
        "INSERT INTO messages (id, tenant_id, conversation_id, role, content, embedding_status, terms, created_at, "
        "updated_at) VALUES (gen_random_uuid(), 'acme', 'c1', 'user', 'one', 'failed', '', now(), now()) RETURNING 1",
    )
    fetch(url, "UPDATE messages SET content = 'two' RETURNING 1")
    upgrade(url)
    fetch(url, "UPDATE messages SET content = 'three' RETURNING 1")

    assert fetch(url, "SELECT content FROM message_history ORDER BY version") == ["one", "two"]
    postgres.drop(url)
