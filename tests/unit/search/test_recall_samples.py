"""Which searches are audited."""

import random
from collections import Counter

import numpy as np
import pytest

from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.search.recall.audit import has_room
from deployments.search.recall.samples import RecallSamples
from deployments.storage.postgres.database import PoolUsage

SMALL, LARGE = 50, 500_000
VECTOR = QueryVector(EmbeddingSpace("model", 2), np.array([1, 0], np.float32))


def offer(samples: RecallSamples, embedded: int, request_id: str = "r1") -> None:
    request = SearchRequest(tenant_id=f"of-{embedded}", query="a secret", conversation_id="c7")
    samples.offer(request, VECTOR, embedded, request_id)


def taken(samples: RecallSamples) -> str | None:
    sample = samples.take()
    return None if sample is None else sample.request_id


def test_a_sample_is_the_search_with_its_filters_and_without_its_words() -> None:
    samples = RecallSamples()
    offer(samples, SMALL)

    sample = samples.take()

    assert sample is not None
    assert (sample.request.tenant_id, sample.request.conversation_id) == ("of-50", "c7")
    assert "secret" not in repr(sample)
    assert (sample.embedding, sample.tenant_size) == (VECTOR, "under_1k")


def test_a_search_is_taken_once() -> None:
    samples = RecallSamples()
    offer(samples, SMALL)

    assert (taken(samples), taken(samples)) == ("r1", None)


def test_each_search_has_the_same_chance_whenever_it_came() -> None:
    source = random.Random(7)
    samples = RecallSamples(source.random)
    counts: Counter[str | None] = Counter()

    for _ in range(2_000):
        for number in range(5):
            offer(samples, LARGE, f"r{number}")
        counts[taken(samples)] += 1

    assert set(counts) == {f"r{number}" for number in range(5)}
    assert all(320 < count < 480 for count in counts.values()), counts


def test_a_tenant_that_searches_without_pause_leaves_a_small_one_its_turn() -> None:
    samples = RecallSamples()
    order = []
    for _ in range(3):
        for _ in range(1_000):
            offer(samples, LARGE, "large")
        offer(samples, SMALL, "small")
        order += [taken(samples), taken(samples)]

    assert Counter(order) == {"large": 3, "small": 3}


def test_with_less_audits_than_searches_sizes_take_turns() -> None:
    samples = RecallSamples()
    order = []
    for _ in range(4):
        offer(samples, LARGE, "large")
        offer(samples, SMALL, "small")
        order.append(taken(samples))

    assert order == ["small", "large", "small", "large"]


def test_one_search_of_each_size_is_kept_however_many_come() -> None:
    samples = RecallSamples()
    for number in range(1_000):
        offer(samples, (SMALL, LARGE)[number % 2])

    assert [taken(samples) for _ in range(3)] == ["r1", "r1", None]


@pytest.mark.parametrize(
    ("usage", "room"),
    [
        (PoolUsage(max_size=8, in_use=0, idle=2, waiting=0), True),
        (PoolUsage(max_size=8, in_use=6, idle=0, waiting=0), True),
        (PoolUsage(max_size=8, in_use=7, idle=0, waiting=0), False),
        (PoolUsage(max_size=8, in_use=3, idle=0, waiting=1), False),
        (PoolUsage(max_size=1, in_use=0, idle=1, waiting=0), False),
    ],
)
def test_an_audit_leaves_searches_a_connection(usage: PoolUsage, room: bool) -> None:
    assert has_room(usage) is room
