"""Answers of any size arrive, and those of others cross together without them."""

import asyncio
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.analysis.read_part import HEAVY_CHARACTERS
from deployments.errors import InvalidRequestError, MemoryLayerError
from deployments.runtime.call_bytes import REQUEST_BYTES, fit_together
from deployments.runtime.capacity import Batches
from deployments.schemas.context import ContextRequest
from deployments.schemas.metadata import MAX_METADATA_BYTES
from deployments.schemas.search import MAX_QUERY_CHARACTERS, SearchRequest
from deployments.search.context.assembler import Context
from deployments.search.plans import Search
from deployments.search.routing import whole_answers
from deployments.search.routing.whole_answers import AnswerCalls, WholeAnswers, _request_bytes

MOST = 1_000
BATCHES = Batches(size=32, slots=2, waiting=1_000)


def search(tenant_id: str, query: str = "q", top_k: int = 10) -> Search:
    return Search(SearchRequest(tenant_id=tenant_id, query=query, top_k=top_k), None)


class Replica:
    """Answers each search with as many bytes as its query says, and refuses a query that is no number."""

    def __init__(self) -> None:
        self.together: list[list[str]] = []
        self.alone: list[str] = []

    async def search_many(self, searches: Sequence[Search]) -> list[bytes | int | MemoryLayerError]:
        await asyncio.sleep(0)
        self.together.append([each.request.tenant_id for each in searches])
        crossing = fit_together([self._answer(each) for each in searches], MOST)
        assert sum(len(each) for each in crossing if isinstance(each, bytes)) <= MOST
        return crossing

    async def search_alone(self, searches: Sequence[Search]) -> list[bytes | MemoryLayerError]:
        (only,) = searches
        self.alone.append(only.request.tenant_id)
        return [self._answer(only)]

    def _answer(self, each: Search) -> bytes | MemoryLayerError:
        query = each.request.query
        return query[0].encode() * int(query) if query.isdecimal() else InvalidRequestError(query)

    def answers(self) -> WholeAnswers[Search]:
        calls = AnswerCalls[Search](lambda _: self.search_many, lambda _: self.search_alone)
        return WholeAnswers(calls, BATCHES, lambda each: each.request.top_k)


async def results(answers: WholeAnswers[Search], asked: Sequence[Search]) -> list[Any]:
    return await asyncio.gather(*(answers.submit(each) for each in asked), return_exceptions=True)


asked = st.lists(
    st.builds(
        search,
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 3 * MOST).map(str) | st.just("bad"),
        st.sampled_from([1, 10, 100]),
    ),
    max_size=80,
)


@settings(deadline=None)
@given(asked)
def test_everybody_gets_an_answer_or_an_error_of_their_own(searches: list[Search]) -> None:
    found = asyncio.run(results(Replica().answers(), searches))

    for each, result in zip(searches, found, strict=True):
        query = each.request.query
        if query.isdecimal():
            assert result == query[0].encode() * int(query)
        else:
            assert isinstance(result, InvalidRequestError)


async def test_small_answers_cross_together_whatever_is_asked_beside_them() -> None:
    replica = Replica()

    await results(replica.answers(), [search("large", str(2 * MOST)), *(search("small", "5") for _ in range(32))])

    assert set(replica.alone) == {"large"}


async def test_a_tenant_with_large_answers_is_asked_alone_from_the_first_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_answers, "LARGE_BYTES", MOST)
    replica = Replica()
    answers = replica.answers()

    for top_k in (50, 50, 100, 10):
        await answers.submit(search("large", str(2 * MOST) if top_k > 10 else "5", top_k))

    # The first was too large; a smaller one than that may cross with others.
    assert (len(replica.together), len(replica.alone)) == (2, 3)


async def test_a_tenant_is_asked_together_with_others_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = Replica()
    answers = replica.answers()
    monkeypatch.setattr(whole_answers, "LARGE_BYTES", MOST)
    monkeypatch.setattr(whole_answers, "LARGE_SECONDS", -1.0)

    await answers.submit(search("large", str(2 * MOST)))
    await answers.submit(search("large", "5"))

    assert (len(replica.together), len(replica.alone)) == (2, 1)


@settings(deadline=None)
@given(st.text("a日😀", min_size=1, max_size=3), st.sampled_from([1, 1_000, MAX_QUERY_CHARACTERS]))
def test_what_is_asked_takes_no_more_bytes_than_estimated(text: str, times: int) -> None:
    query = (text * times)[:MAX_QUERY_CHARACTERS]
    # Floats grow most of all metadata: 4 bytes of JSON are 9 when pickled.
    metadata = {"numbers": [1.0] * (MAX_METADATA_BYTES // 4 - 10)}
    names = ("tenant_id", "conversation_id", "conversation_prefix", "user_id", "agent_id")
    common: dict[str, Any] = {**dict.fromkeys(names, "😀" * 255), "query": query, "metadata": metadata}
    where = {"a": {"in": metadata["numbers"][:4_000]}} | {f"k{n}": {"gte": n} for n in range(20)}

    for asked in (common, common | {"where": where}):
        search_request, context_request = SearchRequest(**asked), ContextRequest(**asked)
        for each in (Search(search_request, "r" * 128), Context(context_request, "r" * 128)):
            assert len(pickle.dumps(each)) <= _request_bytes(each) < REQUEST_BYTES


async def test_large_requests_cross_in_calls_within_the_limit() -> None:
    replica = Replica()
    request = SearchRequest(tenant_id="a", query="x" * HEAVY_CHARACTERS, where={"k": 1})
    asked = Search(request, None)

    await results(replica.answers(), [asked] * 64)

    assert max(map(len, replica.together)) == REQUEST_BYTES // _request_bytes(asked) < BATCHES.size


async def test_heavy_queries_cross_by_themselves() -> None:
    replica = Replica()
    heavy = [search("heavy", "x" * (HEAVY_CHARACTERS + 1)) for _ in range(8)]

    await results(replica.answers(), [*heavy, search("light", "5"), search("light", "x" * HEAVY_CHARACTERS)])

    assert replica.alone == ["heavy"] * 8
    assert {tenant for call in replica.together for tenant in call} == {"light"}
