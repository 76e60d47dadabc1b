"""Runs an evaluation from the datasets to the results."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from time import perf_counter
from typing import TypeAlias

from deployments.settings import Settings
from jobs.evaluation.asking import Answer, Asked, ask_all
from jobs.evaluation.configurations import Configuration, settings_used, without_password
from jobs.evaluation.dataset import Dataset, Tenant
from jobs.evaluation.errors import EvaluationInputError
from jobs.evaluation.intervals import CONFIDENCE_PERCENT, RESAMPLES
from jobs.evaluation.memory.in_process import memories_in_process, temporary_settings
from jobs.evaluation.memory.over_http import http_client, memories_over_http
from jobs.evaluation.memory.protocol import Memory
from jobs.evaluation.results import ConfigurationUsed, DatasetResult, Evaluation, Labelled, compare
from jobs.progress import Progress

IN_PROCESS = "in process"

Answers: TypeAlias = list[list[Answer]]
Memories: TypeAlias = AbstractAsyncContextManager[list[Memory]]


@dataclass(frozen=True)
class Plan:
    """The parameters of an evaluation. `url`: of a running service, evaluated instead of the parts in this process."""

    datasets: Sequence[Dataset]
    configurations: Sequence[Configuration]
    seed: int
    url: str | None = None
    key: str | None = None

    @property
    def tenants(self) -> list[Tenant]:
        """Return the tenants of all datasets, in the order in which they are stored."""
        return [tenant for dataset in self.datasets for tenant in dataset.tenants]


def evaluate(plan: Plan, progress: Progress) -> Evaluation:
    """Store, ask and measure, then delete what was stored. Do not call it while an event loop runs.

    Raises `EvaluationInputError`, `EvaluationFailedError`, `ConfigurationError` and errors of storage and providers.
    """
    started_at, began = datetime.now(UTC), perf_counter()
    if plan.url is None:
        answers, used = _in_process(plan, progress)
    else:
        _check_settings(plan)
        answers, used = asyncio.run(_over_http(plan, plan.url, progress))
    return Evaluation(
        version=version("ai-memory-layer"),
        started_at=started_at,
        seconds=perf_counter() - began,
        source=IN_PROCESS if plan.url is None else without_password(plan.url),
        seed=plan.seed,
        resamples=RESAMPLES,
        confidence_percent=CONFIDENCE_PERCENT,
        configurations=used,
        datasets=list(_results(plan, answers)),
    )


def _in_process(plan: Plan, progress: Progress) -> tuple[Answers, list[ConfigurationUsed]]:
    # Outside the event loop, so that an interrupt at any moment still deletes the databases.
    with temporary_settings(Settings.load(), plan.configurations) as temporary:
        memories = memories_in_process(temporary, plan.configurations, plan.tenants, progress)
        answers = asyncio.run(_asked(plan, memories, progress))
        used = [
            ConfigurationUsed(each.name, each.weights.model_dump(mode="json"), settings_used(settings))
            for each, settings in zip(plan.configurations, temporary, strict=True)
        ]
    return answers, used


def _check_settings(plan: Plan) -> None:
    for configuration in plan.configurations:
        for group in configuration.settings:
            raise EvaluationInputError(
                f"[{configuration.name}]: {group}: with --url, settings are the running service's own: weights alone"
            )


async def _over_http(plan: Plan, url: str, progress: Progress) -> tuple[Answers, list[ConfigurationUsed]]:
    async with http_client(url, plan.key) as client:
        memories = memories_over_http(client, plan.configurations, plan.tenants, progress)
        answers = await _asked(plan, memories, progress)
    named = [
        ConfigurationUsed(each.name, each.weights.model_dump(mode="json", exclude_unset=True), {})
        for each in plan.configurations
    ]
    return answers, named


async def _asked(plan: Plan, opening: Memories, progress: Progress) -> Answers:
    asked = [Asked(number, question) for number, tenant in enumerate(plan.tenants) for question in tenant.questions]
    async with opening as memories:
        return await ask_all(memories, asked, progress)


def _results(plan: Plan, answers: Answers) -> Iterator[DatasetResult]:
    names = [configuration.name for configuration in plan.configurations]
    start = 0
    for dataset in plan.datasets:
        asked = [Labelled(tenant.name, question) for tenant in dataset.tenants for question in tenant.questions]
        given = [each[start : start + len(asked)] for each in answers]
        start += len(asked)
        yield DatasetResult(
            name=dataset.name,
            format=dataset.format,
            tenants=len(dataset.tenants),
            messages=dataset.messages,
            questions=dataset.questions,
            configurations=compare(names, asked, given, plan.seed),
        )
