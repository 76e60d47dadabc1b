"""Keys over the API: made, listed, rotated, revoked, and what they open on every replica."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.errors import UnauthorizedError
from deployments.schemas.api_key_format import digest, prefix_of
from deployments.schemas.api_keys import CreatedKey, KeyScope
from deployments.settings import Settings
from serve_app.edge.keyring import Keyring
from tests.integration.calls import error_of, message
from tests.integration.keys import AS_ROOT, ROOT_KEY, make, sent
from tests.integration.service import Service, create_service

READ, WRITE, ADMIN = KeyScope
KEYS = "/v1/admin/keys"
LISTING = "/v1/messages?tenant_id=acme"
Json = dict[str, Any]


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a root key."""
    monkeypatch.setenv("MEMORY_API_KEYS", ROOT_KEY)
    return Settings.load()


@pytest.fixture
async def replica(settings: Settings, service: Service, provider: EmbeddingProvider) -> AsyncIterator[Service]:
    """A second ingress replica over the same database."""
    async with create_service(settings, provider) as replica:
        yield replica


async def status(service: Service, key: str | CreatedKey, url: str = LISTING) -> int:
    return (await service.client.get(url, headers=sent(key))).status_code


async def post(service: Service, body: Json, key: str | CreatedKey = ROOT_KEY, path: str = KEYS) -> httpx.Response:
    return await service.client.post(path, json=body, headers=sent(key))


async def rotate(service: Service, rotated: CreatedKey, overlap: int, key: str | CreatedKey = ROOT_KEY) -> Json:
    answer = await post(service, {"overlap_seconds": overlap}, key, f"{KEYS}/{rotated.id}/rotate")
    assert answer.status_code == 201, answer.text
    created: Json = answer.json()
    return created


async def listed(service: Service, key: str | CreatedKey = ROOT_KEY, **parameters: Any) -> Json:
    answer = await service.client.get(KEYS, params=parameters, headers=sent(key))
    assert answer.status_code == 200, answer.text
    page: Json = answer.json()
    return page


async def test_a_new_key_works_at_once_on_every_replica(service: Service, replica: Service) -> None:
    await replica.keyring.refresh()
    answer = await post(service, {"name": "web", "tenant_id": "acme", "scopes": ["read"]})
    created = answer.json()

    assert answer.status_code == 201
    described = {"id", "prefix", "name", "tenant_id", "user_id", "scopes", "expires_at", "rate_limit", "created_at"}
    assert set(created) == {"key", *described}
    assert created["key"].startswith(f"{created['prefix']}_")
    assert (await status(service, created["key"]), await status(replica, created["key"])) == (200, 200)


async def test_a_key_is_kept_as_its_digest_and_shown_once(service: Service) -> None:
    key = await make(service)

    async with service.database.connection() as connection:
        (row,) = await connection.fetch("SELECT hash, k::text AS whole FROM api_keys k")
    assert row["hash"] == digest(key.key)
    # What is random may hold an underscore of its own.
    secret = key.key.removeprefix(f"{key.prefix}_")
    assert len(secret) == 43
    assert secret not in row["whole"]
    assert key.key not in str(await listed(service))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ROOT_KEY},
        {"Authorization": f"Bearer {ROOT_KEY}"},
        {"Authorization": f"bearer {ROOT_KEY}"},
        {"X-API-Key": ROOT_KEY, "Authorization": f"Bearer {ROOT_KEY}"},
        {"X-API-Key": ROOT_KEY, "Authorization": "Basic dTpw"},
    ],
)
async def test_a_key_may_come_either_way(headers: dict[str, str], service: Service) -> None:
    assert (await service.client.get(LISTING, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ROOT_KEY, "Authorization": "Bearer another"},
        [("X-API-Key", ROOT_KEY), ("X-API-Key", "another")],
        {"Authorization": ROOT_KEY},
        {"X-API-Key": ""},
        {"X-API-Key": b"\xff\xfe"},
        {"X-API-Key": ROOT_KEY.upper()},
        {"Cookie": f"X-API-Key={ROOT_KEY}"},
    ],
)
async def test_anything_else_is_refused(headers: Any, service: Service) -> None:
    answer = await service.client.get(LISTING, headers=headers)

    assert answer.status_code == 401
    assert error_of(answer)["code"] == "unauthorized"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_revocation_holds_on_every_replica_with_its_next_poll(service: Service, replica: Service) -> None:
    key = await make(service)
    assert (await status(service, key), await status(replica, key)) == (200, 200)

    for _ in range(2):
        answer = await service.client.delete(f"{KEYS}/{key.id}", headers=AS_ROOT)
        assert answer.status_code == 204
    for each in (service, replica):
        await each.keyring.refresh()

    assert (await status(service, key), await status(replica, key)) == (401, 401)
    (found,) = (await listed(service))["items"]
    assert found["revoked_at"] is not None


async def test_a_rotated_key_goes_on_for_the_overlap(service: Service, replica: Service) -> None:
    old = await make(service, "acme", READ)
    assert await status(replica, old) == 200
    new = await rotate(service, old, overlap=3600)
    await replica.keyring.refresh()

    assert (new["name"], new["tenant_id"], new["scopes"]) == (old.name, "acme", ["read"])
    assert (await status(replica, old), await status(replica, new["key"])) == (200, 200)
    ends = {item["id"]: item["expires_at"] for item in (await listed(service))["items"]}
    left = datetime.fromisoformat(ends[str(old.id)]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert ends[new["id"]] is None


async def test_without_an_overlap_the_old_key_ends_at_once(service: Service, replica: Service) -> None:
    old = await make(service)
    assert await status(replica, old) == 200

    new = await rotate(service, old, overlap=0)
    await replica.keyring.refresh()

    assert (await status(replica, old), await status(replica, new["key"])) == (401, 200)
    again = await post(service, {}, path=f"{KEYS}/{old.id}/rotate")
    assert again.status_code == 404


async def test_an_overlap_does_not_make_a_key_last_longer(service: Service) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    old = await make(service, expires_at=soon)

    new = await rotate(service, old, overlap=3600)

    ends = [datetime.fromisoformat(item["expires_at"]) for item in (await listed(service))["items"]]
    assert ends == [soon, soon]
    assert new["expires_at"] is not None


async def test_a_key_rotates_itself(service: Service) -> None:
    own = await make(service)

    new = await rotate(service, own, 3600, own)

    assert await status(service, new["key"]) == 200


async def test_no_key_makes_one_that_allows_more(service: Service) -> None:
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    own = await make(service, "acme", READ, ADMIN, expires_at=datetime.now(UTC) + timedelta(days=1))

    refused: list[Json] = [
        {"scopes": ["write"]},
        {"scopes": ["read", "write", "admin"]},
        {"scopes": ["read"]},
        {"scopes": ["read"], "expires_at": later},
        {"scopes": ["read"], "tenant_id": "globex"},
    ]
    for body in refused:
        answer = await post(service, {"name": "more", **body}, own)
        assert (answer.status_code, error_of(answer)["code"]) == (403, "forbidden"), body
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    allowed = await post(service, {"name": "less", "scopes": ["read"], "expires_at": soon}, own)
    assert (allowed.status_code, allowed.json()["tenant_id"]) == (201, "acme")


async def test_no_key_comes_to_more_by_rotating_another(service: Service) -> None:
    administrator, stronger = await make(service, "acme", ADMIN), await make(service, "acme", READ, ADMIN)

    answer = await post(service, {}, administrator, f"{KEYS}/{stronger.id}/rotate")

    assert answer.status_code == 403
    assert await status(service, stronger) == 200
    assert len((await listed(service))["items"]) == 2


async def test_an_administrator_of_a_tenant_sees_the_keys_of_that_tenant_alone(service: Service) -> None:
    own, foreign, everywhere = await make(service), await make(service, "globex"), await make(service, None)

    assert [item["id"] for item in (await listed(service, own))["items"]] == [str(own.id)]
    for other in (foreign, everywhere):
        assert (await service.client.delete(f"{KEYS}/{other.id}", headers=sent(own))).status_code == 404
        assert (await post(service, {}, own, f"{KEYS}/{other.id}/rotate")).status_code == 404
        assert await status(service, other, "/v1/messages?tenant_id=globex") == 200


async def test_keys_are_listed_in_pages_newest_first(service: Service) -> None:
    made = [str((await make(service)).id) for _ in range(5)]

    page = await listed(service, limit=2)
    seen = page["items"]
    while page["next_cursor"]:
        page = await listed(service, limit=2, cursor=page["next_cursor"])
        seen += page["items"]

    assert [item["id"] for item in seen] == made[::-1]


@pytest.mark.parametrize(
    "change",
    [{"scopes": []}, {"scopes": ["fly"]}, {"expires_at": "2020-01-01T00:00:00Z"}, {"name": " "}, {"key": "mine"}],
)
async def test_a_key_that_makes_no_sense_is_refused(change: Json, service: Service) -> None:
    answer = await post(service, {"name": "web", "scopes": ["read"], **change})

    assert answer.status_code == 422


async def test_when_a_key_was_used_is_noted_once_a_minute_at_most(service: Service, replica: Service) -> None:
    key = await make(service)

    async def noted() -> str | None:
        when: str | None = (await listed(service))["items"][0]["last_used_at"]
        return when

    assert await noted() is None
    await status(service, key)
    await service.keyring.note_uses()
    first = await noted()
    assert first is not None
    await status(replica, key)
    await replica.keyring.note_uses()
    assert await noted() == first


async def test_without_a_key_in_the_world_the_service_is_open(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMORY_API_KEYS")
    ring = Keyring(service.keys, Settings.load())
    assert (await ring.caller(None)).name == "anyone"

    await make(service)
    await ring.refresh()

    with pytest.raises(UnauthorizedError):
        await ring.caller(None)


async def test_no_key_is_logged(service: Service) -> None:
    with capture_logs() as lines:
        created = (await post(service, {"name": "web", "scopes": ["read"]})).json()
        await status(service, created["key"])
        await status(service, created["key"][:-2] + "xx")
        await post(service, {"name": "web"}, created["key"])
        await rotate(service, CreatedKey.model_validate(created), 0)
        await service.client.delete(f"{KEYS}/{created['id']}", headers=AS_ROOT)
        await service.client.post("/v1/messages", json=message(), headers=sent("hunter2-not-a-key"))

    logged = str(lines)
    assert {line["event"] for line in lines} >= {"request", "key_created", "key_rotated", "key_revoked"}
    assert created["prefix"] in logged
    assert prefix_of(created["key"]) == created["prefix"]
    for secret in (created["key"][len(created["prefix"]) :], ROOT_KEY, "hunter2-not-a-key"):
        assert secret not in logged
