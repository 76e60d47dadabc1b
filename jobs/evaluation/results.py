"""The results of an evaluation: values with their confidence intervals, ready for JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np

from jobs.evaluation.asking import Answer
from jobs.evaluation.dataset import Question
from jobs.evaluation.intervals import Interval, Values, means, percentiles
from jobs.evaluation.metrics import DEPTH, METRICS, measure, recall

PERCENTILES = (50, 95)
# Percentiles of the latency distribution.
SPREAD = (5, 25, 50, 75, 95)
PERCENT = 100

Figures: TypeAlias = Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Row:
    """One question under one configuration. Metrics are in percent, as everywhere in the results."""

    tenant: str
    question: str
    kind: str | None
    answers: list[str]
    ranked: list[str]
    milliseconds: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """The results of one category of questions."""

    name: str
    questions: int
    metrics: Figures


@dataclass(frozen=True, slots=True)
class ConfigurationResult:
    """The results of one configuration on one dataset.

    `differences`: paired differences to the first configuration; none for itself. `latency_ms`: p50 and p95.
    `latency_spread_ms`: percentiles 5, 25, 50, 75 and 95. `recall_curve`: percent among the first 1 to 20.
    """

    name: str
    metrics: Figures
    differences: Figures | None
    latency_ms: Figures
    latency_spread_ms: list[float]
    recall_curve: list[float]
    kinds: list[Kind]
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class DatasetResult:
    """All configurations on one dataset. The first one is the baseline."""

    name: str
    format: str
    tenants: int
    messages: int
    questions: int
    configurations: list[ConfigurationResult]


@dataclass(frozen=True, slots=True)
class ConfigurationUsed:
    """The weights and the settings of a configuration, without secrets."""

    name: str
    weights: Mapping[str, object]
    settings: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation. `source`: the service's URL, or "in process". `seed`: of the bootstrap and of `--questions`."""

    version: str
    started_at: datetime
    seconds: float
    source: str
    seed: int
    resamples: int
    confidence_percent: int
    configurations: list[ConfigurationUsed]
    datasets: list[DatasetResult]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question with the name of its tenant."""

    tenant: str
    question: Question


def compare(
    names: Sequence[str], asked: Sequence[Labelled], answers: Sequence[Sequence[Answer]], seed: int
) -> list[ConfigurationResult]:
    """Return the results of one dataset. `answers`: for each configuration, in the order of the questions."""
    measured = [_measured(asked, each) for each in answers]
    return [
        ConfigurationResult(
            name=name,
            metrics=_figures(values, seed),
            differences=None if values is measured[0] else _figures(values - measured[0], seed),
            latency_ms=_latency(given, seed),
            latency_spread_ms=_spread(given),
            recall_curve=_curve(asked, given),
            kinds=_kinds(asked, values, seed),
            rows=[_row(*each) for each in zip(asked, given, values, strict=True)],
        )
        for name, given, values in zip(names, answers, measured, strict=True)
    ]


def _measured(asked: Sequence[Labelled], answers: Sequence[Answer]) -> Values:
    """Return every metric of each question in percent, shape (questions, metrics)."""
    rows = [measure(answer.ranked, each.question.answers) for each, answer in zip(asked, answers, strict=True)]
    return PERCENT * np.array(rows, dtype=np.float64)


def _figures(values: Values, seed: int) -> dict[str, Interval]:
    return dict(zip(METRICS, means(values, seed), strict=True))


def _milliseconds(answers: Sequence[Answer]) -> Values:
    return np.array([answer.milliseconds for answer in answers], dtype=np.float64)


def _latency(answers: Sequence[Answer], seed: int) -> dict[str, Interval]:
    found = percentiles(_milliseconds(answers), PERCENTILES, seed)
    return {f"p{percent}": interval for percent, interval in zip(PERCENTILES, found, strict=True)}


def _spread(answers: Sequence[Answer]) -> list[float]:
    return [float(value) for value in np.percentile(_milliseconds(answers), SPREAD)]


def _curve(asked: Sequence[Labelled], answers: Sequence[Answer]) -> list[float]:
    pairs = [(answer.ranked, each.question.answers) for each, answer in zip(asked, answers, strict=True)]
    return [
        PERCENT * float(np.mean([recall(ranked, right, k) for ranked, right in pairs])) for k in range(1, DEPTH + 1)
    ]


def _kinds(asked: Sequence[Labelled], values: Values, seed: int) -> list[Kind]:
    kinds = [each.question.kind for each in asked]
    found = []
    for name in sorted({kind for kind in kinds if kind is not None}):
        of_kind = values[[kind == name for kind in kinds]]
        found.append(Kind(name, len(of_kind), _figures(of_kind, seed)))
    return found


def _row(asked: Labelled, answer: Answer, values: Values) -> Row:
    return Row(
        tenant=asked.tenant,
        question=asked.question.text,
        kind=asked.question.kind,
        answers=sorted(asked.question.answers),
        ranked=answer.ranked,
        milliseconds=answer.milliseconds,
        metrics=dict(zip(METRICS, map(float, values), strict=True)),
    )
