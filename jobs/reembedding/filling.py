"""Fills the second space until it has a vector of every message that has one in the active space."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from deployments.embedding.document import document_text
from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.errors import EmbeddingRejectedError
from deployments.schemas.vectors import EmbeddingSpace, Vector
from deployments.storage.embeddings.reembedding import Hole, ReembeddingRepository
from jobs.reembedding.errors import ReembeddingError

# The pause before messages that another transaction has locked are tried again.
PAUSE_SECONDS = 0.2


@dataclass
class ProgressDeadline:
    """A deadline that every progress restarts: `seconds` without progress end the run."""

    seconds: float
    clock: Callable[[], float] = monotonic
    _moved_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._moved_at = self.clock()

    def moved(self) -> None:
        """Restart the deadline."""
        self._moved_at = self.clock()

    @property
    def is_over(self) -> bool:
        """Return whether there was no progress for too long."""
        return self.clock() - self._moved_at > self.seconds


@dataclass(frozen=True)
class Filler:
    """`batch`: number of messages embedded and written in one transaction. `rate`: maximum of messages a second."""

    repository: ReembeddingRepository
    provider: EmbeddingProvider
    space: EmbeddingSpace
    deadline: ProgressDeadline
    batch: int
    rate: float = math.inf

    async def fill(self, advance: Callable[[int], None]) -> list[Hole]:
        """Fill all messages. Return those that the provider rejects. Raises `EmbeddingUnavailableError`."""
        refused: dict[UUID, Hole] = {}
        while True:
            filled, refused = await self._pass(refused, advance)
            if (await self.repository.count()).holes <= len(refused):
                return list(refused.values())
            if self.deadline.is_over:
                raise ReembeddingError("Some messages stay locked by others: run it again to go on")
            if not filled:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _pass(self, known: dict[UUID, Hole], advance: Callable[[int], None]) -> tuple[int, dict[UUID, Hole]]:
        """Go once through all tenants. Return the number filled, and the messages rejected in this pass or before."""
        filled, after = 0, None
        refused: dict[UUID, Hole] = {}
        began = self.deadline.clock()
        while holes := await self.repository.holes(after, self.batch):
            after = max(holes, key=lambda hole: (hole.tenant_id, hole.created_at, hole.message_id))
            fresh = [hole for hole in holes if known.get(hole.message_id) != hole]
            made = await self._embed(fresh)
            seen = {hole.message_id for hole, _ in made}
            refused.update((hole.message_id, hole) for hole in holes if hole.message_id not in seen)
            count = await self.repository.fill(self.space, made) if made else 0
            filled += count
            if count:
                self.deadline.moved()
                advance(count)
                await asyncio.sleep(began + filled / self.rate - self.deadline.clock())
        return filled, refused

    async def _embed(self, holes: Sequence[Hole]) -> list[tuple[Hole, Vector]]:
        """Return each message with its vector. If a batch is rejected, bisect it to find the rejected messages."""
        if not holes:
            return []
        texts = [document_text(hole.role, hole.name, hole.content, hole.created_at) for hole in holes]
        try:
            return list(zip(holes, await self.provider.embed_documents(texts), strict=True))
        except EmbeddingRejectedError:
            if len(holes) == 1:
                return []
        middle = len(holes) // 2
        return [*await self._embed(holes[:middle]), *await self._embed(holes[middle:])]
