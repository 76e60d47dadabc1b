"""Moves a database to another embedding space while it is in use: `python -m jobs.reembed --provider ...`.

Its phases, going back, and the state after a kill: docs/reembedding.md.
"""

import argparse
import asyncio
import math
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deployments.embedding_space import settings_for, space_source
from deployments.errors import ConfigurationError
from deployments.schemas.vectors import ProviderName, SpaceSource
from deployments.settings import Settings
from jobs.evaluation.configurations import Configuration
from jobs.evaluation.errors import EvaluationInputError
from jobs.evaluation.formats.recognition import read_datasets
from jobs.evaluation.running import Plan, evaluate
from jobs.evaluation.table import write_tables
from jobs.known_database import opened, prepared_settings
from jobs.process import run
from jobs.progress import progress_on_stderr
from jobs.reembedding.decisions import ONE_MODEL, named
from jobs.reembedding.running import PERCENT, Options, Run
from jobs.terminal import OK, exit_statuses, natural

MOST_DIMENSIONS, MOST_AT_ONCE = 4_000, 10_000

Action = Callable[[Run], Coroutine[Any, Any, None]]


@exit_statuses("the same command goes on", EvaluationInputError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 0, 1 if it failed, 2 if the arguments are invalid, 130 if interrupted."""
    options = _options(arguments)
    settings = prepared_settings()
    target = None if options.provider is None else target_of(settings, options)
    _evaluate(settings, target, options.questions)
    asyncio.run(_over_the_database(settings, _run_options(options, target), _action(options)))
    return OK


def target_of(settings: Settings, options: argparse.Namespace) -> SpaceSource:
    """Return the space that the options name. Defaults come from the settings, or from the provider.

    Raises `ConfigurationError`.
    """
    provider = ProviderName(options.provider)
    if provider in ONE_MODEL and options.model is not None:
        raise ConfigurationError(f"--model: the {provider} provider has one model only")
    model = {} if options.model is None else {"model": options.model}
    url = {} if options.base_url is None else {"base_url": options.base_url}
    asked = replace(
        settings,
        embedding=settings.embedding.model_copy(update={"provider": provider, "dimensions": options.dimensions}),
        gemini=settings.gemini.model_copy(update=model),
        openai=settings.openai.model_copy(update={**model, **url}),
    )
    return space_source(asked)


def _evaluate(settings: Settings, target: SpaceSource | None, questions: Sequence[Path]) -> None:
    """Evaluate whole searches in both spaces, over temporary databases."""
    if target is None or not questions:
        return
    new = settings_for(settings, target)
    changed = {"embedding": new.embedding, "gemini": new.gemini, "openai": new.openai}
    sides = [Configuration(named(space_source(settings))), Configuration(named(target), settings=changed)]
    write_tables(evaluate(Plan(read_datasets(questions), sides, seed=0), progress_on_stderr()), sys.stdout)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.reembed", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--provider", choices=[each.value for each in ProviderName], help="provider of the new space")
    what.add_argument("--back", action="store_true", help="return to the previous space")
    what.add_argument("--drop", action="store_true", help="drop the inactive space, finished or not")
    what.add_argument("--status", action="store_true", help="show the spaces and their numbers of messages")
    parser.add_argument("--model", help="model of the new space (default: from the settings)")
    parser.add_argument("--dimensions", type=_dimensions, help="size of the new vectors (default: the provider's)")
    parser.add_argument("--base-url", type=_url, help="of an OpenAI-compatible server (MEMORY_OPENAI_BASE_URL)")
    parser.add_argument("--no-switch", dest="switch", action="store_false", help="fill and compare, but do not switch")
    parser.add_argument("--questions", nargs="+", type=Path, default=[], metavar="FILE", help="files of jobs.evaluate")
    parser.add_argument(
        "--sample", type=natural, default=200, help="messages to compare the spaces with; 0: none (200)"
    )
    parser.add_argument("--least-overlap", type=_percent, default=0.0, metavar="PERCENT", help="do not switch below")
    parser.add_argument("--accept-missing", type=natural, default=0, metavar="N", help="messages that may be rejected")
    parser.add_argument("--batch", type=_batch, default=256, help="messages embedded and written at once (256)")
    parser.add_argument("--rate", type=_rate, default=math.inf, metavar="N", help="messages a second (no limit)")
    parser.add_argument("--patience", type=natural, default=600, metavar="SECONDS", help="longest outage (600)")
    parser.add_argument("--force", action="store_true", help="proceed despite low disk space or a replica's error")
    return parser.parse_args(arguments)


def _run_options(options: argparse.Namespace, target: SpaceSource | None) -> Options:
    return Options(
        target=target,
        switch=options.switch,
        sample=options.sample,
        least_overlap=options.least_overlap,
        accept_missing=options.accept_missing,
        batch=options.batch,
        rate=options.rate,
        deadline_seconds=options.patience,
        force=options.force,
    )


def _action(options: argparse.Namespace) -> Action:
    if options.drop:
        return Run.drop
    return Run.status if options.status else Run.reembed


async def _over_the_database(settings: Settings, options: Options, action: Action) -> None:
    async with opened(settings) as database:
        await action(Run(settings, database, options, progress_on_stderr(), _say))


def _dimensions(text: str) -> int:
    if not 1 <= (number := natural(text)) <= MOST_DIMENSIONS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MOST_DIMENSIONS:,}")
    return number


def _batch(text: str) -> int:
    if not 1 <= (number := natural(text)) <= MOST_AT_ONCE:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MOST_AT_ONCE:,}")
    return number


def _rate(text: str) -> float:
    if (number := natural(text)) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _url(text: str) -> str:
    if urlsplit(text).scheme not in {"http", "https"} or not urlsplit(text).hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is no http:// or https:// URL")
    return text


def _percent(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not 0 <= number <= PERCENT:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage")
    return number


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(main)
