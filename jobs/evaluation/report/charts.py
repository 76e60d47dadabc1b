"""The geometry of the charts, in pixels from the upper left corner; the page's template draws them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jobs.evaluation.intervals import Interval
from jobs.evaluation.metrics import CUTOFFS, DEPTH
from jobs.evaluation.results import ConfigurationResult

# The page has this many colours; further lines reuse them with dashes.
COLOURS = 8
DASHES = 4
NAME_CHARACTERS = 40
PERCENT_TICKS = (0, 20, 40, 60, 80, 100)
MOST_TICKS = 6


class Tick(NamedTuple):
    """A grid line and its label."""

    at: float
    label: str


class Mark(NamedTuple):
    """A point of a line, and its tooltip."""

    x: float
    y: float
    says: str


@dataclass(frozen=True)
class Area:
    """The plot area inside the axes, which are at its left and at its bottom."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def x(self, share: float) -> float:
        """Return the pixel of a share (0 to 1) of the width."""
        return round(self.left + share * (self.right - self.left), 1)

    def y(self, share: float) -> float:
        """Return the pixel of a share (0 to 1) of the height, measured from the bottom."""
        return round(self.bottom - share * (self.bottom - self.top), 1)


@dataclass(frozen=True)
class Line:
    """The line of one configuration. `colour` and `dash`: indices from 0."""

    name: str
    colour: int
    dash: int
    path: str
    marks: list[Mark]


@dataclass(frozen=True)
class LineChart:
    """Lines over a shared grid."""

    area: Area
    columns: list[Tick]
    rows: list[Tick]
    lines: list[Line]


@dataclass(frozen=True)
class Bar:
    """The bar of one configuration with its error bar; its name is above it, its value to its right."""

    name: str
    full_name: str
    first: bool
    y: float
    end: float
    low: float
    high: float
    figure: str


@dataclass(frozen=True)
class BarChart:
    """A panel with a bar for each configuration."""

    title: str
    area: Area
    columns: list[Tick]
    bars: list[Bar]


@dataclass(frozen=True)
class Box:
    """The latencies of one configuration: percentiles 5, 25, 50, 75 and 95, in pixels."""

    name: str
    full_name: str
    first: bool
    y: float
    spread: list[float]
    figure: str


@dataclass(frozen=True)
class BoxChart:
    """A box for each configuration."""

    area: Area
    columns: list[Tick]
    boxes: list[Box]


# Rows of a chart with one row for each configuration: the name, and the bar below.
ROW = 40
HEADROOM = 8
AXIS = 26


def recall_chart(results: Sequence[ConfigurationResult]) -> LineChart:
    """Return recall among the first 1 to 20, with a line for each configuration."""
    area = Area(width=720, height=340, left=44, right=704, top=12, bottom=300)
    return LineChart(
        area,
        columns=[Tick(area.x((k - 1) / (DEPTH - 1)), str(k)) for k in (1, 5, 10, 15, DEPTH)],
        rows=[Tick(area.y(percent / 100), str(percent)) for percent in PERCENT_TICKS],
        lines=[_line(area, number, each) for number, each in enumerate(results)],
    )


def _line(area: Area, number: int, result: ConfigurationResult) -> Line:
    points = [
        (area.x((k - 1) / (DEPTH - 1)), area.y(percent / 100)) for k, percent in enumerate(result.recall_curve, start=1)
    ]
    marks = [Mark(*points[k - 1], f"{result.name}, recall@{k}: {result.recall_curve[k - 1]:.1f} %") for k in CUTOFFS]
    path = " ".join(f"{x},{y}" for x, y in points)
    return Line(result.name, number % COLOURS, (number + number // COLOURS) % DASHES, path, marks)


def bar_chart(title: str, figures: Sequence[tuple[str, Interval]]) -> BarChart:
    """Return a panel of percentages. `figures`: the name of each configuration and its value."""
    area = _rows(width=340, count=len(figures), room_for_figure=58)
    return BarChart(
        title,
        area,
        columns=[Tick(area.x(percent / 100), str(percent)) for percent in PERCENT_TICKS],
        bars=[
            Bar(
                name=shortened(name),
                full_name=name,
                first=number == 0,
                y=HEADROOM + number * ROW,
                end=area.x(figure.value / 100),
                low=area.x(figure.low / 100),
                high=area.x(figure.high / 100),
                figure=f"{figure.value:.1f}",
            )
            for number, (name, figure) in enumerate(figures)
        ],
    )


def latency_chart(results: Sequence[ConfigurationResult]) -> BoxChart:
    """Return the latencies of searches, with a box for each configuration."""
    area = _rows(width=720, count=len(results), room_for_figure=80)
    steps = rounded_steps(max(each.latency_spread_ms[-1] for each in results))
    most = steps[-1]
    return BoxChart(
        area,
        columns=[Tick(area.x(step / most), f"{step:g}") for step in steps],
        boxes=[
            Box(
                name=shortened(each.name),
                full_name=each.name,
                first=number == 0,
                y=HEADROOM + number * ROW,
                spread=[area.x(milliseconds / most) for milliseconds in each.latency_spread_ms],
                figure=f"{each.latency_ms['p50'].value:.1f} ms",
            )
            for number, each in enumerate(results)
        ],
    )


def _rows(width: int, count: int, room_for_figure: int) -> Area:
    bottom = HEADROOM + count * ROW
    return Area(width, bottom + AXIS, left=8, right=width - room_for_figure, top=HEADROOM, bottom=bottom)


def shortened(name: str) -> str:
    """Return a name that fits above its bar."""
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…"


def rounded_steps(most: float) -> list[float]:
    """Return at most seven round numbers at equal distances, from 0 to at least `most`, which is above 0."""
    rough = most / MOST_TICKS
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    return [round(number * step, 10) for number in range(math.ceil(most / step) + 1)]
