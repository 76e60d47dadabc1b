"""Time limits and proxies, behind HAProxy and over handles."""

import asyncio
import gzip
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from deployments.storage import embedded
from tests.integration.tables import locked, until
from tests.integration.test_haproxy import request_with_trailers
from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import logged, message, wait_until

CANCELLED = "canceling statement due to user request"
TIMED_OUT = "canceling statement due to statement timeout"
CLIENT = "203.0.113.9"
FORGED = "192.0.2.1"
# Another address of this machine, for connections that come from a proxy in front.
TRUSTED_PROXY = "127.0.0.2"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LaunchedService]:
    """A cluster whose requests soon take too long: killed replicas, elsewhere, are waited for longer."""
    with tempfile.TemporaryDirectory(prefix="ml-serve-") as home:
        service = LaunchedService(Path(home))
        service.environment |= {
            "MEMORY_REQUEST_TIMEOUT_SECONDS": "3",
            "MEMORY_TRUSTED_PROXIES": TRUSTED_PROXY,
            # An audit that waits for the tests' locks ends by its own statement timeout, 5 s on.
            "MEMORY_SEARCH_RECALL_AUDITS_PER_MINUTE": "0",
        }
        try:
            service.start()
            yield service
        finally:
            service.clean_up()


def postgres_log(cluster: LaunchedService) -> str:
    """What Postgres has written so far."""
    return Path(cluster.data_dir, "postgres", "server.log").read_text(errors="replace")


async def test_an_encoded_slash_belongs_to_a_name(cluster: LaunchedService) -> None:
    policy = {"max_age_days": 400}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{cluster.port}", timeout=30) as client:
        await client.put("/v1/admin/retention/policy", params={"tenant_id": "x"}, json=policy)
        erased = await client.delete("/v1/admin/tenants/x%2Fretention")
        kept = await client.get("/v1/admin/tenants/x/retention/")
        zipped = await client.post(
            "/v1/messages",
            content=gzip.compress(json.dumps(message("zipped", "x")).encode()),
            headers={"Content-Encoding": "gzip"},
        )
        head = await client.head("/v1/admin/liveness")

    assert erased.json()["tenant_id"] == "x/retention"
    assert kept.json()["own"]["max_age_days"] == 400
    assert (zipped.status_code, head.status_code) == (202, 200)
    assert int(head.headers["Content-Length"]) > 0


@pytest.mark.parametrize("path", ["/v1/memory/search", "/v1/messages"])
async def test_a_request_that_takes_too_long_ends_everywhere(path: str, cluster: LaunchedService) -> None:
    """A search waits in Search, across the handle; a listing in Ingress itself."""
    parameters = {"tenant_id": uuid4().hex} | ({"query": "apple"} if path.endswith("search") else {})
    begun = len(postgres_log(cluster))
    # Running already: this says where it is.
    url = await asyncio.to_thread(embedded.ensure_running, cluster.data_dir)

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{cluster.port}", timeout=30) as client:
        async with locked(url) as lock:
            before = await lock.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            call = asyncio.create_task(client.get(path, params=parameters))
            await until(lambda count: count > before, lock)
            answer = await call
            # Postgres is told by the side that gave up: the limit that it has itself would have it say so.
            await until(lambda count: count == before, lock)
        written = postgres_log(cluster)[begun:]
        again = await client.get(path, params=parameters)

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert answer.json()["error"]["request_id"] == answer.headers["X-Request-ID"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert CANCELLED in written
    assert TIMED_OUT not in written
    assert again.status_code == 200


@pytest.mark.parametrize(
    ("source", "client", "secure"), [("127.0.0.1", "127.0.0.1", False), (TRUSTED_PROXY, CLIENT, True)]
)
def test_only_a_trusted_proxy_says_who_the_client_is_and_that_it_came_by_tls(
    source: str, client: str, secure: bool, cluster: LaunchedService
) -> None:
    request_id = f"forwarded-{uuid4().hex}"
    headers = {
        "X-Forwarded-For": f"{FORGED}, {CLIENT}",
        "X-Forwarded-Proto": "https",
        # What our own HAProxy says of its peer is not for clients to say.
        "X-Memory-Peer": FORGED,
        "X-Request-ID": request_id,
    }
    with httpx.Client(transport=httpx.HTTPTransport(local_address=source)) as http:
        answer = http.get(f"http://127.0.0.1:{cluster.port}/v1/admin/liveness", headers=headers)

    assert answer.status_code == 200
    assert ("Strict-Transport-Security" in answer.headers) == secure
    wait_until(lambda: logged(cluster, request_id, f"client={client}"))


def test_trailers_say_nothing(cluster: LaunchedService) -> None:
    answer = request_with_trailers(cluster.port, request_id := f"trailed-{uuid4().hex}")

    assert f"\r\nx-request-id: {request_id}\r\n".encode() in answer.lower()
    assert b"unclean" not in answer
    assert b"strict-transport-security" not in answer.lower()
    wait_until(lambda: logged(cluster, request_id, f"client={TRUSTED_PROXY}"))


async def test_a_store_that_times_out_harms_none_that_comes_after(cluster: LaunchedService) -> None:
    tenant_id = uuid4().hex
    url = await asyncio.to_thread(embedded.ensure_running, cluster.data_dir)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{cluster.port}", timeout=30) as client:
        async with locked(url):
            held = await asyncio.gather(
                *(client.post("/v1/messages", json=message(f"held {n}", tenant_id)) for n in range(20))
            )
        later = await asyncio.gather(
            *(client.post("/v1/messages", json=message(f"later {n}", tenant_id)) for n in range(20))
        )

    assert {answer.status_code for answer in held} == {504}
    assert [answer.json()["content"] for answer in later] == [f"later {n}" for n in range(20)]
