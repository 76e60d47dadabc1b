"""Windows of texts that exceed a provider's limit, and the mean of their vectors."""

import re
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from deployments.embedding.providers.unit_vectors import unit_rows
from deployments.schemas.vectors import Vectors

# A window ends at a sentence or a word, if one ends in its last quarter.
_ENDS = (re.compile(r"\n|[.!?…]\s|[\u3002\uff01\uff1f]"), re.compile(r"\s"))


def end_before(text: str, start: int, limit: int) -> int:
    """Return where a window of `text[start:limit]` should end: the last sentence, else word, else `limit`."""
    if limit >= len(text):
        return len(text)
    for pattern in _ENDS:
        ends = [match.end() for match in pattern.finditer(text, limit - (limit - start) // 4, limit)]
        if ends:
            return ends[-1]
    return limit


def cut(text: str, most_bytes: int) -> list[str]:
    """Cut a text, in order, into windows of at most `most_bytes` (4 or more) of UTF-8, at least one.

    Only windows of white space are omitted.
    """
    if len(text.encode()) <= most_bytes:
        return [text]
    windows, start = [], 0
    while start < len(text):
        fitting = text[start : start + most_bytes].encode()[:most_bytes].decode(errors="ignore")
        end = end_before(text, start, start + len(fitting))
        windows.append(text[start:end])
        start = end
    return [window for window in windows if not window.isspace()] or windows[:1]


def joined(vectors: Vectors, windows: Sequence[Sequence[str]]) -> Vectors:
    """Return one unit vector for each text: the mean of its windows' vectors, weighted by their characters.

    `vectors`: of all windows of all texts, in order. `windows`: those of each text.
    """
    if len(vectors) == len(windows):
        return vectors
    weights = np.array([[len(window)] for each in windows for window in each])
    firsts = [0, *accumulate(map(len, windows))][:-1]
    return unit_rows(np.add.reduceat(vectors * weights, firsts, axis=0))
