"""What every answer carries for browsers, and what a browser is let do."""

import re
from collections.abc import Mapping

import httpx
import pytest

from deployments.settings import HttpSettings
from serve_app.api import create_app
from serve_app.services import Services

ORIGIN = "https://app.example.com"
EVIL = "https://evil.example"
PROXY = "10.1.2.3"
FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
DOCUMENTED = ["/docs", "/redoc"]


async def ask(
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    http: HttpSettings | None = None,
    method: str = "GET",
    peer: str = "198.51.100.7",
    scheme: str = "http",
) -> httpx.Response:
    """The answer of an application that has nothing behind it: what needs a service breaks with a 500."""
    app = create_app(Services(http or HttpSettings(), *[None] * 6))  # type: ignore[arg-type]
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


@pytest.mark.parametrize("path", ["/v1/admin/liveness", "/v1/conversations?tenant_id=acme"])
async def test_a_page_of_an_allowed_origin_reads_answers_errors_and_their_headers(path: str) -> None:
    answer = await ask(path, {"Origin": ORIGIN}, http=HttpSettings(allowed_origins=(ORIGIN,)))

    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"X-Request-ID", "Retry-After"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert "Origin" in answer.headers["Vary"]


async def test_a_page_of_another_origin_reads_nothing() -> None:
    answer = await ask(
        "/v1/admin/liveness", {"Origin": "https://evil.example"}, http=HttpSettings(allowed_origins=(ORIGIN,))
    )

    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("origin", "method", "status"),
    [(ORIGIN, "POST", 200), (ORIGIN, "DELETE", 200), (ORIGIN, "TRACE", 400), (EVIL, "POST", 400)],
)
async def test_a_preflight_is_answered(origin: str, method: str, status: int) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "x-api-key, content-type, idempotency-key",
    }

    answer = await ask("/v1/messages", asked, http=HttpSettings(allowed_origins=(ORIGIN,)), method="OPTIONS")

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
    answer = await ask("/v1/messages", method="PUT")

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, POST"
