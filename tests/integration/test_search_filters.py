"""Among which messages a search looks, and what it says of its hits."""

import math
from typing import Any

import pytest

from tests.integration.calls import Json, found, message, search, store, store_many
from tests.integration.service import Service

EVERYTHING = "note"


async def fill(service: Service) -> None:
    """Four notes that differ in everything that can be filtered by."""
    await store_many(
        service,
        [
            message(
                "note A", created_at="2024-03-01T00:00:00Z", importance_override=0.2, metadata={"k": 1, "t": ["x"]}
            ),
            message("note B", created_at="2024-03-02T00:00:00Z", importance_override=0.5, role="assistant"),
            message("note C", created_at="2024-03-03T00:00:00Z", importance_override=0.9, conversation_id="c2"),
            message("note D", created_at="2024-03-04T00:00:00Z", metadata={"k": 2, "deep": {"a": 1, "b": 2}}),
        ],
    )


FILTERS: list[tuple[Json, str]] = [
    ({}, "ABCD"),
    ({"conversation_id": "c2"}, "C"),
    ({"conversation_id": "none"}, ""),
    ({"role": "assistant"}, "B"),
    ({"role": "tool"}, ""),
    ({"min_importance": 0.5}, "BC"),
    ({"min_importance": 0.91}, ""),
    ({"created_after": "2024-03-02T00:00:00Z"}, "BCD"),
    ({"created_before": "2024-03-02T00:00:00Z"}, "A"),
    ({"created_after": "2024-03-02T05:30:00+05:30", "created_before": "2024-03-03T00:00:00.000001Z"}, "BC"),
    ({"created_after": "2024-03-04T00:00:00Z", "created_before": "2024-03-01T00:00:00Z"}, ""),
    ({"role": "user", "conversation_id": "c1", "created_before": "2024-03-04T00:00:00Z"}, "A"),
]
METADATA: list[tuple[Json, str]] = [
    ({"metadata": {}}, "ABCD"),
    ({"metadata": {"k": 1}}, "A"),
    ({"metadata": {"k": "1"}}, ""),
    ({"metadata": {"t": ["x"]}}, "A"),
    ({"metadata": {"deep": {"a": 1}}}, "D"),
    ({"metadata": {"k": 1, "deep": {"a": 1}}}, ""),
]


@pytest.mark.parametrize("embedded", [False, True], ids=["by words", "by both"])
@pytest.mark.parametrize(("filters", "expected"), FILTERS + METADATA)
async def test_a_filter_keeps_what_it_names(service: Service, filters: Json, expected: str, embedded: bool) -> None:
    await fill(service)
    if embedded:
        await service.embed_all()

    hits = await found(service, EVERYTHING, **filters)

    assert "".join(sorted(hit[-1] for hit in hits)) == expected


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
async def test_a_get_takes_the_same_filters(service: Service, filters: Json, expected: str) -> None:
    await fill(service)

    answer = await service.client.get("/v1/memory/search", params={"tenant_id": "acme", "query": EVERYTHING, **filters})

    assert answer.status_code == 200
    assert "".join(sorted(hit["content"][-1] for hit in answer.json()["items"])) == expected


async def test_archived_messages_are_found_only_when_asked_for(service: Service) -> None:
    await fill(service)
    await service.embed_all()
    async with service.database.connection() as connection:
        await connection.execute("UPDATE messages SET archived = true WHERE content = 'note B'")

    assert "note B" not in await found(service, EVERYTHING)
    assert "note B" in await found(service, EVERYTHING, include_archived=True)


@pytest.mark.parametrize("embedded", [False, True])
async def test_tenants_never_see_each_other(service: Service, embedded: bool) -> None:
    await store(service, "the secret of acme")
    await store(service, "the secret of globex", tenant_id="globex")
    if embedded:
        await service.embed_all()

    assert await found(service, "secret of globex") == ["the secret of acme"]
    assert await found(service, "secret of acme", tenant_id="globex") == ["the secret of globex"]
    assert await found(service, "secret", tenant_id="nobody") == []


@pytest.mark.parametrize("top_k", [1, 3, 100])
async def test_at_most_top_k_hits_are_returned_and_counted(service: Service, top_k: int) -> None:
    await store_many(service, [message(f"note {n}") for n in range(105)])

    answer = await search(service, EVERYTHING, top_k=top_k)

    assert len(answer["items"]) == answer["total"] == top_k


async def test_ten_hits_are_returned_unless_told_otherwise(service: Service) -> None:
    await store_many(service, [message(f"note {n}") for n in range(12)])

    assert (await search(service, EVERYTHING))["total"] == 10


async def test_hits_come_best_first(service: Service) -> None:
    await fill(service)
    await service.embed_all()

    scores = [hit["score"] for hit in (await search(service, "note C"))["items"]]

    assert scores == sorted(scores, reverse=True)
    assert (await found(service, "note C"))[0] == "note C"


async def test_the_parts_of_a_score_add_up_to_it(service: Service) -> None:
    await fill(service)
    await service.embed_all()
    weights = {"similarity": 0.7, "words": 0.2, "importance": 1.5, "recency": 3}

    hits = (await search(service, "note C", weights=weights, explain=True))["items"]

    assert len(hits) == 4
    for hit in hits:
        assert set(hit["explanation"]) == set(weights)
        assert math.isclose(sum(hit["explanation"].values()), hit["score"])


async def test_a_score_is_explained_only_when_asked(service: Service) -> None:
    await fill(service)

    assert {hit["explanation"] for hit in (await search(service, EVERYTHING))["items"]} == {None}


ALONE = {"similarity": 0, "words": 0, "importance": 0, "recency": 0}


@pytest.mark.parametrize(
    ("weights", "best"),
    [
        ({**ALONE, "importance": 1}, "note C"),
        ({**ALONE, "recency": 1}, "note D"),
        ({**ALONE, "words": 1}, "note A"),
        ({**ALONE, "similarity": 1}, "note A"),
    ],
)
async def test_a_weight_decides_what_counts(service: Service, weights: dict[str, Any], best: str) -> None:
    await fill(service)
    await service.embed_all()

    assert (await found(service, "note A", weights=weights))[0] == best


async def test_a_hit_says_all_that_it_is(service: Service) -> None:
    stored = await store(service, "I love apples", name="Ada", metadata={"k": 1}, importance_override=0.5)
    await service.embed_all()

    (hit,) = (await search(service, "apples"))["items"]

    same = ("conversation_id", "role", "name", "content", "metadata", "created_at")
    assert {key: hit[key] for key in same} == {key: stored[key] for key in same}
    assert hit["message_id"] == stored["id"]
    assert hit["importance"] == 0.5
    assert -1 <= hit["similarity"] <= 1
    assert hit["neighbors"] is None


async def test_the_turns_around_a_hit_come_in_time_order(service: Service) -> None:
    turns = ["one", "two", "the needle", "four", "five"]
    await store_many(service, [message(turn, created_at=f"2024-03-01T00:00:0{n}Z") for n, turn in enumerate(turns)])
    await store(service, "elsewhere", conversation_id="c2", created_at="2024-03-01T00:00:02Z")
    await store(service, "another's", tenant_id="globex", created_at="2024-03-01T00:00:02Z")

    for reach, expected in ((1, ["two", "four"]), (5, ["one", "two", "four", "five"])):
        (hit,) = (await search(service, "needle", neighbors=reach))["items"]
        assert [neighbor["content"] for neighbor in hit["neighbors"]] == expected


async def test_a_message_that_stands_alone_has_no_neighbors(service: Service) -> None:
    await store(service, "the needle")

    (hit,) = (await search(service, "needle", neighbors=2))["items"]

    assert hit["neighbors"] == []


async def test_a_search_among_nothing_finds_nothing(service: Service) -> None:
    assert await search(service, "anything") == {"total": 0, "degraded": False, "items": []}


@pytest.mark.parametrize(
    "query",
    ["a\\b", "it's", "''", '"', "x:*", "a & b | !c", "<->", "C:\\temp\\new", "/usr/\\local/b'in", "%s", "$1", ":limit"],
)
async def test_signs_that_mean_something_to_postgres_are_only_text(service: Service, query: str) -> None:
    await store(service, f"needle {query}")

    assert await found(service, f"needle {query}") == [f"needle {query}"]
