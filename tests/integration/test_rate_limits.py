"""Rate limits over HTTP: of client addresses, tenants and keys, each where it is set and nowhere else."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import structlog

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.rate_limits.counter import TakeMany
from deployments.rate_limits.limiter import LimitCounts
from deployments.rate_limits.redis_counter import RedisCounter
from deployments.settings import Settings
from serve_app.edge.rate_limits import UNLIMITED_PATHS
from tests.integration.calls import error_of, message
from tests.integration.keys import AS_ROOT, ROOT_KEY, make, sent
from tests.integration.service import Service, create_service
from tests.integration.test_access import TABLE
from tests.redis_server import RedisServer, running_redis

HEADERS = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
DEADLINE_SECONDS = 60


@dataclass
class Counted:
    """What the metrics were told."""

    refused: list[str] = field(default_factory=list)
    fell_back: int = 0

    def fall_back(self, takes: int) -> None:
        self.fell_back += takes

    @property
    def counts(self) -> LimitCounts:
        return LimitCounts(self.refused.append, self.fall_back)


@pytest.fixture
def counted() -> Counted:
    return Counted()


Serving = Callable[..., Any]


@pytest.fixture
def serving(
    settings: Settings, provider: EmbeddingProvider, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> Serving:
    """A service with a root key and some limits."""

    @asynccontextmanager
    async def serve(take_many: TakeMany | None = None, **limits: str) -> AsyncIterator[Service]:
        monkeypatch.setenv("MEMORY_API_KEYS", ROOT_KEY)
        for name, limit in limits.items():
            monkeypatch.setenv(f"MEMORY_{name.upper()}_RATE_LIMIT", limit)
        async with create_service(Settings.load(), provider, take_many, counted.counts) as service:
            yield service

    return serve


async def statuses(call: Callable[[], Awaitable[httpx.Response]], times: int) -> list[int]:
    return [(await call()).status_code for _ in range(times)]


def listing(service: Service, headers: dict[str, str], **query: str) -> Callable[[], Awaitable[httpx.Response]]:
    return lambda: service.client.get("/v1/messages", params=query, headers=headers)


def from_address(service: Service, address: str) -> httpx.AsyncClient:
    transport = service.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    moved = httpx.ASGITransport(transport.app, raise_app_exceptions=False, client=(address, 1234))
    return httpx.AsyncClient(transport=moved, base_url="http://service", headers=AS_ROOT)


async def test_without_limits_nothing_is_limited_and_nothing_said(serving: Serving) -> None:
    async with serving() as service:
        answers = [await listing(service, AS_ROOT, tenant_id="acme")() for _ in range(300)]

    assert {answer.status_code for answer in answers} == {200}
    assert not any(HEADERS & set(answer.headers) for answer in answers)


async def test_an_answer_says_how_the_limit_stands(serving: Serving, counted: Counted) -> None:
    async with serving(tenant="3/hour") as service:
        answers = [await listing(service, AS_ROOT, tenant_id="acme")() for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}
    resets = {int(answer.headers["X-RateLimit-Reset"]) for answer in answers}
    assert all(3500 < reset - time.time() <= 3601 for reset in resets)
    refused = answers[-1]
    error = error_of(refused)
    assert (error["code"], error["details"]) == ("rate_limited", {"limit": "tenant", "rate": "3 per 1 hour"})
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert "Retry-After" not in answers[0].headers
    assert counted.refused == ["tenant"]


async def test_the_headers_are_those_of_the_limit_with_the_least_left(serving: Serving) -> None:
    async with serving(**{"global": "5/hour"}, tenant="100/day;3/hour") as service:
        found = []
        for tenant_id in ("acme", "acme", "globex", "initech", "initech", "umbrella"):
            answer = await listing(service, AS_ROOT, tenant_id=tenant_id)()
            found.append(
                (answer.status_code, answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"])
            )

    assert found == [
        (200, "3", "2"),
        (200, "3", "1"),
        (200, "3", "2"),
        (200, "5", "1"),
        (200, "5", "0"),
        (429, "5", "0"),
    ]


async def test_errors_count_and_say_how_the_limit_stands_too(serving: Serving) -> None:
    async with serving(**{"global": "3/hour"}) as service:
        missing = await service.client.get("/v1/messages/0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10", headers=AS_ROOT)
        wrong = await listing(service, AS_ROOT, tenant_id="acme", limit="many")()

    assert [(a.status_code, a.headers["X-RateLimit-Remaining"]) for a in (missing, wrong)] == [(404, "2"), (422, "1")]


async def test_an_address_is_limited_and_another_is_not(serving: Serving) -> None:
    async with serving(**{"global": "2/hour"}) as service:
        for address in ("192.0.2.1", "192.0.2.2"):
            async with from_address(service, address) as client:
                found = [(await client.get("/v1/messages?tenant_id=acme")).status_code for _ in range(3)]
                assert found == [200, 200, 429]


async def test_an_address_with_wrong_keys_is_limited(serving: Serving) -> None:
    async with serving(**{"global": "2/hour"}) as service:
        assert await statuses(listing(service, sent("wrong")), 3) == [401, 401, 429]
        assert await statuses(listing(service, AS_ROOT, tenant_id="acme"), 1) == [429]


async def test_wrong_keys_use_up_no_tenants_limit(serving: Serving) -> None:
    async with serving(tenant="1/hour") as service:
        assert await statuses(listing(service, sent("wrong"), tenant_id="acme"), 3) == [401] * 3
        assert await statuses(listing(service, AS_ROOT, tenant_id="acme"), 1) == [200]


async def test_a_tenant_is_one_whoever_asks_for_it(serving: Serving) -> None:
    async with serving(tenant="4/hour") as service:
        bound, unbound = await make(service, "acme"), await make(service, None)
        assert await statuses(listing(service, sent(bound)), 2) == [200, 200]
        assert await statuses(listing(service, sent(unbound), tenant_id="acme"), 1) == [200]
        assert await statuses(listing(service, AS_ROOT, tenant_id="acme"), 2) == [200, 429]
        assert await statuses(listing(service, sent(bound)), 1) == [429]
        assert await statuses(listing(service, AS_ROOT, tenant_id="globex"), 1) == [200]


async def test_a_tenant_that_its_own_key_names_is_counted_once(serving: Serving) -> None:
    async with serving(tenant="3/hour") as service:
        bound = await make(service, "acme")

        assert await statuses(listing(service, sent(bound), tenant_id="acme"), 4) == [200, 200, 200, 429]


async def test_a_bound_tenant_is_refused_before_the_body_is_read(serving: Serving) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("read")
        yield b""

    async with serving(tenant="1/hour") as service:
        bound = await make(service, "acme")
        await listing(service, sent(bound))()
        answer = await service.client.post("/v1/messages", content=body(), headers=sent(bound))

    assert answer.status_code == 429


async def test_a_request_that_is_not_valid_uses_up_no_named_tenants_limit(serving: Serving) -> None:
    async with serving(tenant="1/hour") as service:
        assert await statuses(listing(service, AS_ROOT, tenant_id="acme", limit="0"), 3) == [422] * 3
        assert await statuses(listing(service, AS_ROOT, tenant_id="acme"), 1) == [200]


async def test_a_batch_is_one_request_of_each_tenant_that_it_names(serving: Serving) -> None:
    batch = {"messages": [message(f"note {n}", tenant_id=("acme", "globex")[n % 2]) for n in range(1000)]}

    async with serving(tenant="2/hour") as service:

        async def store() -> httpx.Response:
            answer: httpx.Response = await service.client.post("/v1/messages/batch", json=batch, headers=AS_ROOT)
            return answer

        assert await statuses(listing(service, AS_ROOT, tenant_id="globex"), 1) == [200]
        # Nothing is stored for acme either: half a batch would be stored twice when it is repeated.
        assert await statuses(store, 2) == [202, 429]
        assert await statuses(listing(service, AS_ROOT, tenant_id="acme"), 2) == [200, 429]


async def test_what_is_refused_is_counted_once_a_request(serving: Serving, counted: Counted) -> None:
    batch = {"messages": [message(f"note {n}", tenant_id=f"t{n}") for n in range(4)]}

    async with serving(tenant="1/hour") as service:

        async def store() -> httpx.Response:
            answer: httpx.Response = await service.client.post("/v1/messages/batch", json=batch, headers=AS_ROOT)
            return answer

        assert await statuses(store, 4) == [202, 429, 429, 429]
    assert counted.refused == ["tenant"] * 3


NAMING = [
    name for name, access in TABLE.items() if "{tenant_id}" in name or "tenant_id" in str(access.query or access.body)
]


@pytest.mark.parametrize("operation", NAMING)
async def test_every_route_that_names_a_tenant_counts_it(operation: str, serving: Serving) -> None:
    access = TABLE[operation]
    method, path = operation.split()
    async with serving() as unlimited:
        if access.makes:
            await access.makes(unlimited)
    async with serving(tenant="1/hour") as service:
        url = path.format(conversation_id="c1", tenant_id="acme")

        async def ask() -> httpx.Response:
            answer: httpx.Response = await service.client.request(
                method, url, params=access.query, json=access.body, headers=AS_ROOT
            )
            return answer

        assert await statuses(ask, 2) == [access.allowed, 429]


def test_some_routes_name_a_tenant() -> None:
    assert len(NAMING) >= 12


async def test_a_key_has_a_limit_of_its_own_or_that_of_all_keys(serving: Serving) -> None:
    async with serving(key="2/hour") as service:
        own = await make(service, "acme", rate_limit="3/hour;100/day")
        other = await make(service, "acme")
        assert await statuses(listing(service, sent(own)), 4) == [200, 200, 200, 429]
        assert await statuses(listing(service, sent(other)), 3) == [200, 200, 429]
        assert await statuses(listing(service, AS_ROOT, tenant_id="acme"), 4) == [200] * 4


async def test_a_key_alone_may_be_limited(serving: Serving) -> None:
    async with serving() as service:
        limited, free = await make(service, "acme", rate_limit="1/hour"), await make(service, "acme")
        answers = [await listing(service, sent(limited))() for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert error_of(answers[1])["details"]["limit"] == "key"
        assert not HEADERS & set((await listing(service, sent(free))()).headers)


async def test_a_rotated_key_keeps_its_limit(serving: Serving) -> None:
    async with serving() as service:
        old = await make(service, "acme", rate_limit="1/hour")
        rotated = await service.client.post(f"/v1/admin/keys/{old.id}/rotate", json={}, headers=AS_ROOT)
        assert rotated.json()["rate_limit"] == "1/hour"
        assert await statuses(listing(service, sent(rotated.json()["key"])), 2) == [200, 429]


async def test_a_keys_limit_is_shown_and_one_that_is_none_is_refused(serving: Serving) -> None:
    async with serving() as service:

        async def create(rate_limit: object) -> httpx.Response:
            body = {"name": "web", "scopes": ["read"], "rate_limit": rate_limit}
            answer: httpx.Response = await service.client.post("/v1/admin/keys", json=body, headers=AS_ROOT)
            return answer

        assert [(await create(wrong)).status_code for wrong in ("often", "", "0/minute", 5)] == [422] * 4
        assert (await create("5/minute")).json()["rate_limit"] == "5/minute"
        listed = await service.client.get("/v1/admin/keys", headers=AS_ROOT)
        assert [key["rate_limit"] for key in listed.json()["items"]] == ["5/minute"]


@pytest.mark.parametrize("path", sorted(UNLIMITED_PATHS - {"/metrics"}))
async def test_probes_are_not_limited(path: str, serving: Serving) -> None:
    async with serving(**{"global": "1/hour"}, tenant="1/hour", key="1/hour") as service:
        assert await statuses(listing(service, AS_ROOT, tenant_id="acme"), 2) == [200, 429]
        answers = [await service.client.get(path) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}
    assert not any(HEADERS & set(answer.headers) for answer in answers)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


async def test_two_replicas_share_a_limit_in_redis(serving: Serving, redis: RedisServer) -> None:
    counters = [RedisCounter(redis.url, timeout=5) for _ in range(2)]
    async with serving(counters[0].take_many, tenant="50/hour") as one, serving(counters[1].take_many) as other:
        found = []
        for _ in range(40):
            for service in (one, other):
                found += await statuses(listing(service, AS_ROOT, tenant_id="acme"), 1)
    for counter in counters:
        await counter.close()

    assert (found.count(200), found.count(429)) == (50, 30)


async def test_while_redis_is_away_requests_go_on_under_the_replicas_own_limit(
    serving: Serving, redis: RedisServer, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.rate_limits.fallback.RETRY_SECONDS", 0.2)
    counter = RedisCounter(redis.url, timeout=5)
    async with serving(counter.take_many, tenant="10/hour") as service:
        ask = listing(service, AS_ROOT, tenant_id="acme")
        with structlog.testing.capture_logs() as lines:
            assert await statuses(ask, 11) == [200] * 10 + [429]
            redis.kill()
            # What Redis said of acme holds until its window ends; of others this replica knows nothing yet.
            assert await statuses(ask, 1) == [429]
            assert await statuses(listing(service, AS_ROOT, tenant_id="globex"), 12) == [200] * 10 + [429] * 2
            redis.start()
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not any(line["event"] == "rate_limits_shared_again" for line in lines):
                    assert await statuses(listing(service, AS_ROOT, tenant_id="globex"), 1) in ([200], [429])
            assert await statuses(listing(service, AS_ROOT, tenant_id="initech"), 11) == [200] * 10 + [429]
    await counter.close()

    warnings = [line for line in lines if line["event"] == "rate_limits_counted_by_each_replica"]
    assert [line["log_level"] for line in warnings] == ["warning"]
    assert counted.fell_back >= 10
