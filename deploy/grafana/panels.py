"""Builders of the dashboard's panels."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

Panels = Sequence[timeseries.Panel | stat.Panel]

# The Prometheus that is selected at the top of the dashboard.
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

# In columns, of 24 per row.
WIDTH, NUMBER_WIDTH = 8, 3
HEIGHT, NUMBER_HEIGHT = 7, 4


@dataclass(frozen=True)
class Query:
    """A PromQL expression and its legend, which may contain labels: `{{endpoint}}`."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Limit:
    """From `value` on the panel uses `color`: a dashed line in a chart, or the color of the number."""

    value: float
    color: str = "red"


def lines(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    limits: Sequence[Limit] = (),
    stacked: bool = False,
    most: float | None = None,
) -> timeseries.Panel:
    """Return a panel of time series. `about`: its description; `unit`: Grafana's name of the unit."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .height(HEIGHT)
        .span(WIDTH)
        .line_width(1)
        .fill_opacity(25 if stacked else 8)
        .stacking(options.StackingConfig().mode(StackingMode.NORMAL if stacked else StackingMode.NONE))
        .legend(
            options.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        .tooltip(options.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .thresholds(_thresholds(limits))
    )
    if limits:
        # The axis reaches 20 % above the highest limit, so that values far below it look far below.
        panel.axis_soft_max(1.2 * max(limit.value for limit in limits))
        panel.thresholds_style(options.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    if most is not None:
        panel.max(most)
    for query in queries:
        panel.with_target(_target(query))
    return panel


def number(title: str, about: str, unit: str, expression: str, *, limits: Sequence[Limit] = ()) -> stat.Panel:
    """Return a panel with the current value of one number over its history."""
    return (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .unit(unit)
        .height(NUMBER_HEIGHT)
        .span(NUMBER_WIDTH)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(limits))
        .with_target(_target(Query(expression)))
    )


def _target(query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expression).legend_format(query.legend).range().datasource(DATASOURCE)


def _thresholds(limits: Sequence[Limit]) -> builders.ThresholdsConfig:
    steps = [Threshold(None, "green"), *(Threshold(limit.value, limit.color) for limit in limits)]
    return builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
