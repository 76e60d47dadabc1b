"""Dates and seasons in English queries, and what only looks like them, with the clock passed in."""

from datetime import UTC, datetime, timedelta

import pytest

from deployments.analysis.times import Span, TimeReference, time_reference

WEDNESDAY = datetime(2026, 5, 13, 15, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def reference(query: str, now: datetime = WEDNESDAY) -> TimeReference:
    found = time_reference(query, now)
    assert found is not None, query
    return found


def days(start: str, end: str) -> Span:
    """Whole days, the last one included."""
    return Span(at(start), at(end) + DAY)


DATES = [
    # Days, without a year the most recent.
    ("3 May", "2026-05-03", "2026-05-03"),
    ("May 3", "2026-05-03", "2026-05-03"),
    ("May 3rd", "2026-05-03", "2026-05-03"),
    ("on may 3", "2026-05-03", "2026-05-03"),
    ("the 3rd of may", "2026-05-03", "2026-05-03"),
    ("May 13", "2026-05-13", "2026-05-13"),
    ("May 14", "2025-05-14", "2025-05-14"),
    ("on the 5th of November", "2025-11-05", "2025-11-05"),
    ("on November 5th", "2025-11-05", "2025-11-05"),
    ("Nov. 5", "2025-11-05", "2025-11-05"),
    ("on 1 January", "2026-01-01", "2026-01-01"),
    ("Feb 29", "2024-02-29", "2024-02-29"),
    # Days with a year.
    ("3 May 2023", "2023-05-03", "2023-05-03"),
    ("3rd of May, 2023", "2023-05-03", "2023-05-03"),
    ("May 3, 2023", "2023-05-03", "2023-05-03"),
    ("may 3 2023", "2023-05-03", "2023-05-03"),
    ("12 Sept 2023", "2023-09-12", "2023-09-12"),
    ("2024-05-03", "2024-05-03", "2024-05-03"),
    ("2024/05/03", "2024-05-03", "2024-05-03"),
    ("05/03/2024", "2024-05-03", "2024-05-03"),
    ("13/05/2024", "2024-05-13", "2024-05-13"),
    ("13.05.2024", "2024-05-13", "2024-05-13"),
    ("29 February 2024", "2024-02-29", "2024-02-29"),
    # Months.
    ("in May 2023", "2023-05-01", "2023-05-31"),
    ("May of 2023", "2023-05-01", "2023-05-31"),
    ("february 2024", "2024-02-01", "2024-02-29"),
    ("Dec 2023", "2023-12-01", "2023-12-31"),
    ("in April", "2026-04-01", "2026-04-30"),
    ("in may", "2026-05-01", "2026-05-13"),
    ("in March", "2026-03-01", "2026-03-31"),
    ("in late April", "2026-04-01", "2026-04-30"),
    ("in June", "2025-06-01", "2025-06-30"),
    ("during september", "2025-09-01", "2025-09-30"),
    ("last May", "2025-05-01", "2025-05-31"),
    ("last april", "2026-04-01", "2026-04-30"),
    ("this April", "2026-04-01", "2026-04-30"),
    # Years.
    ("in 2023", "2023-01-01", "2023-12-31"),
    ("in the year 2023", "2023-01-01", "2023-12-31"),
    ("from 2023", "2023-01-01", "2023-12-31"),
    ("in 2026", "2026-01-01", "2026-05-13"),
    ("in 2000", "2000-01-01", "2000-12-31"),
    # Seasons.
    ("spring 2024", "2024-03-01", "2024-05-31"),
    ("in the summer of 2022", "2022-06-01", "2022-08-31"),
    ("fall 2023", "2023-09-01", "2023-11-30"),
    ("autumn, 2023", "2023-09-01", "2023-11-30"),
    ("winter 2022", "2022-12-01", "2023-02-28"),
    # From one date to another.
    ("between May 3 and May 10", "2026-05-03", "2026-05-10"),
    ("from 3 March to 5 April 2024", "2024-03-03", "2024-04-05"),
    ("May 2023 - July 2023", "2023-05-01", "2023-07-31"),
    ("between 2020 and 2022", "2020-01-01", "2022-12-31"),
    ("from 2020 to 2022", "2020-01-01", "2022-12-31"),
    ("between May 2023 and July 2023", "2023-05-01", "2023-07-31"),
    # A relative word that is relative to a date.
    ("in the last three days of March 2021", "2021-03-01", "2021-03-31"),
    ("the last week of June 2021", "2021-06-01", "2021-06-30"),
    ("May 3, 2023 and May 5, 2023", "2023-05-03", "2023-05-03"),
]


@pytest.mark.parametrize(("expression", "start", "end"), DATES)
def test_a_date_is_its_days(expression: str, start: str, end: str) -> None:
    for query in (expression, f"What did Ida do {expression}?", f'"{expression}"'):
        found = reference(query)

        assert found.span == days(start, end)
        assert not found.relative


@pytest.mark.parametrize("expression", ["in May 2023", "2024-05-03", "on the 5th of November", "in the summer of 2022"])
def test_the_place_of_a_date_is_told(expression: str) -> None:
    query = f"Stra\u00dfe, \u0130stanbul: what was it {expression}, Ida?"
    start, end = reference(query).text

    assert query[start:end] == expression


@pytest.mark.parametrize("expression", ["yesterday", "last week", "in the last 3 weeks", "2 days ago", "last summer"])
def test_the_place_of_a_relative_time_is_told(expression: str) -> None:
    query = f"\u0130ki \ufb01sh {expression.upper()}?"
    found = reference(query)

    assert query[slice(*found.text)] == expression.upper()
    assert found.relative


@pytest.mark.parametrize(
    ("expression", "start", "end"),
    [
        ("last summer", "2025-06-01", "2025-08-31"),
        ("last winter", "2025-12-01", "2026-02-28"),
        ("last spring", "2025-03-01", "2025-05-31"),
        ("past fall", "2025-09-01", "2025-11-30"),
        ("this spring", "2026-03-01", "2026-05-13"),
        ("day before yesterday", "2026-05-11", "2026-05-11"),
        ("the day before yesterday", "2026-05-11", "2026-05-11"),
        ("this morning", "2026-05-13", "2026-05-13"),
    ],
)
def test_seasons_and_parts_of_days_are_relative(expression: str, start: str, end: str) -> None:
    found = reference(f"What did Ida do {expression}?")

    assert found.span == days(start, end)
    assert found.relative


@pytest.mark.parametrize(
    ("now", "expression", "start", "end"),
    [
        ("2026-01-15", "last winter", "2024-12-01", "2025-02-28"),
        ("2026-01-15", "this winter", "2025-12-01", "2026-01-15"),
        ("2026-12-15", "this winter", "2026-12-01", "2026-12-15"),
        ("2026-02-28", "last winter", "2024-12-01", "2025-02-28"),
        ("2026-03-01", "last winter", "2025-12-01", "2026-02-28"),
        ("2026-09-01", "last summer", "2026-06-01", "2026-08-31"),
        ("2026-06-01", "in may", "2026-05-01", "2026-05-31"),
        ("2026-04-30", "in may", "2025-05-01", "2025-05-31"),
        ("2027-01-01", "December 31st", "2026-12-31", "2026-12-31"),
    ],
)
def test_the_most_recent_time_counts(now: str, expression: str, start: str, end: str) -> None:
    assert reference(expression, at(now)).span == days(start, end)


def test_last_night_is_the_evening_and_the_night() -> None:
    assert reference("What did we say last night?").span == Span(at("2026-05-12T18:00"), at("2026-05-13T06:00"))


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ("since May 2023", "2023-05-01"),
        ("since 2023", "2023-01-01"),
        ("since September", "2025-09-01"),
        ("since yesterday", "2026-05-12"),
        ("since last week", "2026-05-04"),
        ("after 2023", "2024-01-01"),
        ("after 3 May", "2026-05-04"),
    ],
)
def test_since_and_after_last_until_now(query: str, start: str) -> None:
    assert reference(f"What has happened {query}?").span == Span(at(start), WEDNESDAY)


NO_TIME = """
may I come in?
May I ask something?
it may be true
it may 2023 be?
They march to the sea
march to the beat
the march of 1000 men
A march. 5 of them
March on Washington
March 5 miles
chapter 12 march of the ants
He sat down
sun and moon
the second of them
the third of five
Will he come?
Where does Will live?
the may flower
the Mayflower
because of May
since May left
What did April say?
What did June cook?
Where does August live?
after June arrived
a letter from June
April's birthday
in April's room
in June Smith's kitchen
Did April 3 times call?
12 August Street
Jan told me
Mar del Plata
Augusta
Marchand
junebug
What is Summer's job?
the last summer dress
fall in love
I fall asleep
the spring is broken
in the spring of the mattress
may 3 people join?
May 3 people join?
Of the 3 may I choose one?
how may 2 of us help
room 12
room 2023
version 3.1
v2024.05.03
2024-05-03-backup
order 2024-0077
call 2024-05
ticket 2024/77
192.168.1.12
+49 2023 1234
iPhone 15
Blade Runner 2049
1984 by Orwell
Is 2001 a space odyssey?
flight LH 2023
2024
2024 units
$2024
1999 dollars
Summarise in 2000 words
in 1900 characters
5 people
top 10
24/7
42
3/4
05/03
1/2 cup of sugar
05.03.2024
at 9
at 5 pm
12:30
at the age of 12
the 5th element
now
in a minute
in a second
in 3 days
in 1 billion years
tomorrow
next week
next May
in 2031
May 2031
this June
this summer
on Monday
last time
The last of them
the day
this is it
past tense
Feb 30
30 February 2024
31 April
0 May
99/99/2024
2024-13-01
before May 2023
until 2020
by 3 May
between July and September 2021
from April to June 2023
the last weekend before February 2nd
in the last two weeks of school
This week-old puppy
What is between April and June?
between 2020 and Ida
""".strip().splitlines()


@pytest.mark.parametrize("query", NO_TIME)
def test_what_only_looks_like_a_time_is_none(query: str) -> None:
    assert time_reference(query, WEDNESDAY) is None


def test_a_date_of_a_page_is_looked_for_at_its_beginning() -> None:
    assert time_reference("x" * 2_000 + " in May 2023", WEDNESDAY) is None
    assert time_reference("In May 2023 " + "x" * 100_000, WEDNESDAY)


def test_a_year_beyond_all_calendars_is_none() -> None:
    last_year = datetime(9999, 12, 31, 12, tzinfo=UTC)

    assert time_reference("in 9999", last_year) is None
    assert time_reference("December 9999", last_year) is None
    assert time_reference("in May", datetime(1, 1, 1, tzinfo=UTC)) is None
