"""Worker that processes the queue of embedding jobs."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from time import time_ns
from uuid import UUID, uuid4

import structlog
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from deployments.embedding.document import document_text
from deployments.embedding.instruments import EmbeddingInstruments
from deployments.embedding.retry import retry_delay
from deployments.embedding.spaces import DocumentEmbedder
from deployments.errors import (
    EmbeddingError,
    EmbeddingRejectedError,
    EmbeddingUnavailableError,
    InvalidRequestError,
    MemoryLayerError,
    UnavailableError,
)
from deployments.schemas.vectors import DocumentVectors
from deployments.scoring.scorable import Scorable
from deployments.settings import EmbeddingSettings
from deployments.storage.embeddings.jobs import CHANNEL, EmbeddingJobRepository, Job, Result
from deployments.tracing.spans import BATCH_SIZE, note_error, record, root

logger = structlog.get_logger(__name__)

Score = Callable[[Sequence[Scorable], Sequence[str]], Awaitable[Sequence[float]]]

# The longest time until a lost notification, or an expired claim of another replica, is noticed.
POLL_SECONDS = 10.0
# The pause after the database did not answer, or while other workers claim the due jobs.
PAUSE_SECONDS = 1.0


class EmbeddingWorker:
    """Claims messages in batches, has each batch embedded and scored, and writes the results.

    Its state is in Postgres: if it is killed, its claims expire and other workers claim the messages.
    """

    def __init__(
        self,
        jobs: EmbeddingJobRepository,
        embedder: DocumentEmbedder,
        score: Score,
        settings: EmbeddingSettings,
        *,
        batch_size: int,
        concurrency: int,
        instruments: EmbeddingInstruments | None = None,
    ) -> None:
        self._jobs = jobs
        self._embedder = embedder
        self._score = score
        self._settings = settings
        self._batch_size = batch_size
        self._concurrency = concurrency
        self._instruments = instruments or EmbeddingInstruments()
        self._new_messages = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            for _ in range(self._concurrency):
                tasks.create_task(self._drain())

    async def work_once(self) -> int:
        """Claim and finish one batch. Return its number of messages."""
        claim_id, began = uuid4(), time_ns()
        jobs = await self._jobs.claim(claim_id, self._batch_size, self._settings.lease_seconds)
        if jobs:
            self._instruments.claims.observe(len(jobs))
            with self._traced(len(jobs), began):
                async with self._lease_extended(claim_id, jobs):
                    await self._work(claim_id, jobs)
        return len(jobs)

    @contextmanager
    def _traced(self, count: int, began: int) -> Iterator[None]:
        """Open a trace for a claim that found messages. Empty claims are too many to trace."""
        claimed = time_ns()
        with root("embed_messages", Context(), SpanKind.CONSUMER, {BATCH_SIZE: count}, began):
            record("claim", began, claimed, {BATCH_SIZE: count})
            yield

    async def _work(self, claim_id: UUID, jobs: Sequence[Job]) -> None:
        """Process messages together, but those that crashed before one by one. Fail those without attempts left."""
        spent = [job for job in jobs if job.attempts >= self._settings.max_attempts]
        if spent:
            await self._fail(claim_id, spent, EmbeddingError("No attempt to embed it came to an end."))
        rest = [job for job in jobs if job not in spent]
        if together := [job for job in rest if not job.is_tried_alone]:
            await self._process(claim_id, together)
        for job in rest:
            # Last, so that the others are already finished if it crashes the worker again.
            if job.is_tried_alone and await self._jobs.begin_attempt(claim_id, job.message_id):
                await self._process(claim_id, [job])

    async def _drain(self) -> None:
        while True:
            self._new_messages.clear()
            try:
                worked = await self.work_once()
            except MemoryLayerError as error:
                logger.warning("embedding_batch_left", code=error.code, reason=error.message)
                worked = 0
            except Exception:
                # A bug of ours or an unforeseen database error must not stop the embedding of queries.
                logger.exception("draining_broke")
                worked = 0
            if not worked:
                idle = await self._idle_seconds()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._new_messages.wait(), idle)

    async def _idle_seconds(self) -> float:
        """Return the seconds until the next job can be due. A notification announces new messages earlier."""
        try:
            due = await self._jobs.seconds_until_due()
        except Exception:  # noqa: BLE001 - the next claim meets the same and says so
            return PAUSE_SECONDS
        if due is None:
            return POLL_SECONDS
        return min(due, POLL_SECONDS) if due > 0 else PAUSE_SECONDS

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_until_cut_off()
            except MemoryLayerError as error:
                logger.warning("notifications_lost", reason=error.message)
            except Exception:
                # The workers also poll, and listening is retried.
                logger.exception("listening_broke")
            await asyncio.sleep(PAUSE_SECONDS)

    async def _listen_until_cut_off(self) -> None:
        connection = await self._jobs.listen()
        cut_off = asyncio.Event()
        connection.add_termination_listener(lambda _: cut_off.set())
        try:
            await connection.add_listener(CHANNEL, lambda *_: self._new_messages.set())
            # Messages may have arrived before the listener was added.
            self._new_messages.set()
            await cut_off.wait()
        finally:
            connection.terminate()

    @asynccontextmanager
    async def _lease_extended(self, claim_id: UUID, jobs: Sequence[Job]) -> AsyncIterator[None]:
        """Extend the lease while the block runs, so that a short lease works with a slow provider."""
        extending = asyncio.create_task(self._extend(claim_id, [job.message_id for job in jobs]))
        try:
            yield
        finally:
            extending.cancel()

    async def _extend(self, claim_id: UUID, message_ids: list[UUID]) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 3)
            try:
                await self._jobs.extend(claim_id, message_ids, self._settings.lease_seconds)
            except MemoryLayerError as error:
                logger.warning("claim_not_extended", reason=error.message)
            except Exception:
                # The lease lasts long enough for another attempt.
                logger.exception("claim_extension_broke")

    async def _process(self, claim_id: UUID, jobs: Sequence[Job]) -> None:
        """Finish one batch. If it is rejected, bisect it to find the rejected messages."""
        try:
            await self._finish(claim_id, jobs)
        except (EmbeddingRejectedError, InvalidRequestError) as error:
            if len(jobs) == 1:
                await self._fail(claim_id, jobs, error)
                return
            middle = len(jobs) // 2
            await self._process(claim_id, jobs[:middle])
            await self._process(claim_id, jobs[middle:])
        except (EmbeddingUnavailableError, UnavailableError) as error:
            # Also if the database was unavailable: once it is back, the attempt is not counted.
            await self._postpone(claim_id, jobs, error, deferred=True)
        except MemoryLayerError as error:
            await self._retry_or_fail(claim_id, jobs, error)
        except Exception:
            # A bug of ours must neither stop the worker nor make it claim the same messages forever.
            logger.exception("embedding_broke", request_ids=_requests(jobs))
            await self._retry_or_fail(claim_id, jobs, EmbeddingError("The embedding failed for a reason of ours."))

    async def _finish(self, claim_id: UUID, jobs: Sequence[Job]) -> None:
        # Score first: embeddings may cost money, and would be wasted if Scoring is unavailable.
        importances = await self._importances(jobs)
        completed = await self._complete(claim_id, jobs, importances, await self._embeddings(jobs))
        if completed is None:
            # The active space changed while the batch was embedded.
            await self._embedder.refresh()
            completed = await self._complete(claim_id, jobs, importances, await self._embeddings(jobs))
        if completed is None:
            raise EmbeddingUnavailableError("There is no provider for the active embedding space here.")
        self._instruments.messages.labels("completed").inc(completed)
        logger.info("messages_embedded", claimed=len(jobs), completed=completed, request_ids=_requests(jobs))

    async def _complete(
        self, claim_id: UUID, jobs: Sequence[Job], importances: Sequence[float], made: DocumentVectors
    ) -> int | None:
        others = [None] * len(jobs) if made.other_values is None else made.other_values
        results = map(Result, (job.message_id for job in jobs), made.values, importances, others)
        return await self._jobs.complete(claim_id, list(results), made.space, made.other_space)

    async def _importances(self, jobs: Sequence[Job]) -> Sequence[float]:
        return await self._score([Scorable(job.role, job.content, job.name) for job in jobs], _requests(jobs))

    async def _importances_or_none(self, jobs: Sequence[Job]) -> Sequence[float | None]:
        try:
            return await self._importances(jobs)
        except MemoryLayerError as error:
            logger.warning("messages_not_scored", reason=error.message)
        except Exception:
            # No error may keep messages from being postponed or failed: they would be claimed forever.
            logger.exception("scoring_broke", request_ids=_requests(jobs))
        return [None] * len(jobs)

    async def _embeddings(self, jobs: Sequence[Job]) -> DocumentVectors:
        return await self._embedder.embed_documents(
            [document_text(job.role, job.name, job.content, job.created_at) for job in jobs]
        )

    async def _retry_or_fail(self, claim_id: UUID, jobs: Sequence[Job], error: MemoryLayerError) -> None:
        last = [job for job in jobs if job.attempts + 1 >= self._settings.max_attempts]
        if last:
            await self._fail(claim_id, last, error)
        if rest := [job for job in jobs if job not in last]:
            await self._postpone(claim_id, rest, error, deferred=False)

    async def _postpone(self, claim_id: UUID, jobs: Sequence[Job], error: MemoryLayerError, *, deferred: bool) -> None:
        importances = await self._importances_or_none(jobs)
        delays = [
            (job.message_id, self._delay(job.deferrals if deferred else job.attempts, error), importance)
            for job, importance in zip(jobs, importances, strict=True)
        ]
        await self._jobs.postpone(claim_id, delays, error.message, deferred=deferred)
        note_error(error)
        self._instruments.messages.labels("postponed").inc(len(delays))
        logger.warning(
            "messages_postponed",
            count=len(delays),
            code=error.code,
            reason=error.message,
            request_ids=_requests(jobs),
        )

    def _delay(self, failed_before: int, error: MemoryLayerError) -> float:
        return retry_delay(
            failed_before + 1,
            self._settings.retry_base_seconds,
            self._settings.retry_max_seconds,
            random.random(),  # noqa: S311 - spreads retries, guards nothing # nosec B311
            error.retry_after,
        )

    async def _fail(self, claim_id: UUID, jobs: Sequence[Job], error: MemoryLayerError) -> None:
        importances = await self._importances_or_none(jobs)
        ids = [job.message_id for job in jobs]
        failed = await self._jobs.fail(claim_id, list(zip(ids, importances, strict=True)), error.message)
        note_error(error)
        self._instruments.messages.labels("failed").inc(failed)
        logger.error(
            "messages_failed", count=failed, code=error.code, reason=error.message, request_ids=_requests(jobs)
        )


def _requests(jobs: Sequence[Job]) -> list[str]:
    return sorted({job.request_id for job in jobs if job.request_id})
