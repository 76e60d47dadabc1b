"""What every answer carries for browsers, what a browser is let do, and who a client is taken for."""

import asyncio
import re
from collections.abc import Mapping

import httpx
import pytest
import structlog

from deployments.errors import EmbeddingQuotaError
from deployments.settings import HttpSettings
from serve_app.api import create_app
from serve_app.edge.haproxy_headers import PEER_HEADER
from tests.bare_services import bare_services
from tests.unit.keyrings import LetsAnyoneIn, LetsNobodyIn

ORIGIN = "https://app.example.com"
EVIL = "https://evil.example"
PROXY = "10.1.2.3"
FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
DOCUMENTED = ["/docs", "/redoc"]


class Conversations:
    """Conversations that nobody can list, for a reason that each tenant is named after."""

    async def page(self, tenant_id: str, *_: object, **_named: object) -> None:
        if tenant_id == "slow":
            await asyncio.Event().wait()
        if tenant_id == "over quota":
            raise EmbeddingQuotaError("The tenant has had as many texts embedded today as it may.", retry_after=60)
        raise RuntimeError(tenant_id)


async def find_nothing(_: object) -> bytes:
    return b'{"total": 0, "items": []}'


async def ask(
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    http: HttpSettings | None = None,
    method: str = "GET",
    peer: str = "198.51.100.7",
    scheme: str = "http",
    keyring: object = None,
    behind_haproxy: bool = False,
) -> httpx.Response:
    """The answer of an application that has nothing behind it but what fails."""
    keyring = keyring or LetsAnyoneIn()
    services = bare_services(http, conversations=Conversations(), search=find_nothing, keyring=keyring)
    app = create_app(services, behind_haproxy=behind_haproxy)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://service") as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/admin/liveness", 200),
        ("/v1/messages", 422),
        ("/nowhere", 404),
        ("/v1/conversations?tenant_id=acme", 500),
        ("/openapi.json", 200),
    ],
)
async def test_every_answer_carries_the_security_headers(path: str, status: int) -> None:
    answer = await ask(path)

    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "Strict-Transport-Security" not in answer.headers


async def test_what_came_by_tls_is_to_come_by_tls_again() -> None:
    answer = await ask("/v1/admin/liveness", scheme="https")

    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


@pytest.mark.parametrize(
    ("trusted", "believed"), [((), False), ((PROXY,), True), (("10.0.0.0/8",), True), (("10.2.0.0/16",), False)]
)
async def test_only_a_trusted_proxy_says_that_it_was_tls(trusted: tuple[str, ...], believed: bool) -> None:
    http = HttpSettings(trusted_proxies=trusted)

    answer = await ask("/v1/admin/liveness", FORWARDED, http=http, peer=PROXY)

    assert ("Strict-Transport-Security" in answer.headers) == believed


async def test_without_origins_no_answer_speaks_of_them() -> None:
    answer = await ask("/v1/admin/liveness", {"Origin": ORIGIN})

    assert not [name for name in answer.headers if name.startswith("access-control-")]


READABLE = {*("ETag", "Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Request-ID")}
LISTING = "/v1/conversations?tenant_id="


@pytest.mark.parametrize(
    ("path", "keyring", "code"),
    [
        ("/v1/admin/liveness", None, None),
        ("/nowhere", None, "not_found"),
        (LISTING, None, "validation_error"),
        (f"{LISTING}acme", LetsNobodyIn(), "unauthorized"),
        (f"{LISTING}over quota", None, "quota_embeddings_exceeded"),
        (f"{LISTING}acme", None, "internal_error"),
        (f"{LISTING}slow", None, "timeout"),
    ],
)
async def test_the_line_of_a_request_names_the_code_of_its_error_wherever_it_is_answered(
    path: str, keyring: object, code: str | None
) -> None:
    with structlog.testing.capture_logs() as lines:
        await ask(path, http=HttpSettings(request_timeout_seconds=0.2), keyring=keyring)

    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["code"] == code


SEARCH = "/v1/memory/search?tenant_id=acme&query="


@pytest.mark.parametrize(
    ("path", "slow_seconds", "logged"),
    [
        (f"{SEARCH}x", 60, False),
        (f"{SEARCH}x", 0, True),
        (SEARCH, 60, True),
        ("/v1/admin/liveness", 60, True),
    ],
    ids=["succeeded in time", "succeeded slowly", "failed", "of another route"],
)
async def test_a_hot_route_logs_what_fails_or_is_slow(path: str, slow_seconds: float, logged: bool) -> None:
    with structlog.testing.capture_logs() as lines:
        await ask(path, http=HttpSettings(slow_request_seconds=slow_seconds))

    assert [line["event"] for line in lines] == ["request"] * logged


@pytest.mark.parametrize(
    ("path", "keyring", "status"),
    [
        ("/v1/admin/liveness", None, 200),
        (LISTING, None, 422),
        (f"{LISTING}acme", LetsNobodyIn(), 401),
        (f"{LISTING}over quota", None, 429),
        (f"{LISTING}acme", None, 500),
        (f"{LISTING}slow", None, 504),
    ],
)
async def test_a_page_of_an_allowed_origin_reads_answers_errors_and_their_headers(
    path: str, keyring: object, status: int
) -> None:
    http = HttpSettings(allowed_origins=(ORIGIN,), request_timeout_seconds=0.2)

    answer = await ask(path, {"Origin": ORIGIN}, http=http, keyring=keyring)

    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert set(answer.headers["Access-Control-Expose-Headers"].split(", ")) == READABLE
    assert "Origin" in answer.headers["Vary"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_page_of_another_origin_reads_nothing() -> None:
    answer = await ask(
        "/v1/admin/liveness", {"Origin": "https://evil.example"}, http=HttpSettings(allowed_origins=(ORIGIN,))
    )

    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("origin", "method", "status"),
    [(ORIGIN, "POST", 200), (ORIGIN, "DELETE", 200), (ORIGIN, "TRACE", 400), (EVIL, "POST", 400)],
)
async def test_a_preflight_is_answered_without_a_key(origin: str, method: str, status: int) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "x-api-key, content-type, idempotency-key",
    }

    http = HttpSettings(allowed_origins=(ORIGIN,))
    answer = await ask("/v1/messages", asked, http=http, method="OPTIONS", keyring=LetsNobodyIn())

    assert answer.status_code == status
    assert (answer.headers.get("Access-Control-Allow-Origin") == ORIGIN) == (origin == ORIGIN)


@pytest.mark.parametrize("path", DOCUMENTED)
async def test_the_documentation_comes_from_here_alone(path: str) -> None:
    page = await ask(path)
    policy = page.headers["Content-Security-Policy"]

    assert page.status_code == 200
    assert not re.findall(r"https?://", page.text + policy)
    for link in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        asset = await ask(link)
        assert asset.status_code == 200, link
        assert len(asset.content) > 100
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert policy.count("'sha256-") == page.text.count("<script>")


async def test_a_method_that_is_not_allowed_is_told_which_are() -> None:
    answer = await ask("/v1/messages", method="PATCH")

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST, PUT"


async def client_of(headers: Mapping[str, str], *, trusted: tuple[str, ...], peer: str, behind_haproxy: bool) -> str:
    """Who the log says that a request came from."""
    with structlog.testing.capture_logs() as lines:
        http = HttpSettings(trusted_proxies=trusted)
        await ask("/v1/admin/liveness", headers, http=http, peer=peer, behind_haproxy=behind_haproxy)
    (line,) = [line for line in lines if line["event"] == "request"]
    return str(line["client"])


CLIENT = "203.0.113.9"
FORGED = "192.0.2.1"


@pytest.mark.parametrize(
    ("forwarded", "trusted", "client"),
    [
        (CLIENT, (), PROXY),
        (CLIENT, ("10.2.0.0/16",), PROXY),
        (CLIENT, ("10.0.0.0/8",), CLIENT),
        (f"{FORGED}, {CLIENT}", ("10.0.0.0/8",), CLIENT),
        (f"{FORGED}, {CLIENT}, 10.7.7.7", ("10.0.0.0/8",), CLIENT),
        ("10.8.8.8, 10.7.7.7", ("10.0.0.0/8",), "10.8.8.8"),
        ("", ("10.0.0.0/8",), PROXY),
    ],
)
@pytest.mark.parametrize("behind_haproxy", [False, True])
async def test_a_client_is_the_last_one_that_no_trusted_proxy_is(
    forwarded: str, trusted: tuple[str, ...], client: str, behind_haproxy: bool
) -> None:
    headers = {"X-Forwarded-For": forwarded}
    peer = "127.0.0.1" if behind_haproxy else PROXY
    if behind_haproxy:
        headers[PEER_HEADER] = PROXY

    found = await client_of(headers, trusted=trusted, peer=peer, behind_haproxy=behind_haproxy)

    assert found == client


async def test_a_client_does_not_say_itself_who_is_at_the_other_end_of_haproxy() -> None:
    assert await client_of({PEER_HEADER: FORGED}, trusted=(), peer=CLIENT, behind_haproxy=False) == CLIENT


async def test_tls_that_uvicorn_believes_in_behind_haproxy_is_none() -> None:
    """Under Serve uvicorn takes the scheme from whatever connects from its own machine."""
    answer = await ask("/v1/admin/liveness", {PEER_HEADER: CLIENT}, scheme="https", behind_haproxy=True)

    assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize(
    ("method", "headers", "may_be_repeated"),
    [("GET", {}, True), ("PUT", {}, True), ("POST", {}, False), ("POST", {"Idempotency-Key": "k"}, True)],
)
async def test_a_timeout_asks_for_another_try_where_that_does_no_harm(
    method: str, headers: dict[str, str], may_be_repeated: bool
) -> None:
    class NeverAnswers:
        async def caller(self, _: object) -> None:
            await asyncio.Event().wait()

    http = HttpSettings(request_timeout_seconds=0.05)
    answer = await ask("/v1/messages", headers, http=http, method=method, keyring=NeverAnswers())

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert ("Retry-After" in answer.headers) == may_be_repeated
