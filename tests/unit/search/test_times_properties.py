"""What holds for a time in any text, at any time, in any language."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from time import thread_time
from zoneinfo import ZoneInfo

import pytest
from dateparser.data.languages_info import language_order
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.analysis.times import Span, TimeReference, time_reference
from deployments.analysis.times.folding import fold

MAY_3 = Span(datetime(2024, 5, 3, tzinfo=UTC), datetime(2024, 5, 4, tzinfo=UTC))
NOW = datetime(2026, 5, 13, 15, 30, tzinfo=UTC)
LANGUAGES = ["en", "de", "fr", "es", "pt", "it", "ru", "tr", "ar", "hi", "zh", "ja", "ko", "th", "simple", "", "xx"]
# ruff: noqa: SIM905 - a list of 80 short words reads worse
WORDS = """
in on the of last this since before between and to May may April 3 30 31 2023 2024 9999 0 1900 2000 3rd ago days week
yesterday summer 2024-05-03 5/3/2024 13.5.2024 vor Wochen Mai letzte hace dos semanas mayo назад мая geçen hafta الماضي
الأسبوع मई पिछले 上 上周 月 5月 3日 前 年 2023年 先週 の 月曜日 지난 월요일 전 ที่แล้ว วัน เดือน , . - / ' \u0130 \u00df
""".split()

clocks = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), ZoneInfo("Europe/Berlin")]))
sentences = st.lists(st.sampled_from(WORDS), max_size=12).flatmap(
    lambda words: st.sampled_from([" ", ""]).map(lambda space: space.join(words))
)


def holds(found: TimeReference | None, query: str, now: datetime) -> bool:
    if found is None:
        return True
    (start, end), (begin, stop) = found.span, found.text
    in_the_past = start < end and start <= now and end - now <= timedelta(days=1)
    return in_the_past and 0 <= begin < stop <= len(query) and start.tzinfo == end.tzinfo == now.tzinfo


@settings(max_examples=300, deadline=None)
@given(query=st.text() | sentences, now=clocks, language=st.sampled_from(LANGUAGES))
def test_a_time_is_past_and_inside_of_the_query(query: str, now: datetime, language: str) -> None:
    assert holds(time_reference(query, now, language), query, now)


@settings(max_examples=500, deadline=None)
@given(query=sentences, language=st.sampled_from(LANGUAGES))
def test_words_for_times_in_any_order_break_nothing(query: str, language: str) -> None:
    assert holds(time_reference(query, NOW, language), query, NOW)


@pytest.mark.parametrize("language", language_order)
def test_every_language_of_dateparser_has_its_tables(language: str) -> None:
    for query in ("May I come in?", "What does Ida like?", "an important second", "the last of them", "room 12"):
        assert time_reference(query, NOW, language) is None
    assert time_reference("2024-05-03", NOW, language) == TimeReference(MAY_3, False, (0, 10))
    assert time_reference("yesterday", NOW, language)


@given(text=st.text())
def test_folding_keeps_every_place(text: str) -> None:
    assert len(fold(text)) == len(text)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "unit", ["a ", "1", "1 ", "May ", "the 3 ", "in the ", "5 of ,   ", "3日", "2023年", " ", "-", "vor 3 "]
)
def test_a_query_of_a_whole_page_takes_no_time(unit: str, language: str) -> None:
    page = (unit * 100_000)[:100_000]
    time_reference("1", NOW, language)
    started = thread_time()

    time_reference(page, NOW, language)

    # 10 ms where nothing else runs.
    assert thread_time() - started < 1


def test_threads_share_a_language() -> None:
    with ThreadPoolExecutor(8) as threads:
        asked = [("nl", "gisteren"), ("pl", "wczoraj"), ("sv", "igår"), ("en", "yesterday")] * 20
        found = list(threads.map(lambda query: time_reference(query[1], NOW, query[0]), asked))

    assert len({reference.span for reference in found if reference}) == 1
    assert None not in found
