"""Postings against a dictionary, and the terms of a tsvector's text against Postgres' rules for it."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.search.index.postings import Postings, TermCounts, term_counts
from tests.unit.search.generated import ANYTHING, GENERATED
from tests.unit.search.index.rows import WORDS, literal

Held = dict[int, dict[str, int]]
_TERMS = st.dictionaries(st.sampled_from(WORDS), st.integers(1, 255))


@GENERATED
@given(
    st.dictionaries(
        ANYTHING.filter(len) | st.sampled_from(["'", "\\", "a b", "':1", "it''s", "\\'"]), st.integers(1, 5)
    )
)
def test_terms_are_read_back_whatever_they_hold(counts: dict[str, int]) -> None:
    assert term_counts(literal(counts)) == TermCounts([hash(term) for term in counts], list(counts.values()))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", {}),
        ("'tea'", {"tea": 1}),
        ("'oat':1A,3B,7C,9", {"oat": 4}),
        ("'a' 'b':2 'c'", {"a": 1, "b": 1, "c": 1}),
        ("'d''or':1,2 'c:\\\\temp':3 ':1,2':4", {"d'or": 2, "c:\\temp": 1, ":1,2": 1}),
        (f"'x':{','.join(['16383'] * 300)}", {"x": 255}),
    ],
)
def test_terms_of_a_tsvector(text: str, terms: dict[str, int]) -> None:
    assert term_counts(text) == TermCounts([hash(term) for term in terms], list(terms.values()))


@GENERATED
@given(st.lists(st.lists(_TERMS, max_size=4), max_size=8), st.data())
def test_postings_are_those_that_were_added(batches: list[list[dict[str, int]]], data: st.DataObject) -> None:
    postings, slot, held = Postings(), 0, defaultdict[str, dict[int, int]](dict)
    for batch in batches:
        slots = range(slot, slot + len(batch))
        postings.add(slots, [term_counts(literal(terms)) for terms in batch])
        for each, terms in zip(slots, batch, strict=True):
            for term, times in terms.items():
                held[term][each] = times
        slot += len(batch)
    assert found(postings) == {term: held[term] for term in WORDS}

    new = np.full(slot, -1, dtype=np.int32)
    kept = data.draw(st.permutations(range(slot)))[: data.draw(st.integers(0, slot))]
    new[list(kept)] = np.arange(len(kept))
    postings.renumber(new)
    assert found(postings) == {
        term: {int(new[each]): times for each, times in held[term].items() if new[each] >= 0} for term in WORDS
    }


def test_adding_one_by_one_keeps_few_segments() -> None:
    """A search reads each: 1,000 messages that come alone make no more than their logarithm."""
    postings = Postings()
    for slot in range(1_000):
        postings.add([slot], [term_counts("'amber' 'birch'")])

    assert len(postings._segments) <= 10
    assert found(postings)["amber"] == dict.fromkeys(range(1_000), 1)


def test_no_terms_take_nothing() -> None:
    postings = Postings()
    postings.add([], [])
    postings.add([0, 1], [term_counts(""), term_counts("")])
    postings.renumber(np.arange(2, dtype=np.int32))

    assert postings.nbytes == 0
    assert found(postings) == {term: {} for term in WORDS}


def found(postings: Postings) -> dict[str, dict[int, int]]:
    held: dict[str, dict[int, int]] = {term: {} for term in WORDS}
    for number, slot, times in zip(*(column.tolist() for column in postings.find(WORDS)), strict=True):
        held[WORDS[number]][slot] = times
    return held
