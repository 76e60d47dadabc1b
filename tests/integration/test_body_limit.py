"""A body that is too large is refused before it is read whole."""

from collections.abc import AsyncIterator

import pytest

from deployments.settings import Settings
from tests.integration.calls import error_of, message
from tests.integration.service import Service

LIMIT = 50_000
CHUNK = 1_000


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A limit that is quick to reach."""
    monkeypatch.setenv("MEMORY_REQUEST_MAX_BYTES", str(LIMIT))
    return Settings.load()


class Body:
    """A body in pieces, which knows how many were read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.read < self._size:
            self.read += CHUNK
            yield b" " * CHUNK


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/batch", "/v1/memory/search"])
async def test_a_body_that_says_that_it_is_too_large_is_not_read_at_all(service: Service, path: str) -> None:
    body = Body(20 * LIMIT)
    headers = {"Content-Length": str(20 * LIMIT), "Content-Type": "application/json"}

    answer = await service.client.post(path, content=body, headers=headers)

    assert answer.status_code == 413
    assert error_of(answer)["code"] == "request_too_large"
    assert body.read == 0


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/batch", "/v1/memory/search"])
@pytest.mark.parametrize("declared", [None, "10", "-1", "many"])
async def test_a_body_that_does_not_say_so_is_read_up_to_the_limit(
    service: Service, path: str, declared: str | None
) -> None:
    body = Body(20 * LIMIT)
    headers = {"Content-Type": "application/json"} | ({} if declared is None else {"Content-Length": declared})

    answer = await service.client.post(path, content=body, headers=headers)

    assert answer.status_code == 413
    assert error_of(answer)["code"] == "request_too_large"
    assert body.read <= LIMIT + 2 * CHUNK


async def test_a_length_that_no_integer_can_hold_is_too_large_as_well(service: Service) -> None:
    body = Body(20 * LIMIT)

    answer = await service.client.post("/v1/messages", content=body, headers={"Content-Length": "9" * 5_000})

    assert answer.status_code == 413
    assert error_of(answer)["code"] == "request_too_large"


@pytest.mark.parametrize("over", [0, 1])
async def test_the_limit_itself_is_let_in_and_a_byte_more_is_not(service: Service, over: int) -> None:
    start = b'{"tenant_id":"acme","conversation_id":"c1","role":"user","content":"apple"'
    body = start + b" " * (LIMIT - len(start) - 1 + over) + b"}"

    answer = await service.client.post("/v1/messages", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == (413 if over else 202)


async def test_the_next_request_is_served(service: Service) -> None:
    await service.client.post("/v1/messages", content=b" " * (LIMIT + 1), headers={"Content-Type": "application/json"})

    assert (await service.client.post("/v1/messages", json=message())).status_code == 202
