"""Real texts for a large memory: the pieces of the messages of a labelled file, and queries."""

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.evaluation.dataset import Dataset
from jobs.evaluation.errors import EvaluationInputError
from jobs.evaluation.formats.recognition import read_dataset

SHORTEST = 20
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Texts:
    """The stored texts, distinct and in random order, and the queries, which are not among them."""

    stored: list[str]
    asked: list[str]


def read_texts(path: Path, *, stored: int, asked: int, seed: int) -> Texts:
    """Return texts of a file. Queries are the file's own questions, and further pieces if there are too few.

    Raises `EvaluationInputError`, also if the file has too few texts.
    """
    dataset = read_dataset(path, path.stem)
    source = random.Random(seed)
    held = list(dict.fromkeys(_pieces(_messages(dataset))))
    source.shuffle(held)
    questions = list(dict.fromkeys(question.text for tenant in dataset.tenants for question in tenant.questions))
    own = source.sample(questions, min(asked, len(questions)))
    more = asked - len(own)
    if len(held) < stored + more:
        raise EvaluationInputError(
            f"{path}: holds {len(held):,} different texts, and {stored + more:,} are needed: "
            "ask for smaller --sizes and fewer --others"
        )
    return Texts(stored=held[more : more + stored], asked=own + held[:more])


def _messages(dataset: Dataset) -> Iterator[str]:
    return (message.message.content for tenant in dataset.tenants for message in tenant.messages)


def _pieces(messages: Iterable[str]) -> Iterator[str]:
    """Yield each message, its paragraphs and its sentences: every text that could be a message."""
    for message in messages:
        paragraphs = [paragraph.strip() for paragraph in message.splitlines()]
        sentences = (sentence for paragraph in paragraphs for sentence in _BETWEEN_SENTENCES.split(paragraph))
        yield from (piece for piece in (message, *paragraphs, *sentences) if len(piece) >= SHORTEST)
