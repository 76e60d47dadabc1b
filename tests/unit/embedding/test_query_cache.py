"""Each query is embedded once: while it is under way, and as long as it is remembered."""

import asyncio
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan
from opentelemetry.util.types import AttributeValue
from prometheus_client import CollectorRegistry

from deployments.embedding.instruments import EmbeddingInstruments
from deployments.embedding.query_cache import HIT, JOINED, MISS, OUTCOME, QueryCache
from deployments.errors import EmbeddingError, EmbeddingRejectedError, EmbeddingUnavailableError


class Embedder:
    """A vector that holds the length of the text; refuses `bad`, and is away when told so."""

    def __init__(self, *, held: bool = False) -> None:
        self.calls: list[list[str]] = []
        self.away = False
        self.go = asyncio.Event()
        if not held:
            self.go.set()

    async def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.calls.append(list(texts))
        await self.go.wait()
        if self.away:
            raise EmbeddingUnavailableError("The provider is away.")
        if "bad" in texts:
            raise EmbeddingRejectedError("The text is not allowed.")
        return np.array([[len(text)] for text in texts], dtype=np.float32)


class Noted(NonRecordingSpan):
    """Keeps what is said of a query."""

    def __init__(self) -> None:
        super().__init__(INVALID_SPAN_CONTEXT)
        self.outcome: AttributeValue | None = None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        assert key == OUTCOME
        self.outcome = value


def lengths(results: Sequence[npt.NDArray[np.float32] | EmbeddingError]) -> list[float | str]:
    return [result.code if isinstance(result, EmbeddingError) else float(result[0]) for result in results]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_each_text_has_its_vector_in_order() -> None:
    embed = Embedder()

    assert lengths(await QueryCache(embed, 10).embed(["ccc", "a", "bb", "a"])) == [3, 1, 2, 1]

    assert embed.calls == [["ccc", "a", "bb"]]


async def test_a_text_that_is_known_is_not_embedded_again() -> None:
    embed = Embedder()
    cache = QueryCache(embed, 10)

    await cache.embed(["a"])

    assert lengths(await cache.embed(["a", "bb"])) == [1, 2]
    assert embed.calls == [["a"], ["bb"]]


async def test_a_text_that_is_under_way_is_waited_for() -> None:
    embed = Embedder(held=True)
    cache = QueryCache(embed, 10)
    callers = [asyncio.create_task(cache.embed(["a", "bb"])), asyncio.create_task(cache.embed(["bb", "ccc"]))]
    await settle()

    embed.go.set()

    assert [lengths(await caller) for caller in callers] == [[1, 2], [2, 3]]
    assert embed.calls == [["a", "bb"], ["ccc"]]


async def test_who_asked_first_may_go_away() -> None:
    embed = Embedder(held=True)
    cache = QueryCache(embed, 10)
    first, second = asyncio.create_task(cache.embed(["a"])), asyncio.create_task(cache.embed(["a"]))
    await settle()

    first.cancel()
    await settle()
    embed.go.set()

    assert lengths(await second) == [1]
    assert lengths(await cache.embed(["a"])) == [1]
    assert embed.calls == [["a"]]


async def test_the_text_that_was_not_asked_for_the_longest_is_forgotten() -> None:
    embed = Embedder()
    cache = QueryCache(embed, 2)
    for text in ("a", "bb", "a", "ccc"):
        await cache.embed([text])

    await cache.embed(["a"])
    await cache.embed(["bb"])

    assert embed.calls == [["a"], ["bb"], ["ccc"], ["bb"]]


async def test_more_texts_than_are_remembered_are_embedded_all_the_same() -> None:
    assert lengths(await QueryCache(Embedder(), 1).embed(["a", "bb", "ccc"])) == [1, 2, 3]


async def test_a_cache_of_none_remembers_none() -> None:
    embed = Embedder()
    cache = QueryCache(embed, 0)

    for _ in range(2):
        assert lengths(await cache.embed(["a"])) == [1]

    assert embed.calls == [["a"], ["a"]]


async def test_an_error_is_for_all_who_wait_and_is_not_remembered() -> None:
    embed = Embedder(held=True)
    embed.away = True
    cache = QueryCache(embed, 10)
    callers = [asyncio.create_task(cache.embed(["a"])) for _ in range(2)]
    await settle()
    embed.go.set()
    assert [lengths(await caller) for caller in callers] == [["embedding_unavailable"]] * 2

    embed.away = False

    assert lengths(await cache.embed(["a"])) == [1]
    assert embed.calls == [["a"], ["a"]]


async def test_a_text_that_is_refused_does_not_fail_its_neighbours() -> None:
    embed = Embedder()
    cache = QueryCache(embed, 10)

    assert lengths(await cache.embed(["a", "bad", "ccc"])) == [1, "embedding_rejected", 3]

    assert embed.calls == [["a", "bad", "ccc"], ["a"], ["bad", "ccc"], ["bad"], ["ccc"]]


async def test_one_refused_text_costs_few_calls() -> None:
    embed = Embedder()
    texts = [*(f"text {number}" for number in range(31)), "bad"]

    results = await QueryCache(embed, 0).embed(texts)

    assert sum(isinstance(result, EmbeddingError) for result in results) == 1
    # Once for all, then twice for each of the five halvings.
    assert len(embed.calls) == 11


async def test_each_text_is_one_outcome_in_its_span_and_in_the_counters() -> None:
    registry = CollectorRegistry()
    embed = Embedder()
    cache = QueryCache(embed, 10, EmbeddingInstruments(registry))
    spans: list[Noted] = []

    async def asked(*texts: str) -> None:
        asking = [Noted() for _ in texts]
        spans.extend(asking)
        await cache.embed(texts, asking)

    await asked("known")
    embed.go.clear()
    first = asyncio.create_task(asked("known", "twice", "twice", "once"))
    await settle()
    second = asyncio.create_task(asked("twice", "known"))
    await settle()
    embed.go.set()
    await asyncio.gather(first, second)

    outcomes = [span.outcome for span in spans]
    assert outcomes == [MISS, HIT, MISS, JOINED, MISS, JOINED, HIT]
    for outcome in (HIT, MISS, JOINED):
        counted = registry.get_sample_value("embedding_cache_queries_total", {"outcome": outcome})
        assert counted == outcomes.count(outcome)


async def test_who_asks_twice_at_once_where_none_is_remembered_has_missed_once() -> None:
    registry = CollectorRegistry()
    await QueryCache(Embedder(), 0, EmbeddingInstruments(registry)).embed(["a", "a"])

    for outcome, count in ((HIT, 0), (MISS, 1), (JOINED, 1)):
        assert registry.get_sample_value("embedding_cache_queries_total", {"outcome": outcome}) == count
