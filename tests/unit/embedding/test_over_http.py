"""How the providers that cross a network bear what can happen there: the same for both of them."""

import asyncio
import logging
import socket
import traceback
from collections.abc import Callable

import numpy as np
import pytest

from deployments.embedding.providers.deadline import OnRetry, unheard
from deployments.embedding.providers.google_gemini import GoogleGeminiProvider
from deployments.embedding.providers.openai_compatible import OpenAICompatibleProvider
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.errors import EmbeddingError, EmbeddingRejectedError, EmbeddingUnavailableError
from deployments.schemas.vectors import EmbeddingSpace

from .conftest import KEY, MakeProvider, SettingsFor
from .stand_in import Scripted, StandIn

SPACE = EmbeddingSpace(model="models/stand-in", dimensions=96)
SOON = {"Retry-After": "0.01"}

Make = Callable[..., EmbeddingProvider]


@pytest.fixture(params=["google_gemini", "openai_compatible"])
def make(request: pytest.FixtureRequest, stand_in_settings: SettingsFor, closing: MakeProvider) -> Make:
    """Makes the provider with the patience that a test needs."""

    def gemini(
        timeout_seconds: float = 20.0, requests_in_flight: int = 4, on_retry: OnRetry = unheard, **environment: str
    ) -> EmbeddingProvider:
        settings = stand_in_settings("google_gemini", **environment)
        return closing(
            GoogleGeminiProvider(
                settings.gemini,
                SPACE,
                timeout_seconds=timeout_seconds,
                requests_in_flight=requests_in_flight,
                backoff_seconds=0.01,
                on_retry=on_retry,
            )
        )

    def openai(
        timeout_seconds: float = 20.0, requests_in_flight: int = 4, on_retry: OnRetry = unheard, **environment: str
    ) -> EmbeddingProvider:
        settings = stand_in_settings("openai_compatible", **environment)
        return closing(
            OpenAICompatibleProvider(
                settings.openai,
                SPACE,
                timeout_seconds=timeout_seconds,
                send_dimensions=True,
                requests_in_flight=requests_in_flight,
                on_retry=on_retry,
            )
        )

    return gemini if request.param == "google_gemini" else openai


def refusal(status: int, message: str) -> Scripted:
    """An error as both services word it."""
    return Scripted(status, {"error": {"code": status, "message": message, "status": "X", "type": "y"}})


async def test_no_more_requests_are_in_flight_than_allowed(make: Make, stand_in: StandIn) -> None:
    provider = make(requests_in_flight=3)
    stand_in.hold()
    calls = asyncio.gather(
        provider.embed_documents([f"a{number}" for number in range(450)]),
        provider.embed_documents([f"b{number}" for number in range(450)]),
    )
    await asyncio.to_thread(stand_in.wait_for_in_flight, 3)
    # Time for a fourth to come, if one were to come.
    await asyncio.sleep(0.1)
    stand_in.release()
    first, second = await calls
    assert (len(first), len(second)) == (450, 450)
    assert stand_in.most_in_flight == 3
    assert len(stand_in.received) == 10


async def test_a_429_is_sent_again_no_sooner_than_it_asks(make: Make, stand_in: StandIn) -> None:
    stand_in.script.append(Scripted(429, {"error": {"message": "slow down"}}, {"Retry-After": "1"}))
    vectors = await make().embed_documents(["tea"])
    assert vectors.shape == (1, 96)
    first, second = stand_in.received
    assert second.at - first.at >= 1.0
    assert first.texts == second.texts == ["tea"]


async def test_each_request_that_is_sent_once_more_is_told(make: Make, stand_in: StandIn) -> None:
    told: list[str] = []
    stand_in.script += [Scripted(503, {"error": {"message": "busy"}}, SOON)] * 2
    await make(on_retry=lambda: told.append("again")).embed_documents(["tea"])

    assert len(told) == len(stand_in.received) - 1 == 2


async def test_a_wait_beyond_the_budget_is_left_to_the_caller(make: Make, stand_in: StandIn) -> None:
    stand_in.always = Scripted(429, {"error": {"message": "slow down"}}, {"Retry-After": "100"})
    with pytest.raises(EmbeddingUnavailableError, match="429") as raised:
        await make().embed_documents(["tea"])
    assert raised.value.retry_after == 100.0
    assert len(stand_in.received) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_passing_error_is_sent_again(make: Make, stand_in: StandIn, status: int) -> None:
    stand_in.script.append(Scripted(status, {"error": {"message": "passing"}}, SOON))
    assert (await make().embed_queries(["tea"])).shape == (1, 96)
    assert len(stand_in.received) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_lasting_error_is_unavailable_after_four_attempts(make: Make, stand_in: StandIn, status: int) -> None:
    stand_in.always = Scripted(status, {"error": {"message": "lasting"}}, SOON)
    with pytest.raises(EmbeddingUnavailableError, match=str(status)) as raised:
        await make().embed_documents(["tea"])
    assert raised.value.retry_after == 0.01
    assert raised.value.details == {"status": status}
    assert len(stand_in.received) == 4


async def test_one_lasting_error_among_many_batches_fails_the_call(make: Make, stand_in: StandIn) -> None:
    stand_in.script.append(refusal(400, "not this one"))
    provider = make(requests_in_flight=1)
    with pytest.raises(EmbeddingRejectedError, match="not this one"):
        await provider.embed_documents([str(number) for number in range(300)])
    assert (await provider.embed_documents(["tea"])).shape == (1, 96)


async def test_a_dropped_connection_is_opened_again(make: Make, stand_in: StandIn) -> None:
    stand_in.script.append(Scripted(dropped=True))
    assert (await make().embed_documents(["tea"])).shape == (1, 96)
    assert len(stand_in.received) == 2


async def test_a_server_that_does_not_answer_is_unavailable(make: Make, stand_in: StandIn) -> None:
    stand_in.always = Scripted(silent=True)
    with pytest.raises(EmbeddingUnavailableError, match="did not answer"):
        await make(timeout_seconds=0.2).embed_documents(["tea"])


async def test_a_server_that_is_not_there_is_unavailable(make: Make) -> None:
    with socket.socket() as bound_but_deaf:
        bound_but_deaf.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{bound_but_deaf.getsockname()[1]}"
        provider = make(timeout_seconds=1.0, MEMORY_GEMINI_API_ENDPOINT=address, MEMORY_OPENAI_BASE_URL=address)
        with pytest.raises(EmbeddingUnavailableError):
            await provider.embed_documents(["tea"])


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_said_and_not_tried_again(make: Make, stand_in: StandIn, status: int) -> None:
    stand_in.always = refusal(status, f"Consumer 'api_key:{KEY}' has been suspended.")
    with pytest.raises(EmbeddingUnavailableError, match=r"refuses the key .*MEMORY_\w+_API_KEY"):
        await make().embed_documents(["tea"])
    assert len(stand_in.received) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_rejected_content_is_said_and_not_tried_again(make: Make, stand_in: StandIn, status: int) -> None:
    stand_in.always = refusal(status, "content is empty")
    with pytest.raises(EmbeddingRejectedError, match="content is empty") as raised:
        await make().embed_documents([""])
    assert raised.value.details == {"status": status}
    assert len(stand_in.received) == 1


async def test_an_unknown_model_names_the_setting(make: Make, stand_in: StandIn) -> None:
    stand_in.always = refusal(404, "no such model")
    with pytest.raises(EmbeddingUnavailableError, match=r"models/stand-in.*MEMORY_\w+_MODEL"):
        await make().embed_documents(["tea"])
    assert len(stand_in.received) == 1


async def test_wrong_dimensions_are_said(make: Make, stand_in: StandIn) -> None:
    stand_in.dimensions = 95
    with pytest.raises(EmbeddingUnavailableError, match=r"95 dimensions.*96 were expected"):
        await make().embed_documents(["tea", "coffee"])


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[0.5] * 96], "1 vectors for 2 texts"),
        ([[0.5] * 96] * 3, "3 vectors for 2 texts"),
        ([[0.5] * 96, [0.5] * 95], "95 dimensions"),
        ([[0.5] * 96, [0.0] * 96], "zero or not finite"),
    ],
    ids=["too few", "too many", "ragged", "zero"],
)
async def test_an_answer_that_cannot_be_right_is_unavailable(
    make: Make, stand_in: StandIn, vectors: list[list[float]], message: str
) -> None:
    items = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    both = {"embeddings": [{"values": vector} for vector in vectors], "data": items}
    stand_in.always = Scripted(body=both)
    with pytest.raises(EmbeddingUnavailableError, match=message):
        await make().embed_documents(["tea", "coffee"])


@pytest.mark.parametrize("body", ["<html>hello</html>", "", "[1, 2]", '{"embeddings": 7, "data": 7}'])
async def test_an_answer_that_cannot_be_read_is_unavailable(make: Make, stand_in: StandIn, body: str) -> None:
    stand_in.always = Scripted(body=body)
    with pytest.raises(EmbeddingUnavailableError, match=r"cannot be read"):
        await make().embed_documents(["tea"])


@pytest.mark.parametrize("body", ["<html>bad gateway</html>", '"no"', '[{"error": 1}]', '{"error": "no"}'])
async def test_an_error_of_any_shape_is_unavailable(make: Make, stand_in: StandIn, body: str) -> None:
    stand_in.always = Scripted(502, body, SOON)
    with pytest.raises(EmbeddingUnavailableError):
        await make().embed_documents(["tea"])
    assert len(stand_in.received) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500])
async def test_the_key_shows_nowhere(
    make: Make, stand_in: StandIn, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stand_in.always = Scripted(status, {"error": {"message": f"key {KEY} is bad"}}, SOON)
    provider = make()
    with pytest.raises(EmbeddingError) as raised:
        await provider.embed_documents(["tea"])
    error = raised.value
    shown = [str(error), repr(error), repr(error.args), repr(error.details), repr(provider)]
    shown += [*traceback.format_exception(error), caplog.text]
    assert not [text for text in shown if KEY in text]
    assert KEY in str(stand_in.received[0].headers)
    assert KEY not in stand_in.received[0].path


async def test_vectors_are_normalised_though_the_server_does_not(make: Make) -> None:
    vectors = await make().embed_documents([str(number) for number in range(20)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
