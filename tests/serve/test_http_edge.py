"""Time limits and proxies, behind HAProxy and over handles."""

import asyncio
import gzip
import json
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from deployments.storage.postgres import embedded
from tests.integration.polling import until
from tests.integration.tables import locked
from tests.integration.test_haproxy import request_with_trailers
from tests.serve.conftest import ROOT_KEY, TRUSTED_PROXY
from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import logged, message, wait_until

CANCELLED = "canceling statement due to user request"
CLIENT = "203.0.113.9"
FORGED = "192.0.2.1"
WAITING: list[tuple[str, dict[str, str]]] = [("/v1/memory/search", {"query": "apple"}), ("/v1/messages", {})]


def asking(cluster: LaunchedService) -> httpx.AsyncClient:
    """Return a client that may do everything."""
    url = f"http://127.0.0.1:{cluster.port}"
    return httpx.AsyncClient(base_url=url, timeout=60, headers={"X-API-Key": ROOT_KEY})


def postgres_log(cluster: LaunchedService) -> str:
    """What Postgres has written so far."""
    return Path(cluster.data_dir, "postgres", "server.log").read_text(errors="replace")


async def test_an_encoded_slash_belongs_to_a_name(cluster: LaunchedService) -> None:
    policy = {"max_age_days": 400}
    async with asking(cluster) as client:
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


def assert_timed_out(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert answer.json()["error"]["request_id"] == answer.headers["X-Request-ID"]
    assert int(answer.headers["Retry-After"]) >= 1


async def test_a_request_that_takes_too_long_ends_everywhere(production: LaunchedService) -> None:
    """A search waits in Search, across the handle; a listing in Ingress itself."""
    calls = [(path, {"tenant_id": uuid4().hex} | query) for path, query in WAITING]
    # Running already: this says where it is.
    url = await asyncio.to_thread(embedded.ensure_running, production.data_dir)
    async with asking(production) as client:
        begun = len(postgres_log(production))
        async with locked(url):
            answers = await asyncio.gather(*(client.get(path, params=params) for path, params in calls))
            # Postgres is told by the side that gave up. Its own limit, for this and whatever else waits for the lock,
            # says so in other words.
            await until(lambda: postgres_log(production).count(CANCELLED, begun) >= len(calls))
        again = [await client.get(path, params=params) for path, params in calls]

    for answer in answers:
        assert_timed_out(answer)
    assert [answer.status_code for answer in again] == [200, 200]


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


async def test_a_store_that_times_out_harms_none_that_comes_after(production: LaunchedService) -> None:
    tenant_id = uuid4().hex
    url = await asyncio.to_thread(embedded.ensure_running, production.data_dir)
    async with asking(production) as client:

        async def store(words: str) -> list[httpx.Response]:
            bodies = [message(f"{words} {number}", tenant_id) for number in range(20)]
            return await asyncio.gather(*(client.post("/v1/messages", json=body) for body in bodies))

        async with locked(url):
            held = await store("held")
        later = await store("later")

    assert {answer.status_code for answer in held} == {504}
    assert [answer.json()["content"] for answer in later] == [f"later {number}" for number in range(20)]
