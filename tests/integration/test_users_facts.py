"""Facts and keys that are bound to one user of a tenant: another's are not there, and their names are taken."""

from typing import Any

import pytest

from deployments.schemas.api_keys import CreatedKey
from deployments.settings import Settings
from tests.integration.calls import error_of
from tests.integration.keys import ROOT_KEY, make
from tests.integration.service import Service
from tests.integration.test_users_apart import SECRET, Json, Two, call, contents, keys, store

__all__ = ["keys"]


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a root key."""
    monkeypatch.setenv("MEMORY_API_KEYS", ROOT_KEY)
    return Settings.load()


async def test_facts_of_another_user_are_not_there(service: Service, keys: Two) -> None:
    hers = await store(service, keys.ada)
    answer = await call(service, keys.ada, "POST", "/v1/facts", json={"content": SECRET, "source_ids": [hers["id"]]})
    fact = answer.json()
    assert (answer.status_code, fact["user_id"]) == (202, "ada")

    reading = [
        await call(service, keys.bob, method, f"/v1/facts/{fact['id']}{rest}", headers=headers, **options)
        for method, rest, options in (
            ("GET", "", {}),
            ("GET", "/history", {}),
            ("PATCH", "", {"json": {"content": "Mine now"}}),
            ("PATCH", "", {"json": {"valid_to": "2100-01-01T00:00:00Z"}}),
            ("DELETE", "", {}),
            ("POST", "/retry", {}),
        )
        for headers in ({}, {"If-Match": "*"})
    ]
    following = [
        await call(service, keys.bob, "POST", "/v1/facts", json={"content": "Mine", **names})
        for names in ({"source_ids": [hers["id"]]}, {"supersedes": fact["id"]})
    ]

    assert {each.status_code for each in reading} == {404}
    assert [each.status_code for each in following] == [422, 422]
    assert await contents(service, keys.bob, "/v1/facts") == []
    assert await contents(service, keys.bob, "/v1/memory/search", query="vault zebra", kinds=["fact"]) == []
    assert await contents(service, keys.ada, "/v1/facts") == [SECRET]


async def test_a_users_own_facts_are_stored_again_and_others_names_are_taken(service: Service, keys: Two) -> None:
    said = {"content": SECRET, "external_id": "hers"}
    hers = (await call(service, keys.ada, "POST", "/v1/facts", json=said)).json()

    async def told(key: CreatedKey, **headers: str) -> list[tuple[int, Any]]:
        """What a call and a batch of it alone say: the fact's id, or the error's code."""
        alone = await call(service, key, "POST", "/v1/facts", json=said, headers=headers)
        batch = await call(service, key, "POST", "/v1/facts/batch", json={"facts": [said]})
        (item,) = batch.json()["items"]
        return [
            (alone.status_code, alone.json().get("id") or error_of(alone)["code"]),
            (item["status"], item["fact"]["id"] if "fact" in item else item["error"]["code"]),
        ]

    for headers in ({}, {"Idempotency-Key": "k"}):
        assert await told(keys.ada, **headers) == [(202, hers["id"])] * 2
        assert await told(keys.bob, **headers) == [(409, "external_id_conflict")] * 2

    assert (await call(service, keys.bob, "GET", "/v1/facts")).json()["items"] == []
    assert (await call(service, keys.ada, "GET", f"/v1/facts/{hers['id']}/history")).json()["items"][0]["version"] == 1


async def test_the_same_key_of_another_user_answers_with_that_users_facts(service: Service, keys: Two) -> None:
    tenants = await make(service, "acme")

    async def twice(key: CreatedKey) -> list[Json]:
        headers = {"Idempotency-Key": "k"}
        body = {"content": "Mine"}
        return [(await call(service, key, "POST", "/v1/facts", json=body, headers=headers)).json() for _ in range(2)]

    stored = [await twice(key) for key in (keys.ada, keys.bob, tenants)]

    assert [[each["user_id"] for each in pair] for pair in stored] == [["ada"] * 2, ["bob"] * 2, [None] * 2]
    assert [pair[0] == pair[1] for pair in stored] == [True] * 3
    assert len({pair[0]["id"] for pair in stored}) == 3
