"""Cache of query embeddings, which also joins concurrent calls for the same text."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache
from opentelemetry.trace import Span

from deployments.embedding.instruments import EmbeddingInstruments
from deployments.errors import EmbeddingError, EmbeddingRejectedError, EmbeddingUnavailableError
from deployments.schemas.vectors import Vector
from deployments.tracing.spans import shared

OUTCOME = "memory_layer.cache"
HIT, MISS, JOINED = "hit", "miss", "joined"


class QueryCache:
    """Embeds each text once: results are cached, and concurrent calls for one text share one request."""

    def __init__(
        self,
        embed: Callable[[Sequence[str]], Awaitable[npt.NDArray[np.float32]]],
        size: int,
        instruments: EmbeddingInstruments | None = None,
    ) -> None:
        """`size`: how many texts are cached; 0: none."""
        queries = (instruments or EmbeddingInstruments()).queries
        self._counted = {outcome: queries.labels(outcome) for outcome in (HIT, MISS, JOINED)}
        self._embed = embed
        self._known: LRUCache[str, Vector] = LRUCache(max(size, 1))
        self._remembers = size > 0
        self._in_flight: dict[str, asyncio.Future[Vector | EmbeddingError]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def embed(self, texts: Sequence[str], spans: Sequence[Span] = ()) -> list[Vector | EmbeddingError]:
        """Return for each text, in order, a unit vector of shape (dimensions,) or an error.

        `spans`: one for each text, or empty.
        """
        outcomes = self._outcomes(texts)
        for outcome in outcomes:
            self._counted[outcome].inc()
        for outcome, span in zip(outcomes, spans, strict=False):
            span.set_attribute(OUTCOME, outcome)
        missing = [text for text, outcome in zip(texts, outcomes, strict=True) if outcome == MISS]
        known = {text: self._known[text] for text in texts if text in self._known}
        if missing:
            with shared([span for text, span in zip(texts, spans, strict=False) if text in missing]):
                self._start(missing)
        waiting = {text: self._in_flight[text] for text in texts if text not in known}
        if waiting:
            await asyncio.wait(waiting.values())
        return [known[text] if text in known else waiting[text].result() for text in texts]

    def _outcomes(self, texts: Sequence[str]) -> list[str]:
        """Return for each text, in order: HIT (cached), MISS (to be embedded) or JOINED (in flight)."""
        asked_for = set(self._in_flight)
        outcomes = []
        for text in texts:
            outcomes.append(HIT if text in self._known else JOINED if text in asked_for else MISS)
            asked_for.add(text)
        return outcomes

    def _start(self, texts: list[str]) -> None:
        """Embed texts in a new task, which continues for the other callers if the first one is cancelled."""
        loop = asyncio.get_running_loop()
        for text in texts:
            self._in_flight[text] = loop.create_future()
        task = loop.create_task(self._load(texts))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, texts: list[str]) -> None:
        results: Sequence[Vector | EmbeddingError]
        unexpected = EmbeddingUnavailableError("The query could not be embedded.")
        results = [unexpected] * len(texts)
        try:
            results = await self._embed_each(texts)
        finally:
            for text, result in zip(texts, results, strict=True):
                self._in_flight.pop(text).set_result(result)
                if self._remembers and not isinstance(result, EmbeddingError):
                    self._known[text] = result

    async def _embed_each(self, texts: list[str]) -> Sequence[Vector | EmbeddingError]:
        """Return vectors or errors, in order. If the provider rejects the texts, bisect to find those to blame."""
        try:
            return list(await self._embed(texts))
        except EmbeddingRejectedError as error:
            if len(texts) == 1:
                return [error]
            middle = len(texts) // 2
            return [*await self._embed_each(texts[:middle]), *await self._embed_each(texts[middle:])]
        except EmbeddingError as error:
            return [error] * len(texts)
