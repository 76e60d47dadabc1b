"""Labelled questions: what was said, what is asked, and which messages answer."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deployments.schemas.messages import NewMessage


@dataclass(frozen=True, slots=True)
class LabelledMessage:
    """A message, and the id by which the questions of its tenant name it."""

    id: str
    message: NewMessage


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the ids of all messages that answer it, and the kind that it is broken down by."""

    text: str
    answers: frozenset[str]
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """One memory: its questions are searched among its own messages and no others."""

    name: str
    messages: Sequence[LabelledMessage]
    questions: Sequence[Question]


@dataclass(frozen=True, slots=True)
class Dataset:
    """The content of one file. `name` is unique within an evaluation."""

    name: str
    format: str
    tenants: Sequence[Tenant]

    @property
    def messages(self) -> int:
        """How many messages it has."""
        return sum(len(tenant.messages) for tenant in self.tenants)

    @property
    def questions(self) -> int:
        """How many questions it has."""
        return sum(len(tenant.questions) for tenant in self.tenants)


def asked_of(dataset: Dataset, most: int | None, seed: int) -> Dataset:
    """The dataset with at most `most` of its questions, drawn by `seed`, without the tenants that are asked nothing."""
    numbered = [(number, question) for number, tenant in enumerate(dataset.tenants) for question in tenant.questions]
    if most is not None and most < len(numbered):
        drawn = random.Random(seed).sample(range(len(numbered)), most)  # noqa: S311 - has to be repeatable # nosec B311
        numbered = [numbered[index] for index in sorted(drawn)]
    asked: dict[int, list[Question]] = {}
    for number, question in numbered:
        asked.setdefault(number, []).append(question)
    tenants = [replace(dataset.tenants[number], questions=questions) for number, questions in asked.items()]
    return replace(dataset, tenants=tenants)
