"""What HTTP promises of methods, slashes, codings and types, whatever the route."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.settings import HttpSettings
from serve_app.api import create_app
from tests.bare_services import bare_services
from tests.unit.keyrings import LetsAnyoneIn

LIMIT = 100_000
SEARCH = "/v1/memory/search"
BODY = json.dumps({"tenant_id": "acme", "query": "ferry"}).encode()
JSON = {"Content-Type": "application/json"}
GZIP = JSON | {"Content-Encoding": "gzip"}


async def echo(search: Any) -> bytes:
    return json.dumps({"query": search.request.query}).encode()


SERVICES = bare_services(HttpSettings(request_max_bytes=LIMIT), search=echo, keyring=LetsAnyoneIn())
TRANSPORT = httpx.ASGITransport(create_app(SERVICES), raise_app_exceptions=False)


async def ask(method: str, path: str, content: Any = None, headers: dict[str, str] | None = None) -> httpx.Response:
    async with httpx.AsyncClient(transport=TRANSPORT, base_url="https://service") as client:
        return await client.request(method, path, content=content, headers=headers)


async def search(content: Any, headers: dict[str, str]) -> httpx.Response:
    return await ask("POST", SEARCH, content, headers)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("path", ["/v1/admin/liveness", f"{SEARCH}?tenant_id=acme&query=x", "/openapi.json", "/docs"])
async def test_head_is_get_without_the_body(path: str) -> None:
    get, head = await ask("GET", path), await ask("HEAD", path)

    assert (get.status_code, head.status_code) == (200, 200)
    assert head.content == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.content))


async def test_head_of_what_is_not_there_is_404_and_of_what_only_takes_post_405() -> None:
    assert (await ask("HEAD", "/nowhere")).status_code == 404
    assert (await ask("HEAD", "/v1/memory/context")).status_code == 405


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
async def test_a_path_says_which_methods_it_answers(method: str) -> None:
    answer = await ask(method, "/v1/messages/0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10")

    assert answer.status_code == (204 if method == "OPTIONS" else 405)
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"


@pytest.mark.parametrize("path", ["/v1/admin/liveness/", f"{SEARCH}/?tenant_id=acme&query=x"])
async def test_a_slash_at_the_end_is_the_same_resource(path: str) -> None:
    assert (await ask("GET", path)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/admin/liveness//", "/nowhere/", f"/v1{'/' * 9_000}"])
async def test_other_slashes_are_404_and_nothing_redirects(path: str) -> None:
    assert code_of(await ask("GET", path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("coding", "coded"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])),
        ("deflate", zlib.compress(BODY)),
        ("identity", BODY),
    ],
)
async def test_a_coded_body_is_inflated(coding: str, coded: bytes) -> None:
    answer = await search(coded, JSON | {"Content-Encoding": coding})

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"query": "ferry"}


@given(st.binary(max_size=2_000).map(lambda noise: json.dumps({"tenant_id": "a", "query": "q" + noise.hex()}).encode()))
async def test_a_body_may_be_cut_anywhere(body: bytes) -> None:
    coded = gzip.compress(body)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(coded), 7):
            yield coded[start : start + 7]

    assert (await search(pieces(), GZIP)).json()["query"] == json.loads(body)["query"]


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress"])
async def test_another_coding_is_refused_with_those_that_are_taken(coding: str) -> None:
    answer = await search(BODY, JSON | {"Content-Encoding": coding})

    assert code_of(answer) == (415, "unsupported_content_encoding")
    assert answer.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("sent", [BODY, gzip.compress(BODY)[:-4], gzip.compress(BODY) + b"x", b"\x1f\x8b"])
async def test_a_broken_coding_is_not_called_broken_json(sent: bytes) -> None:
    assert code_of(await search(sent, GZIP)) == (400, "invalid_encoding")


async def test_json_that_is_broken_inside_of_its_coding_is_called_so() -> None:
    assert code_of(await search(gzip.compress(BODY[:-1]), GZIP)) == (400, "invalid_json")


@pytest.mark.parametrize("over", [0, 1])
async def test_the_limit_holds_for_what_is_inflated(over: int) -> None:
    body = BODY[:-1] + b" " * (LIMIT - len(BODY) + over) + b"}"

    assert (await search(gzip.compress(body), GZIP)).status_code == (413 if over else 200)


async def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    bomb = gzip.compress(b" " * 200 * LIMIT)
    await search(bomb, GZIP)
    tracemalloc.start()
    try:
        answer = await search(bomb, GZIP)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert code_of(answer) == (413, "request_too_large")
    assert most < 20 * LIMIT


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Content-Type": ""}, 200),
        ({"Content-Type": "Application/JSON; charset=utf-8"}, 200),
        ({"Content-Type": "application/vnd.acme+json"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        # Browsers send this one for pages of any origin, without a preflight.
        ({"Origin": "https://evil.example"}, 415),
    ],
)
async def test_a_body_of_no_type_is_json_and_one_of_another_is_told_so(headers: dict[str, str], status: int) -> None:
    answer = await search(BODY, headers)

    assert answer.status_code == status, answer.text
    if status == 415:
        assert code_of(answer) == (415, "unsupported_media_type")
        assert "application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"{", b'{"tenant_id": "acme", "query": "\xff"}', b"[" * 50_000])
@pytest.mark.parametrize("headers", [{}, JSON])
async def test_what_is_no_json_is_told_so(body: bytes, headers: dict[str, str]) -> None:
    assert code_of(await search(body, headers)) == (400, "invalid_json")
