"""Measures how well searches find the answers to labelled questions: `python -m jobs.evaluate DATA ...`.

Formats, configurations and how to read the results: docs/evaluation.md.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deployments.env_file import load_env_file
from jobs.evaluation.configurations import read_configurations
from jobs.evaluation.dataset import asked_of
from jobs.evaluation.errors import EvaluationInputError
from jobs.evaluation.formats.recognition import read_datasets
from jobs.evaluation.metrics import METRICS
from jobs.evaluation.report.writing import make_directory, write_report
from jobs.evaluation.results import PERCENT, Evaluation
from jobs.evaluation.running import Plan, evaluate
from jobs.evaluation.table import write_tables
from jobs.process import run
from jobs.progress import progress_on_stderr
from jobs.terminal import FAILED, OK, complain, exit_statuses, natural


@dataclass(frozen=True)
class Bar:
    """The minimum that the first configuration has to reach, in percent."""

    metric: str
    least: float


@exit_statuses("nothing is left of what was stored", EvaluationInputError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate and report.

    Return 0; 1 if it failed or fell below a minimum; 2 if the arguments are invalid; 130 if interrupted.
    """
    options = _options(arguments)
    load_env_file()
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    if options.key is not None and options.url is None:
        raise EvaluationInputError("--key: is for --url")
    configurations = read_configurations(
        options.configurations, ablation=options.ablation, settings_too=options.url is None
    )
    datasets = [asked_of(each, options.questions, options.seed) for each in read_datasets(options.data)]
    directory = make_directory(options.out or Path(f"evaluation-{datetime.now(UTC):%Y%m%dT%H%M%S}"))
    plan = Plan(datasets, configurations, options.seed, options.url, options.key)
    evaluation = evaluate(plan, progress_on_stderr())
    write_tables(evaluation, sys.stdout)
    for path in write_report(evaluation, directory):
        sys.stdout.write(f"{path}\n")
    return _held_against(options.fail_under, evaluation)


def _held_against(bars: Sequence[Bar], evaluation: Evaluation) -> int:
    below = [
        f"{dataset.name}: {bar.metric} is {found:.1f}, below {bar.least:g}"
        for dataset in evaluation.datasets
        for bar in bars
        if (found := dataset.configurations[0].metrics[bar.metric].value) < bar.least
    ]
    return complain("; ".join(below), FAILED) if below else OK


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.evaluate", description=__doc__)
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="JSON Lines, LoCoMo's or LongMemEval's file")
    parser.add_argument("--configurations", type=Path, metavar="FILE", help="TOML: a table for each configuration")
    parser.add_argument("--ablation", action="store_true", help="add the first configuration without each part")
    parser.add_argument("--out", type=Path, metavar="DIR", help="directory for results.json and report.html")
    parser.add_argument("--url", help="evaluate the service at this URL, instead of its parts in this process")
    parser.add_argument("--key", help="the service's key, sent as X-API-Key")
    parser.add_argument("--questions", type=_positive, metavar="N", help="ask at most N questions of each file")
    parser.add_argument(
        "--seed", type=natural, default=0, help="seed of the intervals and of the sampled questions (0)"
    )
    parser.add_argument(
        "--fail-under",
        type=_bar,
        action="append",
        default=[],
        metavar="METRIC=PERCENT",
        help="exit with 1 if the first configuration reaches less, as in recall@10=70; may be repeated",
    )
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _bar(text: str) -> Bar:
    metric, _, least = text.partition("=")
    if metric not in METRICS:
        raise argparse.ArgumentTypeError(f"{metric!r} is none of {', '.join(METRICS)}")
    try:
        bar = Bar(metric, float(least))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{least!r} is no number") from None
    # NaN is refused: every comparison with it is false, so it would enforce nothing.
    if not 0 <= bar.least <= PERCENT:
        raise argparse.ArgumentTypeError(f"{least!r} is no percentage")
    return bar


if __name__ == "__main__":
    run(main)
