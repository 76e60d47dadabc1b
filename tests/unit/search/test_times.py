"""Relative times in English, and questions and statements of time, with the clock passed in.

What no list of words can tell is not tested as if it could: "may" and "march" are months even where they are verbs.
"""

from datetime import UTC, datetime, timedelta, timezone
from time import thread_time
from zoneinfo import ZoneInfo

import pytest

from deployments.analysis.times import Span, asks_when, tells_when, time_reference

WEDNESDAY = datetime(2026, 5, 13, 15, 30, 12, 345, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def span(query: str, now: str | datetime = WEDNESDAY) -> Span:
    found = time_reference(query, now if isinstance(now, datetime) else at(now))
    assert found is not None, query
    assert found.relative, query
    return found.span


def days(start: str, end: str) -> Span:
    """Whole days, the last one included."""
    return Span(at(start), at(end) + DAY)


@pytest.mark.parametrize(
    ("expression", "start", "end"),
    [
        ("today", "2026-05-13", "2026-05-13"),
        ("yesterday", "2026-05-12", "2026-05-12"),
        ("this week", "2026-05-11", "2026-05-13"),
        ("last week", "2026-05-04", "2026-05-10"),
        ("past week", "2026-05-04", "2026-05-10"),
        ("last weekend", "2026-05-09", "2026-05-10"),
        ("this past weekend", "2026-05-09", "2026-05-10"),
        ("this month", "2026-05-01", "2026-05-13"),
        ("last month", "2026-04-01", "2026-04-30"),
        ("this year", "2026-01-01", "2026-05-13"),
        ("last year", "2025-01-01", "2025-12-31"),
        ("last monday", "2026-05-11", "2026-05-11"),
        ("last tuesday", "2026-05-12", "2026-05-12"),
        ("last wednesday", "2026-05-06", "2026-05-06"),
        ("last thursday", "2026-05-07", "2026-05-07"),
        ("past friday", "2026-05-08", "2026-05-08"),
        ("this saturday", "2026-05-09", "2026-05-09"),
        ("last sunday", "2026-05-10", "2026-05-10"),
    ],
)
def test_a_named_time_is_its_days(expression: str, start: str, end: str) -> None:
    for query in (expression, f"What did I say {expression}?", expression.upper()):
        assert span(query) == days(start, end)


@pytest.mark.parametrize(
    ("number", "count"),
    [
        ("1", 1), ("2", 2), ("12", 12), ("999", 999), ("a", 1), ("an", 1), ("one", 1), ("two", 2), ("couple of", 2),
        ("a couple of", 2), ("three", 3), ("four", 4), ("five", 5), ("six", 6), ("seven", 7), ("eight", 8),
        ("nine", 9), ("ten", 10), ("eleven", 11), ("twelve", 12),
    ],
)  # fmt: skip
@pytest.mark.parametrize("days_of", [("day", 1), ("weeks", 7)])
def test_so_long_ago_is_with_half_as_much_around_it(number: str, count: int, days_of: tuple[str, int]) -> None:
    unit, length = days_of
    middle = at("2026-05-13") - count * length * DAY
    expected = Span(middle - length / 2 * DAY, middle + length / 2 * DAY + DAY)

    assert span(f"What happened {number} {unit} ago?") == expected
    assert span(f"{number} {unit} ago".upper()) == expected


@pytest.mark.parametrize(
    ("expression", "then"),
    [
        ("1 month ago", "2026-04-13"),
        ("6 months ago", "2025-11-13"),
        ("12 months ago", "2025-05-13"),
        ("36 months ago", "2023-05-13"),
        ("100 months ago", "2018-01-13"),
        ("a year ago", "2025-05-13"),
        ("10 years ago", "2016-05-13"),
        ("40 years ago", "1986-05-13"),
        ("999 years ago", "1027-05-13"),
    ],
)
def test_months_and_years_do_not_drift(expression: str, then: str) -> None:
    found = span(expression)
    middle = found.start + (found.end - found.start) / 2

    assert found.start <= at(then) < found.end
    assert abs(middle - at(then)) <= 3 * DAY


@pytest.mark.parametrize("unit", ["day", "week", "month", "year"])
def test_the_longer_ago_the_more_room_by_unit(unit: str) -> None:
    length = {"day": 1, "week": 7, "month": 365.2425 / 12, "year": 365.2425}[unit]
    found = span(f"3 {unit}s ago")

    assert found.end - found.start == timedelta(days=length) + DAY


@pytest.mark.parametrize("start", ["in", "over", "during", "within"])
@pytest.mark.parametrize("which", ["last", "past"])
@pytest.mark.parametrize(
    ("length", "back"),
    [
        ("day", 1), ("week", 7), ("month", 30), ("year", 365), ("3 days", 3), ("two weeks", 14), ("6 months", 183),
        ("couple of years", 730), ("10 years", 3652),
    ],
)  # fmt: skip
def test_the_last_so_and_so_many_end_now(start: str, which: str, length: str, back: int) -> None:
    found = span(f"What did I do {start} the {which} {length}?")

    assert found.end == WEDNESDAY
    assert found.start in (at("2026-05-13") - back * DAY, at("2026-05-13") - (back + 1) * DAY)


@pytest.mark.parametrize(
    ("now", "expression", "expected"),
    [
        ("2026-01-01", "yesterday", days("2025-12-31", "2025-12-31")),
        ("2026-01-01", "last month", days("2025-12-01", "2025-12-31")),
        ("2026-01-01", "last year", days("2025-01-01", "2025-12-31")),
        ("2026-01-01", "this year", days("2026-01-01", "2026-01-01")),
        ("2026-01-01", "last week", days("2025-12-22", "2025-12-28")),
        ("2026-12-31T23:59:59", "this year", days("2026-01-01", "2026-12-31")),
        ("2026-03-31", "last month", days("2026-02-01", "2026-02-28")),
        ("2028-03-01", "yesterday", days("2028-02-29", "2028-02-29")),
        ("2028-03-31", "last month", days("2028-02-01", "2028-02-29")),
        ("2028-02-29", "last year", days("2027-01-01", "2027-12-31")),
        ("2028-02-29", "this month", days("2028-02-01", "2028-02-29")),
        ("2029-01-15", "last year", days("2028-01-01", "2028-12-31")),
        ("2100-03-01", "yesterday", days("2100-02-28", "2100-02-28")),
        # A Monday.
        ("2026-05-11", "this week", days("2026-05-11", "2026-05-11")),
        ("2026-05-11", "last week", days("2026-05-04", "2026-05-10")),
        ("2026-05-11", "last weekend", days("2026-05-09", "2026-05-10")),
        ("2026-05-11", "last monday", days("2026-05-04", "2026-05-04")),
        ("2026-05-11", "last sunday", days("2026-05-10", "2026-05-10")),
        # A Saturday and a Sunday.
        ("2026-05-16", "this weekend", days("2026-05-16", "2026-05-16")),
        ("2026-05-16", "last weekend", days("2026-05-09", "2026-05-10")),
        ("2026-05-17", "this weekend", days("2026-05-16", "2026-05-17")),
        ("2026-05-17", "last weekend", days("2026-05-09", "2026-05-10")),
        ("2026-05-17", "this week", days("2026-05-11", "2026-05-17")),
        ("2026-05-17", "last sunday", days("2026-05-10", "2026-05-10")),
        ("2026-05-17", "last monday", days("2026-05-11", "2026-05-11")),
    ],
)
def test_weeks_months_and_years_end_as_calendars_do(now: str, expression: str, expected: Span) -> None:
    assert span(expression, now) == expected


@pytest.mark.parametrize("midnight", [datetime(2026, 5, 13, tzinfo=UTC), datetime(2026, 5, 13, 23, 59, 59, tzinfo=UTC)])
def test_the_time_of_day_does_not_matter(midnight: datetime) -> None:
    assert span("yesterday", midnight) == days("2026-05-12", "2026-05-12")


@pytest.mark.parametrize(
    "zone", [timezone(timedelta(hours=14)), timezone(timedelta(hours=-12)), ZoneInfo("Asia/Tokyo")]
)
def test_a_day_begins_where_the_clock_is(zone: timezone | ZoneInfo) -> None:
    found = span("yesterday", datetime(2026, 5, 13, 1, tzinfo=zone))

    assert found == Span(datetime(2026, 5, 12, tzinfo=zone), datetime(2026, 5, 13, tzinfo=zone))


def test_the_first_time_named_in_the_order_of_their_kinds_counts() -> None:
    assert span("3 days ago in the last week, yesterday") == span("3 days ago")
    assert span("yesterday, in the last week") == span("in the last week")
    assert span("yesterday or last year") == span("yesterday")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "What does Ida like?",
        "last may",
        "last time",
        "the last of them",
        "on Monday",
        "next week",
        "ago",
        "days ago",
        "1000 days ago",
        "1,500 days ago",
        "1.5 years ago",
        "many days ago",
        "how many days ago was it?",
        "a day",
        "the day before yesterdays",
        "todayish",
        "the past",
        "in the last 1000 days",
        "this weekend",  # still to come on a Wednesday
    ],
)
def test_what_names_no_time_of_the_past_has_no_span(query: str) -> None:
    assert time_reference(query, WEDNESDAY) is None


def test_letters_that_only_look_like_others_break_nothing() -> None:
    assert span("ye\u017fterday") == span("yesterday")
    assert span("last wee\u212a") == span("last week")
    assert time_reference("f\u0131ve days ago", WEDNESDAY) is None
    assert span("\u0663 days ago") == span("3 days ago")


EXPRESSIONS = [
    "today", "yesterday", "this week", "last week", "this weekend", "last weekend", "this month", "last month",
    "this year", "last year", "last monday", "last sunday", "0 days ago", "0 years ago", "999 days ago",
    "999 weeks ago", "999 months ago", "999 years ago", "in the last 999 years", "in the past day",
]  # fmt: skip


@pytest.mark.parametrize("query", EXPRESSIONS)
@pytest.mark.parametrize("now", [FIRST, FIRST + 40 * DAY, at("0500-01-01"), at("2026-01-01"), LAST - 40 * DAY, LAST])
def test_no_time_is_too_far_away(query: str, now: datetime) -> None:
    found = time_reference(query, now)

    assert found is None or found.span.start < found.span.end


def test_what_is_before_all_times_is_none() -> None:
    assert time_reference("999 years ago", at("0500-01-01")) is None
    assert time_reference("yesterday", FIRST) is None
    assert time_reference("today", LAST) is None


@pytest.mark.parametrize(
    "query",
    [
        "When did Ida move?",
        "since WHEN?",
        "How long did it take?",
        "How many days were they away?",
        "how many weeks ago was it",
        "How much time do I have?",
        "How many years has it been?",
        "What day was it?",
        "Which month is it in?",
        "what date",
        "which year",
    ],
)
def test_a_question_of_time_asks_when(query: str) -> None:
    assert asks_when(query)


@pytest.mark.parametrize(
    "query",
    ["", "What does Ida like?", "whenever", "How many times was it?", "How many dogs?", "What daylight?", "How longer"],
)
def test_another_question_does_not_ask_when(query: str) -> None:
    assert not asks_when(query)


@pytest.mark.parametrize(
    "content",
    [
        "We met yesterday.",
        "TODAY",
        "see you tonight",
        "tomorrow then",
        "long ago",
        "Last time",
        "next Friday",
        "since then",
        "over the weekend",
        "for two days",
        "a week",
        "some months",
        "this year",
        "on Monday",
        "in May",
        "in december",
        "it was 1999",
        "on the 3rd",
        "the 21st, the 2nd and the 14th",
    ],
)
def test_a_message_tells_when(content: str) -> None:
    assert tells_when(content)


@pytest.mark.parametrize(
    "content", ["", "I like tea.", "blasting", "12 of 345 or 12345", "mondays", "Maya", "third", "\N{GRINNING FACE}"]
)
def test_a_message_does_not_tell_when(content: str) -> None:
    assert not tells_when(content)


@pytest.mark.parametrize("verb", ["You may go", "They march on"])
def test_a_verb_that_is_spelt_like_a_month_is_taken_for_it(verb: str) -> None:
    assert tells_when(verb)


@pytest.mark.parametrize(
    "unit", ["1 ", "a ", "12 day ", "in the last ", "last ", "this ", "how many ", "couple of ", "x", "1", " "]
)
def test_a_query_of_a_whole_page_takes_no_time(unit: str) -> None:
    page = (unit * 100_000)[:100_000]
    started = thread_time()

    time_reference(page, WEDNESDAY)
    asks_when(page)
    tells_when(page)

    assert thread_time() - started < 2
