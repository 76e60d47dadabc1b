"""Real texts for a large memory: the pieces of the messages of a labelled file, and what is asked of them."""

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
    """What is stored, no text twice, in random order; and what is asked, none of which is stored."""

    stored: list[str]
    asked: list[str]


def read_texts(path: Path, *, stored: int, asked: int, seed: int) -> Texts:
    """So many texts of a file. Asked are the file's own questions, and pieces where there are too few of them.

    Raises `EvaluationInputError`, also where the file does not hold so many.
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
    """Each message, its paragraphs and its sentences: everything that somebody could have said at once."""
    for message in messages:
        paragraphs = [paragraph.strip() for paragraph in message.splitlines()]
        sentences = (sentence for paragraph in paragraphs for sentence in _BETWEEN_SENTENCES.split(paragraph))
        yield from (piece for piece in (message, *paragraphs, *sentences) if len(piece) >= SHORTEST)
