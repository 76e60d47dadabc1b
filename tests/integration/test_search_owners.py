"""Users, agents, namespaces and expiry in searches, from memory and by SQL."""

from dataclasses import replace

import pytest

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.settings import Settings
from tests.integration.calls import Json, found, message, search, store_many
from tests.integration.recount import execute
from tests.integration.service import Service, create_service
from tests.integration.test_search_filters import EVERYTHING, fill

NAMED: list[tuple[Json, str]] = [
    ({"user_id": "ada"}, "AC"),
    ({"agent_id": "helper"}, "C"),
    ({"user_id": "helper"}, ""),
    ({"conversation_prefix": "c"}, ""),
    ({"conversation_prefix": "c2/"}, "C"),
    ({"where": {"external_id": {"exists": True}}}, "A"),
]


def either_way(settings: Settings, *, in_memory: bool) -> Settings:
    """Return settings by which a search goes by an index in memory, or by SQL."""
    by_sql = settings.search.model_copy(update={"index_bytes": 0})
    return settings if in_memory else replace(settings, search=by_sql)


async def name_some(service: Service) -> None:
    await execute(service, "UPDATE messages SET user_id = 'ada', external_id = 'crm-1' WHERE content = 'note A'")
    await execute(service, "UPDATE messages SET user_id = 'ada', agent_id = 'helper' WHERE content = 'note C'")


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "by SQL"])
@pytest.mark.parametrize(("filters", "expected"), NAMED)
async def test_users_agents_and_namespaces_are_filters_both_ways(
    settings: Settings, provider: EmbeddingProvider, in_memory: bool, filters: Json, expected: str
) -> None:
    async with create_service(either_way(settings, in_memory=in_memory), provider) as service:
        await fill(service)
        await name_some(service)

        hits = await found(service, EVERYTHING, **filters)
        context = await service.client.post(
            "/v1/memory/context", json={"tenant_id": "acme", "conversation_id": "new", "query": EVERYTHING, **filters}
        )

    assert "".join(sorted(hit[-1] for hit in hits)) == expected
    assert "".join(sorted(item["content"][-1] for item in context.json()["items"])) == expected


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "by SQL"])
async def test_a_hit_says_whose_it_is_and_when_it_expires(
    settings: Settings, provider: EmbeddingProvider, in_memory: bool
) -> None:
    async with create_service(either_way(settings, in_memory=in_memory), provider) as service:
        await fill(service)
        await search(service, EVERYTHING)
        # What changes is seen by the index that is there.
        await name_some(service)
        await execute(service, "UPDATE messages SET expires_at = '2999-01-01T00:00:00Z' WHERE content = 'note C'")

        hits = {hit["content"][-1]: hit for hit in (await search(service, EVERYTHING))["items"]}

    names = ("external_id", "user_id", "agent_id", "expires_at")
    assert {letter: tuple(hit[name] for name in names) for letter, hit in hits.items()} == {
        "A": ("crm-1", "ada", None, None),
        "B": (None, None, None, None),
        "C": (None, "ada", "helper", "2999-01-01T00:00:00Z"),
        "D": (None, None, None, None),
    }


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "by SQL"])
async def test_what_has_expired_is_nowhere(settings: Settings, provider: EmbeddingProvider, in_memory: bool) -> None:
    async with create_service(either_way(settings, in_memory=in_memory), provider) as service:
        await store_many(service, [message(f"note {n}", created_at=f"2024-03-0{n}T00:00:00Z") for n in range(1, 5)])
        await search(service, EVERYTHING)
        await execute(service, "UPDATE messages SET expires_at = now() WHERE content = 'note 2'")

        hits = (await search(service, EVERYTHING, neighbors=1))["items"]
        asked = {"tenant_id": "acme", "conversation_id": "c1", "query": EVERYTHING}
        context = (await service.client.post("/v1/memory/context", json=asked)).json()
        await execute(service, "UPDATE messages SET expires_at = NULL")
        again = await found(service, EVERYTHING)

    beside = {hit["content"]: [turn["content"] for turn in hit["neighbors"]] for hit in hits}
    assert beside == {"note 1": ["note 3"], "note 3": ["note 1", "note 4"], "note 4": ["note 3"]}
    assert [item["content"] for item in context["items"]] == ["note 1", "note 3", "note 4"]
    assert sorted(again) == ["note 1", "note 2", "note 3", "note 4"]
