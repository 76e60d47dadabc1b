"""Which searches are audited: of each size of tenant one, by chance."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import QueryVector
from deployments.search.recall.measure import TENANT_SIZES, tenant_size

# An audit goes by the vector alone, and the words of a query are not kept for it.
_NO_WORDS = "."


@dataclass(frozen=True)
class Sample:
    """A search that was answered, without its words."""

    request: SearchRequest
    embedding: QueryVector
    tenant_size: str
    request_id: str | None


class RecallSamples:
    """One search of each size of tenant: a tenant that searches without pause leaves small ones their share.

    Each search since the last that was taken has the same chance to be the one. No more than that is kept.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        """`chance`: 0 to 1, below 1."""
        self._chance = chance
        self._offered = dict.fromkeys(TENANT_SIZES, 0)
        self._kept: dict[str, Sample] = {}
        self._turns = list(TENANT_SIZES)

    def offer(self, request: SearchRequest, embedding: QueryVector, embedded: int, request_id: str | None) -> None:
        """Take a search that was answered by the HNSW index. `embedded`: how many vectors its tenant has."""
        name = tenant_size(embedded)
        self._offered[name] += 1
        if self._chance() * self._offered[name] < 1:
            wordless = request.model_copy(update={"query": _NO_WORDS})
            self._kept[name] = Sample(wordless, embedding, name, request_id)

    def take(self) -> Sample | None:
        """The next one to audit; the sizes take turns. None where there was no search."""
        name = next((name for name in self._turns if name in self._kept), None)
        if name is None:
            return None
        self._turns.remove(name)
        self._turns.append(name)
        self._offered[name] = 0
        return self._kept.pop(name)
