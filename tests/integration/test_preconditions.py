"""Nobody's change is overwritten in silence: ETag, If-Match and If-Unmodified-Since."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.calls import change, error_of, found, get, message, store, store_many
from tests.integration.service import Service

NEW = {"content": "new"}


async def ask(service: Service, method: str, message_id: str, **headers: str) -> httpx.Response:
    """Change or delete a message."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    body = NEW if method == "PATCH" else None
    return await service.client.request(method, f"/v1/messages/{message_id}", headers=sent, json=body)


async def tag_of(service: Service, message_id: str) -> str:
    return str((await service.client.get(f"/v1/messages/{message_id}")).headers["ETag"])


async def test_every_answer_with_a_message_says_the_same_tag_until_a_caller_changes_it(service: Service) -> None:
    stored = await service.client.post("/v1/messages", json=message(), headers={"Idempotency-Key": "k"})
    again = await service.client.post("/v1/messages", json=message(), headers={"Idempotency-Key": "k"})
    message_id = stored.json()["id"]
    read = await service.client.get(f"/v1/messages/{message_id}")
    await service.embed_all()
    embedded = await service.client.get(f"/v1/messages/{message_id}")
    unchanged = await service.client.patch(f"/v1/messages/{message_id}", json={"content": message()["content"]})

    tags = {answer.headers["ETag"] for answer in (stored, again, read, embedded, unchanged)}
    assert len(tags) == 1
    assert unchanged.json() == embedded.json()
    assert read.headers["Last-Modified"].endswith("GMT")

    changed = await service.client.patch(f"/v1/messages/{message_id}", json=NEW)
    assert changed.headers["ETag"] not in tags
    assert changed.headers["ETag"] == await tag_of(service, message_id)
    assert (stored.json()["version"], changed.json()["version"]) == (1, 2)


async def test_each_change_counts_once_and_what_is_there_already_is_none(service: Service) -> None:
    changes: list[dict[str, Any]] = [
        {"content": "new"},
        {"name": "Ada"},
        {"metadata": {"a": True}},
        {"importance_override": 0.5},
        {"language": "de"},
        {"content": "newer", "name": None, "metadata": {"b": 1}, "importance_override": 1, "language": None},
    ]
    stored = await store(service, metadata={"a": 1})

    for version, fields in enumerate(changes, start=2):
        changed = await change(service, stored["id"], **fields)
        again = await change(service, stored["id"], **fields)
        assert (changed["version"], again) == (version, changed)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_stale_tag_is_refused_and_changes_nothing(service: Service, method: str) -> None:
    stored = await store(service)
    stale = await tag_of(service, stored["id"])
    now = await change(service, stored["id"], content="of another")

    answer = await ask(service, method, stored["id"], If_Match=stale)

    assert answer.status_code == 412
    error = error_of(answer)
    assert (error["code"], error["details"]) == ("precondition_failed", {"version": 2})
    assert await get(service, stored["id"]) == now


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_tag_that_holds_lets_the_change_pass(service: Service, method: str) -> None:
    for form in ("{tag}", '"x", {tag}', '{tag},"x"', "*", ' , {tag} ,, W/"y"', '"{version}"'):
        stored = await store(service)
        tag = await tag_of(service, stored["id"])

        answer = await ask(service, method, stored["id"], If_Match=form.format(tag=tag, version=stored["version"]))

        assert answer.status_code in {200, 204}, f"{form}: {answer.text}"


async def test_a_tag_of_nothing_that_is_there_matches_not_even_weakly(service: Service) -> None:
    stored = await store(service)
    tag = await tag_of(service, stored["id"])

    for header in (f"W/{tag}", '"x"', f'"{tag[1:-1]}0"', '""', '"2"', '"*"'):
        answer = await ask(service, "PATCH", stored["id"], If_Match=header)
        assert answer.status_code == 412, header


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_what_is_no_list_of_tags_is_refused(service: Service, method: str) -> None:
    stored = await store(service)

    for header in ("", "3", '"open', "*, *", '"a" "b"', 'w/"a"', "W/*", '"a b"'):
        answer = await ask(service, method, stored["id"], If_Match=header)
        assert answer.status_code == 422, header
        assert error_of(answer)["details"][0]["location"] == ["header", "If-Match"]
    assert await get(service, stored["id"]) == stored


async def test_a_tag_of_a_message_that_was_deleted_is_none_of_its_successor(service: Service) -> None:
    """Whoever stores under a name or id of its own may store anew what another has deleted."""
    stored = await store(service)
    tag = await tag_of(service, stored["id"])
    async with service.database.connection() as connection:
        await connection.execute("UPDATE messages SET updated_at = updated_at + interval '1 ms'")

    assert (await ask(service, "PATCH", stored["id"], If_Match=tag)).status_code == 412


async def test_lines_of_a_header_are_one_list(service: Service) -> None:
    stored = await store(service)
    lines = [("If-Match", '"x"'), ("If-Match", await tag_of(service, stored["id"]))]

    answer = await service.client.patch(f"/v1/messages/{stored['id']}", headers=lines, json=NEW)

    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_what_is_not_there_is_404_whatever_is_asked_for(service: Service, method: str) -> None:
    answer = await ask(service, method, str(uuid4()), If_Match="*")

    assert answer.status_code == 404


async def test_of_all_that_change_one_version_at_once_one_succeeds(service: Service) -> None:
    stored = await store(service)
    tag = await tag_of(service, stored["id"])

    answers = await asyncio.gather(
        *(
            service.client.patch(f"/v1/messages/{stored['id']}", json={"content": f"{n}"}, headers={"If-Match": tag})
            for n in range(20)
        )
    )

    (winner,) = (answer for answer in answers if answer.status_code == 200)
    assert {answer.status_code for answer in answers} == {200, 412}
    assert (await get(service, stored["id"]))["content"] == winner.json()["content"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_change_since_a_date_is_refused(service: Service, method: str) -> None:
    stored = await store(service)
    since = (await service.client.get(f"/v1/messages/{stored['id']}")).headers["Last-Modified"]

    stale = await ask(service, method, stored["id"], If_Unmodified_Since="Mon, 01 Jan 2024 00:00:00 GMT")
    invalid = await ask(service, method, stored["id"], If_Unmodified_Since=stored["updated_at"])
    by_tag = await ask(service, method, stored["id"], If_Unmodified_Since=since, If_Match='"x"')
    fresh = await ask(service, method, stored["id"], If_Unmodified_Since=since)

    assert [answer.status_code for answer in (stale, invalid, by_tag)] == [412, 422, 412]
    assert error_of(invalid)["details"][0]["location"] == ["header", "If-Unmodified-Since"]
    assert fresh.status_code in {200, 204}


async def test_dates_in_obsolete_forms_are_read(service: Service) -> None:
    stored = await store(service)

    for date in ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"):
        assert (await ask(service, "PATCH", stored["id"], If_Unmodified_Since=date)).status_code == 412


async def test_messages_of_lists_and_batches_say_their_version(service: Service) -> None:
    (stored,) = await store_many(service, [message()])
    await change(service, stored["id"], content="new")

    (listed,) = (await service.client.get("/v1/messages", params={"tenant_id": "acme"})).json()["items"]

    assert (stored["version"], listed["version"]) == (1, 2)


async def put(service: Service, content: str, **headers: str) -> httpx.Response:
    """Put a message by its name. `_` in a header's name stands for `-`."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.client.put("/v1/messages", json=message(content, external_id="fruit"), headers=sent)


async def test_a_put_of_one_version_replaces_no_other(service: Service) -> None:
    stored = await put(service, "apple")

    replaced = await put(service, "pear", If_Match=stored.headers["ETag"])
    stale = await put(service, "fig", If_Match=stored.headers["ETag"])
    unchanged = await put(service, "pear", If_Match=stored.headers["ETag"])

    assert [answer.status_code for answer in (stored, replaced, stale, unchanged)] == [201, 200, 412, 412]
    assert error_of(stale)["code"] == "precondition_failed"
    assert (await put(service, "pear")).headers["ETag"] == replaced.headers["ETag"] != stored.headers["ETag"]


async def test_a_put_of_a_version_stores_nothing_where_there_is_none(service: Service) -> None:
    absent = await put(service, "apple", If_Match="*")

    assert (absent.status_code, error_of(absent)["code"]) == (412, "precondition_failed")
    assert await found(service, "apple") == []


async def test_of_puts_of_one_version_at_once_one_succeeds(service: Service) -> None:
    tag = (await put(service, "apple")).headers["ETag"]

    answers = await asyncio.gather(*(put(service, f"pear {number}", If_Match=tag) for number in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 19]
