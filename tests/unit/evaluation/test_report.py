"""The report: JSON with everything in it, and one HTML file that needs nothing else and lets nothing in."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest

from jobs.evaluation.asking import Answer
from jobs.evaluation.dataset import Question
from jobs.evaluation.errors import EvaluationInputError
from jobs.evaluation.report.charts import NAME_CHARACTERS, bar_chart, recall_chart, rounded_steps
from jobs.evaluation.report.page import render
from jobs.evaluation.report.writing import make_directory, write_report
from jobs.evaluation.results import ConfigurationUsed, DatasetResult, Evaluation, Labelled, compare
from jobs.evaluation.table import write_tables

MALICE = "<script>alert('gone')</script>"
NAMES = ["default", "words & more", "<b>bold</b>"]


def evaluation(names: list[str] = NAMES, kinds: tuple[str | None, ...] = ("temporal", None)) -> Evaluation:
    asked = [Labelled("t", Question(f"{MALICE} {n}", frozenset({f"m{n}"}), kinds[n % len(kinds)])) for n in range(6)]
    answers = [
        [Answer(["m0", "m2", f"m{(n + place) % 6}"] if n else [], 1.0 + n + place) for n in range(6)]
        for place in range(len(names))
    ]
    results = compare(names, asked, answers, seed=0)
    return Evaluation(
        version="1.2.3",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        seconds=1.5,
        source="in process",
        seed=0,
        resamples=2000,
        confidence_percent=95,
        configurations=[ConfigurationUsed(name, {"words": 0.5}, {"search": {"language": MALICE}}) for name in names],
        datasets=[DatasetResult("mine", "JSON Lines", 1, 10, 6, results)],
    )


class Page(HTMLParser):
    """Checks that what is opened is closed, and keeps the text and the attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [str(value) for name, value in attrs if name == "id"]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_holds_every_configuration_and_is_well_formed() -> None:
    page = Page(render(evaluation()))
    text = " ".join(page.text)

    assert all(name in text for name in NAMES)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") >= 6 + 1 + 1 + 1
    assert {"title", "desc", "table"} <= set(page.tags)


def test_the_page_reaches_for_nothing_outside() -> None:
    text = render(evaluation())

    assert not re.search(r"https?:|//\w|@import|url\(|<link|<img|<iframe|\ssrc=", text)


def test_nothing_that_was_given_becomes_part_of_the_page() -> None:
    text = render(evaluation(names=[MALICE, '" onload="x']))

    assert "<script" not in text
    assert 'onload="' not in text
    assert "&lt;script&gt;alert(&#39;gone&#39;)&lt;/script&gt; 0" in text


def test_one_configuration_without_kinds_makes_a_page_too() -> None:
    text = render(evaluation(names=["alone"], kinds=(None,)))

    assert "Differences" not in text
    assert "by kind" not in text
    Page(text)


def test_the_json_holds_figures_intervals_and_rows(tmp_path: Path) -> None:
    paths = write_report(evaluation(), make_directory(tmp_path / "deep" / "out"))
    found = json.loads(paths[0].read_text())
    first, second, _ = found["datasets"][0]["configurations"]

    assert [path.name for path in paths] == ["results.json", "report.html"]
    assert set(first["metrics"]["recall@10"]) == {"value", "low", "high"}
    assert first["differences"] is None
    assert set(second["differences"]) == set(first["metrics"])
    assert first["kinds"][0] | {"metrics": None} == {"name": "temporal", "questions": 3, "metrics": None}
    assert first["rows"][1]["ranked"] == ["m0", "m2", "m1"]
    assert first["rows"][1]["metrics"]["mrr"] == pytest.approx(100 / 3)
    assert len(first["recall_curve"]) == 20
    assert found["version"] == "1.2.3"


def test_a_directory_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(EvaluationInputError, match="--out: cannot write"):
        make_directory(tmp_path / "file" / "out")


def test_the_tables_show_every_configuration_and_mark_what_differs() -> None:
    stream = StringIO()
    write_tables(evaluation(), stream)
    text = stream.getvalue()

    assert all(name in text for name in NAMES)
    assert "Difference to default" in text
    assert "temporal (3)" in text
    assert max(len(line) for line in text.splitlines()) <= 220


def test_lines_keep_apart_where_the_colours_begin_anew() -> None:
    result = evaluation(names=[str(n) for n in range(20)]).datasets[0].configurations

    lines = recall_chart(result).lines

    assert len({(line.colour, line.dash) for line in lines}) == len(lines)


def test_a_long_name_is_shortened_in_charts() -> None:
    result = evaluation(names=["x" * 100]).datasets[0].configurations

    (bar,) = bar_chart("MRR", [(each.name, each.metrics["mrr"]) for each in result]).bars

    assert len(bar.name) == NAME_CHARACTERS
    assert bar.full_name == "x" * 100


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (4.6, [0, 1, 2, 3, 4, 5]),
        (60, [0, 10, 20, 30, 40, 50, 60]),
        (0.011, [0, 0.002, 0.004, 0.006, 0.008, 0.01, 0.012]),
    ],
)
def test_an_axis_has_round_steps(most: float, expected: list[float]) -> None:
    assert rounded_steps(most) == pytest.approx(expected)


def test_settings_and_weights_are_shown() -> None:
    used = " ".join(Page(render(evaluation())).text)

    assert "words = 0.5" in used
    assert "search.language" in used
