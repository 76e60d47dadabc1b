"""Keys on real replicas: refused at the front door, revoked within seconds."""

import time
from uuid import uuid4

import httpx

from tests.serve.conftest import ROOT_KEY
from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import logged, wait_until

ROOT = {"X-API-Key": ROOT_KEY}
REQUESTS = 40
# Of one second, besides 80 requests, on a machine at a third of the speed.
REVOKED_WITHIN_SECONDS = 10.0


def test_production_without_any_key_does_not_start(service: LaunchedService) -> None:
    service.environment["MEMORY_ENVIRONMENT"] = "production"

    status, complaint = service.fails_to_start()

    # What stands before it is of the embedded Postgres, where its own user may not pass.
    assert status == 2
    assert complaint.splitlines()[-1].startswith("error: No API key is configured")
    assert "Traceback" not in complaint


def statuses(client: httpx.Client, key: str) -> set[int]:
    """What a key meets with, asked often enough to come by every replica."""
    headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
    return {client.get("/v1/messages", headers=headers).status_code for _ in range(REQUESTS)}


def test_a_key_works_at_once_and_its_revocation_holds_soon(production: LaunchedService) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{production.port}", timeout=30) as client:
        assert client.get("/v1/messages").status_code == 401
        assert client.get("/v1/admin/readiness").status_code == 200
        body = {"name": "web", "tenant_id": uuid4().hex, "scopes": ["read"]}
        created = client.post("/v1/admin/keys", json=body, headers=ROOT).json()
        assert statuses(client, created["key"]) == {200}

        revoked = client.delete(f"/v1/admin/keys/{created['id']}", headers=ROOT)
        assert revoked.status_code == 204
        began = time.monotonic()
        wait_until(lambda: statuses(client, created["key"]) == {401})
        assert time.monotonic() - began < REVOKED_WITHIN_SECONDS
    # A key in a line that is not there yet would not be seen.
    wait_until(lambda: logged(production, revoked.headers["X-Request-ID"]))
    assert ROOT_KEY not in production.console()
    assert created["key"] not in production.console()
