"""What says again what was said. Pure."""

import re
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"\w+")

# At and above it two texts count as the same in other words; templates filled with another number are above it.
ALIKE = 0.8
# As much of a text as is compared: whole texts of 100,000 characters would hold up other searches for seconds.
READ_CHARACTERS = 4_000


def repetitions(texts: Iterable[str]) -> Iterator[float]:
    """For each text, in order, how much of it one before it said that is no repetition itself: 0, or from 0.8 to 1.

    The share of words that two texts have in common (Jaccard, "The distribution of the flora in the alpine zone",
    1912); without words, 1 for the same text.
    """
    said: list[frozenset[str]] = []
    for text in texts:
        words = frozenset(_WORD.findall(text[:READ_CHARACTERS].casefold())) or frozenset({text.strip()})
        most = max((_in_common(words, other) for other in said), default=0.0)
        if most < ALIKE:
            said.append(words)
        yield most if most >= ALIKE else 0.0


def _in_common(words: frozenset[str], other: frozenset[str]) -> float:
    if min(len(words), len(other)) < ALIKE * max(len(words), len(other)):
        return 0.0
    common = len(words & other)
    return common / (len(words) + len(other) - common)
