"""The service behind HAProxy, on real replicas."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx

from tests.serve.launched_service import LaunchedService

DEADLINE_SECONDS = 180


def message(content: str, tenant_id: str) -> dict[str, str]:
    """A message of one conversation."""
    return {"tenant_id": tenant_id, "conversation_id": "c1", "role": "user", "content": content}


def wait_until(true: Callable[[], bool]) -> None:
    """Poll until it is true; how long that takes is not what is tested."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def logged(cluster: LaunchedService, request_id: str, *words: str) -> bool:
    """Whether one line about the request has all the words. Ray brings a replica's lines some time after its answer."""
    lines = cluster.console().splitlines()
    return any(all(f"{word} " in f"{line} " for word in words) for line in lines if request_id in line)


def search(client: httpx.Client, tenant_id: str, query: str) -> list[str]:
    """The contents that are found, best first."""
    answer = client.get("/v1/memory/search", params={"tenant_id": tenant_id, "query": query})
    assert answer.status_code == 200, answer.text
    return [hit["content"] for hit in answer.json()["items"]]


def test_found_by_words_at_once_and_by_meaning_soon(client: httpx.Client) -> None:
    tenant_id = uuid4().hex
    stored = client.post("/v1/messages", json=message("My sister moved to Lisbon", tenant_id))
    assert stored.status_code == 202

    assert search(client, tenant_id, "lisbon") == ["My sister moved to Lisbon"]
    wait_until(lambda: search(client, tenant_id, "relatives in Portugal") == ["My sister moved to Lisbon"])
    now = client.get(f"/v1/messages/{stored.json()['id']}").json()
    assert now["embedding_status"] == "completed"
    assert 0 < now["importance_score"] <= 1


def test_stores_and_searches_that_wait_together_are_told_apart(client: httpx.Client) -> None:
    tenant_id = uuid4().hex
    words = [f"word{number}" for number in range(200)]

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda w: client.post("/v1/messages", json=message(w, tenant_id)), words))
        assert [answer.json()["content"] for answer in answers] == words
        assert len({answer.json()["id"] for answer in answers}) == len(words)
        found = list(pool.map(lambda word: search(client, tenant_id, word)[0], words))
    assert found == words


def test_a_bad_search_does_not_fail_those_that_cross_with_it(client: httpx.Client) -> None:
    tenant_id = uuid4().hex
    client.post("/v1/messages", json=message("apple", tenant_id))
    queries = ["apple", "&|!():*'\\", "🙂", "a" * 10_000, "苹果"] * 10

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda query: search(client, tenant_id, query), queries))

    assert all(hits[:1] == ["apple"] for hits in found[::5])


def test_errors_have_their_shape_behind_the_proxy_too(client: httpx.Client) -> None:
    broken = client.post("/v1/messages", content=b"{", headers={"Content-Type": "application/json"})
    large = client.post("/v1/messages", content=b" " * (17 * 1024 * 1024))
    unknown = client.get(f"/v1/messages/{uuid4()}")

    for answer, status, code in (
        (broken, 400, "invalid_json"),
        (large, 413, "request_too_large"),
        (unknown, 404, "not_found"),
    ):
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code
        assert answer.json()["error"]["request_id"] == answer.headers["X-Request-ID"]


def test_the_request_id_is_in_the_logs_of_every_deployment(client: httpx.Client, cluster: LaunchedService) -> None:
    tenant_id, store_id, search_id = uuid4().hex, f"store-{uuid4().hex}", f"search-{uuid4().hex}"
    client.post("/v1/messages", json=message("apple", tenant_id), headers={"X-Request-ID": store_id})
    query = {"tenant_id": tenant_id, "query": uuid4().hex}
    client.get("/v1/memory/search", params=query, headers={"X-Request-ID": search_id})

    def deployments(request_id: str) -> set[str]:
        names = ("Ingress", "Search", "Embedding", "Scoring")
        return {name for name in names if logged(cluster, request_id, f"deployment={name}")}

    wait_until(lambda: deployments(store_id) == {"Ingress", "Embedding", "Scoring"})
    # The local provider embeds queries in the Search replica.
    wait_until(lambda: deployments(search_id) == {"Ingress", "Search"})


def test_contexts_that_wait_together_are_told_apart(client: httpx.Client, cluster: LaunchedService) -> None:
    tenant_id, request_id = uuid4().hex, f"context-{uuid4().hex}"
    for word in ("apple", "pear", "cherry"):
        client.post("/v1/messages", json=message(f"I like {word} pie", tenant_id) | {"conversation_id": word})

    def context(word: str) -> list[tuple[str, list[str]]]:
        request = {"tenant_id": tenant_id, "conversation_id": "apple", "query": word, "top_k": 1, "token_budget": 60}
        answer = client.post("/v1/memory/context", json=request, headers={"X-Request-ID": request_id})
        assert answer.status_code == 200, answer.text
        assert answer.json()["tokens_used"] <= 60
        return [(item["content"], item["reasons"]) for item in answer.json()["items"]]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(context, ["pear", "cherry"] * 10))

    recent = ("I like apple pie", ["recent"])
    assert found == [[recent, (f"I like {word} pie", ["relevant"])] for word in ["pear", "cherry"] * 10]
    wait_until(lambda: logged(cluster, request_id, "context_assembled", "deployment=Search"))


def test_health_says_how_every_part_is(client: httpx.Client) -> None:
    health = client.get("/v1/admin/health").json()

    assert (health["status"], health["database"], health["embedding"]) == ("ok", "ok", "ok")
    assert client.get("/v1/admin/readiness").json() == {"status": "ok", "problems": []}
    assert client.get("/v1/admin/liveness").json() == {"status": "ok", "problems": []}
