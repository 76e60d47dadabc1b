"""Stores, searches and lists over many tenants, and checks what comes back.

`locust -f loadtests/locustfile.py --headless -u 100 -r 50 -t 30s --host http://127.0.0.1:8000`

`--tags store batch search list find` picks kinds of load; `LOADTEST_STORE`, `LOADTEST_BATCH`, `LOADTEST_SEARCH`,
`LOADTEST_LIST` and `LOADTEST_FIND` are their weights, `LOADTEST_TENANTS` the number of tenants, `LOADTEST_SEED` the
texts' seed. `LOADTEST_KEY` is sent as `X-API-Key`. Tenants are called `loadtest-0` and so on.
"""

import os
import random
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, TypeVar

from locust import FastHttpUser, constant, tag, task

from loadtests.requests import message
from loadtests.texts import TenantTexts, booking_code
from loadtests.texts import Turn as SaidTurn

TENANTS = int(os.environ.get("LOADTEST_TENANTS", "50"))
SEED = int(os.environ.get("LOADTEST_SEED", "0"))
BATCH = 20
TOP_K = 10
HIT_FIELDS = frozenset({"message_id", "conversation_id", "role", "content", "created_at", "score"})

Task = TypeVar("Task", bound=Callable[..., object])

_users = count()


def weighted(kind: str, weight: int) -> Callable[[Task], Task]:
    """Return a decorator for a task that `--tags` may pick. The environment may change its weight; 0 removes it."""
    chosen = int(os.environ.get(f"LOADTEST_{kind.upper()}", str(weight)))

    def decorate(function: Task) -> Task:
        task_of_weight: Any = task(chosen)
        decorated: Task = tag(kind)(task_of_weight(function)) if chosen else function
        return decorated

    return decorate


class MemoryUser(FastHttpUser):
    """One caller, who uses another tenant for every request."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Seed the random generator, and store something to find."""
        user = next(_users)
        self._random = random.Random(f"{SEED}/{user}")
        key = os.environ.get("LOADTEST_KEY")
        self._headers = {"X-API-Key": key} if key else {}
        self._texts = {number: TenantTexts(number, SEED, user) for number in range(TENANTS)}
        self.store_batch()

    @weighted("store", 4)
    def store(self) -> None:
        """Store one message: 202, with the sent fields and an id."""
        number = self._tenant()
        (said,) = self._texts[number].turns(1)
        self._store(number, said)

    @weighted("batch", 1)
    def store_batch(self) -> None:
        """Store messages in one request: 202, all accepted, in order."""
        number = self._tenant()
        messages = [message(f"loadtest-{number}", turn) for turn in self._texts[number].turns(BATCH)]
        with self._checked("POST", "/v1/messages/batch", status=202, json={"messages": messages}) as answer:
            if answer.body is None:
                return
            items = answer.body["items"]
            stored = [item.get("message", {}).get("content") for item in items]
            answer.require(answer.body["accepted"] == BATCH, "not every message was accepted")
            answer.require(stored == [each["content"] for each in messages], "the items are others than were sent")

    @weighted("search", 10)
    def search(self) -> None:
        """Search: 200, complete hits, best first."""
        number = self._tenant()
        self._search(number, self._texts[number].query())

    @weighted("find", 2)
    def store_and_find(self) -> None:
        """Check that a stored message is found by its words at once, and only by its own tenant."""
        number = self._tenant()
        reference = booking_code()
        said = SaidTurn(0, "user", None, f"The booking code for our trip is {reference}, keep it for me.")
        message_id = self._store(number, said)
        if message_id is None:
            return
        self._search(number, reference, must_hold=message_id)
        self._search((number + 1) % TENANTS, reference, must_not_hold=message_id)

    @weighted("list", 2)
    def list_messages(self) -> None:
        """List two pages of a tenant's messages: newest first, no message twice."""
        tenant_id = f"loadtest-{self._tenant()}"
        seen: list[dict[str, Any]] = []
        parameters: dict[str, object] = {"tenant_id": tenant_id, "limit": 20}
        for _ in range(2):
            with self._checked("GET", "/v1/messages", status=200, params=parameters) as answer:
                if answer.body is None:
                    return
                seen += answer.body["items"]
                answer.require(all(each["tenant_id"] == tenant_id for each in seen), "another tenant's message")
                answer.require(len({each["id"] for each in seen}) == len(seen), "a message came twice")
                times = [each["created_at"] for each in answer.body["items"]]
                answer.require(times == sorted(times, reverse=True), "not newest first")
                parameters["cursor"] = answer.body["next_cursor"]
            if parameters["cursor"] is None:
                return

    def _tenant(self) -> int:
        return self._random.randrange(TENANTS)

    def _store(self, number: int, said: SaidTurn) -> str | None:
        sent = message(f"loadtest-{number}", said)
        with self._checked("POST", "/v1/messages", status=202, json=sent) as answer:
            if answer.body is None:
                return None
            answer.require({**answer.body, **sent} == answer.body, "the message is another than was sent")
            message_id: str = answer.body["id"]
            return message_id

    def _search(self, number: int, query: str, must_hold: str | None = None, must_not_hold: str | None = None) -> None:
        parameters = {"tenant_id": f"loadtest-{number}", "query": query, "top_k": TOP_K}
        with self._checked("GET", "/v1/memory/search", status=200, params=parameters) as answer:
            if answer.body is None:
                return
            items = answer.body["items"]
            found = {item["message_id"] for item in items}
            scores = [item["score"] for item in items]
            answer.require(answer.body["total"] == len(items) <= TOP_K, "total and items do not agree")
            answer.require(all(item.keys() >= HIT_FIELDS for item in items), "a hit lacks fields")
            answer.require(scores == sorted(scores, reverse=True), "not best first")
            answer.require(must_hold is None or must_hold in found, "what was just stored was not found")
            answer.require(must_not_hold is None or must_not_hold not in found, "found by another tenant")

    def _checked(self, method: str, path: str, status: int, **arguments: Any) -> "CheckedAnswer":
        request = self.client.request(
            method, path, name=f"{method} {path}", headers=self._headers, catch_response=True, **arguments
        )
        return CheckedAnswer(request, status)


class CheckedAnswer:
    """An answer that counts as failed if its status is not the expected one, or a check of its body fails."""

    def __init__(self, request: Any, status: int) -> None:
        self._request = request
        self._status = status
        self._answer: Any = None
        self.body: Mapping[str, Any] | None = None

    def __enter__(self) -> "CheckedAnswer":
        self._answer = self._request.__enter__()
        if self._answer.status_code == self._status:
            self.body = self._answer.json()
        else:
            self._answer.failure(f"{self._answer.status_code} instead of {self._status}: {self._answer.text[:200]}")
        return self

    def __exit__(self, *raised: object) -> None:
        self._request.__exit__(*raised)

    def require(self, holds: bool, complaint: str) -> None:
        """Count the answer as failed if the check fails."""
        if not holds:
            self._answer.failure(complaint)
