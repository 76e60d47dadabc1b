"""Groups hits that are versions of one statement, and orders each group by age. Pure functions."""

from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeAlias
from unicodedata import normalize
from uuid import UUID

from deployments.analysis.normalization import stream_safe
from deployments.analysis.words import plain_words
from deployments.schemas.candidates import Hit

# Two texts are versions of one statement when they share at least half of their words (Dice, "Measures of the amount of
# ecologic association between species", 1945): "I live in Porto." and "I live in Braga." share three of four. Long
# texts share half of their words by their language alone, which cost LongMemEval 1.4 points of R@10.
ALIKE = 0.5
STATEMENT_WORDS = 30
LONG_ALIKE = 0.8
# Age decides only between hits of similar score: an older hit that scores much better stays first.
NEARLY_AS_GOOD = 0.8
# Only the beginnings of texts are compared: tokenizing 100,000 characters takes 10 ms and more.
READ_CHARACTERS = 1_000
CACHED_TEXTS = 4_096

Saying: TypeAlias = tuple[str, str]
# The speaker, the query words that the text holds, and whether it is a question.
_About: TypeAlias = tuple[str, Hashable, bool]
QUESTION_MARKS = ("?", "\uff1f", "\u061f")


class Placed(NamedTuple):
    """A hit's place, its score after ordering its versions by age, and whether a newer hit has the same text."""

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
    """Versions of one statement. `content`, `best`: text and score of the best version."""

    content: str
    best: float
    members: list[_Member] = field(default_factory=list)

    @cached_property
    def words(self) -> frozenset[str]:
        """Return the words of `content`. Computed lazily, because most groups are never compared."""
        return _words(self.content)

    def placed(self) -> Iterator[Placed]:
        """Yield the members newest first, paired with the group's scores best first. An older equal text `repeats`."""
        scores = sorted((member.score for member in self.members), reverse=True)
        said: set[Saying] = set()
        for member, score in zip(sorted(self.members, reverse=True), scores, strict=True):
            yield Placed(member.place, score, repeats=member.saying in said)
            said.add(member.saying)


class Versions:
    """Groups of hits that say nearly the same. Hits are added best first."""

    def __init__(self) -> None:
        self._groups: list[_Group] = []
        self._by_subject: defaultdict[_About, list[_Group]] = defaultdict(list)
        self._said: dict[Saying, _Group] = {}

    @property
    def distinct(self) -> int:
        """Return the number of distinct pairs of speaker and text."""
        return len(self._said)

    def add(self, place: int, hit: Hit, score: float, subject: Hashable) -> None:
        """Add a hit to its group. `subject`: the query words that it holds."""
        said = saying(hit.name or hit.role, hit.content)
        group = self._said.get(said) or self._group(hit.content, score, (said[0], subject, _asks(hit.content)))
        group.members.append(_Member(hit.created_at, hit.id, place, score, said))
        self._said.setdefault(said, group)

    def placed(self) -> Iterator[Placed]:
        """Yield every hit with its score in its group."""
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
    """Return the speaker and the text normalised in case, spacing and letter width, as a key for comparison.

    The speaker is part of the key: two people may say the same about themselves.
    """
    return speaker, _folded(content) if len(content) > READ_CHARACTERS else _cached_folded(content)


def _folded(content: str) -> str:
    return " ".join(normalize("NFKC", stream_safe(content)).casefold().split())


def _asks(content: str) -> bool:
    """Return whether a text is a question. A question is not a version of its answer."""
    return content.rstrip().endswith(QUESTION_MARKS)


def _words(content: str) -> frozenset[str]:
    return _cached_words(content[:READ_CHARACTERS])


# Cached, because successive searches often share their best messages: folding and tokenizing 20 of them takes 0.4 ms, a
# third of a search. An entry takes about 2 KB.
_cached_folded = lru_cache(CACHED_TEXTS)(_folded)


@lru_cache(CACHED_TEXTS)
def _cached_words(content: str) -> frozenset[str]:
    return frozenset(plain_words(content))


def _are_alike(words: frozenset[str], others: frozenset[str]) -> bool:
    needed = ALIKE if max(len(words), len(others)) <= STATEMENT_WORDS else LONG_ALIKE
    return 2 * len(words & others) >= needed * max(len(words) + len(others), 1)
