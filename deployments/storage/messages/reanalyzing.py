"""Re-analysis of tenants' messages in batches, while the service runs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from uuid import uuid4

import structlog

from deployments.storage.messages.analysis import terms_of
from deployments.storage.messages.reanalyses import SETTLING_SECONDS, Claim, ReanalysisRepository, StaleBatch

logger = structlog.get_logger(__name__)

LEASE_SECONDS = 60.0
# The pause after each batch, as a multiple of its duration, which leaves the database to requests.
PAUSE_FACTOR = 4.0


class Reanalyzer:
    """Processes one tenant after the other. Concurrent instances share the tenants, and take over from killed ones.

    Errors of every method: `DatabaseUnavailableError`, `OverloadedError`.
    """

    def __init__(
        self,
        repository: ReanalysisRepository,
        *,
        pause_factor: float = PAUSE_FACTOR,
        settling_seconds: float = SETTLING_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._repository = repository
        self._pause_factor = pause_factor
        self._settling_seconds = settling_seconds
        self._lease_seconds = lease_seconds

    async def reanalyze_next(
        self, tenant_id: str | None = None, advance: Callable[[int], None] = lambda _count: None
    ) -> str | None:
        """Re-analyse the messages of one tenant. Return the tenant, or None if none is due.

        `tenant_id`: only this tenant. `advance` is called after each batch with its number of messages.
        """
        claim = await self._repository.claim(uuid4(), self._lease_seconds, self._settling_seconds, tenant_id)
        if claim is None:
            return None
        analyzed = 0
        while True:
            began = monotonic()
            batch = await self._repository.next_batch(claim)
            if not batch.messages:
                break
            rewritten = await self._rewrite(claim, batch)
            if rewritten is None:
                return claim.tenant_id
            analyzed += rewritten
            advance(rewritten)
            last = batch.messages[-1]
            claim = replace(claim, reached=(last.said.created_at, last.id))
            await asyncio.sleep(self._pause_factor * (monotonic() - began))
        if await self._repository.end(claim, batch.policy):
            logger.info("tenant_reanalyzed", tenant_id=claim.tenant_id, messages=analyzed, policy=batch.policy.tag)
        return claim.tenant_id

    async def _rewrite(self, claim: Claim, batch: StaleBatch) -> int | None:
        terms = await asyncio.to_thread(lambda: [terms_of(each.said, batch.policy).literal for each in batch.messages])
        return await self._repository.write(claim, batch, terms, self._lease_seconds)
