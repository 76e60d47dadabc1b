"""A hot route answers each request as FastAPI's own route does."""

import json
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from deployments.errors import ForbiddenError
from deployments.schemas.api_keys import Rights
from deployments.schemas.messages import NewMessage
from deployments.schemas.search import SearchParameters, SearchRequest
from deployments.tenancy import bound_to
from serve_app.api import create_app
from serve_app.edge.auth import Reads
from serve_app.edge.hot_route import HotRoute
from serve_app.edge.http_errors import add_error_handlers
from serve_app.edge.json_response import json_response
from serve_app.edge.keyring import ANYONE, Caller
from serve_app.routes.dependencies import RequestId, TenantId
from tests.bare_services import bare_services

JSON = "application/json"
MESSAGE = {"tenant_id": "acme", "conversation_id": "c1", "role": "user", "content": "x"}
SEARCH = {"tenant_id": "acme", "query": "where does Ana live"}


def app(route_class: type[APIRoute]) -> FastAPI:
    """Build an application whose routes answer with what they were given."""
    router = APIRouter(route_class=route_class, strict_content_type=False)

    @router.post("/messages", status_code=202, dependencies=[Reads])
    async def store(
        new: NewMessage,
        request: Request,
        request_id: RequestId,
        key: Annotated[str | None, Header(min_length=2)] = None,
    ) -> Response:
        answer = json_response(new, 202)
        answer.headers.update({"key": str(key), "id": str(request_id), "length": str(len(await request.body()))})
        return answer

    @router.post("/search")
    async def search(request: SearchRequest) -> Response:
        return json_response(request)

    @router.get("/search")
    async def search_by_query(parameters: Annotated[SearchParameters, Query()]) -> Response:
        return json_response(parameters)

    made = FastAPI()
    add_error_handlers(made)
    made.router.routes[:0] = router.routes
    return made


APPS = (app(APIRoute), app(HotRoute))


async def ask(made: FastAPI, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any, Any]:
    async def with_caller(scope: Any, receive: Any, send: Any) -> None:
        with bound_to(None):
            await made(scope | {"caller": ANYONE, "request_id": "r-1"}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(with_caller), base_url="http://service") as client:
        answer = await client.request(method, path, content=body, headers=headers)
    return answer.status_code, dict(answer.headers), answer.content


async def same_answer(method: str, path: str, body: bytes = b"", **headers: str) -> int:
    expected, given = [await ask(made, method, path, body, **headers) for made in APPS]
    assert given == expected
    return given[0]


def message(**fields: object) -> bytes:
    return json.dumps(MESSAGE | fields).encode()


def message_with(text: str) -> bytes:
    """Return a message whose last member is written as it is."""
    return message()[:-1] + b"," + text.encode() + b"}"


VALID = {
    "plain": message(),
    "a name twice": message_with('"content": "the last one"'),
    "a name twice in metadata": message_with('"metadata": {"a": 1, "a": 2}'),
    "numbers": message_with('"metadata": {"a": -0, "b": 1E2, "c": 0.1, "d": 9007199254740993, "e": -0.0, "f": 1.0}'),
    "white space around": b" \n" + message() + b"\t ",
    "escapes": message_with(r'"metadata": {"a": "A🌍\n"}'),
    "UTF-8": json.dumps(MESSAGE | {"content": "Grüße 🌍"}, ensure_ascii=False).encode(),
    "a byte order mark": b"\xef\xbb\xbf" + message(),
    "UTF-16": message().decode().encode("utf-16"),
    "a number as text": message(importance_override="0.5"),
    "a time of a zone": message(created_at="2024-01-01T00:00:00+02:00"),
}

INVALID = {
    "nothing": b"",
    "half an object": b"{",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "a comma too many": message()[:-1] + b",}",
    "something behind": message() + b" x",
    "no UTF-8": message_with('"name": "?"').replace(b"?", b"\xff"),
    "an unknown field": message(surprise=1),
    "an unknown role": message(role="wizard"),
    "true for a number": message(importance_override=True),
    "NaN": message_with('"importance_override": NaN'),
    "NaN in metadata": message_with('"metadata": {"a": NaN}'),
    "infinity in metadata": message_with('"metadata": {"a": -Infinity}'),
    "beyond a double": message_with('"metadata": {"a": 1e400}'),
    "beyond 64 bits": message_with('"metadata": {"a": 1180591620717411303424}'),
    "more digits than Python reads": message_with('"metadata": {"a": ' + "1" * 5_000 + "}"),
    "half a surrogate pair": message(content="a\ud800b"),
    "half a surrogate pair in metadata": message(metadata={"a": "\udfff"}),
    "NUL": message(content="a\0b"),
    "a control character": message_with('"name": "a\x01"'),
    "single quotes": message_with("'name': 'a'"),
    "nested deeper than pydantic reads": message_with('"metadata": {"a": ' + "[" * 250 + "]" * 250 + "}"),
    "nested deeper than Python reads": b"[" * 100_000,
    "a time without a zone": message(created_at="2024-01-01T00:00:00"),
    "a time as a number": message(created_at=1_700_000_000),
    "several things": message(role=1, content="", tenant_id=None),
}


@pytest.mark.parametrize("body", VALID.values(), ids=VALID.keys())
async def test_a_body_that_fastapi_takes_is_taken_as_the_same(body: bytes) -> None:
    assert await same_answer("POST", "/messages", body, **{"Content-Type": JSON}) == 202


@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID.keys())
async def test_a_body_that_fastapi_refuses_is_refused_with_the_same_words(body: bytes) -> None:
    assert await same_answer("POST", "/messages", body, **{"Content-Type": JSON}) in {400, 422}


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 202),
        ("APPLICATION/JSON", 202),
        ("application/ld+json", 202),
        ("application/jsonx", 415),
        ("application/json, text/plain", 415),
        ("text/plain", 415),
        ("", 202),
    ],
)
async def test_a_content_type_means_what_it_means_to_fastapi(content_type: str, status: int) -> None:
    assert await same_answer("POST", "/messages", message(), **{"Content-Type": content_type}) == status


@pytest.mark.parametrize(("key", "status"), [("key", 202), ("k", 422)])
async def test_a_header_that_the_endpoint_takes_is_validated(key: str, status: int) -> None:
    assert await same_answer("POST", "/messages", message(), **{"Content-Type": JSON, "Key": key}) == status


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"top_k": "5"},
        {"top_k": 5.0},
        {"top_k": 5.5},
        {"top_k": True},
        {"include_archived": "yes"},
        {"include_archived": 1},
        {"weights": {"words": 2}},
        {"weights": {"words": None}},
        {"weights": None},
        {"metadata": {"a": [1, None]}},
        {"asked_at": "2024-01-01T00:00:00+05:30", "explain": True},
        {"created_after": "2024-01-01"},
    ],
    ids=str,
)
async def test_a_search_is_judged_as_by_fastapi(fields: dict[str, object]) -> None:
    await same_answer("POST", "/search", json.dumps(SEARCH | fields).encode(), **{"Content-Type": JSON})


@pytest.mark.parametrize(
    "query",
    [
        "tenant_id=acme&query=a+b%20c%C3%A9&top_k=3",
        "tenant_id=acme&query=q&include_archived=true&created_after=2024-01-01T00:00:00%2B02:00",
        "tenant_id=acme&query=q&query=r",
        "tenant_id=acme&query=q&top_k=",
        "tenant_id=acme&query=",
        "tenant_id=acme&query",
        "tenant_id=acme&query=%ff",
        "tenant_id=acme&query=%00",
        "tenant_id=acme&query=q&unknown=1",
        "tenant_id=acme&query=q&unknown=1&unknown=2",
        "tenant_id=acme&query=q&min_score=nan",
        "tenant_id=acme&&query=q;top_k=3",
        "",
    ],
)
async def test_a_query_is_judged_as_by_fastapi(query: str) -> None:
    await same_answer("GET", f"/search?{query}")


async def test_a_dependency_refuses_before_the_body_is_judged() -> None:
    powerless = Caller("powerless", Rights(None, frozenset(), None))

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{"}

    async def send(_: Message) -> None:
        raise AssertionError

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/messages", "headers": headers, "caller": powerless}
    (route,) = (each for each in APPS[1].routes if getattr(each, "path", "") == "/messages")
    with pytest.raises(ForbiddenError):
        await route.handle(scope, receive, send)


async def test_a_client_that_leaves_before_its_body_is_whole_is_no_fault_of_ours() -> None:
    parts: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(part: Message) -> None:
        sent.append(part)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/search", "headers": headers, "query_string": b""}
    await APPS[1](scope, receive, send)

    assert sent[0]["status"] == 400


def test_a_dependency_that_takes_more_than_the_request_is_refused_when_the_route_is_made() -> None:
    router = APIRouter(route_class=HotRoute)

    async def search(request: SearchRequest, tenant_id: TenantId) -> Response:
        raise AssertionError

    with pytest.raises(TypeError, match="takes more than the request"):
        router.post("/search")(search)


HOT = {
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/batch"),
    ("GET", "/v1/memory/search"),
    ("POST", "/v1/memory/search"),
    ("POST", "/v1/memory/context"),
}


def test_the_routes_that_carry_the_traffic_are_hot_and_of_the_application_itself() -> None:
    found = [route for route in create_app(bare_services()).routes if isinstance(route, HotRoute)]

    assert {(method, route.path) for route in found for method in route.methods or ()} == HOT
    assert all(route.app == route._answer for route in found)
