"""What goes wrong inside, as the client sees it."""

from collections.abc import Iterator, MutableMapping
from typing import Any
from uuid import uuid4

import httpx
import pytest
import structlog

from deployments.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    ForbiddenError,
    IdempotencyConflictError,
    InvalidRequestError,
    MemoryLayerError,
    NotFoundError,
    OverloadedError,
    SearchUnavailableError,
    UnauthorizedError,
)
from serve_app.api import create_app
from tests.bare_services import bare_services
from tests.unit.keyrings import LetsAnyoneIn

Logged = list[MutableMapping[str, Any]]
PATH = f"/v1/messages/{uuid4()}"


@pytest.fixture(autouse=True)
def logged() -> Iterator[Logged]:
    """The log's lines."""
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        yield lines


class Broken:
    """Messages that cannot be read, for one reason."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get(self, *_: object) -> None:
        raise self._error


async def answer_to(error: Exception) -> httpx.Response:
    services = bare_services(messages=Broken(error), keyring=LetsAnyoneIn())
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.get(PATH, headers={"X-Request-ID": "r-1"})


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnauthorizedError("There is none."), 401),
        (ForbiddenError("There is none."), 403),
        (NotFoundError("There is none."), 404),
        (IdempotencyConflictError("There is none."), 409),
        (InvalidRequestError("There is none."), 422),
        (DatabaseUnavailableError("There is none."), 503),
        (OverloadedError("There is none."), 503),
        (SearchUnavailableError("There is none."), 503),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_error_on_purpose_keeps_its_code_and_message(error: MemoryLayerError, status: int) -> None:
    answer = await answer_to(error)

    assert answer.status_code == status
    assert error_of(answer) == {"code": error.code, "message": "There is none.", "request_id": "r-1"}
    assert answer.headers["X-Request-ID"] == "r-1"
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


async def test_the_details_of_an_error_go_with_it() -> None:
    answer = await answer_to(InvalidRequestError("There is none.", {"field": "name"}))

    assert error_of(answer)["details"] == {"field": "name"}


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("SELECT secret FROM messages"),
        ConfigurationError("MEMORY_DATABASE_URL: secret"),
        KeyError("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_unexpected_error_says_nothing_of_what_is_behind_it(error: Exception) -> None:
    answer = await answer_to(error)

    assert answer.status_code == 500
    assert error_of(answer)["code"] == "internal_error"
    assert error_of(answer)["request_id"] == "r-1"
    assert "secret" not in answer.text


async def test_an_unexpected_error_carries_the_requests_id_in_its_header() -> None:
    assert (await answer_to(RuntimeError())).headers.get("X-Request-ID") == "r-1"


async def test_an_unexpected_error_is_logged_with_the_requests_id(logged: Logged) -> None:
    await answer_to(RuntimeError())

    (line,) = [line for line in logged if line["event"] == "unexpected_error"]
    assert line["request_id"] == "r-1"
    assert line["exc_info"]


async def test_a_request_that_fails_is_logged_like_any_other(logged: Logged) -> None:
    await answer_to(RuntimeError())

    (line,) = [line for line in logged if line["event"] == "request"]
    assert (line["status"], line["code"], line["request_id"], line["path"]) == (500, "internal_error", "r-1", PATH)
