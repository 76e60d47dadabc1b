"""Samples searches for the recall audit: one at random for each tenant size."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import QueryVector
from deployments.search.recall.measure import TENANT_SIZES, tenant_size

# An audit uses only the vector, so the words of a query are not kept.
_NO_WORDS = "."


@dataclass(frozen=True)
class Sample:
    """An answered search, without its query text."""

    request: SearchRequest
    embedding: QueryVector
    tenant_size: str
    request_id: str | None


class RecallSamples:
    """Keeps one random search for each tenant size, so that a very busy tenant does not displace small ones.

    Reservoir sampling: each search since the last `take` of its size has the same chance. Only one is kept.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        """`chance` returns a random number, 0 <= x < 1."""
        self._chance = chance
        self._offered = dict.fromkeys(TENANT_SIZES, 0)
        self._kept: dict[str, Sample] = {}
        self._turns = list(TENANT_SIZES)

    def offer(self, request: SearchRequest, embedding: QueryVector, embedded: int, request_id: str | None) -> None:
        """Offer a search that the HNSW index answered. `embedded`: how many vectors its tenant has."""
        name = tenant_size(embedded)
        self._offered[name] += 1
        if self._chance() * self._offered[name] < 1:
            wordless = request.model_copy(update={"query": _NO_WORDS})
            self._kept[name] = Sample(wordless, embedding, name, request_id)

    def take(self) -> Sample | None:
        """Return the next sample to audit, or None. The tenant sizes take turns."""
        name = next((name for name in self._turns if name in self._kept), None)
        if name is None:
            return None
        self._turns.remove(name)
        self._turns.append(name)
        self._offered[name] = 0
        return self._kept.pop(name)
