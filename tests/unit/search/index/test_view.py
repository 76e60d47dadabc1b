"""What a search reads of an index, against plain filters and sorts."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.analysis.query import AnalyzedQuery
from deployments.analysis.times import Span
from deployments.search.index.columns import Columns
from deployments.search.index.view import view
from deployments.search.ranking.messages import QueryTermsHeld
from deployments.search.ranking.parts import Question, related
from deployments.storage.search.message_changes import MessageRow
from tests.unit.search.generated import GENERATED
from tests.unit.search.index.rows import (
    IDS,
    WORDS,
    counts_of,
    index_of,
    literal,
    request,
    row,
    rows,
    seen,
    told,
    turns_of,
)
from tests.unit.search.ranked import NOW

_FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "conversation_id": st.sampled_from(["a", "b", "unknown"]),
        "role": st.sampled_from(["user", "tool"]),
        "min_importance": st.sampled_from([0.0, 0.3, 1.0]) | st.floats(0, 1),
        "user_id": st.sampled_from(["ada", "nobody"]),
        "agent_id": st.just("helper"),
        "conversation_prefix": st.sampled_from(["a", "a/b", "x"]),
        "metadata": st.sampled_from([{}, {"a": 1}, {"a": 2}]),
        "created_after": st.sampled_from([NOW, NOW - timedelta(hours=1)]),
        "created_before": st.sampled_from([NOW, NOW + timedelta(days=1)]),
    },
)


def passes(each: MessageRow, filters: dict[str, Any]) -> bool:
    """The filters, as the API words them."""
    tests: dict[str, Callable[[Any], bool]] = {
        "conversation_id": lambda value: each.conversation_id == value,
        "role": lambda value: each.role == value,
        "min_importance": lambda value: each.importance is None or each.importance >= value,
        "user_id": lambda value: each.user_id == value,
        "agent_id": lambda value: each.agent_id == value,
        "conversation_prefix": lambda value: f"{each.conversation_id}/".startswith(f"{value}/"),
        "metadata": lambda value: value.items() <= orjson.loads(each.metadata).items(),
        "created_after": lambda value: each.created_at >= value,
        "created_before": lambda value: each.created_at < value,
    }
    lasts = each.expires_at is None or each.expires_at > NOW
    return lasts and all(tests[name](value) for name, value in filters.items())


@GENERATED
@given(rows(), _FILTERS)
def test_filters_let_through_what_they_say(messages: list[MessageRow], filters: dict[str, Any]) -> None:
    says = told(seen(index_of(messages), request(**filters), now=NOW))

    passing = {e.id: e for e in messages if passes(e, filters)}
    assert set(says["hits"]) == set(passing)
    assert says["speakers"] == {each.name for each in passing.values()}
    # The turns beside a message are those of its conversation, where they pass.
    turns = turns_of(messages)
    assert says["turns"] == {each: tuple(turn if turn in passing else None for turn in turns[each]) for each in passing}
    # How rare a word is does not depend on the filters.
    for word in WORDS:
        holding, holders = says["terms"][word]
        assert set(holding) == {each.id for each in passing.values() if counts_of(each.terms)[word]}
        assert holders == sum(bool(counts_of(each.terms)[word]) for each in messages)


_SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5]), min_size=len(IDS), max_size=len(IDS))


@GENERATED
@given(
    rows(),
    _SCORES,
    st.lists(st.booleans(), min_size=9, max_size=9),
    st.sampled_from([-1.0, 0.0, 0.5]),
    st.integers(1, 10),
)
def test_the_best_are_those_of_a_plain_sort(
    messages: list[MessageRow], scores: list[float], related: list[bool], least: float, count: int
) -> None:
    read = seen(index_of(messages))
    hits = read.hits(np.arange(len(messages)))
    values = dict(zip((hit.id for hit in hits), scores, strict=False))

    best = read.best(np.array(scores)[: len(hits)], np.array(related)[: len(hits)].astype(np.bool_), least, count)

    eligible = [
        hit
        for hit, is_ in zip(hits, related, strict=False)
        if is_ and (hit.similarity is None or hit.similarity >= least)
    ]
    plain = sorted(eligible, key=lambda hit: (values[hit.id], hit.created_at, hit.id), reverse=True)
    assert [hit.id for hit in read.hits(best)] == [hit.id for hit in plain[:count]]


@pytest.mark.parametrize("stored", [0.3, 0.1 + 0.2, 1 / 3, 0.0, 1.0])
def test_importance_is_what_is_stored(stored: float) -> None:
    """As a float32 it would come back as another number, and pass a floor that it is below."""
    read = seen(index_of([row(1, importance=stored)]), request(min_importance=stored))

    assert [hit.importance for hit in read.hits(np.arange(len(read.slots)))] == [stored]
    above = float(np.nextafter(stored, 2))
    assert above > 1 or not len(seen(index_of([row(1, importance=stored)]), request(min_importance=above)).slots)


def test_without_a_vector_nothing_is_near() -> None:
    """No embedding counts, and words alone make hits."""
    index = index_of([row(1, terms=literal({"amber": 1}))])
    read = seen(index)
    assert np.isnan(read.similarities).all()
    assert read.hits(np.arange(1))[0].similarity is None


@GENERATED
@given(rows(), st.sets(st.sampled_from(WORDS)), st.booleans())
def test_related_is_what_has_to_do_with_the_query(messages: list[MessageRow], stop: set[str], dated: bool) -> None:
    span = Span(NOW, NOW + timedelta(days=1)) if dated else None
    weights = tuple(0.2 if word in stop else 1.0 for word in WORDS)
    asked = AnalyzedQuery(WORDS, weights, tuple((word,) for word in WORDS), span=span)
    read = seen(index_of(messages), query=asked)

    says = related(read.messages, read.terms, Question("Which one?", NOW, asked))

    counts = {each.id: counts_of(each.terms) for each in messages}
    known = {word for word in WORDS if any(count[word] for count in counts.values())}
    finding = known - stop or known
    holding = {each for each, count in counts.items() if any(count[word] for word in finding)}
    beside = {turn for each in holding for turn in turns_of(messages)[each]}
    near = {hit.id for hit, value in zip(all_hits(read), read.messages.closeness, strict=True) if not np.isnan(value)}
    then = {each.id for each in messages if span and span.start <= each.created_at < span.end}
    assert {hit.id for hit, is_ in zip(all_hits(read), says, strict=True) if is_} == (
        holding | beside | near | then
    ) - {None}


def all_hits(read: Any) -> list[Any]:
    return list(read.hits(np.arange(len(read.slots))))


def test_only_the_rarest_terms_are_read() -> None:
    """And of those that nobody holds as many: they count in what the query's words weigh together."""
    terms = tuple(f"t{number:03}" for number in range(80))
    index = index_of([row(n, terms=literal(dict.fromkeys(terms[: n * 10], 1))) for n in range(1, 6)])
    asked = AnalyzedQuery(terms, (1.0,) * 80)
    held: QueryTermsHeld = view(index, request(), asked, None, subtract_mean=True, now=NOW).terms

    assert list(held.terms) == [*terms[40:50], *terms[30:40], *terms[20:30], *terms[10:12], *terms[50:80]]


@GENERATED
@given(st.lists(st.integers(1, 60), max_size=8))
def test_columns_grow_and_keep_what_they_hold(sizes: list[int]) -> None:
    columns, used = Columns(2), 0
    for size in sizes:
        columns.reserve(used + size)
        columns.created[used : used + size] = np.arange(used, used + size)
        columns.vectors[used : used + size, 1] = np.arange(used, used + size)
        used += size
        assert columns.created[:used].tolist() == columns.vectors[:used, 1].tolist() == list(range(used))
        assert not columns.live.any()
        assert len(columns.live) <= used + used // 8 + 16
    taken = columns.nbytes
    columns.reserve(used)
    assert columns.nbytes == taken
    columns.keep(np.flatnonzero(columns.created[:used] % 2))
    assert columns.created.tolist() == list(range(1, used, 2))
