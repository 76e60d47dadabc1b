"""Asks every question under every configuration, one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from jobs.evaluation.dataset import Question
from jobs.evaluation.memory.protocol import Memory
from jobs.evaluation.metrics import DEPTH
from jobs.progress import Progress

WARM_UP = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the index of its tenant among the stored ones."""

    tenant: int
    question: Question


@dataclass(frozen=True, slots=True)
class Answer:
    """The first 20 ids, best first, and the duration of the search."""

    ranked: list[str]
    milliseconds: float


async def ask_all(memories: Sequence[Memory], asked: Sequence[Asked], progress: Progress) -> list[list[Answer]]:
    """Return the answers of each memory, in the order of the questions.

    The memories take turns question by question, and each goes first equally often, so that other load on the machine
    and warm caches affect all of them alike.
    """
    for memory in memories:
        for each in asked[:WARM_UP]:
            await _answer(memory, each)
    answers: list[list[Answer]] = [[] for _ in memories]
    with progress.step("asking questions", len(asked) * len(memories)) as advance:
        for number, each in enumerate(asked):
            for turn in range(len(memories)):
                place = (number + turn) % len(memories)
                answers[place].append(await _answer(memories[place], each))
                advance(1)
    return answers


async def _answer(memory: Memory, asked: Asked) -> Answer:
    began = perf_counter()
    ranked = await memory.ask(asked.tenant, asked.question.text, DEPTH)
    return Answer(ranked, (perf_counter() - began) * 1e3)
