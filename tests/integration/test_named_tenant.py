"""`tenant_id` counts wherever a request names it, with a key for all tenants and where the path has an id alone."""

from uuid import uuid4

import httpx
import pytest

from deployments.settings import Settings
from tests.integration.calls import error_of, message
from tests.integration.keys import AS_ROOT, ROOT_KEY, make, sent
from tests.integration.service import Service


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a root key."""
    monkeypatch.setenv("MEMORY_API_KEYS", ROOT_KEY)
    return Settings.load()


async def ask(service: Service, method: str, path: str, tenant_id: str | None, **options: object) -> httpx.Response:
    query = "" if tenant_id is None else f"?tenant_id={tenant_id}"
    return await service.client.request(method, f"{path}{query}", headers=AS_ROOT, **options)  # type: ignore[arg-type]


async def store(service: Service) -> str:
    answer = await ask(service, "POST", "/v1/messages", None, json=message())
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [("GET", "", None), ("PATCH", "", {"content": "Changed"}), ("POST", "/retry", None), ("DELETE", "", None)],
)
async def test_a_message_of_another_tenant_than_the_named_one_is_not_there(
    method: str, suffix: str, body: object, service: Service
) -> None:
    path = f"/v1/messages/{await store(service)}"
    options = {} if body is None else {"json": body}

    refused = await ask(service, method, f"{path}{suffix}", "other", **options)
    untouched = await ask(service, "GET", path, "acme")
    done = await ask(service, method, f"{path}{suffix}", "acme", **options)

    assert (refused.status_code, error_of(refused)["code"]) == (404, "not_found")
    assert untouched.json()["content"] == "I love Python programming"
    assert done.is_success


async def test_a_key_of_another_tenant_than_the_named_one_is_not_there(service: Service) -> None:
    key = await make(service)
    path = f"/v1/admin/keys/{key.id}"

    assert (await ask(service, "POST", f"{path}/rotate", "other", json={})).status_code == 404
    assert (await ask(service, "DELETE", path, "other")).status_code == 404
    assert (await ask(service, "GET", "/v1/admin/keys", "other")).json()["items"] == []
    assert [each["id"] for each in (await ask(service, "GET", "/v1/admin/keys", "acme")).json()["items"]] == [
        str(key.id)
    ]
    assert (await ask(service, "POST", f"{path}/rotate", "acme", json={})).status_code == 201
    assert (await ask(service, "DELETE", path, "acme")).status_code == 204


async def test_a_key_that_is_made_for_the_named_tenant_is_not_one_for_all(service: Service) -> None:
    answer = await ask(service, "POST", "/v1/admin/keys", "acme", json={"name": "web", "scopes": ["read"]})

    assert answer.json()["tenant_id"] == "acme"


async def test_a_run_of_another_tenant_than_the_named_one_is_not_there(service: Service) -> None:
    body = {"actions": ["archive"], "dry_run": True, "wait_seconds": 0}
    made = await ask(service, "POST", "/v1/admin/retention/run", "acme", json=body)
    path = f"/v1/admin/retention/runs/{made.json()['run_id']}"

    assert made.json()["tenant_id"] == "acme"
    assert (await ask(service, "GET", path, "acme")).status_code == 200
    assert (await ask(service, "GET", path, "other")).status_code == 404
    assert (await ask(service, "POST", f"{path}/undo", "other")).status_code == 404
    assert (await ask(service, "GET", "/v1/admin/retention/runs", "other")).json()["items"] == []
    assert len((await ask(service, "GET", "/v1/admin/retention/runs", "acme")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/messages", message()),
        ("POST", "/v1/messages/batch", {"messages": [message()]}),
        ("POST", "/v1/memory/search", {"tenant_id": "acme", "query": "x"}),
        ("POST", "/v1/memory/context", {"tenant_id": "acme", "conversation_id": "c1"}),
        ("POST", "/v1/admin/keys", {"tenant_id": "acme", "name": "web", "scopes": ["read"]}),
        ("POST", "/v1/admin/retention/run", {"tenant_id": "acme", "dry_run": True}),
        ("POST", "/v1/admin/embeddings/retry", {"tenant_id": "acme"}),
        ("PUT", "/v1/admin/languages/acme", {"language": "de"}),
        ("DELETE", "/v1/admin/languages/acme", None),
        ("DELETE", "/v1/admin/tenants/acme", None),
        ("PUT", "/v1/admin/tenants/acme/retention", {}),
        ("DELETE", "/v1/admin/tenants/acme/retention", None),
    ],
)
async def test_a_request_that_names_two_tenants_does_nothing(
    method: str, path: str, body: object, service: Service
) -> None:
    kept = await store(service)

    answer = await ask(service, method, path, "other", **({} if body is None else {"json": body}))

    # Deprecated paths take no second tenant at all.
    assert (answer.status_code, error_of(answer)["code"]) in {(404, "not_found"), (422, "validation_error")}
    listed = (await ask(service, "GET", "/v1/messages", "acme")).json()["items"]
    assert [each["id"] for each in listed] == [kept]


async def test_a_query_with_two_tenants_is_refused(service: Service) -> None:
    answer = await ask(service, "DELETE", f"/v1/messages/{uuid4()}", "acme&tenant_id=other")

    assert (answer.status_code, error_of(answer)["code"]) == (422, "invalid_request")


async def test_the_tenant_of_the_query_may_stand_for_that_of_the_body(service: Service) -> None:
    body = {name: value for name, value in message().items() if name != "tenant_id"}

    assert (await ask(service, "POST", "/v1/messages", "acme", json=body)).json()["tenant_id"] == "acme"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_bound_key_names_no_other_tenant(method: str, service: Service) -> None:
    headers = sent(await make(service))
    path = f"/v1/messages/{await store(service)}"

    assert (await service.client.request(method, f"{path}?tenant_id=other", headers=headers)).status_code == 403
    assert (await service.client.request(method, f"{path}?tenant_id=acme", headers=headers)).is_success
