"""What a query costs is bounded, however long and odd it is."""

import random
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.analysis.languages import ENGLISH
from deployments.analysis.query import AnalyzedQuery, analyze_query
from deployments.analysis.read_part import READ_CHARACTERS, read_part
from deployments.schemas.search import MAX_QUERY_CHARACTERS
from deployments.search.context.excerpts import Passages
from deployments.search.ranking.speakers import Speakers
from tests.unit.search.ranked import NOW

CHANCE = random.Random(0)


def of(*pieces: str) -> str:
    """Return the longest query that there is, of these pieces by chance."""
    return "".join(CHANCE.choices(pieces, k=MAX_QUERY_CHARACTERS))[:MAX_QUERY_CHARACTERS]


def numbered(pattern: str) -> str:
    """Return the longest query that there is, of this pattern with five digits in it."""
    return of(*(pattern.format(number) for number in CHANCE.sample(range(10_000, 99_999), 9_000)))


ODD = {
    "Han": of(*map(chr, range(0x4E00, 0x9FFF))),
    "Hangul": of(*map(chr, range(0xAC00, 0xD7A3))),
    "Thai": of(*map(chr, range(0x0E01, 0x0E3A))),
    "emoji": of(*map(chr, range(0x1F300, 0x1F650))),
    "one word": of(*"abcdefXYZ0189\u00e4\u00df"),
    "marks": of("a", *map(chr, range(0x300, 0x370))),
    "ligatures": of("\ufdfa"),
    "numbers": numbered("{} ") + " ",
    "digits": of(*"0123456789 .,-'/"),
    "paths": numbered("a{0}/b{0}/c{0} "),
    "addresses": numbered("ada.{0}@mail{0}.example.com "),
    "signs": of(*"a1./-_@:&=~%\\?#+' "),
}


def analyzed(text: str) -> AnalyzedQuery:
    return analyze_query(text, NOW, (ENGLISH,))


@given(st.text(max_size=20), st.integers(1, READ_CHARACTERS))
def test_what_is_read_is_short_and_stays_what_it_is(piece: str, times: int) -> None:
    part = read_part(piece * times)

    assert len(part) <= READ_CHARACTERS
    assert read_part(part) == part
    assert part == piece * times or len(piece * times) > READ_CHARACTERS


def test_the_words_at_both_ends_count() -> None:
    query = analyzed(f"Which kettle? {'noise ' * 10_000} Say which teapot.")

    assert {"kettl", "teapot"} <= set(query.terms)


def test_those_named_at_both_ends_are_recognised() -> None:
    speakers = Speakers(f"Did Ida say this? {'noise ' * 10_000} Or was it Jo?", ["Ida", "Jo", "Kim"])

    assert [speakers.spoke("user", name) for name in ("Ida", "Jo", "Kim")] == [True, True, False]


@pytest.mark.parametrize("kind", ODD)
def test_a_query_of_a_whole_page_has_no_more_terms_than_its_part(kind: str) -> None:
    query = analyzed(ODD[kind])

    assert len(query.terms) <= READ_CHARACTERS
    assert sum(map(len, query.words)) <= READ_CHARACTERS


@pytest.mark.parametrize("kind", ["addresses", "paths", "numbers", "Han"])
def test_a_passage_costs_little_more_for_many_words(kind: str) -> None:
    text = ODD[kind]

    def seconds(query: str) -> float:
        passages = Passages(query, (ENGLISH,))
        started = thread_time()
        passages.cut(text, 10_000)
        return thread_time() - started

    # To look for each word took 120 s in place of 0.3.
    assert seconds(text) < 10 * seconds(text[:100]) + 2
