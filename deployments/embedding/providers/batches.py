"""Batching of texts within a provider's limits, with a bounded number of requests in flight."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deployments.embedding.providers.windows import cut, joined
from deployments.errors import EmbeddingRejectedError
from deployments.schemas.vectors import Vectors


@dataclass(frozen=True)
class BatchLimits:
    """A provider's limits on one request: the number of texts, and their characters in total.

    `text_bytes`: its limit on one text, in bytes of UTF-8. A longer text is sent in windows.
    """

    texts: int
    characters: int
    text_bytes: int


def split(texts: Sequence[str], limits: BatchLimits) -> Iterator[list[str]]:
    """Cut texts, in order, into batches within the limits. No batch is empty."""
    batch: list[str] = []
    characters = 0
    for text in texts:
        if batch and (len(batch) == limits.texts or characters + len(text) > limits.characters):
            yield batch
            batch, characters = [], 0
        batch.append(text)
        characters += len(text)
    if batch:
        yield batch


def require_unicode(texts: Sequence[str]) -> None:
    """Raise `EmbeddingRejectedError` for a lone surrogate, which cannot be sent to any provider."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise EmbeddingRejectedError("A text holds half a surrogate pair, which is no Unicode text.") from None


class BoundedSender:
    """Sends the batches of all concurrent calls of one provider, at most `requests_in_flight` at a time."""

    def __init__(self, limits: BatchLimits, dimensions: int, requests_in_flight: int) -> None:
        if requests_in_flight < 1:
            raise ValueError("requests_in_flight must be at least 1")
        self._limits = limits
        self._dimensions = dimensions
        self._slots = asyncio.Semaphore(requests_in_flight)

    async def embed(self, texts: Sequence[str], send: Callable[[list[str]], Awaitable[Vectors]]) -> Vectors:
        """Embed all texts, long ones in windows. Return vectors of shape (len(texts), dimensions), in order.

        The first batch that fails fails the call, and the call's other batches are cancelled.
        """
        require_unicode(texts)
        if not texts:
            return np.empty((0, self._dimensions), dtype=np.float32)

        async def in_a_slot(batch: list[str]) -> Vectors:
            async with self._slots:
                return await send(batch)

        windows = [cut(text, self._limits.text_bytes) for text in texts]
        batches = split([window for each in windows for window in each], self._limits)
        tasks = [asyncio.ensure_future(in_a_slot(batch)) for batch in batches]
        try:
            return joined(np.concatenate(await asyncio.gather(*tasks)), windows)
        finally:
            for task in tasks:
                task.cancel()
