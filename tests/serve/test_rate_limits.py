"""A limit holds over three ingress replicas, and goes on when the one count is lost."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.serve.launched_service import LaunchedService, prepared
from tests.serve.test_cluster import wait_until

ROOT_KEY = "root-key-of-the-tests"
REPLICAS = 3
MOST = 200
CALLERS = 12


@pytest.fixture(scope="module")
def limited() -> Iterator[LaunchedService]:
    """The service with three ingress replicas, and a limit for each tenant whose window outlasts every test."""
    with prepared(MEMORY_API_KEYS=ROOT_KEY, MEMORY_TENANT_RATE_LIMIT=f"{MOST}/day") as service:
        service.with_replicas(Ingress=REPLICAS)
        service.start()
        yield service


@pytest.fixture
def root(limited: LaunchedService) -> Iterator[httpx.Client]:
    """A client that may do everything."""
    url = f"http://127.0.0.1:{limited.port}"
    with httpx.Client(base_url=url, timeout=30, headers={"X-API-Key": ROOT_KEY}) as client:
        yield client


def statuses(client: httpx.Client, times: int, **asked: dict[str, str]) -> Counter[int]:
    """What a listing is answered with, asked by several callers at once."""
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(lambda _: client.get("/v1/messages", **asked), range(times)))  # type: ignore[arg-type]
    assert all(int(answer.headers["X-RateLimit-Limit"]) == MOST for answer in answers)
    return Counter(answer.status_code for answer in answers)


def of_tenant(client: httpx.Client, times: int, tenant_id: str) -> Counter[int]:
    """The same, for a tenant that a root key names."""
    return statuses(client, times, params={"tenant_id": tenant_id})


def replicas_that_answered(service: LaunchedService) -> set[str]:
    """The processes of the front door that logged a request."""
    lines = [line for line in service.console().splitlines() if "path=/v1/messages" in line]
    return {pid for line in lines for pid in re.findall(r"Ingress pid=(\d+)", line)}


def test_three_replicas_let_through_what_the_limit_allows(limited: LaunchedService, root: httpx.Client) -> None:
    found = of_tenant(root, 3 * MOST, uuid4().hex)

    # None is let through beyond it; of what replicas hold in advance, a few may be left when the callers end.
    assert MOST * 0.95 <= found[200] <= MOST
    assert set(found) == {200, 429}
    wait_until(lambda: len(replicas_that_answered(limited)) == REPLICAS)


def test_a_keys_limit_is_one_for_all_replicas(root: httpx.Client) -> None:
    body = {"name": "web", "scopes": ["read"], "tenant_id": uuid4().hex, "rate_limit": f"{MOST}/hour"}
    key = root.post("/v1/admin/keys", json=body).json()["key"]

    found = statuses(root, 2 * MOST, headers={"X-API-Key": key})

    assert MOST * 0.95 <= found[200] <= MOST
    assert set(found) == {200, 429}


def test_requests_go_on_while_the_count_is_lost_and_are_counted_again(
    limited: LaunchedService, root: httpx.Client
) -> None:
    (counter,) = limited.replicas("RateLimits")
    counter.kill()
    found = of_tenant(root, MOST, uuid4().hex)
    assert found == {200: MOST}

    def counted_together() -> bool:
        console = limited.console()
        lost, back = "rate_limits_counted_by_each_replica", "rate_limits_shared_again"
        of_tenant(root, CALLERS, uuid4().hex)
        return console.count(lost) == console.count(back) > 0 and bool(limited.replicas("RateLimits"))

    wait_until(counted_together)
    again = of_tenant(root, 2 * MOST, uuid4().hex)
    assert MOST * 0.95 <= again[200] <= MOST
