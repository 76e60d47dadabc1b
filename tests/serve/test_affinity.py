"""Where indexes live with two Search replicas: each tenant's in one of them, and elsewhere when that one is gone."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serve.conftest import SEARCH_REPLICAS
from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import message, wait_until

TENANTS = 40
ROUNDS = 4
# A replica that an earlier test killed is told of for ten seconds, and the one in its place takes some to start.
OLD_ENOUGH_SECONDS = 15


def told(client: httpx.Client) -> Counter[str]:
    """The sums of the metrics of all replicas, by name; nothing while they are not whole."""
    answer = client.get("/metrics")
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(answer.text if answer.status_code == 200 else ""):
        for sample in family.samples:
            if sample.labels.get("deployment", "Search") == "Search":
                found[sample.name] += sample.value  # type: ignore[assignment]
    return found


def search_each(client: httpx.Client, tenants: list[str]) -> Counter[int]:
    """Search all tenants side by side, and count the statuses: whoever is answered gets what was stored."""

    def search(tenant_id: str) -> int:
        answer = client.get("/v1/memory/search", params={"tenant_id": tenant_id, "query": "apple"})
        if answer.status_code == 200:
            assert [hit["content"] for hit in answer.json()["items"]] == [f"{tenant_id} apple"]
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(search, tenants))


@pytest.fixture
def tenants(cluster: LaunchedService, client: httpx.Client) -> list[str]:
    """Tenants with a message each, of which no replica holds an index, while no replica comes or goes."""

    def steady() -> bool:
        started = [replica.create_time() for replica in cluster.replicas("Search")]
        running = len(started) == told(client)["replicas"] == SEARCH_REPLICAS
        return running and max(started) < time.time() - OLD_ENOUGH_SECONDS

    wait_until(steady)
    tenants = [uuid4().hex for _ in range(TENANTS)]
    for tenant_id in tenants:
        assert client.post("/v1/messages", json=message(f"{tenant_id} apple", tenant_id)).status_code == 202
    return tenants


def loads_during(client: httpx.Client, tenants: list[str]) -> float:
    """Search all tenants several times, and return how many of them were read whole for it."""
    before = told(client)
    searches = before["memory_searches_total"] + ROUNDS * len(tenants)
    for _ in range(ROUNDS):
        assert search_each(client, tenants) == {200: len(tenants)}
    # A replica tells both counts at once, some time after it has counted.
    wait_until(lambda: told(client)["memory_searches_total"] >= searches)
    return told(client)["memory_index_loads_total"] - before["memory_index_loads_total"]


def test_each_index_is_loaded_by_one_replica_and_a_killed_one_costs_a_reload(
    cluster: LaunchedService, client: httpx.Client, tenants: list[str]
) -> None:
    assert loads_during(client, tenants) == TENANTS
    assert loads_during(client, tenants) == 0

    before, statuses, victim = told(client), Counter[int](), cluster.replicas("Search")[0]
    victim.kill()

    def all_answered() -> bool:
        answers = search_each(client, tenants)
        statuses.update(answers)
        return set(answers) == {200} and victim.pid not in {each.pid for each in cluster.replicas("Search")}

    wait_until(all_answered)
    # What was on its way to the killed replica is refused, as with any killed replica.
    assert set(statuses) <= {200, 503}
    wait_until(lambda: told(client)["memory_index_loads_total"] > before["memory_index_loads_total"])
    # Its share moves, and the share of the one in its place when that is there.
    assert told(client)["memory_index_loads_total"] < before["memory_index_loads_total"] + 2 * TENANTS
