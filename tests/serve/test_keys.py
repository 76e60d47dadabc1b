"""Keys on real replicas: refused at the front door, revoked within a second."""

import time

import httpx

from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import logged, wait_until

ROOT_KEY = "root-key-of-the-tests"
REQUESTS = 40
REVOKED_WITHIN_SECONDS = 1.0


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


def test_a_key_works_at_once_and_its_revocation_holds_within_a_second(service: LaunchedService) -> None:
    service.environment |= {"MEMORY_ENVIRONMENT": "production", "MEMORY_API_KEYS": ROOT_KEY}
    service.start()
    root = {"X-API-Key": ROOT_KEY}
    with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as client:
        assert client.get("/v1/messages").status_code == 401
        assert client.get("/v1/admin/readiness").status_code == 200
        body = {"name": "web", "tenant_id": "acme", "scopes": ["read"]}
        created = client.post("/v1/admin/keys", json=body, headers=root).json()
        assert statuses(client, created["key"]) == {200}

        revoked = client.delete(f"/v1/admin/keys/{created['id']}", headers=root)
        assert revoked.status_code == 204
        time.sleep(REVOKED_WITHIN_SECONDS)

        assert statuses(client, created["key"]) == {401}
    # A key in a line that is not there yet would not be seen.
    wait_until(lambda: logged(service, revoked.headers["X-Request-ID"]))
    assert service.interrupt() == 0
    assert ROOT_KEY not in service.console()
    assert created["key"] not in service.console()
