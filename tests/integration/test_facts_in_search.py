"""Facts in searches and contexts: both ways to the hits, what supersedes what, and what held when."""

from typing import Any

import pytest

from deployments.settings import Settings
from tests.integration.calls import Json, found, search, store
from tests.integration.service import Service
from tests.integration.test_context import contents, context
from tests.integration.test_facts import store_fact


@pytest.fixture(params=["memory", "sql"])
def settings(settings: Settings, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With an index in memory, or without."""
    if request.param == "sql":
        monkeypatch.setenv("MEMORY_SEARCH_INDEX_BYTES", "0")
    return Settings.load()


async def moved(service: Service) -> tuple[Json, Json, Json]:
    """Porto until 2024, then Braga, since 2026 Faro: the oldest was stored last, and says the most of the query."""
    faro = await store_fact(service, "Went to Faro", subject="Ada", valid_from="2026-01-01T00:00:00Z")
    braga = await store_fact(service, "Home is in Braga", subject="Ada", valid_from="2024-01-01T00:00:00Z")
    porto = await store_fact(
        service, "Ada lives in the city of Porto", subject="Ada", valid_from="2020-01-01T00:00:00Z"
    )
    for older, newer in ((porto, braga), (braga, faro)):
        path = f"/v1/facts/{older['id']}"
        assert (await service.client.patch(path, json={"superseded_by": newer["id"]})).status_code == 200
    await service.embed_all()
    return porto, braga, faro


async def test_facts_and_messages_are_found_together_or_alone(service: Service) -> None:
    said = await store(service, "We had wine in Porto")
    fact = await store_fact(service, "Ada likes the wine of Porto", subject="Ada", source_ids=[said["id"]])
    await service.embed_all()

    both = (await search(service, "wine of Porto"))["items"]
    parameters: Any = {"tenant_id": "acme", "query": "wine", "kinds": "fact"}
    by_get = (await service.client.get("/v1/memory/search", params=parameters)).json()["items"]
    twice = await service.client.get("/v1/memory/search", params={**parameters, "kinds": ["fact", "message"]})

    kinds = {hit["message_id"]: hit["kind"] for hit in both}
    assert kinds == {said["id"]: "message", fact["id"]: "fact"}
    assert await found(service, "wine", kinds=["message"]) == [said["content"]]
    assert [hit["message_id"] for hit in by_get] == [fact["id"]]
    assert len(twice.json()["items"]) == 2
    assert by_get[0]["fact"] == {
        name: fact[name] for name in ("subject", "source_ids", "valid_from", "valid_to", "superseded_by")
    }
    assert (by_get[0]["name"], by_get[0]["role"], by_get[0]["conversation_id"]) == ("Ada", "system", "")
    assert next(hit for hit in both if hit["kind"] == "message")["fact"] is None


@pytest.mark.parametrize("bad", [{"kinds": []}, {"kinds": ["fact", "fact"]}, {"kinds": ["turn"]}, {"as_of": "today"}])
async def test_kinds_and_times_that_make_no_sense_are_refused(service: Service, bad: Json) -> None:
    for path, body in (("search", {}), ("context", {"conversation_id": "c1"})):
        request = {"tenant_id": "acme", "query": "x", **body, **bad}
        assert (await service.client.post(f"/v1/memory/{path}", json=request)).status_code == 422


async def test_a_superseded_fact_stands_below_its_successor(service: Service) -> None:
    await moved(service)
    for number in range(12):
        await store_fact(service, f"Ada once lived in city number {number} of Portugal", subject="Ada")
    await service.embed_all()
    query = "In which city does Ada live, Porto?"

    everything = await found(service, query, top_k=20, kinds=["fact"])
    explained = (await search(service, query, top_k=20, explain=True))["items"]

    order = [each for each in everything if "number" not in each]
    assert order == ["Went to Faro", "Home is in Braga", "Ada lives in the city of Porto"]
    # The newest is found in the place of the one that scores best.
    assert await found(service, query, top_k=1) == ["Went to Faro"]
    for hit in explained:
        assert sum(hit["explanation"].values()) == pytest.approx(hit["score"])
    assert [hit["score"] for hit in explained] == sorted((hit["score"] for hit in explained), reverse=True)


async def test_a_successor_that_the_filters_leave_out_changes_nothing(service: Service) -> None:
    old = await store_fact(service, "Ada lives in Porto", user_id="ada", metadata={"a": 1})
    await store_fact(service, "Ada lives in Braga", supersedes=old["id"])
    await service.embed_all()

    (hit,) = (await search(service, "Where does Ada live?", metadata={"a": 1}))["items"]

    assert (hit["content"], hit["fact"]["superseded_by"] is None) == ("Ada lives in Porto", False)


async def test_a_search_as_of_a_time_sees_what_was_said_and_held_then(service: Service) -> None:
    await moved(service)
    await store(service, "Ada says she lives well", created_at="2025-06-01T00:00:00Z")
    await store_fact(
        service, "Ada lives by the sea", valid_from="2024-05-01T00:00:00Z", valid_to="2024-06-01T00:00:00Z"
    )
    await service.embed_all()

    async def seen(as_of: str) -> set[str]:
        return set(await found(service, "Where does Ada live?", as_of=as_of))

    assert await seen("2019-12-31T00:00:00Z") == set()
    assert await seen("2023-12-31T23:59:59Z") == {"Ada lives in the city of Porto"}
    assert await seen("2024-01-01T00:00:00Z") == {"Home is in Braga"}
    assert await seen("2024-05-31T00:00:00Z") == {"Home is in Braga", "Ada lives by the sea"}
    assert await seen("2025-12-01T00:00:00Z") == {"Home is in Braga", "Ada says she lives well"}
    assert await seen("2026-02-01T00:00:00Z") == {"Went to Faro", "Ada says she lives well"}


async def test_a_fact_is_no_turn(service: Service) -> None:
    await store(service, "Where do you live?", created_at="2026-01-01T10:00:00Z")
    await store_fact(service, "Ada lives in Porto", conversation_id="c1")
    await store(service, "In Porto")
    await service.embed_all()

    hits = (await search(service, "Porto", neighbors=2))["items"]
    around = {hit["content"]: [turn["content"] for turn in hit["neighbors"]] for hit in hits}
    in_conversation = await found(service, "Porto", conversation_id="c1", kinds=["fact"])
    recent = await context(service, query="nothing of that", top_k=0)

    assert around["Ada lives in Porto"] == []
    assert around["In Porto"] == ["Where do you live?"]
    assert in_conversation == ["Ada lives in Porto"]
    assert await found(service, "Porto", conversation_id="c2") == []
    assert contents(recent) == ["Where do you live?", "In Porto"]


async def test_a_context_tells_facts_that_hold_under_a_heading_of_their_own(service: Service) -> None:
    await store(service, "Hello", created_at="2026-03-01T10:00:00Z", conversation_id="c0")
    porto, _, faro = await moved(service)
    await store_fact(service, "[2026-01-01]\nWhere Ada lives is a secret", valid_from="2026-02-01T00:00:00Z")
    await store(service, "Where does Ada live?", created_at="2026-03-02T10:00:00Z")
    await service.embed_all()

    answer = await context(service)
    then = await context(service, as_of="2021-01-01T00:00:00Z", query="Where does Ada live?")
    asked_then = await context(service, asked_at="2021-01-01T00:00:00Z", query="Where does Ada live?")
    of_facts = await context(service, kinds=["fact"], recent_turns=0, query="Where does Ada live?")

    held = "[Facts]\n- Ada, since 2026-01-01: Went to Faro\n"
    facts = f"{held}- since 2026-02-01: [2026-01-01]\n  Where Ada lives is a secret\n"
    assert answer["text"] == facts + "[2026-03-02, this conversation]\nuser: Where does Ada live?"
    item = answer["items"][0]
    assert (item["kind"], item["fact"]["subject"], item["message_id"]) == ("fact", "Ada", faro["id"])
    assert answer["items"][-1]["fact"] is None
    assert [item["message_id"] for item in then["items"]] == [porto["id"]]
    assert "Ada lives in the city of Porto" in contents(asked_then)
    assert of_facts["text"] == facts.strip()


async def test_a_context_cuts_a_long_fact(service: Service) -> None:
    await store_fact(service, f"Ada lives in Porto. {'And so on. ' * 400}", subject="Ada")
    await service.embed_all()

    answer = await context(service, query="Where does Ada live?", token_budget=100)

    (item,) = answer["items"]
    assert item["truncated"]
    assert answer["text"].startswith("[Facts]\n- Ada, since ")
    assert answer["tokens_used"] > 50
