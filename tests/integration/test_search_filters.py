"""Among which messages a search looks, and what it says of its hits."""

import math
from typing import Any

import pytest

from deployments.schemas.search import Weights
from tests.integration.calls import Json, found, message, search, store, store_many
from tests.integration.recount import execute
from tests.integration.service import Service

EVERYTHING = "note"
ALONE: Json = dict.fromkeys(Weights.model_fields, 0)


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
            message(
                "note D",
                created_at="2024-03-04T00:00:00Z",
                importance_override=0.1,
                metadata={"k": 2, "deep": {"a": 1, "b": 2}},
            ),
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
    await execute(service, "UPDATE messages SET archived = true WHERE content = 'note B'")

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
    await store(service, "note  C", conversation_id="c3", created_at="2024-03-02T12:00:00Z")
    weights = {name: 0.25 + n for n, name in enumerate(ALONE)}
    asked = {"asked_at": "2024-03-03T00:00:00Z", "weights": weights, "explain": True}

    hits = (await search(service, "my note C of yesterday", **asked))["items"]

    assert len(hits) == 5
    for hit in hits:
        assert set(hit["explanation"]) == {*weights, "repetition"} - {"diversity"}
        assert math.isclose(sum(hit["explanation"].values()), hit["score"])
    for part in hits[0]["explanation"]:
        assert any(hit["explanation"][part] for hit in hits), part


async def test_a_score_is_explained_only_when_asked(service: Service) -> None:
    await fill(service)

    assert {hit["explanation"] for hit in (await search(service, EVERYTHING))["items"]} == {None}


@pytest.mark.parametrize(
    ("weight", "query", "best"),
    [
        ("importance", "note D", "note C"),
        ("recency", "note B", "note D"),
        ("words", "note B", "note B"),
        ("similarity", "note B", "note B"),
        ("speaker", "what did you say in the note", "note B"),
        ("time", "note of yesterday", "note C"),
    ],
)
async def test_a_weight_decides_what_counts(service: Service, weight: str, query: str, best: str) -> None:
    await fill(service)
    await service.embed_all()
    asked: dict[str, Any] = {"weights": {**ALONE, weight: 1}, "asked_at": "2024-03-04T09:00:00Z"}

    assert (await found(service, query, **asked))[0] == best


async def test_a_conversation_helps_its_messages(service: Service) -> None:
    await store_many(
        service,
        [
            message("a needle in a haystack", created_at="2024-03-01T00:00:00Z"),
            message("nothing of the kind", created_at="2024-03-01T00:00:01Z"),
            message("nothing else of the kind", conversation_id="c2", created_at="2024-03-01T00:00:02Z"),
        ],
    )
    await service.embed_all()
    weights = {**ALONE, "words": 1, "session": 1}

    hits = (await search(service, "haystack", weights=weights, explain=True))["items"]

    alone = (await search(service, "haystack", weights={**ALONE, "words": 1}))["items"]
    assert hits[0]["content"] == alone[0]["content"] == "a needle in a haystack"
    assert [hit["explanation"]["session"] for hit in hits] == pytest.approx([alone[0]["score"] / 2, 0, 0])


async def test_what_says_the_same_again_makes_room_for_others(service: Service) -> None:
    same = "the needle is in the old haystack behind the barn"
    await store_many(
        service,
        [message(each, conversation_id=f"c{n}") for n, each in enumerate((same, same.upper(), same, "a needle"))],
    )
    weights = {**ALONE, "words": 1}

    assert (await found(service, "needle haystack", weights=weights))[3] == "a needle"
    assert (await found(service, "needle haystack", weights={**weights, "diversity": 1}))[1] == "a needle"


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
        (hit,) = (await search(service, "needle", neighbors=reach, top_k=1))["items"]
        assert hit["content"] == "the needle"
        assert [neighbor["content"] for neighbor in hit["neighbors"]] == expected


async def test_archived_turns_are_neighbors_only_when_asked_for(service: Service) -> None:
    turns = ["zero", "one", "two", "the needle", "four", "five"]
    await store_many(service, [message(turn, created_at=f"2024-03-01T00:00:0{n}Z") for n, turn in enumerate(turns)])
    await execute(service, "UPDATE messages SET archived = true WHERE content IN ('two', 'four')")

    for asked, expected in (
        ({}, ["zero", "one", "five"]),
        ({"include_archived": True}, ["one", "two", "four", "five"]),
    ):
        (hit,) = (await search(service, "needle", neighbors=2, top_k=1, **asked))["items"]
        assert [neighbor["content"] for neighbor in hit["neighbors"]] == expected


async def test_the_turns_beside_a_hit_are_found_behind_it(service: Service) -> None:
    """By words alone: what answers a question often shares no word with it."""
    turns = ["one", "two", "the needle", "four", "five"]
    await store_many(service, [message(turn, created_at=f"2024-03-01T00:00:0{n}Z") for n, turn in enumerate(turns)])
    await store(service, "elsewhere", conversation_id="c2", created_at="2024-03-01T00:00:02Z")
    await store(service, "another's", tenant_id="globex", created_at="2024-03-01T00:00:02Z")

    first, *others = await found(service, "needle")

    assert first == "the needle"
    assert sorted(others) == ["four", "two"]


BESIDE: list[tuple[Json, set[str]]] = [
    ({}, {"before", "needle"}),
    ({"include_archived": True}, {"before", "needle", "after"}),
    ({"role": "user"}, {"needle"}),
    ({"created_after": "2024-03-01T00:00:01Z"}, {"needle"}),
    ({"min_importance": 0.5}, {"needle"}),
    ({"metadata": {"k": 1}}, {"needle"}),
]


@pytest.mark.parametrize(("filters", "expected"), BESIDE)
async def test_a_filter_holds_for_the_turns_beside_a_hit(service: Service, filters: Json, expected: set[str]) -> None:
    turns = [("before", "assistant", 0.1, {}), ("needle", "user", 0.9, {"k": 1}), ("after", "assistant", 0.1, {})]
    await store_many(
        service,
        [
            message(
                content, role=role, importance_override=share, metadata=metadata, created_at=f"2024-03-01T00:00:0{n}Z"
            )
            for n, (content, role, share, metadata) in enumerate(turns)
        ],
    )
    await execute(service, "UPDATE messages SET archived = true WHERE content = 'after'")

    assert set(await found(service, "needle", **filters)) == expected


async def test_a_turn_beside_one_that_is_archived_still_lends_its_words(service: Service) -> None:
    """What nobody sees any more parts no two turns."""
    turns = ["the needle in the hay", "two", "three"]
    await store_many(service, [message(turn, created_at=f"2024-03-01T00:00:0{n}Z") for n, turn in enumerate(turns)])
    await store(service, "alone", conversation_id="c2")
    await execute(service, "UPDATE messages SET archived = true WHERE content = 'two'")
    await service.embed_all()

    hits = (await search(service, "needle hay", weights={**ALONE, "words": 1}, explain=True))["items"]

    words = {hit["content"]: hit["explanation"]["words"] for hit in hits}
    assert words["the needle in the hay"] > words["three"] > words["alone"] == 0


async def test_a_message_that_stands_alone_has_no_neighbors(service: Service) -> None:
    await store(service, "the needle")

    (hit,) = (await search(service, "needle", neighbors=2))["items"]

    assert hit["neighbors"] == []


async def test_a_search_among_nothing_finds_nothing(service: Service) -> None:
    assert await search(service, "anything") == {"count": 0, "total": 0, "degraded": False, "items": []}


@pytest.mark.parametrize(
    "query",
    ["a\\b", "it's", "''", '"', "x:*", "a & b | !c", "<->", "C:\\temp\\new", "/usr/\\local/b'in", "%s", "$1", ":limit"],
)
async def test_signs_that_mean_something_to_postgres_are_only_text(service: Service, query: str) -> None:
    await store(service, f"needle {query}")

    assert await found(service, f"needle {query}") == [f"needle {query}"]


async def test_what_is_not_scored_yet_passes_a_least_importance(service: Service) -> None:
    await store_many(service, [message("note 1", importance_override=0.2), message("note 2")])

    assert await found(service, EVERYTHING, min_importance=0.9) == ["note 2"]
    await service.embed_all()
    assert await found(service, EVERYTHING, min_importance=0.9) == []
