"""What each kind of key may do, for every route of the OpenAPI document, held against a written table."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI

from deployments.schemas.api_key_format import make_key
from deployments.schemas.api_keys import KeyScope
from deployments.settings import Settings
from deployments.storage.tenants.erasure import ErasureOrder
from serve_app.api import create_app
from serve_app.edge.auth import OPEN_PATHS
from tests.bare_services import bare_services
from tests.integration.calls import error_of, message
from tests.integration.keys import AS_ROOT, ROOT_KEY, make, make_expired, make_revoked, sent
from tests.integration.retaining import finished_run
from tests.integration.service import Service

READ, WRITE, ADMIN = KeyScope
Json = dict[str, Any]


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a root key."""
    monkeypatch.setenv("MEMORY_API_KEYS", ROOT_KEY)
    return Settings.load()


async def stored_message(service: Service) -> str:
    """The id of a message of acme."""
    answer = await service.client.post("/v1/messages", json=message(conversation_id="c1"), headers=AS_ROOT)
    return str(answer.json()["id"])


async def named_message(service: Service) -> str:
    """The id of a message of acme that has a name."""
    return str((await service.client.put("/v1/messages", json=NAMED, headers=AS_ROOT)).json()["id"])


async def stored_fact(service: Service) -> str:
    """The id of a fact of acme."""
    answer = await service.client.post("/v1/facts", json=FACT, headers=AS_ROOT)
    return str(answer.json()["id"])


async def stored_key(service: Service) -> str:
    """The id of a key of acme that allows what each administrator's does, so that they may rotate it."""
    return str((await make(service, "acme", ADMIN)).id)


async def stored_run(service: Service) -> str:
    """The id of a run for acme that is over."""
    return str(await finished_run(service.settings, tenant_id="acme", dry_run=False))


async def erased_tenant(service: Service) -> str:
    """The receipt of an erasure of acme, which left its keys."""
    return str((await service.erasures.erase(ErasureOrder("acme", "a test", revoke_keys=False))).id)


@dataclass(frozen=True)
class Access:
    """What a route answers. `scope`: what a key needs, None: no key. `another`: to a key of another tenant."""

    scope: KeyScope | None
    allowed: int
    another: int
    query: Json | None = None
    body: Json | None = None
    makes: Callable[[Service], Awaitable[str]] | None = None


OPEN = Access(None, 200, 200)
ACME = {"tenant_id": "acme"}
FACT = {**ACME, "content": "Ada prefers Python"}
ADA = {**ACME, "user_id": "ada"}
SEARCH = {**ACME, "query": "Python"}
CONTEXT = {**SEARCH, "conversation_id": "c1"}

NAMED = message(external_id="a")
BY_NAME = {**ACME, "external_ids": ["a"]}

TABLE = {
    "POST /v1/messages": Access(WRITE, 202, 403, body=message()),
    "POST /v1/messages/batch": Access(WRITE, 202, 403, body={"messages": [message()]}),
    "PUT /v1/messages": Access(WRITE, 200, 403, body=NAMED, makes=named_message),
    "PUT /v1/messages/batch": Access(WRITE, 200, 403, body={"messages": [NAMED]}),
    "POST /v1/messages/get": Access(READ, 200, 403, body=BY_NAME),
    "POST /v1/messages/delete": Access(WRITE, 200, 403, body=BY_NAME),
    "GET /v1/messages": Access(READ, 200, 403, query=ACME),
    "GET /v1/messages/{message_id}": Access(READ, 200, 404, makes=stored_message),
    "GET /v1/messages/{message_id}/history": Access(READ, 200, 404, makes=stored_message),
    "PATCH /v1/messages/{message_id}": Access(WRITE, 200, 404, body={"content": "New"}, makes=stored_message),
    "DELETE /v1/messages/{message_id}": Access(WRITE, 204, 404, makes=stored_message),
    "POST /v1/messages/{message_id}/retry": Access(WRITE, 202, 404, makes=stored_message),
    "POST /v1/facts": Access(WRITE, 202, 403, body=FACT),
    "POST /v1/facts/batch": Access(WRITE, 202, 403, body={"facts": [FACT]}),
    "GET /v1/facts": Access(READ, 200, 403, query=ACME),
    "GET /v1/facts/{fact_id}": Access(READ, 200, 404, makes=stored_fact),
    "GET /v1/facts/{fact_id}/history": Access(READ, 200, 404, makes=stored_fact),
    "PATCH /v1/facts/{fact_id}": Access(WRITE, 200, 404, body={"content": "New"}, makes=stored_fact),
    "DELETE /v1/facts/{fact_id}": Access(WRITE, 204, 404, makes=stored_fact),
    "POST /v1/facts/{fact_id}/retry": Access(WRITE, 202, 404, makes=stored_fact),
    "GET /v1/memory/search": Access(READ, 200, 403, query=SEARCH),
    "POST /v1/memory/search": Access(READ, 200, 403, body=SEARCH),
    "POST /v1/memory/context": Access(READ, 200, 403, body=CONTEXT),
    "GET /v1/conversations": Access(READ, 200, 403, query=ACME),
    "GET /v1/conversations/{conversation_id}": Access(READ, 200, 403, query=ACME, makes=stored_message),
    "DELETE /v1/conversations/{conversation_id}": Access(WRITE, 204, 403, query=ACME, makes=stored_message),
    "GET /v1/users": Access(READ, 200, 403, query=ACME),
    "DELETE /v1/admin/users": Access(ADMIN, 200, 403, query=ADA),
    "POST /v1/admin/embeddings/retry": Access(ADMIN, 202, 403, body=ACME),
    "POST /v1/admin/keys": Access(ADMIN, 201, 403, body={**ACME, "name": "new", "scopes": ["admin"]}),
    # To each its own: what is in the list shows `test_keys.py`.
    "GET /v1/admin/keys": Access(ADMIN, 200, 200),
    "DELETE /v1/admin/keys/{key_id}": Access(ADMIN, 204, 404, makes=stored_key),
    "POST /v1/admin/keys/{key_id}/rotate": Access(ADMIN, 201, 404, body={}, makes=stored_key),
    "GET /v1/admin/tenants/{tenant_id}/usage": Access(ADMIN, 200, 403),
    "GET /v1/admin/usage": Access(ADMIN, 200, 403, query={"tenant_id": "acme"}),
    "POST /v1/admin/retention/run": Access(ADMIN, 202, 403, body={**ACME, "dry_run": True, "wait_seconds": 0}),
    # To each its own: what is in the list shows `test_retention_api.py`.
    "GET /v1/admin/retention/runs": Access(ADMIN, 200, 200),
    "GET /v1/admin/retention/runs/{run_id}": Access(ADMIN, 200, 404, makes=stored_run),
    "POST /v1/admin/retention/runs/{run_id}/undo": Access(ADMIN, 202, 404, query={"wait_seconds": 0}, makes=stored_run),
    "GET /v1/admin/languages/{tenant_id}": Access(ADMIN, 200, 403),
    "PUT /v1/admin/languages/{tenant_id}": Access(ADMIN, 200, 403, body={"language": "de"}),
    "DELETE /v1/admin/languages/{tenant_id}": Access(ADMIN, 204, 403),
    "GET /v1/admin/tenants/{tenant_id}/retention": Access(ADMIN, 200, 403),
    "GET /v1/admin/retention/policy": Access(ADMIN, 200, 403, query={"tenant_id": "acme"}),
    "PUT /v1/admin/tenants/{tenant_id}/retention": Access(ADMIN, 200, 403, body={"exempt": True}),
    "PUT /v1/admin/retention/policy": Access(ADMIN, 200, 403, query={"tenant_id": "acme"}, body={"exempt": True}),
    "DELETE /v1/admin/tenants/{tenant_id}/retention": Access(ADMIN, 204, 403),
    "DELETE /v1/admin/retention/policy": Access(ADMIN, 204, 403, query={"tenant_id": "acme"}),
    "DELETE /v1/admin/tenants/{tenant_id}": Access(ADMIN, 200, 403),
    "DELETE /v1/admin/tenants": Access(ADMIN, 200, 403, query={"tenant_id": "acme"}),
    "GET /v1/admin/tenants/{tenant_id}/erasure": Access(ADMIN, 200, 403, makes=erased_tenant),
    "GET /v1/admin/erasures/latest": Access(ADMIN, 200, 403, query={"tenant_id": "acme"}, makes=erased_tenant),
    "GET /v1/admin/health": OPEN,
    "GET /v1/admin/readiness": OPEN,
    "GET /v1/admin/liveness": OPEN,
}


def specification() -> Json:
    app: FastAPI = create_app(bare_services())
    return app.openapi()


def operations() -> dict[str, Json]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in specification()["paths"].items()
        for method, operation in item.items()
    }


async def kinds_of_keys(service: Service) -> dict[str, tuple[str | None, str | None, KeyScope | None]]:
    """Each kind with its key's text, the tenant that it is bound to, and its only scope; None: all, or no key."""
    invalid = {
        "none": None,
        "unknown": make_key().text,
        "not a key": "hunter2",
        "expired": (await make_expired(service)).key,
        "revoked": (await make_revoked(service)).key,
    }
    bound = {
        f"{scope} of {tenant}": ((await make(service, tenant, scope)).key, tenant, scope)
        for tenant in ("acme", "globex")
        for scope in KeyScope
    }
    everywhere = {
        f"{scope} of all tenants": ((await make(service, None, scope)).key, None, scope) for scope in KeyScope
    }
    refused = {kind: (key, "nobody", None) for kind, key in invalid.items()}
    return {**refused, **bound, **everywhere, "root": (ROOT_KEY, None, None)}


def expected(access: Access, tenant: str | None, scope: KeyScope | None) -> int:
    if access.scope is None:
        return access.allowed
    if tenant == "nobody":
        return 401
    if scope not in {None, access.scope}:
        return 403
    return access.allowed if tenant in {None, "acme"} else access.another


@pytest.mark.parametrize("operation", TABLE)
async def test_every_kind_of_key_may_do_what_the_table_says(operation: str, service: Service) -> None:
    access = TABLE[operation]
    method, path = operation.split()
    found, wanted = {}, {}
    for kind, (key, tenant, scope) in (await kinds_of_keys(service)).items():
        made = await access.makes(service) if access.makes else ""
        names = dict.fromkeys(("message_id", "fact_id", "key_id", "run_id"), made)
        url = path.format(**names, conversation_id="c1", tenant_id="acme")
        answer = await service.client.request(method, url, params=access.query, json=access.body, headers=sent(key))
        found[kind], wanted[kind] = answer.status_code, expected(access, tenant, scope)
        if answer.status_code in {401, 403, 404}:
            codes = {401: "unauthorized", 403: "forbidden", 404: "not_found"}
            assert error_of(answer)["code"] == codes[answer.status_code]
            assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401)

    assert found == wanted


def test_every_route_is_in_the_table() -> None:
    assert set(operations()) == set(TABLE)


def test_openapi_says_which_routes_need_a_key() -> None:
    documented = operations()
    security = {name: operation.get("security", []) for name, operation in documented.items()}
    refused = {name: {"401", "403"} <= set(operation["responses"]) for name, operation in documented.items()}
    needs_key = {name: access.scope is not None for name, access in TABLE.items()}

    assert security == {name: [{"ApiKey": []}, {"Bearer": []}] if each else [] for name, each in needs_key.items()}
    assert refused == needs_key


def test_openapi_says_how_a_key_is_sent() -> None:
    assert specification()["components"]["securitySchemes"] == {
        "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "Bearer": {"type": "http", "scheme": "bearer"},
    }


def test_no_other_path_of_ours_is_open() -> None:
    open_ones = {operation.split()[1] for operation, access in TABLE.items() if access.scope is None}

    assert {path for path in OPEN_PATHS if path.startswith("/v1")} == open_ones


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/assets/swagger-ui.css"])
async def test_the_documentation_is_open(path: str, service: Service) -> None:
    assert (await service.client.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/nothing", "/", "/v1/admin/health//", "//v1/admin/health"])
async def test_what_does_not_exist_is_not_told_without_a_key(path: str, service: Service) -> None:
    assert (await service.client.get(path)).status_code == 401


async def test_a_body_is_not_read_before_the_key(service: Service) -> None:
    async def body() -> Any:
        raise AssertionError("read")
        yield b""

    answer = await service.client.post("/v1/messages", content=body())

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/messages/{id}?refresh_ttl=true"),
        ("GET", "/v1/messages?refresh_ttl=true"),
        ("GET", "/v1/facts/{fact_id}?refresh_ttl=true"),
        ("GET", "/v1/memory/search?query=Python&refresh_ttl=true"),
        ("POST", "/v1/memory/search"),
        ("POST", "/v1/memory/context"),
    ],
)
async def test_a_key_that_may_only_read_keeps_nothing_alive(service: Service, method: str, path: str) -> None:
    """To put off when a message expires is to change it."""
    path = path.format(id=await stored_message(service), fact_id=await stored_fact(service))
    body = {"query": "Python", "refresh_ttl": True} | ({"conversation_id": "c1"} if "context" in path else {})

    answers = [
        await service.client.request(
            method, path, json=body if method == "POST" else None, headers=sent(await make(service, "acme", *scopes))
        )
        for scopes in ((READ,), (READ, WRITE))
    ]

    assert [answer.status_code for answer in answers] == [403, 200]
