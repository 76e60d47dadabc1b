"""A limit holds over three ingress replicas, and goes on when the one count is lost."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx

from tests.serve.conftest import INGRESS_REPLICAS, TENANT_LIMIT
from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import wait_until

CALLERS = 12


def statuses(client: httpx.Client, times: int, **asked: dict[str, str]) -> Counter[int]:
    """What a listing is answered with, asked by several callers at once."""
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(lambda _: client.get("/v1/messages", **asked), range(times)))  # type: ignore[arg-type]
    assert all(int(answer.headers["X-RateLimit-Limit"]) == TENANT_LIMIT for answer in answers)
    return Counter(answer.status_code for answer in answers)


def of_tenant(client: httpx.Client, times: int, tenant_id: str) -> Counter[int]:
    """The same, for a tenant that a root key names."""
    return statuses(client, times, params={"tenant_id": tenant_id})


def replicas_that_answered(console: str) -> set[str]:
    """The processes of the front door that logged a request."""
    lines = [line for line in console.splitlines() if '"path":"/v1/messages"' in line]
    return {pid for line in lines for pid in re.findall(r"Ingress pid=(\d+)", line)}


def test_three_replicas_let_through_what_the_limit_allows(production: LaunchedService, root: httpx.Client) -> None:
    # Before that, others have logged that were killed since.
    begun = len(production.console())
    found = of_tenant(root, 3 * TENANT_LIMIT, uuid4().hex)

    # None is let through beyond it; of what replicas hold in advance, a few may be left when the callers end.
    assert TENANT_LIMIT * 0.95 <= found[200] <= TENANT_LIMIT
    assert set(found) == {200, 429}
    wait_until(lambda: len(replicas_that_answered(production.console()[begun:])) == INGRESS_REPLICAS)


def test_a_keys_limit_is_one_for_all_replicas(root: httpx.Client) -> None:
    body = {"name": "web", "scopes": ["read"], "tenant_id": uuid4().hex, "rate_limit": f"{TENANT_LIMIT}/hour"}
    key = root.post("/v1/admin/keys", json=body).json()["key"]

    found = statuses(root, 2 * TENANT_LIMIT, headers={"X-API-Key": key})

    assert TENANT_LIMIT * 0.95 <= found[200] <= TENANT_LIMIT
    assert set(found) == {200, 429}


def test_requests_go_on_while_the_count_is_lost_and_are_counted_again(
    production: LaunchedService, root: httpx.Client
) -> None:
    begun = len(production.console())
    (counter,) = production.replicas("RateLimits")
    counter.kill()
    found = of_tenant(root, TENANT_LIMIT, uuid4().hex)
    assert found == {200: TENANT_LIMIT}

    def counted_together() -> bool:
        console = production.console()[begun:]
        lost, back = "rate_limits_counted_by_each_replica", "rate_limits_shared_again"
        of_tenant(root, CALLERS, uuid4().hex)
        return console.count(back) >= console.count(lost) > 0 and bool(production.replicas("RateLimits"))

    wait_until(counted_together)
    again = of_tenant(root, 2 * TENANT_LIMIT, uuid4().hex)
    assert TENANT_LIMIT * 0.95 <= again[200] <= TENANT_LIMIT
