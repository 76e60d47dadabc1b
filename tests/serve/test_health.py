"""What is told of a deployment that does not answer, on a real cluster."""

from typing import Any

import httpx

from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import wait_until

Json = dict[str, Any]


def health(client: httpx.Client) -> Json:
    answer = client.get("/v1/admin/health")
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def wrong(client: httpx.Client) -> set[str]:
    return {part["name"] for part in health(client)["parts"] if part["status"] != "ok"}


def test_search_replicas_that_hang_are_told_of_and_take_nothing_else_with_them(
    cluster: LaunchedService, client: httpx.Client
) -> None:
    """Stopped in the middle of whatever they do, and let go on before Serve replaces them."""
    wait_until(lambda: wrong(client) == set())
    replicas = cluster.replicas("Search")
    for replica in replicas:
        replica.suspend()
    try:
        # Not at once: each ingress replica tells for half a second what it has just found out.
        wait_until(lambda: wrong(client) == {"search"})
        body = health(client)
        ready = client.get("/v1/admin/readiness")
    finally:
        for replica in replicas:
            replica.resume()

    assert body["status"] == "degraded"
    assert body["problems"] == ["The search deployment does not answer: searches fail."]
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    wait_until(lambda: health(client)["status"] == "ok")
    assert cluster.replicas("Search") == replicas
