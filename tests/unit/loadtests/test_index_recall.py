"""What `loadtests.index_recall` stores and asks, and what it draws and says of the figures."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from jobs.evaluation.errors import EvaluationInputError
from loadtests.index_recall import Measured, main, table
from loadtests.index_recall_chart import Scale, draw
from loadtests.index_recall_memory import dealt, other_tenants
from loadtests.index_recall_texts import read_texts
from loadtests.index_recall_ways import MEASURED, WALKED, Figures, Way
from tests.unit.evaluation.samples import message, question, write_lines

SAID = "We went to the lake on Sunday. The water was chilly!\n\nNobody wanted to swim, not even Per.\n\nOk."


def figures(way: Way, rows: int) -> Figures:
    return Figures("grows", rows, way.name, 0.99, 0.97, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


GROWTH = [figures(way, rows) for rows in (1_000, 20_000, 50_000) for way in (MEASURED, WALKED)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [message(1, content=SAID), message(2, content=SAID), message(3, content="A sentence that is alone.")]
    return write_lines(tmp_path / "own.jsonl", *lines, question("m1", question="Who swam?"))


def test_a_message_is_stored_whole_and_in_pieces_none_of_them_twice(data: Path) -> None:
    texts = read_texts(data, stored=6, asked=1, seed=0)

    assert sorted(texts.stored) == sorted(
        [
            SAID,
            "We went to the lake on Sunday. The water was chilly!",
            "We went to the lake on Sunday.",
            "The water was chilly!",
            "Nobody wanted to swim, not even Per.",
            "A sentence that is alone.",
        ]
    )
    assert texts.asked == ["Who swam?"]


def test_what_is_asked_beyond_the_questions_is_not_stored(data: Path) -> None:
    texts = read_texts(data, stored=3, asked=4, seed=0)

    assert texts.asked[0] == "Who swam?"
    assert len(set(texts.asked)) == 4
    assert not set(texts.asked) & set(texts.stored)
    assert texts == read_texts(data, stored=3, asked=4, seed=0)
    assert texts != read_texts(data, stored=3, asked=4, seed=1)


def test_a_file_with_too_few_texts_is_refused_in_one_line(data: Path) -> None:
    with pytest.raises(EvaluationInputError, match=r"own\.jsonl: holds \d different texts, and 100 are needed"):
        read_texts(data, stored=100, asked=1, seed=0)


@pytest.mark.parametrize("rows", [1, 20, 500, 3_000, 50_000])
def test_the_other_tenants_have_so_many_messages_together_some_of_them_few(rows: int) -> None:
    sizes = other_tenants(rows)

    assert sum(sizes.values()) == rows
    assert min(sizes.values()) <= 20
    assert max(sizes.values()) <= 10_000


def test_texts_are_dealt_once() -> None:
    assert dealt(iter("abcde"), {"x": 2, "y": 3}) == {"x": ["a", "b"], "y": ["c", "d", "e"]}


def points_inside(chart: str) -> int:
    """How many points there are, all of them inside of the chart."""
    root = ET.fromstring(chart)  # noqa: S314 - our own
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    points = [each for each in root.iter() if each.tag.endswith("circle")]
    assert all(0 < float(each.attrib["cx"]) < width and 0 < float(each.attrib["cy"]) < height for each in points)
    return len(points)


def test_the_chart_has_every_point_and_marks_the_limit() -> None:
    chart = draw(GROWTH, limit=40, exact_limit=20_000)

    # Two lines of recall and four of costs, at three sizes.
    assert points_inside(chart) == 18
    assert "exact up to 20,000" in chart
    assert "of all 40" in chart


def test_sizes_that_would_stand_in_each_others_way_are_not_all_named() -> None:
    chart = draw([figures(way, rows) for rows in (1_000, 99_000, 100_000) for way in (MEASURED, WALKED)], 40, 20_000)

    assert ">1,000<" in chart
    assert ">100,000<" in chart
    assert ">99,000<" not in chart


def test_the_chart_marks_no_limit_outside_of_it() -> None:
    assert "exact up to" not in draw(GROWTH[:2], limit=40, exact_limit=20_000)


@pytest.mark.parametrize("same", [0.0, 1.0])
def test_the_chart_can_be_drawn_of_one_size_and_of_any_recall(same: float) -> None:
    one = [replace(each, recall=same, recall_10=same, p50_ms=2.0, words_p50_ms=2.0) for each in GROWTH[:2]]

    assert points_inside(draw(one, limit=40, exact_limit=1_000)) == 6


def test_a_scale_is_turned_into_pixels() -> None:
    assert Scale(1, 100, 0, 200)(10) == 100
    assert Scale(0, 100, 300, 100, logarithmic=False)(25) == 250


def test_the_table_has_a_line_for_each_tenant_and_way() -> None:
    other = replace(figures(WALKED, 20), tenant="other-0-of-20", short=1.0)
    measured = Measured(datetime.now(UTC), "own.jsonl", 100, 50_000, 40, 20_000, GROWTH, [other])

    lines = table(measured).splitlines()

    assert lines[0].split()[:5] == ["tenant", "rows", "way", "recall@10", "recall@40"]
    assert lines[2].split() == ["grows", "1,000", "HNSW", "99.0%", "97.0%", "0%", "100%", "2.0", "3.0", "4.0", "5.0"]
    assert lines[7].split()[:2] == ["other-0-of-20", "20"]


def test_ways_have_names_that_tell_them_apart() -> None:
    assert [way.name for way in (MEASURED, WALKED, Way(exact=False, ef_search="40"))] == [
        "exact",
        "HNSW",
        f"HNSW 40:{WALKED.iterative_scan}",
    ]


@pytest.mark.parametrize("option", [["--sizes", "0"], ["--also", "100"], ["--also", "x:off"], ["--also", "9:sideways"]])
def test_options_that_make_no_sense_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data.json", *option])
    assert option[0] in capsys.readouterr().err
