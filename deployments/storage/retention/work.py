"""The changes of a run, in batches. Each batch and its counters are committed in one transaction."""

from deployments.storage.messages.expiry import ExpiryRepository
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries
from deployments.storage.retention.runs import ClaimedRun, claim_lost


class RetentionWorkRepository:
    """Methods with a `limit` process one batch of at most `limit` messages and return its size. 0: none is left.

    Raises `UnavailableError` if the claim is lost, `DatabaseUnavailableError`, `OverloadedError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = load_queries("retention_work")
        self._expiry = ExpiryRepository(database)

    async def left(self, run: ClaimedRun) -> int:
        """Return how many messages the current phase has yet to examine."""
        async with self._database.connection() as connection:
            return int(await self._queries.count_left(connection, run_id=run.id))

    async def archive(self, run: ClaimedRun, limit: int) -> int:
        """Archive the next messages of the plan, except for those that changed since."""
        async with self._database.connection() as connection:
            return _ours(
                await self._queries.archive_batch(connection, run_id=run.id, claim_id=run.claim_id, limit=limit)
            )

    async def delete(self, run: ClaimedRun, limit: int) -> int:
        """Delete the next messages of the plan, except for those that changed since."""
        async with self._database.connection() as connection:
            return _ours(
                await self._queries.delete_batch(connection, run_id=run.id, claim_id=run.claim_id, limit=limit)
            )

    async def delete_expired(self, run: ClaimedRun, limit: int) -> int:
        """Delete some expired messages, of the run's tenant or of all."""
        return await self._expiry.delete_some(limit, run.tenant_id)

    async def restore(self, run: ClaimedRun, limit: int) -> int:
        """Restore some of what the run's source archived."""
        async with self._database.connection() as connection:
            return _ours(
                await self._queries.restore_batch(connection, run_id=run.id, claim_id=run.claim_id, limit=limit)
            )


def _ours(done: int | None) -> int:
    if done is None:
        raise claim_lost()
    return done
