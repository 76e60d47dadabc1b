"""Between the ranking and the answer: reordered, or left as it was, and told which."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from deployments.schemas.search import SearchHit, SearchRequest
from deployments.search.instruments import SearchInstruments
from deployments.search.reranking.protocol import (
    RerankError,
    RerankInvalidError,
    RerankRejectedError,
    RerankUnavailableError,
)
from deployments.search.reranking.stage import OUTCOMES, RerankStage, create_stage
from deployments.settings import RerankSettings

from .conftest import rerank_settings
from .hits import hit, numbers

HITS = [hit(1), hit(2), hit(3)]
FAILURES = {
    "unavailable": RerankUnavailableError("Away."),
    "rejected": RerankRejectedError("No.", {"reason": "secret tea"}),
    "invalid": RerankInvalidError("Wrong."),
    "failed": ZeroDivisionError(),
}


class Backwards:
    """Finds the last document the most relevant; fails with what it is given, as long as that is there."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.asked: list[tuple[str, Sequence[str]]] = []
        self.called = asyncio.Event()
        self.closed = False

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Fail, or score."""
        self.asked.append((query, documents))
        if self.failure is not None:
            raise self.failure
        return [(number + 1) / len(documents) for number in range(len(documents))]

    async def close(self) -> None:
        """Note it."""
        self.closed = True


class Hanging(Backwards):
    """Never answers."""

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Wait for ever."""
        self.asked.append((query, documents))
        self.called.set()
        await asyncio.Event().wait()
        raise AssertionError


class Measured:
    """A stage, and what it has counted."""

    def __init__(self, reranker: Backwards, settings: RerankSettings | None = None) -> None:
        self.registry = CollectorRegistry()
        self.stage = RerankStage(reranker, settings or rerank_settings(), SearchInstruments(self.registry))

    async def best(self, hits: Sequence[SearchHit] = HITS, top_k: int = 10) -> list[int]:
        """The order of an answer."""
        request = SearchRequest(tenant_id="acme", query="tea?", top_k=top_k)
        return numbers(await self.stage.best(request, hits))

    def counted(self) -> dict[str, float]:
        """The outcomes that there were."""
        counts = {
            outcome: self.registry.get_sample_value("memory_rerankings_total", {"outcome": outcome})
            for outcome in OUTCOMES
        }
        return {outcome: count for outcome, count in counts.items() if count}

    def timed(self) -> float | None:
        """How many calls were timed."""
        return self.registry.get_sample_value("memory_search_stage_duration_seconds_count", {"stage": "rerank"})


async def test_the_best_hits_are_reordered_and_cut() -> None:
    measured = Measured(Backwards())

    assert await measured.best(top_k=2) == [3, 2]
    assert (measured.counted(), measured.timed()) == ({"reranked": 1}, 1)


async def test_it_reads_who_said_it_and_when() -> None:
    reranker = Backwards()

    await Measured(reranker).best(HITS[:1])

    assert reranker.asked == [("tea?", ["(2026-01-01) Ada: content1"])]


async def test_where_nothing_is_found_it_is_not_asked() -> None:
    reranker = Backwards()
    measured = Measured(reranker)

    assert await measured.best([]) == []
    assert (reranker.asked, measured.counted()) == ([], {})


@pytest.mark.parametrize(("candidates", "top_k", "depth"), [(50, 10, 50), (50, 80, 80), (5, 10, 10)])
def test_as_many_are_ranked_as_are_read_and_never_fewer_than_asked_for(candidates: int, top_k: int, depth: int) -> None:
    assert Measured(Backwards(), rerank_settings(candidates=candidates)).stage.depth(top_k) == depth


@pytest.mark.parametrize("outcome", FAILURES)
async def test_a_failure_leaves_the_order_before(outcome: str) -> None:
    measured = Measured(Backwards(FAILURES[outcome]))

    with capture_logs() as lines:
        assert await measured.best(top_k=2) == [1, 2]
    assert (measured.counted(), measured.timed()) == ({outcome: 1}, 1)
    assert len(lines) == 1
    assert "secret tea" not in str(lines)


async def test_an_error_of_another_reranker_leaves_the_order_before() -> None:
    class OwnError(RerankError):
        code = "rerank_error"

    measured = Measured(Backwards(OwnError("Other.")))

    assert await measured.best() == [1, 2, 3]
    assert measured.counted() == {"failed": 1}


async def test_too_few_relevances_leave_the_order_before() -> None:
    class TooFew(Backwards):
        async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
            return [1.0]

    measured = Measured(TooFew())

    assert await measured.best() == [1, 2, 3]
    assert measured.counted() == {"failed": 1}


async def test_one_that_hangs_is_left_when_its_time_is_over() -> None:
    measured = Measured(Hanging(), rerank_settings(timeout_seconds=0.01))

    assert await measured.best() == [1, 2, 3]
    assert measured.counted() == {"unavailable": 1}


async def test_while_it_is_away_it_is_asked_and_logged_once_in_a_pause() -> None:
    reranker = Backwards(RerankUnavailableError("Away.", retry_after=60.0))
    measured = Measured(reranker)

    with capture_logs() as lines:
        answers = [await measured.best() for _ in range(5)]
    assert answers == [[1, 2, 3]] * 5
    assert len(reranker.asked) == 1
    assert measured.counted() == {"unavailable": 1, "paused": 4}
    assert [(line["event"], line["reason"]) for line in lines] == [("reranking_paused", "Away.")]


async def test_once_it_is_back_it_decides_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.search.reranking.circuit_breaker.PAUSE_SECONDS", 0.0)
    reranker = Backwards(RerankUnavailableError("Away."))
    measured = Measured(reranker)

    assert await measured.best() == [1, 2, 3]
    reranker.failure = None
    assert [await measured.best() for _ in range(3)] == [[3, 2, 1]] * 3
    assert measured.counted() == {"unavailable": 1, "reranked": 3}


@pytest.mark.parametrize("outcome", ["rejected", "invalid"])
async def test_one_that_answers_at_all_is_back(outcome: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.search.reranking.circuit_breaker.PAUSE_SECONDS", 0.0)
    reranker = Backwards(FAILURES["unavailable"])
    measured = Measured(reranker)

    await measured.best()
    reranker.failure = FAILURES[outcome]
    await measured.best()
    reranker.failure = None
    assert await measured.best() == [3, 2, 1]
    assert measured.counted() == {"unavailable": 1, outcome: 1, "reranked": 1}


@pytest.mark.parametrize("outcome", ["rejected", "invalid", "failed"])
async def test_what_one_search_meets_does_not_pause_it_for_others(outcome: str) -> None:
    reranker = Backwards(FAILURES[outcome])
    measured = Measured(reranker)

    assert await measured.best() == [1, 2, 3]
    reranker.failure = None
    assert await measured.best() == [3, 2, 1]


async def test_a_search_that_nobody_waits_for_ends_at_once() -> None:
    reranker = Hanging()
    task = asyncio.create_task(Measured(reranker).best())
    await reranker.called.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_without_an_address_there_is_none() -> None:
    assert create_stage(RerankSettings(), SearchInstruments()) is None


async def test_with_an_address_there_is_one() -> None:
    stage = create_stage(rerank_settings(url="http://127.0.0.1:1/rerank"), SearchInstruments())

    assert stage is not None
    await stage.close()


async def test_it_closes_the_reranker() -> None:
    reranker = Backwards()
    await Measured(reranker).stage.close()

    assert reranker.closed
