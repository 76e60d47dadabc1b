"""Items larger than the limit of one call still arrive, and fail none of the items beside them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.server import _traced
from deployments.embedding.worker import EmbeddingWorker
from deployments.errors import InvalidRequestError, MemoryLayerError, SearchUnavailableError, UnavailableError
from deployments.runtime.call_bytes import LIMIT_BYTES, MIB, fit_together, parts
from deployments.runtime.capacity import Batches
from deployments.runtime.remote import RemoteAnswer, RemoteMethod
from deployments.schemas.messages import MAX_CONTENT_CHARACTERS
from deployments.schemas.search import MAX_QUERY_CHARACTERS, SearchRequest
from deployments.scoring.scorable import Scorable
from deployments.search.answering import Answering as SearchAnswering
from deployments.search.plans import Search
from deployments.search.routing.whole_answers import AnswerCalls, WholeAnswers
from deployments.settings import Settings
from tests.integration.calls import get, message, store, store_many
from tests.integration.ray_grpc import served
from tests.integration.service import Calls, Service, create_service, score

SECONDS = 60.0
CLAIM = 128


class Scoring:
    """Stands for the scoring deployment: scores messages behind gRPC."""

    async def score(self, messages: Sequence[Scorable], request_ids: Sequence[str], _trace: object) -> list[float]:
        return await score(messages, request_ids)


async def test_a_claim_of_large_messages_is_embedded_with_others_beside_it(service: Service) -> None:
    large = [message(f"{number} " + "ledger entry " * 7_600, tenant_id="large") for number in range(CLAIM)]
    stored = await store_many(service, large)
    stored += await store_many(service, [message(f"note {number}", tenant_id="other") for number in range(CLAIM)])

    async with served(Scoring()) as scoring:
        scored = _traced(RemoteMethod(scoring, "score", UnavailableError, SECONDS))
        embedder, embedding = service.spaces, service.settings.embedding
        worker = EmbeddingWorker(service.jobs, embedder, scored, embedding, batch_size=CLAIM, concurrency=1)
        assert [await worker.work_once() for _ in range(3)] == [CLAIM, CLAIM, 0]

    now = [await get(service, each["id"]) for each in stored]
    assert {each["embedding_status"] for each in now} == {"completed"}
    assert all(0 < each["importance_score"] < 1 for each in now)


@asynccontextmanager
async def over_grpc(settings: Settings, provider: EmbeddingProvider) -> AsyncIterator[Service]:
    """The service, with gRPC between Ingress and Search."""
    behind: list[SearchAnswering] = []

    def remote(kind: type[RemoteMethod | RemoteAnswer], method: str) -> Any:
        return lambda _: kind(handle, method, SearchUnavailableError, SECONDS)

    def cross(answering: SearchAnswering) -> Calls:
        behind.append(answering)
        return (
            AnswerCalls(remote(RemoteMethod, "search_many"), remote(RemoteAnswer, "search_alone")),
            AnswerCalls(remote(RemoteMethod, "assemble_many"), remote(RemoteAnswer, "assemble_alone")),
        )

    async with create_service(settings, provider, cross=cross) as service, served(behind[0]) as handle:
        yield service


@pytest.mark.parametrize("letters", ["orchard ", "日é😀 ", "\1"], ids=["plain", "wide", "escaped"])
async def test_long_messages_are_found_with_their_turns_and_others_beside_them(
    settings: Settings, provider: EmbeddingProvider, letters: str
) -> None:
    longest = (letters * MAX_CONTENT_CHARACTERS)[: MAX_CONTENT_CHARACTERS - 20]
    contents = {f"orchard {number:02} {longest}".strip() for number in range(20)}
    async with over_grpc(settings, provider) as service:
        await store_many(service, [message(content, tenant_id="large") for content in sorted(contents)])
        await store(service, "a small orchard", tenant_id="small")
        await service.embed_all()

        def ask(tenant_id: str, top_k: int, neighbors: int) -> Any:
            body = {"tenant_id": tenant_id, "query": "orchard", "top_k": top_k, "neighbors": neighbors}
            return service.client.post("/v1/memory/search", json=body)

        def assemble(tenant_id: str) -> Any:
            body = {"tenant_id": tenant_id, "conversation_id": "none", "query": "orchard", "token_budget": 1_000_000}
            return service.client.post("/v1/memory/context", json=body | {"min_score": 0, "neighbors": 5})

        small = [ask("small", 10, 0) if each % 2 else assemble("small") for each in range(20)]
        large = [ask("large", 100, 5), ask("large", 1, 0), ask("large", 10, 2), assemble("large")]
        found = [answer.json() for answer in await asyncio.gather(*large, *small)]

    assert {hit["content"] for hit in found[0]["items"]} == contents
    assert [len(answer["items"]) for answer in found[:3]] == [20, 1, 10]
    turns = [turn["content"] for hit in found[0]["items"] for turn in hit["neighbors"]]
    assert len(turns) > 5 * len(contents)
    assert set(turns) <= contents
    assert {item["content"] for item in found[3]["items"]} <= contents
    assert {item["content"] for answer in found[4:] for item in answer["items"]} == {"a small orchard"}
    assert all(len(answer["items"]) == 1 for answer in found[4:])


class Answering:
    """Answers a search with so many bytes as its query says, after which it may go on."""

    async def search_many(self, searches: Sequence[Search]) -> list[bytes | int | MemoryLayerError]:
        return fit_together([answer_to(each) for each in searches])

    async def search_alone(self, search: Search) -> AsyncIterator[bytes | MemoryLayerError]:
        for part in parts(answer_to(search)):
            yield part

    async def echo(self, items: Sequence[bytes]) -> Sequence[bytes]:
        return items

    async def many(self, count: int) -> list[bytes]:
        return [bytes([number]) * MIB for number in range(count)]


def answer_to(search: Search) -> bytes | MemoryLayerError:
    count = search.request.query.split()[0]
    return search.request.tenant_id.encode() * int(count) if count.isdecimal() else InvalidRequestError(count)


def search(tenant_id: str, query: str) -> Search:
    return Search(SearchRequest(tenant_id=tenant_id, query=query), None)


async def answers(searches: Sequence[Search]) -> list[Any]:
    """Ask for all at once."""
    async with served(Answering()) as handle:
        calls = AnswerCalls[Search](
            lambda _: RemoteMethod(handle, "search_many", SearchUnavailableError, SECONDS),
            lambda _: RemoteAnswer(handle, "search_alone", SearchUnavailableError, SECONDS),
        )
        whole = WholeAnswers(calls, Batches(size=32, slots=2, waiting=1_000), lambda each: each.request.top_k)
        return await asyncio.gather(*(whole.submit(each) for each in searches), return_exceptions=True)


counts = st.sampled_from([0, 3, 4_000, MIB // 4, MIB + 1, LIMIT_BYTES, 3 * LIMIT_BYTES]).map(str) | st.just("bad")
fillings = st.sampled_from([0, 20, MAX_QUERY_CHARACTERS - 40])


@hypothesis_settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.builds(lambda t, c, f: search(t, f"{c} {'日' * f}"), st.sampled_from("abc"), counts, fillings), max_size=40
    )
)
def test_whatever_is_asked_together_everybody_gets_an_answer_of_their_own(searches: list[Search]) -> None:
    for each, found in zip(searches, asyncio.run(answers(searches)), strict=True):
        wanted = answer_to(each)
        if isinstance(wanted, bytes):
            assert found == wanted
        else:
            assert isinstance(found, InvalidRequestError)


async def test_an_answer_of_a_hundred_megabytes_arrives() -> None:
    small = [search(f"tenant-{number}", "5") for number in range(31)]

    found = await answers([*small, search("large", str(20 * MIB))])

    assert found == [answer_to(each) for each in small] + [b"large" * (20 * MIB)]


@pytest.mark.parametrize(
    "call", [("echo", [bytes(LIMIT_BYTES)]), ("many", LIMIT_BYTES // MIB + 1)], ids=["call", "answer"]
)
async def test_what_is_too_large_all_the_same_has_an_error_of_ours(call: tuple[str, object]) -> None:
    name, argument = call

    async with served(Answering()) as handle:
        remote = RemoteMethod(handle, name, SearchUnavailableError, SECONDS)
        with pytest.raises(SearchUnavailableError) as raised:
            await remote(argument)

    assert raised.value.details == {"call": name, "reason": "RESOURCE_EXHAUSTED"}
