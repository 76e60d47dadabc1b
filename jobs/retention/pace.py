"""Throttles a job, so that it hardly slows the service beside it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

from deployments.retention.policy import rest_after

READ_FOR_EACH_WRITTEN = 20


@dataclass(frozen=True)
class Pace:
    """`batch_size`: messages changed in one transaction. `pause_factor`: pause after each, in multiples of its time."""

    batch_size: int
    pause_factor: float

    @property
    def page_size(self) -> int:
        """Return the number of messages read at once: reading one costs a small part of changing it."""
        return READ_FOR_EACH_WRITTEN * self.batch_size

    async def drain(self, batch: Callable[[], Awaitable[int]], advance: Callable[[int], None]) -> None:
        """Run batches with pauses until one does nothing. `advance` gets the number of messages of each batch."""
        while True:
            began = monotonic()
            done = await batch()
            if not done:
                return
            advance(done)
            await asyncio.sleep(rest_after(monotonic() - began, self.pause_factor))
