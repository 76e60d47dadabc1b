"""A context over HTTP: what a conversation ended with and what matters to it, within a budget."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from deployments.schemas.context import ContextAnswer
from deployments.search.context.tokens import count_tokens
from deployments.settings import Settings
from tests.integration.calls import Json, error_of, message, store, store_many
from tests.integration.failing import Away
from tests.integration.service import Service, create_service

JSON = {"Content-Type": "application/json"}


async def context(service: Service, **parameters: Any) -> Json:
    """The context of the conversation c1; within its budget, whatever is asked."""
    request = {"tenant_id": "acme", "conversation_id": "c1", **parameters}
    answer = await service.client.post("/v1/memory/context", json=request)
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    assert body["tokens_used"] == count_tokens(body["text"]) <= body["token_budget"]
    return body


def contents(answer: Json) -> list[str]:
    return [item["content"] for item in answer["items"]]


def reasons(answer: Json) -> dict[str, str]:
    return {item["content"]: " ".join(item["reasons"]) for item in answer["items"]}


def at(minute: int, content: str, **fields: Any) -> Json:
    return message(content, created_at=f"2024-03-02T10:{minute:02}:00Z", **fields)


async def fill(service: Service) -> list[Json]:
    """A conversation from March, and an older one that holds what it is about."""
    return await store_many(
        service,
        [
            message("My sister Ana moved to Lisbon", conversation_id="c0", created_at="2024-01-05T08:00:00Z"),
            message("How nice for her", conversation_id="c0", role="assistant", created_at="2024-01-05T08:01:00Z"),
            message("I had pasta for lunch", conversation_id="c0", created_at="2024-01-06T08:00:00Z"),
            at(1, "Hello there", name="Ada"),
            at(2, "Hello Ada", role="assistant"),
            at(3, "Where does my sister Ana live?", name="Ada"),
        ],
    )


async def test_recent_turns_and_memories_in_time_order(service: Service) -> None:
    stored = await fill(service)
    await service.embed_all()

    answer = await context(service, query="Where does my sister Ana live?", top_k=1)

    assert reasons(answer) == {
        "My sister Ana moved to Lisbon": "relevant",
        "Hello there": "recent",
        "Hello Ada": "recent",
        "Where does my sister Ana live?": "recent relevant",
    }
    assert [item["message_id"] for item in answer["items"]] == [stored[number]["id"] for number in (0, 3, 4, 5)]
    assert (answer["token_budget"], answer["degraded"], answer["omitted"]) == (2000, False, 0)
    assert answer["text"].splitlines() == [
        "[2024-01-05]",
        "user: My sister Ana moved to Lisbon",
        "[2024-03-02, this conversation]",
        "Ada: Hello there",
        "assistant: Hello Ada",
        "Ada: Where does my sister Ana live?",
    ]


async def test_an_item_says_all_that_it_is(service: Service) -> None:
    stored = await store(service, "I love apples", name="Ada", metadata={"k": 1})

    (item,) = (await context(service, query="apples"))["items"]

    same = ("conversation_id", "role", "name", "content", "created_at")
    assert {key: item[key] for key in same} == {key: stored[key] for key in same}
    assert item["message_id"] == stored["id"]
    assert item["tokens"] == count_tokens("Ada: I love apples")
    assert item["score"] is not None


async def test_without_a_query_what_the_user_said_last_is_looked_for(service: Service) -> None:
    await fill(service)
    await store(service, "I have looked at the weather", role="tool")

    assert reasons(await context(service, top_k=1))["My sister Ana moved to Lisbon"] == "relevant"
    assert reasons(await context(service, top_k=1, recent_turns=1))["My sister Ana moved to Lisbon"] == "relevant"
    assert contents(await context(service, top_k=1, recent_turns=1, query="pasta lunch")) == [
        "I had pasta for lunch",
        "I have looked at the weather",
    ]


async def test_where_no_user_speaks_the_last_turn_is_looked_for(service: Service) -> None:
    await store(service, "apples are fruit", conversation_id="c2")
    await store(service, "the price of apples", role="tool")

    assert reasons(await context(service))["apples are fruit"] == "relevant"


async def test_an_unknown_conversation_has_memories_all_the_same(service: Service) -> None:
    await fill(service)

    assert reasons(await context(service, conversation_id="new", query="lisbon", top_k=1)) == {
        "My sister Ana moved to Lisbon": "relevant"
    }
    assert contents(await context(service, conversation_id="new")) == []


async def test_a_tenant_without_messages_has_an_empty_context(service: Service) -> None:
    assert await context(service, query="anything") == {
        "token_budget": 2000,
        "tokens_used": 0,
        "degraded": False,
        "omitted": 0,
        "items": [],
        "text": "",
    }


@pytest.mark.parametrize("budget", [0, 1, 2, 5])
async def test_a_tiny_budget_holds_nothing(service: Service, budget: int) -> None:
    await fill(service)

    answer = await context(service, query="lisbon", token_budget=budget)

    assert (answer["items"], answer["text"], answer["tokens_used"]) == ([], "", 0)


async def test_every_budget_is_kept(service: Service) -> None:
    await fill(service)
    await service.embed_all()
    sizes = [len((await context(service, token_budget=budget, min_score=0))["items"]) for budget in range(0, 130, 10)]

    assert sizes == sorted(sizes)
    assert sizes[-1] == 6


async def test_a_newest_turn_over_the_budget_is_cut_and_leaves_room(service: Service) -> None:
    await fill(service)
    await store(service, f"Here is the log, why does it stall? {'word ' * 19_000}The end.")

    answer = await context(service, query="lisbon", top_k=1)

    assert "Where does my sister Ana live?" in contents(answer)
    assert "My sister Ana moved to Lisbon" in contents(answer)
    assert [item["truncated"] for item in answer["items"]] == [False] * 4 + [True]
    assert contents(answer)[-1].startswith("Here is the log, why does it stall?")
    assert contents(answer)[-1].endswith("The end.")
    assert answer["omitted"] == 0
    whole = await context(service, query="lisbon", top_k=1, token_budget=1_000_000)
    assert not any(item["truncated"] for item in whole["items"])


async def test_of_a_long_memory_comes_what_is_asked_for_in_the_tenants_language(service: Service) -> None:
    await service.client.put("/v1/admin/languages/acme", json={"language": "de"})
    text = "An diesem Tag geschah nichts. " * 800
    await store(service, f"{text}Das Passwort lautet Marmelade. {text}", conversation_id="c2")

    (item,) = (await context(service, query="Wie heißen die Passwörter?", min_score=0))["items"]

    assert item["truncated"]
    assert "Das Passwort lautet Marmelade." in item["content"]


async def test_only_so_many_turns_and_memories_are_taken(service: Service) -> None:
    await fill(service)

    assert contents(await context(service, recent_turns=2, top_k=0)) == ["Hello Ada", "Where does my sister Ana live?"]
    assert contents(await context(service, recent_turns=0, top_k=0)) == []
    assert contents(await context(service, recent_turns=0, top_k=1, query="lisbon")) == [
        "My sister Ana moved to Lisbon"
    ]


async def test_memories_are_looked_for_behind_those_that_are_recent_turns(service: Service) -> None:
    await store_many(service, [at(minute, f"apples {minute}") for minute in range(15)])
    await store(service, "One day in spring we picked apples", conversation_id="c2")

    answer = await context(service, query="apples", top_k=1, recent_turns=15)

    assert reasons(answer)["One day in spring we picked apples"] == "relevant"


async def test_the_scope_keeps_other_conversations_out(service: Service) -> None:
    await fill(service)

    here = await context(service, query="Ana", recent_turns=0, scope="conversation")
    everywhere = await context(service, query="Ana", recent_turns=0)

    assert {item["conversation_id"] for item in here["items"]} == {"c1"}
    assert "Where does my sister Ana live?" in contents(here)
    assert "My sister Ana moved to Lisbon" in contents(everywhere)


async def test_tenants_never_see_each_other(service: Service) -> None:
    await fill(service)
    await store(service, "Ana is a spy", tenant_id="globex")

    assert "Ana is a spy" not in contents(await context(service, query="Ana"))
    assert contents(await context(service, query="Ana", tenant_id="globex")) == ["Ana is a spy"]


FILTERS: list[tuple[Json, list[str]]] = [
    ({}, ["note A", "note B", "note C"]),
    ({"role": "assistant"}, ["note B"]),
    ({"min_importance": 0.5}, ["note C"]),
    ({"created_after": "2024-03-02T00:00:00Z"}, ["note B", "note C"]),
    ({"created_before": "2024-03-02T00:00:00Z"}, ["note A"]),
    ({"metadata": {"k": 1}}, ["note A"]),
    ({"include_archived": True}, ["note A", "note B", "note C", "note D"]),
    ({"weights": {"similarity": 0, "words": 0, "importance": 1}, "top_k": 1}, ["note C"]),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
async def test_memories_are_filtered_as_in_a_search(service: Service, filters: Json, expected: list[str]) -> None:
    notes = [
        message("note A", created_at="2024-03-01T00:00:00Z", importance_override=0.2, metadata={"k": 1}),
        message("note B", created_at="2024-03-02T00:00:00Z", importance_override=0.1, role="assistant"),
        message("note C", created_at="2024-03-03T00:00:00Z", importance_override=0.9),
        message("note D", created_at="2024-03-04T00:00:00Z", importance_override=0.3),
    ]
    await store_many(service, [{**note, "conversation_id": "notes"} for note in notes])
    await archive(service, "note D")

    assert contents(await context(service, query="note", **filters)) == expected


async def archive(service: Service, content: str) -> None:
    async with service.database.connection() as connection:
        await connection.execute("UPDATE messages SET archived = true WHERE content = $1", content)


async def test_filters_are_for_memories_and_leave_the_recent_turns(service: Service) -> None:
    await fill(service)

    answer = await context(service, query="Ana", role="tool", created_before="2024-01-01T00:00:00Z")

    assert contents(answer) == ["Hello there", "Hello Ada", "Where does my sister Ana live?"]


async def test_an_archived_turn_is_recent_only_when_asked_for(service: Service) -> None:
    await fill(service)
    await archive(service, "Hello Ada")

    assert "Hello Ada" not in contents(await context(service, top_k=0))
    assert "Hello Ada" in contents(await context(service, top_k=0, include_archived=True))


async def test_the_turns_around_a_memory_come_along(service: Service) -> None:
    await fill(service)

    answer = await context(service, query="lisbon", top_k=1, neighbors=1, recent_turns=0)

    assert reasons(answer) == {"My sister Ana moved to Lisbon": "relevant", "How nice for her": "neighbor"}


async def test_what_was_said_twice_comes_once(service: Service) -> None:
    await store(service, "I love apples", conversation_id="c2", created_at="2024-01-01T00:00:00Z")
    newest = await store(service, "I  LOVE apples", conversation_id="c3")

    (item,) = (await context(service, query="apples"))["items"]

    assert item["message_id"] == newest["id"]


async def test_words_decide_while_embedding_is_away(settings: Settings) -> None:
    async with create_service(settings, Away()) as service:
        await fill(service)

        answer = await context(service, query="lisbon")

        assert answer["degraded"]
        assert "My sister Ana moved to Lisbon" in contents(answer)
        assert not (await context(service, query="lisbon", top_k=0))["degraded"]


async def test_a_database_that_is_away_is_a_503(settings: Settings) -> None:
    nowhere = settings.database.model_copy(update={"url": SecretStr("postgresql://127.0.0.1:1/none")})
    async with create_service(replace(settings, database=nowhere), Away()) as service:
        answer = await service.client.post("/v1/memory/context", json={"tenant_id": "acme", "conversation_id": "c1"})

        assert answer.status_code == 503
        assert error_of(answer)["code"] == "database_unavailable"


@pytest.mark.parametrize(
    "query", ["the of and", "北京", "🙂", "مرحبا", "a & b | !c:*'\\", "x" * 100_000, "w " * 10_000]
)
async def test_an_odd_query_finds_what_it_finds(service: Service, query: str) -> None:
    await fill(service)
    await service.embed_all()

    assert "Hello Ada" in contents(await context(service, query=query))


async def test_the_answer_is_what_is_documented(service: Service) -> None:
    await fill(service)

    answer = await context(service, query="Ana", neighbors=2)

    assert all(item.pop("id") == item["message_id"] for item in answer["items"])
    ContextAnswer.model_validate(answer)


BAD: dict[str, Json] = {
    "no tenant": {"tenant_id": None},
    "empty tenant": {"tenant_id": ""},
    "NUL in the tenant": {"tenant_id": "\0"},
    "no conversation": {"conversation_id": None},
    "blank conversation": {"conversation_id": " "},
    "empty query": {"query": ""},
    "blank query": {"query": " \n"},
    "NUL in the query": {"query": "a\0b"},
    "half a surrogate pair in the query": {"query": "\ud800"},
    "query over 100,000 characters": {"query": "x" * 100_001},
    "negative budget": {"token_budget": -1},
    "budget over 1,000,000": {"token_budget": 1_000_001},
    "budget that is no integer": {"token_budget": 1.5},
    "budget that is NaN": {"token_budget": float("nan")},
    "budget that is null": {"token_budget": None},
    "negative turns": {"recent_turns": -1},
    "too many turns": {"recent_turns": 101},
    "negative share": {"recent_share": -0.1},
    "share above 1": {"recent_share": 1.1},
    "share that is NaN": {"recent_share": float("nan")},
    "negative top_k": {"top_k": -1},
    "top_k over 100": {"top_k": 101},
    "unknown scope": {"scope": "world"},
    "too many neighbors": {"neighbors": 6},
    "unknown role": {"role": "wizard"},
    "importance above 1": {"min_importance": 2},
    "time without a zone": {"created_after": "2024-01-01T00:00:00"},
    "metadata that is a list": {"metadata": [1]},
    "negative weight": {"weights": {"words": -1}},
    "unknown weight": {"weights": {"charm": 1}},
    "unknown field": {"surprise": 1},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_a_bad_request_is_refused(service: Service, bad: Json) -> None:
    body = json.dumps({"tenant_id": "acme", "conversation_id": "c1", "query": "apples", **bad})

    answer = await service.client.post("/v1/memory/context", content=body, headers=JSON)

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "validation_error"
