"""Labelled questions: stored messages, questions, and the messages that answer each."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deployments.schemas.messages import NewMessage


@dataclass(frozen=True, slots=True)
class LabelledMessage:
    """A message, and the id by which its tenant's questions refer to it."""

    id: str
    message: NewMessage


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the ids of all messages that answer it, and its category."""

    text: str
    answers: frozenset[str]
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant: its questions are searched among its own messages only."""

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
        """Return the number of messages."""
        return sum(len(tenant.messages) for tenant in self.tenants)

    @property
    def questions(self) -> int:
        """Return the number of questions."""
        return sum(len(tenant.questions) for tenant in self.tenants)


def asked_of(dataset: Dataset, most: int | None, seed: int) -> Dataset:
    """Return the dataset with at most `most` questions, sampled with `seed`, without tenants that have none left."""
    numbered = [(number, question) for number, tenant in enumerate(dataset.tenants) for question in tenant.questions]
    if most is not None and most < len(numbered):
        drawn = random.Random(seed).sample(range(len(numbered)), most)  # noqa: S311 - has to be repeatable # nosec B311
        numbered = [numbered[index] for index in sorted(drawn)]
    asked: dict[int, list[Question]] = {}
    for number, question in numbered:
        asked.setdefault(number, []).append(question)
    tenants = [replace(dataset.tenants[number], questions=questions) for number, questions in asked.items()]
    return replace(dataset, tenants=tenants)
