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


def wrong(body: Json) -> set[str]:
    return {part["name"] for part in body["parts"] if part["status"] != "ok"}


def test_search_replicas_that_hang_are_told_of_and_take_nothing_else_with_them(
    cluster: LaunchedService, client: httpx.Client
) -> None:
    """Stopped in the middle of whatever they do, and let go on before Serve replaces them."""
    wait_until(lambda: wrong(health(client)) == set())
    replicas = cluster.replicas("Search")
    for replica in replicas:
        replica.suspend()
    told: list[Json] = []

    def is_told() -> bool:
        told.append(health(client))
        return wrong(told[-1]) == {"search"}

    def is_ready_all_the_same() -> bool:
        answer = client.get("/v1/admin/readiness")
        assert answer.status_code == 200
        return bool(answer.json()["status"] == "degraded")

    try:
        # Not at once: each ingress replica tells for half a second what it has just found out, and any may answer.
        wait_until(is_told)
        wait_until(is_ready_all_the_same)
    finally:
        for replica in replicas:
            replica.resume()

    assert told[-1]["status"] == "degraded"
    assert told[-1]["problems"] == ["The search deployment does not answer: searches fail."]
    wait_until(lambda: health(client)["status"] == "ok")
    assert cluster.replicas("Search") == replicas
