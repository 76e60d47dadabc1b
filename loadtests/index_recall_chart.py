"""The chart of `loadtests.index_recall`: a self-contained SVG for light and dark pages."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from loadtests.index_recall_ways import MEASURED, WALKED, Figures

WIDTH, HEIGHT = 900, 430
TOP, BOTTOM = 118, 368
# Lower ends of the recall axis: the highest that shows all points is used.
FLOORS = (99, 98, 95, 90, 80, 50, 0)
STEPS = 5
# The width of a digit, with a margin.
DIGIT = 7.2

STYLE = """
  .page { fill: #fcfcfb } .frame { stroke: #b5b4ad } .grid { stroke: #e4e3de }
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #52514e }
  .title { font-size: 15px; font-weight: 600; fill: #0b0b0b } .label { font-weight: 600; fill: #0b0b0b }
  .limit { stroke: #7a7972; stroke-dasharray: 2 3 } path { fill: none; stroke-width: 2; stroke-linejoin: round }
  .ring { stroke: #fcfcfb; stroke-width: 2 } path.rest { stroke-dasharray: 6 4 }
  path.exact { stroke: #eb6834 } circle.exact { fill: #eb6834 }
  path.hnsw { stroke: #2a78d6 } circle.hnsw { fill: #2a78d6 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #1a1a19 } .frame { stroke: #5c5b56 } .grid { stroke: #34342f } text { fill: #c3c2b7 }
    .title, .label { fill: #ffffff } .limit { stroke: #9b9a92 } .ring { stroke: #1a1a19 }
    path.exact { stroke: #d95926 } circle.exact { fill: #d95926 }
    path.hnsw { stroke: #3987e5 } circle.hnsw { fill: #3987e5 }
  }
"""


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels: `low` and `high` are at the pixels `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = True

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        turned: Callable[[float], float] = math.log10 if self.logarithmic else float
        share = (turned(value) - turned(self.low)) / (turned(self.high) - turned(self.low))
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Line:
    """Points in the units of the axes. `kind`: CSS classes."""

    kind: str
    points: list[tuple[float, float]]
    unit: str


@dataclass(frozen=True)
class Panel:
    """One of the chart's two panels."""

    title: str
    x: Scale
    y: Scale
    rows: list[tuple[float, str]]
    lines: list[Line]


def draw(figures: Sequence[Figures], limit: int, exact_limit: int) -> str:
    """Return the chart of a growing tenant: recall and cost of each search plan, by the tenant's size."""
    panels = [_recall(figures), _costs(figures)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>Recall of the HNSW way against exact search, and the cost of both, by the size of the tenant</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        *(part for panel in panels for part in _panel(panel, exact_limit)),
        *_legend(limit),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _recall(figures: Sequence[Figures]) -> Panel:
    walked = [each for each in figures if each.way == WALKED.name]
    lines = [
        Line("hnsw", [(each.rows, 100 * each.recall_10) for each in walked], "%"),
        Line("hnsw rest", [(each.rows, 100 * each.recall) for each in walked], "%"),
    ]
    least = min(value for line in lines for _, value in line.points)
    floor = next(floor for floor in FLOORS if floor <= least)
    steps = [floor + (100 - floor) * step / STEPS for step in range(STEPS + 1)]
    y = Scale(floor, 100, BOTTOM, TOP, logarithmic=False)
    title = "What HNSW finds of what exact search finds, %"
    return Panel(title, _sizes(figures, 60, 430), y, [(step, f"{step:g}") for step in steps], lines)


def _costs(figures: Sequence[Figures]) -> Panel:
    lines = []
    for kind, way in (("exact", MEASURED.name), ("hnsw", WALKED.name)):
        taken = [each for each in figures if each.way == way]
        lines.append(Line(kind, [(each.rows, each.words_p50_ms) for each in taken], "ms"))
        lines.append(Line(f"{kind} rest", [(each.rows, each.p50_ms) for each in taken], "ms"))
    values = [value for line in lines for _, value in line.points]
    ticks = [factor * 10**power for power in range(-2, 6) for factor in (1, 2, 5)]
    low = max(tick for tick in ticks if tick <= min(values))
    high = min(tick for tick in ticks if tick > max(values))
    rows = [(tick, f"{tick:g}") for tick in ticks if low <= tick <= high]
    return Panel(
        "Median of a search in the database, ms", _sizes(figures, 510, 880), Scale(low, high, BOTTOM, TOP), rows, lines
    )


def _sizes(figures: Sequence[Figures], start: float, end: float) -> Scale:
    """Return the axis of the tenant's sizes, with a margin at both ends, also for a single size."""
    sizes = [each.rows for each in figures]
    return Scale(min(sizes) * 0.8, max(sizes) * 1.25, start, end)


def _panel(panel: Panel, exact_limit: int) -> Iterator[str]:
    left, right = panel.x.start, panel.x.end
    yield f'<text class="title" x="{left - 30}" y="32">{escape(panel.title)}</text>'
    for value, label in panel.rows:
        y = panel.y(value)
        yield f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{label}</text>'
    yield f'<line class="frame" x1="{left}" x2="{right}" y1="{BOTTOM}" y2="{BOTTOM}"/>'
    yield from _size_labels(panel)
    yield f'<text x="{(left + right) / 2}" y="{BOTTOM + 44}" text-anchor="middle">messages of the tenant</text>'
    if panel.x.low <= exact_limit <= panel.x.high:
        yield from _limit(panel.x(exact_limit), exact_limit)
    for line in panel.lines:
        yield from _line(panel, line)


def _size_labels(panel: Panel) -> Iterator[str]:
    """Yield the labels of the sizes. Where two would overlap, only the larger size has one."""
    free_up_to = math.inf
    for size in sorted({size for line in panel.lines for size, _ in line.points}, reverse=True):
        label, x = f"{size:,}", panel.x(size)
        if x + len(label) * DIGIT / 2 < free_up_to:
            free_up_to = x - len(label) * DIGIT / 2
            yield f'<text x="{x}" y="{BOTTOM + 20}" text-anchor="middle">{label}</text>'


def _limit(x: float, exact_limit: int) -> Iterator[str]:
    yield f'<line class="limit" x1="{x}" x2="{x}" y1="{TOP - 14}" y2="{BOTTOM}"/>'
    yield f'<text x="{x}" y="{TOP - 20}" text-anchor="middle">exact up to {exact_limit:,}</text>'


def _line(panel: Panel, line: Line) -> Iterator[str]:
    points = [(panel.x(size), panel.y(value)) for size, value in line.points]
    yield f'<path class="{line.kind}" d="M {" L ".join(f"{x} {y}" for x, y in points)}"/>'
    for (x, y), (size, value) in zip(points, line.points, strict=True):
        says = f"{size:,} messages: {value:.3g} {line.unit}"
        yield f'<circle class="{line.kind} ring" cx="{x}" cy="{y}" r="5"><title>{says}</title></circle>'


def _legend(limit: int) -> Iterator[str]:
    """Yield the legend above each panel."""
    entries = [
        (30, "hnsw", "of the 10 closest"),
        (190, "hnsw rest", f"of all {limit}"),
        (480, "exact", "exact"),
        (570, "hnsw", "HNSW"),
        (660, "exact rest", ""),
        (690, "hnsw rest", "by vector alone, no words"),
    ]
    for x, kind, label in entries:
        yield f'<path class="{kind}" d="M {x} 58 h 24"/>'
        yield f'<text x="{x + 31}" y="62">{escape(label)}</text>'
