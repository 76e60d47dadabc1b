"""A service that is busy, refuses, fails or keeps what it should delete."""

from io import StringIO

import httpx
import pytest

from jobs.evaluation.configurations import Configuration
from jobs.evaluation.dataset import LabelledMessage, Tenant
from jobs.evaluation.errors import EvaluationFailedError
from jobs.evaluation.formats.labelling import labelled
from jobs.evaluation.memory.over_http import STORED_AT_ONCE, batches, http_client, memories_over_http
from jobs.progress import ProgressLines
from tests.unit.evaluation.samples import message

ID = "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10"


def said(number: int, content: str = "Hello") -> LabelledMessage:
    fields = message(number, tenant_id="t", content=content)
    return labelled(fields.pop("id"), "here", **{name: fields[name] for name in fields if name != "type"})


class Fake:
    """Answers each path with what it was given for it, and remembers what was asked."""

    def __init__(self, answers: dict[str, httpx.Response] | None = None) -> None:
        stored = httpx.Response(202, json={"items": [{"status": 202, "message": {"id": ID}}]})
        listed = httpx.Response(200, json={"items": [{"embedding_status": "completed"}], "next_cursor": None})
        hit = httpx.Response(200, json={"degraded": False, "items": [{"message_id": ID}]})
        deleted = httpx.Response(204)
        self.answers = {"POST batch": stored, "GET messages": listed, "POST search": hit, "DELETE c1": deleted} | (
            answers or {}
        )
        self.busy = 0
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path.rpartition('/')[2]}")
        if self.busy:
            self.busy -= 1
            return httpx.Response(503, headers={"Retry-After": "1"})
        return self.answers[self.asked[-1]]

    async def ask(self) -> list[str]:
        tenants = [Tenant("t", [said(1)], [])]
        client = httpx.AsyncClient(transport=httpx.MockTransport(self), base_url="http://service")
        async with (
            client,
            memories_over_http(client, [Configuration("default")], tenants, ProgressLines(StringIO())) as (memory,),
        ):
            return await memory.ask(0, "Who?", 20)


async def test_what_is_found_has_the_datasets_ids() -> None:
    assert await Fake().ask() == ["m1"]


async def test_a_busy_service_is_asked_again() -> None:
    fake = Fake()
    fake.busy = 2

    assert await fake.ask() == ["m1"]
    assert fake.asked[:3] == ["POST batch"] * 3


@pytest.mark.parametrize(
    ("call", "answer", "expected"),
    [
        (
            "POST batch",
            httpx.Response(207, json={"items": [{"status": 422, "error": {"code": "validation_error"}}]}),
            "Message m1 was refused: .*validation_error",
        ),
        (
            "GET messages",
            httpx.Response(200, json={"items": [{"embedding_status": "failed", "embedding_error": "No such model."}]}),
            "A message was not embedded: No such model.",
        ),
        ("POST search", httpx.Response(200, json={"degraded": True, "items": []}), "could not embed a question"),
        ("POST search", httpx.Response(401, text="Who are you?"), "POST /v1/memory/search: 401 Who are you?"),
    ],
)
async def test_what_fails_is_said_and_what_was_stored_is_deleted(
    call: str, answer: httpx.Response, expected: str
) -> None:
    fake = Fake({call: answer})

    with pytest.raises(EvaluationFailedError, match=expected):
        await fake.ask()

    assert fake.asked[-1] == "DELETE c1"


async def test_what_cannot_be_deleted_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert await Fake({"DELETE c1": httpx.Response(500)}).ask() == ["m1"]
    assert "conversations_left" in capsys.readouterr().out


async def test_a_service_that_is_not_there_is_named() -> None:
    client = http_client("http://127.0.0.1:9", "key")
    with pytest.raises(EvaluationFailedError, match="POST /v1/messages/batch: "):
        async with client, memories_over_http(client, [], [Tenant("t", [said(1)], [])], ProgressLines(StringIO())):
            pass

    assert client.headers["X-API-Key"] == "key"


def test_batches_keep_the_order_and_the_services_limits() -> None:
    messages = [said(n % 60) for n in range(STORED_AT_ONCE + 1)] + [said(1, "x" * 100_000)] * 25

    found = list(batches(messages))

    assert [each for batch in found for each in batch] == messages
    assert [len(batch) for batch in found] == [STORED_AT_ONCE, 20, 6]
