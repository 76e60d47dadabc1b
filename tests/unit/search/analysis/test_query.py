"""What a query asks for."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from deployments.analysis.query import AnalyzedQuery, analyze_query

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def analyzed(text: str, language: str = "en") -> AnalyzedQuery:
    return analyze_query(text, NOW, (language,))


def test_stop_words_count_less() -> None:
    weight = analyzed("Where does my sister live?").weight_of

    assert weight["sister"] == weight["live"] == 1
    assert 0 < weight["where"] == weight["my"] < 1


@pytest.mark.parametrize("text", ["To be or not to be", "who are you", "the", "\N{SLICE OF PIZZA}", "DON'T"])
def test_a_query_of_nothing_else_counts_in_full(text: str) -> None:
    assert set(analyzed(text).weights) == {1.0}


def test_stop_words_of_another_language_are_words() -> None:
    assert analyzed("der Hund").weight_of["der"] == 1
    assert analyzed("der Hund", "de").weight_of["der"] < 1


def test_each_term_has_a_weight() -> None:
    query = analyzed("Is jo.doe@example.com the address for INV-2024-0077?")

    assert len(query.weights) == len(query.terms) == len(set(query.terms))
    assert {term for word in query.words for term in word} < set(query.terms)


def test_the_time_that_is_named_is_understood() -> None:
    query = analyzed("What did I say yesterday?")

    assert query.span == (datetime(2025, 12, 31, tzinfo=UTC), NOW)
    assert query.said_then
    assert analyzed("What did I say?").span is None
    assert not analyzed("What did I say?").said_then


@pytest.mark.parametrize("text", ["", "?!", " \n"])
def test_nothing_is_asked_by_punctuation(text: str) -> None:
    assert analyzed(text) == AnalyzedQuery()


@pytest.mark.parametrize(
    ("text", "said_then"),
    [
        ("What did I do yesterday?", True),
        ("What did I do in spring 2025?", True),
        ("on 3 May 2025", True),
        ("When did Ida buy the bike in May 2025?", False),
    ],
)
def test_a_date_is_when_it_was_said_where_nothing_else_is_asked(text: str, said_then: bool) -> None:
    query = analyzed(text)

    assert query.span is not None
    assert query.said_then == said_then


def test_a_time_before_the_first_year_in_utc_is_none() -> None:
    now = datetime(1, 1, 2, tzinfo=timezone(timedelta(hours=14)))

    assert analyze_query("yesterday", now, ("en",)).span is None
