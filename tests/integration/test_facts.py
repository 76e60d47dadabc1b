"""Facts: statements that a caller derived, stored, listed, changed, deleted, and gone with their sources."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.calls import Json, error_of, found, get, search, store
from tests.integration.service import Service

ID = "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10"


def fact(content: str = "Ada prefers Python", **fields: Any) -> Json:
    """The body of a store."""
    return {"tenant_id": "acme", "content": content, **fields}


async def store_fact(service: Service, content: str = "Ada prefers Python", **fields: Any) -> Json:
    """Store a fact; the answer."""
    answer = await service.client.post("/v1/facts", json=fact(content, **fields))
    assert answer.status_code == 202, answer.text
    body: Json = answer.json()
    return body


async def listed(service: Service, **parameters: Any) -> list[str]:
    """The contents of the listed facts."""
    answer = await service.client.get("/v1/facts", params={"tenant_id": "acme", **parameters})
    assert answer.status_code == 200, answer.text
    return [each["content"] for each in answer.json()["items"]]


async def read(service: Service, fact_id: str) -> Json:
    answer = await service.client.get(f"/v1/facts/{fact_id}")
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


async def patched(service: Service, fact_id: str, **fields: Any) -> Json:
    answer = await service.client.patch(f"/v1/facts/{fact_id}", json=fields)
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


async def is_there(service: Service, fact_id: str) -> bool:
    return (await service.client.get(f"/v1/facts/{fact_id}")).status_code == 200


async def test_a_fact_is_answered_as_it_was_stored(service: Service) -> None:
    said = await store(service, "I like Python better than Java", created_at="2026-03-01T10:00:00+02:00")
    given: Json = {
        "subject": "Ada",
        "source_ids": [said["id"]],
        "conversation_id": "c1",
        "user_id": "ada",
        "agent_id": "coder",
        "metadata": {"topic": "languages"},
        "external_id": "f-1",
        "importance_override": 0.9,
        "valid_to": "2030-01-01T00:00:00Z",
    }

    stored = await store_fact(service, **given)
    await service.embed_all()
    kept = await read(service, stored["id"])

    # Since its source was said.
    assert kept["valid_from"] == "2026-03-01T08:00:00Z"
    importance = given.pop("importance_override")
    assert {name: kept[name] for name in given} == given
    assert kept["importance"] == importance
    assert (kept["superseded_by"], kept["embedding_status"]) == (None, "completed")
    assert {**stored, "embedding_status": "completed", "updated_at": kept["updated_at"]} == kept


async def test_a_fact_needs_nothing_but_its_content(service: Service) -> None:
    stored = await store_fact(service)

    assert stored["valid_from"] == stored["created_at"]
    assert (stored["conversation_id"], stored["subject"], stored["source_ids"]) == (None, None, [])


async def test_a_fact_is_in_no_listing_of_messages_and_counts_in_no_conversation(service: Service) -> None:
    await store(service, "hello")
    await store_fact(service, conversation_id="c1")
    listing = await service.client.get("/v1/messages", params={"tenant_id": "acme"})
    conversations = await service.client.get("/v1/conversations", params={"tenant_id": "acme"})
    message = await service.client.get("/v1/facts", params={"tenant_id": "acme", "external_id": "none"})

    assert [each["content"] for each in listing.json()["items"]] == ["hello"]
    assert [(each["conversation_id"], each["messages"]) for each in conversations.json()["items"]] == [("c1", 1)]
    assert message.json() == {"items": [], "next_cursor": None}


async def test_no_route_of_messages_reads_or_changes_a_fact(service: Service) -> None:
    stored = await store_fact(service, external_id="f-1", conversation_id="c1")
    path = f"/v1/messages/{stored['id']}"
    said = {"tenant_id": "acme", "conversation_id": "c1", "role": "system", "content": stored["content"]}
    answers = [
        await service.client.get(path),
        await service.client.get(f"{path}/history"),
        await service.client.patch(path, json={"content": "other"}),
        await service.client.patch(path, json={"content": "other"}, headers={"If-Match": "*"}),
        await service.client.delete(path),
        await service.client.delete(path, headers={"If-Match": "*"}),
        await service.client.post(f"{path}/retry"),
        # Word for word what the row of a fact holds.
        await service.client.post("/v1/messages", json={**said, "external_id": "f-1"}),
        await service.client.post("/v1/messages", json={**said, "external_id": "f-1", "id": stored["id"]}),
        await service.client.put("/v1/messages", json={**said, "external_id": "f-1"}),
    ]
    named: list[Json] = [{"ids": [stored["id"]]}, {"external_ids": ["f-1"]}]
    many = [
        (await service.client.post(f"/v1/messages/{what}", json={"tenant_id": "acme", **names})).json()
        for names in named
        for what in ("get", "delete")
    ]

    assert [answer.status_code for answer in answers] == [*[404] * 7, *[409] * 3]
    assert [(answer["missing"], answer["items"][0]["status"]) for answer in many] == [(1, 404)] * 4
    assert await read(service, stored["id"]) == stored


async def test_a_message_is_no_fact(service: Service) -> None:
    said = await store(service)
    path = f"/v1/facts/{said['id']}"
    answers = [
        await service.client.get(path),
        await service.client.patch(path, json={"content": "other"}),
        await service.client.patch(path, json={"valid_to": "2030-01-01T00:00:00Z"}),
        await service.client.delete(path),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert (await get(service, said["id"]))["content"] == said["content"]


@pytest.mark.parametrize(
    "bad",
    [
        {"content": " "},
        {"content": None},
        {"subject": ""},
        {"source_ids": ["x"]},
        {"source_ids": "x"},
        {"source_ids": [ID] * 2},
        {"source_ids": [f"{number:032x}" for number in range(101)]},
        {"valid_from": "2026-01-01"},
        {"valid_from": 1},
        {"valid_from": "2026-01-02T00:00:00Z", "valid_to": "2026-01-02T00:00:00Z"},
        {"supersedes": []},
        {"supersedes": "x"},
        {"role": "user"},
        {"superseded_by": ID},
        {"ttl_seconds": 1, "expires_at": "2100-01-01T00:00:00Z"},
        {"metadata": []},
    ],
)
async def test_what_makes_no_sense_is_refused(service: Service, bad: Json) -> None:
    answer = await service.client.post("/v1/facts", json=fact(**bad))

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "validation_error"


async def test_what_a_fact_names_must_be_there(service: Service) -> None:
    other = await store(service, tenant_id="other")
    others_fact = await store_fact(service, tenant_id="other")
    said, known = await store(service), await store_fact(service)
    bodies: list[Json] = [
        {"source_ids": [said["id"], str(uuid4())]},
        {"source_ids": [other["id"]]},
        {"source_ids": [known["id"]]},
        {"supersedes": str(uuid4())},
        {"supersedes": [known["id"], others_fact["id"]]},
        {"supersedes": said["id"]},
    ]

    answers = [await service.client.post("/v1/facts", json=fact("new", **body)) for body in bodies]
    changed = [
        await service.client.patch(f"/v1/facts/{known['id']}", json=body)
        for body in ({"source_ids": [other["id"]]}, {"superseded_by": others_fact["id"]}, {"superseded_by": said["id"]})
    ]

    assert [error_of(answer)["code"] for answer in (*answers, *changed)] == ["invalid_request"] * 9
    assert error_of(answers[1])["details"] == {"unknown_messages": [other["id"]]}
    assert await listed(service) == [known["content"]]
    assert (await read(service, known["id"]))["superseded_by"] is None


async def test_a_fact_ends_after_it_began(service: Service) -> None:
    said = await store(service, created_at="2026-03-01T10:00:00Z")
    early = fact(source_ids=[said["id"]], valid_to="2026-02-01T00:00:00Z")
    known = await store_fact(service, valid_from="2026-01-01T00:00:00Z")

    answers = [
        await service.client.post("/v1/facts", json=early),
        await service.client.patch(f"/v1/facts/{known['id']}", json={"valid_to": "2026-01-01T00:00:00Z"}),
    ]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert (await read(service, known["id"]))["valid_to"] is None


@pytest.mark.parametrize("bad", [{}, {"content": None}, {"valid_from": None}, {"source_ids": None}, {"kind": "fact"}])
async def test_a_change_that_makes_no_sense_is_refused(service: Service, bad: Json) -> None:
    stored = await store_fact(service)

    assert (await service.client.patch(f"/v1/facts/{stored['id']}", json=bad)).status_code == 422


async def test_a_bad_fact_of_a_batch_does_not_lose_the_good_ones(service: Service) -> None:
    said = await store(service)
    facts = [
        fact("first", source_ids=[said["id"]], external_id="f-1"),
        fact(" "),
        fact("unknown source", source_ids=[str(uuid4())]),
        fact("second", tenant_id="other"),
        fact("taken", external_id="f-1"),
        "no fact",
    ]

    answer = await service.client.post("/v1/facts/batch", json={"facts": facts})
    body = answer.json()

    assert answer.status_code == 207
    assert (body["accepted"], body["rejected"]) == (2, 4)
    assert [item["status"] for item in body["items"]] == [202, 422, 422, 202, 409, 422]
    assert body["items"][0]["fact"] == await read(service, body["items"][0]["fact"]["id"])
    assert await listed(service, tenant_id="other") == ["second"]


async def test_facts_are_listed_by_what_they_have(service: Service) -> None:
    said = await store(service)
    await store_fact(service, "of ada", user_id="ada", subject="Ada")
    await store_fact(service, "of an agent", agent_id="coder", conversation_id="c1")
    await store_fact(service, "with a source", source_ids=[said["id"]], external_id="f-1")
    await store_fact(service, "of March", valid_from="2026-03-01T00:00:00Z", valid_to="2026-04-01T00:00:00Z")

    assert await listed(service) == ["of March", "with a source", "of an agent", "of ada"]
    assert await listed(service, user_id="ada") == await listed(service, subject="Ada") == ["of ada"]
    assert await listed(service, agent_id="coder") == await listed(service, conversation_id="c1") == ["of an agent"]
    assert await listed(service, source_id=said["id"]) == await listed(service, external_id="f-1") == ["with a source"]
    assert await listed(service, as_of="2026-03-31T23:59:59Z") == ["of March"]
    assert await listed(service, as_of="2026-04-01T00:00:00Z") == []


async def test_a_listing_goes_on_where_it_ended(service: Service) -> None:
    for number in range(3):
        await store_fact(service, str(number))
    first = (await service.client.get("/v1/facts", params={"tenant_id": "acme", "limit": 2})).json()
    cursor = first["next_cursor"]

    rest = {"tenant_id": "acme", "limit": 2, "cursor": cursor}
    second = (await service.client.get("/v1/facts", params=rest)).json()
    other = await service.client.get("/v1/facts", params={**rest, "subject": "Ada"})
    unknown = await service.client.get("/v1/facts", params={"tenant_id": "acme", "nonsense": 1})

    assert [each["content"] for each in (*first["items"], *second["items"])] == ["2", "1", "0"]
    assert second["next_cursor"] is None
    assert (other.status_code, unknown.status_code) == (422, 422)


async def test_a_change_is_found_and_leaves_the_rest(service: Service) -> None:
    said = await store(service, "I said so")
    stored = await store_fact(service, subject="Ada", user_id="ada", metadata={"a": 1})

    changed = await patched(
        service, stored["id"], content="Ada prefers Rust", valid_to="2030-01-01T00:00:00Z", source_ids=[said["id"]]
    )
    renamed = await patched(service, stored["id"], subject="Grace", importance_override=0.8)

    assert await found(service, "Rust") == ["Ada prefers Rust"]
    assert (changed["valid_to"], changed["source_ids"]) == ("2030-01-01T00:00:00Z", [said["id"]])
    assert (renamed["subject"], renamed["importance"]) == ("Grace", 0.8)
    assert {name: renamed[name] for name in ("user_id", "metadata", "valid_from", "valid_to")} == {
        name: changed[name] for name in ("user_id", "metadata", "valid_from", "valid_to")
    }


async def test_a_fact_cannot_supersede_itself(service: Service) -> None:
    first, second, third = [await store_fact(service, str(number)) for number in range(3)]
    await patched(service, first["id"], superseded_by=second["id"])
    await patched(service, second["id"], superseded_by=third["id"])

    answers = [
        await service.client.patch(f"/v1/facts/{third['id']}", json={"superseded_by": each["id"]})
        for each in (first, second, third)
    ]

    assert [answer.status_code for answer in answers] == [422] * 3
    assert (await read(service, third["id"]))["superseded_by"] is None


async def test_a_deleted_fact_leaves_its_sources_and_what_it_superseded(service: Service) -> None:
    said = await store(service, "I moved to Braga")
    old = await store_fact(service, "lives in Porto", valid_from="2020-01-01T00:00:00Z")
    new = await store_fact(service, "lives in Braga", source_ids=[said["id"]], supersedes=old["id"])
    assert (await read(service, old["id"]))["superseded_by"] == new["id"]
    assert await listed(service, as_of="2100-01-01T00:00:00Z") == ["lives in Braga"]

    answer = await service.client.delete(f"/v1/facts/{new['id']}")

    assert answer.status_code == 204
    assert await listed(service, as_of="2100-01-01T00:00:00Z") == ["lives in Porto"]
    assert (await read(service, old["id"]))["superseded_by"] is None
    assert await found(service, "lives in Braga", kinds=["fact"]) == ["lives in Porto"]
    assert (await get(service, said["id"]))["content"] == "I moved to Braga"
    assert (await service.client.delete(f"/v1/facts/{new['id']}")).status_code == 404


async def test_a_fact_goes_with_the_last_of_its_sources(service: Service) -> None:
    first, second = await store(service, "first"), await store(service, "second", conversation_id="c2")
    both = await store_fact(service, "of both", source_ids=[first["id"], second["id"]])
    none = await store_fact(service, "of none")
    assert (await found(service, "of both"))[0] == "of both"

    await service.client.delete(f"/v1/messages/{first['id']}")
    assert (await read(service, both["id"]))["source_ids"] == [second["id"]]
    hit = (await search(service, "of both", kinds=["fact"]))["items"][0]
    assert hit["fact"]["source_ids"] == [second["id"]]
    await service.client.delete("/v1/conversations/c2", params={"tenant_id": "acme"})

    assert not await is_there(service, both["id"])
    assert await found(service, "of both", kinds=["fact"]) == ["of none"]
    assert await is_there(service, none["id"])


async def test_a_receipt_counts_facts_that_go_with_their_sources(service: Service) -> None:
    said = [await store(service, f"message {number}") for number in range(3)]
    await store_fact(service, "of all", source_ids=[each["id"] for each in said])
    await store_fact(service, "of none")
    await service.embed_all()
    await store_fact(service, "pending", source_ids=[said[0]["id"]])

    receipt = (await service.client.delete("/v1/admin/tenants/acme", params={"keep_keys": True})).json()

    assert (receipt["messages"], receipt["vectors"], receipt["pending_embeddings"]) == (6, 5, 1)
    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM fact_sources") == 0


async def test_a_fact_goes_with_sources_that_go_at_once(service: Service) -> None:
    """Also one that is stored at that moment: it is refused, or goes too."""
    for round_ in range(10):
        said = [await store(service, f"message {number}") for number in range(2)]
        sources = [each["id"] for each in said]
        await store_fact(service, f"of both {round_}", source_ids=sources)

        *deleted, late = await asyncio.gather(
            *(service.client.delete(f"/v1/messages/{source}") for source in sources),
            service.client.post("/v1/facts", json=fact("late", source_ids=sources)),
        )

        assert [answer.status_code for answer in deleted] == [204, 204]
        assert late.status_code in {202, 422}
    assert await listed(service) == []


async def test_of_facts_that_supersede_each_other_at_once_one_is_refused(service: Service) -> None:
    for _ in range(5):
        one, two = [(await store_fact(service))["id"] for _ in range(2)]

        answers = await asyncio.gather(
            service.client.patch(f"/v1/facts/{one}", json={"superseded_by": two}),
            service.client.patch(f"/v1/facts/{two}", json={"superseded_by": one}),
        )

        assert sorted(answer.status_code for answer in answers) == [200, 422]


async def test_what_supersedes_from_another_time_on_ends_the_older_one_then(service: Service) -> None:
    old = await store_fact(service, "old", valid_from="2020-01-01T00:00:00Z")
    new = await store_fact(service, "new", valid_from="2024-01-01T00:00:00Z", supersedes=[old["id"]])

    await patched(service, new["id"], valid_from="2022-01-01T00:00:00Z")

    assert await listed(service, as_of="2021-12-31T00:00:00Z") == ["old"]
    assert await listed(service, as_of="2022-01-01T00:00:00Z") == ["new"]
    await patched(service, old["id"], superseded_by=None)
    assert sorted(await listed(service, as_of="2022-01-01T00:00:00Z")) == ["new", "old"]
