"""The results as text tables."""

from collections.abc import Iterator
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.evaluation.intervals import Interval
from jobs.evaluation.metrics import METRICS
from jobs.evaluation.results import DatasetResult, Evaluation

BY_KIND = "recall@10"
# Without a terminal there is no width to fit into, so lines are not wrapped.
PLAIN_WIDTH = 220


def write_tables(evaluation: Evaluation, stream: TextIO) -> None:
    """Write the tables of every dataset."""
    console = Console(file=stream, highlight=False, width=None if stream.isatty() else PLAIN_WIDTH)
    for dataset in evaluation.datasets:
        for table in _tables(dataset):
            console.print(table)


def _tables(dataset: DatasetResult) -> Iterator[Table]:
    yield _metrics(dataset)
    if len(dataset.configurations) > 1:
        yield _differences(dataset)
    if dataset.configurations[0].kinds:
        yield _by_kind(dataset)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("configuration")
    for column in columns:
        table.add_column(Text(column), justify="right")
    return table


def _metrics(dataset: DatasetResult) -> Table:
    title = (
        f"{dataset.name} ({dataset.format}): questions {dataset.questions:,}, messages {dataset.messages:,}, "
        f"tenants {dataset.tenants:,}. Percent and ms, with 95 % confidence intervals"
    )
    table = _table(title, *METRICS, "p50 ms", "p95 ms")
    for each in dataset.configurations:
        table.add_row(Text(each.name), *map(_cell, [*each.metrics.values(), *each.latency_ms.values()]))
    return table


def _differences(dataset: DatasetResult) -> Table:
    first, *others = dataset.configurations
    table = _table(f"Difference to {first.name}, question by question. * where the interval leaves 0 out", *METRICS)
    for each in others:
        table.add_row(Text(each.name), *map(_difference, (each.differences or {}).values()))
    return table


def _by_kind(dataset: DatasetResult) -> Table:
    kinds = dataset.configurations[0].kinds
    table = _table(f"{BY_KIND} by kind", *(f"{kind.name} ({kind.questions})" for kind in kinds))
    for each in dataset.configurations:
        table.add_row(Text(each.name), *(_cell(kind.metrics[BY_KIND]) for kind in each.kinds))
    return table


def _cell(figure: Interval) -> Text:
    return Text(f"{figure.value:.1f} [{figure.low:.1f}, {figure.high:.1f}]")


def _difference(figure: Interval) -> Text:
    mark = " " if figure.low <= 0 <= figure.high else "*"
    return Text(f"{figure.value:+.1f} [{figure.low:+.1f}, {figure.high:+.1f}]{mark}")
