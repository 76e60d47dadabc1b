"""The report as one self-contained HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from jobs.evaluation.intervals import Interval
from jobs.evaluation.metrics import METRICS
from jobs.evaluation.report.charts import BarChart, BoxChart, LineChart, bar_chart, latency_chart, recall_chart
from jobs.evaluation.results import ConfigurationResult, DatasetResult, Evaluation, Row

BY_KIND = "recall@10"
MISSED_MOST = 25
TITLES = {**{name: name for name in METRICS}, "mrr": "MRR", "ndcg@10": "NDCG@10"}


@dataclass(frozen=True)
class Section:
    """The data of one dataset. `missed`: the first configuration's worst answers."""

    number: int
    result: DatasetResult
    recall: LineChart
    metrics: list[BarChart]
    kinds: list[BarChart]
    latency: BoxChart
    missed: list[Row]


def render(evaluation: Evaluation) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=PackageLoader("jobs.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=_figure, difference=_difference)
    return environment.get_template("report.html.jinja").render(
        evaluation=evaluation,
        sections=[_section(number, each) for number, each in enumerate(evaluation.datasets, start=1)],
        titles=TITLES,
        by_kind=BY_KIND,
    )


def _section(number: int, result: DatasetResult) -> Section:
    configurations = result.configurations
    return Section(
        number=number,
        result=result,
        recall=recall_chart(configurations),
        metrics=[
            bar_chart(title, [(each.name, each.metrics[metric]) for each in configurations])
            for metric, title in TITLES.items()
        ],
        kinds=[
            bar_chart(f"{kind.name} ({kind.questions})", [_of_kind(each, place) for each in configurations])
            for place, kind in enumerate(configurations[0].kinds)
        ],
        latency=latency_chart(configurations),
        missed=_missed(configurations[0].rows),
    )


def _of_kind(result: ConfigurationResult, place: int) -> tuple[str, Interval]:
    return result.name, result.kinds[place].metrics[BY_KIND]


def _missed(rows: Sequence[Row]) -> list[Row]:
    """Return the questions without an answer among the first 20."""
    return [row for row in rows if row.metrics["recall@20"] == 0][:MISSED_MOST]


def _figure(interval: Interval) -> str:
    return f"{interval.value:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def _difference(interval: Interval) -> str:
    mark = "" if interval.low <= 0 <= interval.high else " *"
    return f"{interval.value:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]{mark}"
