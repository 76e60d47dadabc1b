"""The metrics of the cluster: the same from each of three ingress replicas, and counted once whoever is killed."""

import time
from collections.abc import Iterator
from uuid import uuid4

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serve.conftest import INGRESS_REPLICAS, LARGE_TENANT, ROOT_KEY, SEARCH_REPLICAS
from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import message, search, wait_until

STORED = 60
TELL_SECONDS = 5
Series = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture
def client(production: LaunchedService) -> Iterator[httpx.Client]:
    """A client whose every request takes a connection of its own, so that all replicas have their turn."""
    limits, key = httpx.Limits(max_keepalive_connections=0), {"X-API-Key": ROOT_KEY}
    with httpx.Client(base_url=f"http://127.0.0.1:{production.port}", timeout=30, limits=limits, headers=key) as client:
        yield client


def scrape(client: httpx.Client) -> dict[Series, float]:
    """What has happened, as Prometheus reads it: counters and the counts of histograms. Nothing where it is away."""
    try:
        answer = client.get("/metrics")
    except httpx.TransportError:
        return {}
    assert answer.status_code in {200, 503}, answer.text
    families = list(text_string_to_metric_families(answer.text)) if answer.status_code == 200 else []
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        if family.type in {"counter", "histogram"}
        for sample in family.samples
    }


def scrape_again(client: httpx.Client) -> dict[Series, float]:
    """Scrape until there is an answer."""
    found: dict[Series, float] = {}

    def told() -> bool:
        found.update(scrape(client))
        return bool(found)

    wait_until(told)
    return found


def of(name: str, found: dict[Series, float]) -> float:
    """The sum over a metric's series."""
    return sum(value for (each, _), value in found.items() if each == name)


def store(client: httpx.Client, times: int) -> None:
    for _ in range(times):
        assert client.post("/v1/messages", json=message("Measured", uuid4().hex)).status_code == 202


def stored(client: httpx.Client) -> float:
    return of("messages_created_total", scrape(client))


def settled(client: httpx.Client) -> float:
    """Return how many messages were stored, once replicas have told of those of earlier tests: each second they do."""
    counts = [-1.0]

    def same() -> bool:
        time.sleep(TELL_SECONDS)
        counts.append(of("messages_created_total", scrape_again(client)))
        return counts[-1] == counts[-2]

    wait_until(same)
    return counts[-1]


def kill_and_await_successors(service: LaunchedService, deployment: str, victims: int) -> None:
    """Kill replicas of a deployment, and wait until as many stand in their place."""
    before = service.replicas(deployment)
    for victim in before[:victims]:
        victim.kill()
    psutil.wait_procs(before[:victims], timeout=10)
    wait_until(lambda: len(service.replicas(deployment)) == len(before))


def test_totals_outlive_replicas_and_begin_anew_with_metrics(production: LaunchedService, client: httpx.Client) -> None:
    """What each replica has counted since it began would look like so many new messages to Prometheus."""
    began = settled(client)
    store(client, STORED)
    wait_until(lambda: stored(client) == began + STORED)
    before = scrape_again(client)

    kill_and_await_successors(production, "Ingress", 1)
    found = scrape_again(client)
    assert {series: value for series, value in before.items() if found.get(series, 0.0) < value} == {}
    assert of("messages_created_total", found) == began + STORED

    kill_and_await_successors(production, "Metrics", 1)
    store(client, 1)
    wait_until(lambda: stored(client) > 0)
    assert stored(client) == 1


def test_every_replica_answers_the_same(production: LaunchedService, client: httpx.Client) -> None:
    least = INGRESS_REPLICAS + of("messages_created_total", scrape_again(client))
    store(client, INGRESS_REPLICAS)

    def told_by_all() -> bool:
        told = {stored(client) for _ in range(4 * INGRESS_REPLICAS)}
        return len(told) == 1 and told.pop() >= least

    wait_until(told_by_all)


def test_each_deployment_reports(client: httpx.Client) -> None:
    wait_until(lambda: bool(scrape(client)))

    def reporting() -> bool:
        text = client.get("/metrics").text
        expected = {
            "Ingress": INGRESS_REPLICAS,
            "Search": SEARCH_REPLICAS,
            "Embedding": 1,
            "Scoring": 1,
            "RateLimits": 1,
        }
        return all(f'replicas{{deployment="{name}"}} {count}.0' in text for name, count in expected.items())

    wait_until(reporting)
    assert "embeddings_pending " in client.get("/metrics").text


def test_searches_are_audited_in_the_background(client: httpx.Client) -> None:
    tenant_id = uuid4().hex
    body = {
        "messages": [message(f"My sister moved to Lisbon {number}", tenant_id) for number in range(2 * LARGE_TENANT)]
    }
    assert client.post("/v1/messages/batch", json=body).status_code == 202

    def compared() -> bool:
        search(client, tenant_id, "relatives in Portugal")
        time.sleep(1)
        return of("memory_search_recall_at_10_count", scrape(client)) > 0

    wait_until(compared)


def test_a_scrape_takes_less_than_fifty_milliseconds(client: httpx.Client) -> None:
    """The quickest of several: how busy the machine is says nothing of the service."""
    wait_until(lambda: bool(scrape(client)))
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        assert client.get("/metrics").status_code == 200
        taken.append(time.perf_counter() - began)

    assert min(taken) < 0.05
