"""Messages of 100,000 characters: they are embedded and found, and nobody's short ones fail with them."""

import itertools
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deployments.schemas.messages import MAX_CONTENT_CHARACTERS
from tests.serve.launched_service import LaunchedService
from tests.serve.test_cluster import message

CLAIM = 128
# A machine at a third of this one's speed takes a minute to embed 13 MB.
DEADLINE_SECONDS = 300
SHORT = 20
LONG = 40
# Content that JSON escapes, of several bytes a character, and plain.
LETTERS = ["abcdefghij ", 'é"日\n ']


def long_text(topic: str, letters: str = LETTERS[0], characters: int = MAX_CONTENT_CHARACTERS) -> str:
    """Return text about a topic that is like no other."""
    words = "".join(random.choices(letters, k=5_000))
    return f"{topic} {uuid4().hex} {words * (characters // len(words) + 1)}"[:characters]


def poll(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def store(client: httpx.Client, tenant_id: str, contents: list[str]) -> None:
    for some in (contents[start : start + CLAIM] for start in range(0, len(contents), CLAIM)):
        body = {"messages": [message(content, tenant_id) for content in some]}
        answer = client.post("/v1/messages/batch", json=body, timeout=60)
        assert (answer.status_code, answer.json()["accepted"]) == (202, len(some))


def statuses(client: httpx.Client, tenant_id: str) -> set[str]:
    """Return how the embeddings of a tenant's messages stand."""
    parameters: dict[str, Any] = {"tenant_id": tenant_id, "limit": 50}
    found = set()
    while True:
        page = client.get("/v1/messages", params=parameters).json()
        found |= {item["embedding_status"] for item in page["items"]}
        if page["next_cursor"] is None:
            return found
        parameters["cursor"] = page["next_cursor"]


def test_a_claim_of_large_messages_is_embedded_and_others_do_not_wait(client: httpx.Client) -> None:
    large, other = uuid4().hex, uuid4().hex
    store(client, large, [long_text("ledger", characters=99_000) for _ in range(CLAIM)])
    store(client, other, [f"short note {number}" for number in range(150)])

    poll(lambda: statuses(client, other) == {"completed"})
    poll(lambda: statuses(client, large) == {"completed"})

    items = client.get("/v1/messages", params={"tenant_id": large, "limit": 10}).json()["items"]
    assert all(0 < item["importance_score"] < 1 for item in items)


@pytest.fixture(scope="module")
def tenant_with_long_messages(launched: LaunchedService) -> str:
    """A tenant whose answers may be of 44 MB and more."""
    tenant_id = uuid4().hex
    with httpx.Client(base_url=f"http://127.0.0.1:{launched.port}", timeout=60) as client:
        for letters in LETTERS:
            store(client, tenant_id, [long_text("orchard", letters) for _ in range(LONG // len(LETTERS))])
        poll(lambda: statuses(client, tenant_id) == {"completed"})
    return tenant_id


def large_answers(client: httpx.Client, tenant_id: str) -> list[httpx.Response]:
    """Ask for what is larger than any call between replicas may be: a search, then a context."""
    asked = {"tenant_id": tenant_id, "query": "orchard", "neighbors": 5}
    context = asked | {"conversation_id": "none", "token_budget": 1_000_000, "min_score": 0, "top_k": 100}
    return [
        client.post("/v1/memory/search", json=asked | {"top_k": 100}, timeout=120),
        client.post("/v1/memory/context", json=context, timeout=120),
    ]


def test_an_answer_of_any_size_arrives_and_nobody_pays_for_it(
    client: httpx.Client, tenant_with_long_messages: str
) -> None:
    large, others = tenant_with_long_messages, [uuid4().hex for _ in range(SHORT)]
    for tenant_id in others:
        store(client, tenant_id, [f"{tenant_id} orchard"])

    def small(tenant_id: str) -> tuple[int, list[str]]:
        answer = client.get("/v1/memory/search", params={"tenant_id": tenant_id, "query": "orchard"})
        return answer.status_code, [hit["content"] for hit in answer.json().get("items", [])]

    with ThreadPoolExecutor(SHORT) as pool:
        asked: list[Future[list[httpx.Response]]] = [pool.submit(large_answers, client, large) for _ in range(3)]
        found = []
        for tenant_id in itertools.cycle(others):
            found.append((tenant_id, pool.submit(small, tenant_id)))
            if all(each.done() for each in asked):
                break
            time.sleep(0.01)

    assert {future.result() == (200, [f"{tenant_id} orchard"]) for tenant_id, future in found} == {True}
    for search, context in (each.result() for each in asked):
        assert (search.status_code, context.status_code) == (200, 200)
        hits = search.json()["items"]
        assert len(hits) == LONG
        assert {len(turn["content"]) for hit in hits for turn in hit["neighbors"]} == {MAX_CONTENT_CHARACTERS}
        assert len({hit["content"] for hit in hits}) == LONG
        assert context.json()["items"]
