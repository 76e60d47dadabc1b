"""Which hits say nearly the same of the same subject, and which of them is the newest. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple, TypeAlias
from unicodedata import normalize
from uuid import UUID

from deployments.search.analysis.normalization import stream_safe
from deployments.search.analysis.words import plain_words
from deployments.storage.candidates import Candidate

# Two texts are versions of one statement when they share at least half of their words (Dice, "Measures of the amount of
# ecologic association between species", 1945): "I live in Porto." and "I live in Braga." share three of four. Long
# texts share half of their words by their language alone, which cost LongMemEval 1.4 points of R@10.
ALIKE = 0.5
STATEMENT_WORDS = 30
LONG_ALIKE = 0.8
# Age decides between hits of about the same score only: an old one that answers much better stays first.
NEARLY_AS_GOOD = 0.8
# As much of a text as is compared: whole texts of 100,000 characters would hold up other searches for seconds.
READ_CHARACTERS = 1_000

Saying: TypeAlias = tuple[str, str]
# Who speaks, which of the query's words are held, and whether it is a question.
_About: TypeAlias = tuple[str, bytes, bool]
QUESTION_MARKS = ("?", "\uff1f", "\u061f")


class Placed(NamedTuple):
    """A candidate's place, the score that is its due among its versions, and whether it repeats a newer one."""

    place: int
    score: float
    repeats: bool


class _Member(NamedTuple):
    created_at: datetime
    id: UUID
    place: int
    score: float
    saying: Saying


@dataclass
class _Group:
    """Versions of one statement. `content`, `best`: the text and the score of the best of them."""

    content: str
    best: float
    members: list[_Member] = field(default_factory=list)

    @cached_property
    def words(self) -> frozenset[str]:
        """Cut only where there is something to compare: 31 microseconds a text."""
        return _words(self.content)

    def placed(self) -> Iterator[Placed]:
        """Yield the newest with the best score, and so on. What a newer one says word for word is a repetition."""
        scores = sorted((member.score for member in self.members), reverse=True)
        said: set[Saying] = set()
        for member, score in zip(sorted(self.members, reverse=True), scores, strict=True):
            yield Placed(member.place, score, repeats=member.saying in said)
            said.add(member.saying)


class Versions:
    """Hits by what they say. They are added best first."""

    def __init__(self) -> None:
        self._groups: list[_Group] = []
        self._by_subject: defaultdict[_About, list[_Group]] = defaultdict(list)
        self._said: dict[Saying, _Group] = {}

    @property
    def distinct(self) -> int:
        """How many of the hits repeat none of the others."""
        return len(self._said)

    def add(self, place: int, candidate: Candidate, score: float, subject: bytes) -> None:
        """Put a hit to the versions of what it says. `subject`: which of the query's words it holds."""
        said = saying(candidate.name or candidate.role, candidate.content)
        group = self._said.get(said) or self._group(
            candidate.content, score, (said[0], subject, _asks(candidate.content))
        )
        group.members.append(_Member(candidate.created_at, candidate.id, place, score, said))
        self._said.setdefault(said, group)

    def placed(self) -> Iterator[Placed]:
        """Yield every hit with its due."""
        for group in self._groups:
            yield from group.placed()

    def _group(self, content: str, score: float, about: _About) -> _Group:
        near = self._by_subject[about]
        as_good = [group for group in near if score >= NEARLY_AS_GOOD * group.best]
        words = _words(content) if as_good else frozenset()
        for group in as_good:
            if _are_alike(words, group.words):
                return group
        group = _Group(content, score)
        near.append(group)
        self._groups.append(group)
        return group


def saying(speaker: str, content: str) -> Saying:
    """Return who says what, without what makes no difference to it: case, spacing, the width of letters.

    Two people may say the same of themselves.
    """
    return speaker, " ".join(normalize("NFKC", stream_safe(content)).casefold().split())


def _asks(content: str) -> bool:
    """Return whether a text is a question, which is no version of what answers it."""
    return content.rstrip().endswith(QUESTION_MARKS)


def _words(content: str) -> frozenset[str]:
    return frozenset(plain_words(content[:READ_CHARACTERS]))


def _are_alike(words: frozenset[str], others: frozenset[str]) -> bool:
    needed = ALIKE if max(len(words), len(others)) <= STATEMENT_WORDS else LONG_ALIKE
    return 2 * len(words & others) >= needed * max(len(words) + len(others), 1)
