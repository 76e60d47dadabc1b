"""Reports the measurements against the targets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from loadtests.client import Turn, percentile

_ALMOST_NOTHING = 1e-9


@dataclass
class Measurement:
    """One kind of load with a number of callers, and the results of both sides, round by round."""

    kind: str
    callers: int
    requests: Callable[[], Iterator[bytes]]
    messages_per_request: int = 1
    product: list[Turn] = field(default_factory=list)
    floor: list[Turn] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Return the display name."""
        return f"{self.kind} @{self.callers}"

    @property
    def ratios(self) -> list[float]:
        """Return the product's throughput divided by the floor's, for each round."""
        return [rate([p]) / max(rate([f]), _ALMOST_NOTHING) for p, f in zip(self.product, self.floor, strict=True)]

    @property
    def ratio(self) -> float:
        """Return the median of the rounds' ratios: a burst of other load on the machine spoils only one round."""
        return median(self.ratios)


@dataclass(frozen=True)
class Bar:
    """A target that the product must reach."""

    name: str
    value: float
    limit: float
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Return whether the target is reached."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def rate(turns: Sequence[Turn]) -> float:
    """Return accepted requests per second over several turns."""
    return sum(turn.accepted for turn in turns) / max(sum(turn.seconds for turn in turns), _ALMOST_NOTHING)


def bars(measurements: Sequence[Measurement]) -> list[Bar]:
    """Return the issue's targets for what was measured."""
    return [bar for each in measurements for bar in _bars_of(each)]


def _bars_of(each: Measurement) -> list[Bar]:
    match each.title:
        case "search @1":
            ratio = median(
                _p50(p) / max(_p50(f), _ALMOST_NOTHING) for p, f in zip(each.product, each.floor, strict=True)
            )
            return [Bar("search p50 @1, ratio", ratio, 4, at_most=True)]
        case "search @16":
            return [Bar("searches @16, ratio", each.ratio, 0.4)]
        case "search @100":
            return [Bar("searches @100, ratio", each.ratio, 0.6)]
        case "store @16":
            return [Bar("single stores @16, ratio", each.ratio, 0.5)]
        case _:
            return [Bar("batches of 100 @4, messages/s", rate(each.product) * each.messages_per_request, 2000)]


def _p50(turn: Turn) -> float:
    return percentile(turn.latencies, 0.5)


def table(measurements: Sequence[Measurement]) -> str:
    """Return a table of every measurement, with a line for each side."""
    header = (
        f"{'':<13}{'side':<9}{'req/s':>8}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'not 2xx':>9}{'hollow':>8}"
        f"{'client':>8}{'ratio':>7}  rounds"
    )
    lines = [header]
    for each in measurements:
        rounds = " ".join(f"{ratio:.2f}" for ratio in each.ratios)
        lines.append(f"{each.title:<13}{'product':<9}{_line(each.product)}{each.ratio:>7.2f}  {rounds}")
        lines.append(f"{'':<13}{'floor':<9}{_line(each.floor)}")
        if each.messages_per_request > 1:
            product, floor = (rate(side) * each.messages_per_request for side in (each.product, each.floor))
            lines.append(f"{'':<13}messages/s: product {product:,.0f}, floor {floor:,.0f}")
    lines.append("hollow: nothing found, or words alone; client: share of a core that the load client took")
    return "\n".join(lines)


def verdict(judged: Sequence[Bar]) -> str:
    """Return each target, and whether it is reached."""
    return "\n".join(
        f"{'ok  ' if bar.reached else 'MISS'} {bar.name:<32}{bar.value:>10,.2f}   "
        f"{'at most' if bar.at_most else 'at least'} {bar.limit:,}"
        for bar in judged
    )


def as_json(measurements: Sequence[Measurement], judged: Sequence[Bar]) -> dict[str, Any]:
    """Return the measurements and the targets for JSON."""
    return {
        "measurements": [
            {
                "kind": each.kind,
                "callers": each.callers,
                "messages_per_request": each.messages_per_request,
                "product": _figures(each.product),
                "floor": _figures(each.floor),
                "ratio": round(each.ratio, 4),
                "ratios": [round(ratio, 4) for ratio in each.ratios],
            }
            for each in measurements
        ],
        "bars": [
            {
                "name": bar.name,
                "value": round(bar.value, 4),
                "limit": bar.limit,
                "at_most": bar.at_most,
                "reached": bar.reached,
            }
            for bar in judged
        ],
    }


def refusals(measurements: Sequence[Measurement]) -> int:
    """Return the number of the product's answers that were not 2xx."""
    return sum(sum(turn.refused.values()) for each in measurements for turn in each.product)


def _milliseconds(turns: Sequence[Turn], share: float) -> float:
    return percentile([latency for turn in turns for latency in turn.latencies], share) * 1e3


def _line(turns: Sequence[Turn]) -> str:
    p50, p95, p99 = (_milliseconds(turns, share) for share in (0.5, 0.95, 0.99))
    refused = sum(sum(turn.refused.values()) for turn in turns)
    hollow = sum(turn.marked for turn in turns)
    client = fmean(turn.client_cpu_share for turn in turns)
    return f"{rate(turns):>8.0f}{p50:>9.2f}{p95:>9.2f}{p99:>9.2f}{refused:>9}{hollow:>8}{client:>8.0%}"


def _figures(turns: Sequence[Turn]) -> dict[str, Any]:
    statuses: dict[int, int] = {}
    for turn in turns:
        for status, count in turn.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return {
        "requests_per_second": round(rate(turns), 1),
        "p50_ms": round(_milliseconds(turns, 0.5), 3),
        "p95_ms": round(_milliseconds(turns, 0.95), 3),
        "p99_ms": round(_milliseconds(turns, 0.99), 3),
        "statuses": statuses,
        "hollow": sum(turn.marked for turn in turns),
        "client_cpu_share": round(fmean(turn.client_cpu_share for turn in turns), 3),
    }
