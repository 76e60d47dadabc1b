"""How requests are counted: by the template of their route, whatever they are answered."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from deployments.errors import UnavailableError
from deployments.runtime.metrics.replica import ReplicaMetrics
from deployments.runtime.metrics.snapshot import exposition, take
from deployments.settings import HttpSettings
from serve_app.api import create_app
from serve_app.edge.instruments import IngressInstruments, IngressMetrics
from tests.bare_services import bare_services
from tests.unit.keyrings import LetsAnyoneIn, LetsNobodyIn

ONE_CONVERSATION = "/v1/conversations/of-acme-alone?tenant_id=acme"
TEMPLATE = "/v1/conversations/{conversation_id}"


class Conversations:
    """One that is never found in time, and others whose reading breaks."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def get(self, tenant_id: str, conversation_id: str, _user: str | None = None) -> None:
        self.asked.set()
        if conversation_id == "slow":
            await asyncio.Event().wait()
        raise RuntimeError(tenant_id)


class Front:
    """An application with nothing behind it, and what it measures."""

    def __init__(self, **given: object) -> None:
        self.registry = CollectorRegistry()
        replica = ReplicaMetrics("Ingress", enabled=False)
        metrics = IngressMetrics(replica, IngressInstruments(self.registry), self._text)
        services = {"conversations": Conversations(), "keyring": LetsAnyoneIn(), "metrics": metrics}
        self.app: FastAPI = create_app(bare_services(**services | given))  # type: ignore[arg-type]

    async def _text(self) -> bytes:
        return exposition(take(self.registry))

    async def ask(self, path: str, method: str = "GET") -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path)

    @property
    def requests(self) -> dict[tuple[str, ...], float]:
        """How many there were of each method, endpoint and status."""
        counted = take(self.registry)["http_requests"].values
        return {tuple(value for _, value in labels): count for (_, labels), count in counted.items()}

    @property
    def in_flight(self) -> float:
        """How many are being answered."""
        return take(self.registry)["http_requests_in_flight"].values["http_requests_in_flight", ()]


async def test_a_request_counts_for_the_template_of_its_route() -> None:
    front = Front()
    for _ in range(2):
        await front.ask("/v1/admin/liveness")
    await front.ask(ONE_CONVERSATION)

    assert front.requests == {("GET", "/v1/admin/liveness", "200"): 2, ("GET", TEMPLATE, "500"): 1}


async def test_a_template_that_takes_slashes_has_the_documented_form() -> None:
    front = Front(usage=None)
    await front.ask("/v1/admin/tenants/a/b/usage")

    assert list(front.requests) == [("GET", "/v1/admin/tenants/{tenant_id}/usage", "500")]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nothing/of-ours", ("GET", "none", "404")),
        ("GET", "/nothing/of-ours", ("GET", "none", "401")),
        ("HACK", "/v1/conversations", ("OTHER", "/v1/conversations", "401")),
    ],
)
async def test_what_a_client_makes_up_becomes_no_label(method: str, path: str, expected: tuple[str, ...]) -> None:
    front = Front(keyring=LetsAnyoneIn() if expected[2] == "404" else LetsNobodyIn())
    await front.ask(path, method)

    assert front.requests == {expected: 1}


async def test_a_method_that_a_route_lacks_is_no_endpoint_of_its_own() -> None:
    front = Front()
    answer = await front.ask("/v1/admin/liveness", "PUT")

    assert answer.status_code == 405
    assert front.requests == {("PUT", "/v1/admin/liveness", "405"): 1}


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/v1/conversations/of-acme-alone", TEMPLATE),
        ("POST", "/v1/messages/batch", "/v1/messages/batch"),
        ("GET", "/v1/messages/batch", "/v1/messages/{message_id}"),
        ("GET", "/v1/admin/tenants/a/b/usage", "/v1/admin/tenants/{tenant_id}/usage"),
        ("DELETE", "/v1/admin/tenants/a", "/v1/admin/tenants/{tenant_id}"),
    ],
)
async def test_what_is_refused_before_its_route_counts_for_it(method: str, path: str, template: str) -> None:
    front = Front(keyring=LetsNobodyIn())
    await front.ask(path, method)

    assert front.requests == {(method, template, "401"): 1}


async def test_files_of_the_documentation_are_one_endpoint_at_most() -> None:
    front = Front()
    for name in ("favicon.png", "swagger-ui.css", "nothing"):
        await front.ask(f"/docs/assets/{name}")

    assert len({endpoint for _, endpoint, _ in front.requests}) == 1


async def test_a_timeout_counts_for_its_endpoint() -> None:
    front = Front(http=HttpSettings(request_timeout_seconds=0.05))
    await front.ask("/v1/conversations/slow?tenant_id=acme")

    assert front.requests == {("GET", TEMPLATE, "504"): 1}


async def test_requests_in_flight_are_told_until_they_end() -> None:
    conversations = Conversations()
    front = Front(conversations=conversations)
    waiting = asyncio.create_task(front.ask("/v1/conversations/slow?tenant_id=acme"))
    await conversations.asked.wait()
    assert front.in_flight == 1
    waiting.cancel()
    await asyncio.wait([waiting])

    assert front.in_flight == 0
    assert front.requests == {("GET", TEMPLATE, "none"): 1}


async def test_each_request_is_timed_once() -> None:
    front = Front()
    await front.ask("/v1/admin/liveness")
    timed = take(front.registry)["http_request_duration_seconds"].values
    labels = (("method", "GET"), ("endpoint", "/v1/admin/liveness"))

    assert timed["http_request_duration_seconds_count", labels] == 1
    assert 0 < timed["http_request_duration_seconds_sum", labels] < 30


async def test_prometheus_is_answered_in_its_format() -> None:
    front = Front(keyring=LetsNobodyIn())
    answer = await front.ask("/metrics")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE http_requests_total counter" in answer.text


async def test_sums_that_are_not_whole_yet_are_not_told() -> None:
    async def away() -> bytes:
        raise UnavailableError("The metrics are being gathered: try again in a few seconds.", None, 5.0)

    replica = ReplicaMetrics("Ingress", enabled=False)
    front = Front(metrics=IngressMetrics(replica, IngressInstruments(CollectorRegistry()), away))
    answer = await front.ask("/metrics")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["error"]["code"] == "unavailable"


async def test_turned_off_there_is_no_such_page() -> None:
    front = Front(metrics=None)

    assert (await front.ask("/metrics")).status_code == 404
    assert (await front.ask("/v1/admin/liveness")).status_code == 200
    assert front.requests == {}
