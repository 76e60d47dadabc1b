"""A claim is a lease: whatever becomes of its worker, each message is embedded into one row."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from deployments.embedding.providers.protocol import EmbeddingProvider
from deployments.embedding.spaces import OneSpace
from deployments.embedding.worker import EmbeddingWorker
from tests.integration.calls import get, message, store, store_many
from tests.integration.failing import Scripted, Slow
from tests.integration.postgres import SPACE
from tests.integration.service import Service, score

LEASE = 0.3


def worker_with(service: Service, provider: EmbeddingProvider, batch_size: int = 128) -> EmbeddingWorker:
    settings = service.settings.embedding.model_copy(update={"lease_seconds": LEASE})
    return EmbeddingWorker(
        service.jobs, OneSpace(SPACE, provider), score, settings, batch_size=batch_size, concurrency=1
    )


async def work_until_done(service: Service, worker: EmbeddingWorker) -> int:
    """How many messages the worker embedded, before none was left."""
    done = 0
    async with asyncio.timeout(20):
        while (await service.jobs.counts()).pending:
            done += await worker.work_once()
            await asyncio.sleep(0)
    return done


async def kill(worker: asyncio.Task[int]) -> None:
    worker.cancel()
    await asyncio.wait([worker])
    assert worker.cancelled()


async def claim(service: Service) -> tuple[UUID, datetime]:
    """Who holds the only job, and until when."""
    async with service.database.connection() as connection:
        (row,) = await connection.fetch("SELECT claim_id, available_at FROM embedding_jobs")
    return row["claim_id"], row["available_at"]


async def embedded(service: Service) -> int:
    async with service.database.connection() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM messages WHERE embedding IS NOT NULL")
    return count


async def test_what_a_killed_worker_held_is_taken_by_another(service: Service) -> None:
    await store_many(service, [message(f"m{n}") for n in range(20)])
    slow = Slow()
    doomed = asyncio.create_task(worker_with(service, slow).work_once())
    await slow.asked.wait()
    await kill(doomed)

    heir = Scripted()
    assert await work_until_done(service, worker_with(service, heir)) == 20

    assert [len(batch) for batch in heir.documents] == [20]
    assert await embedded(service) == 20
    listed = (await service.client.get("/v1/messages", params={"tenant_id": "acme"})).json()["items"]
    assert sorted(each["content"] for each in listed) == sorted(f"m{n}" for n in range(20))


async def test_a_claim_that_holds_is_not_taken_by_another(service: Service) -> None:
    await store(service)
    await service.jobs.claim(uuid4(), 10, 60.0)

    assert await worker_with(service, Scripted()).work_once() == 0


async def test_a_slow_provider_keeps_its_claim(service: Service) -> None:
    stored = await store(service)
    slow = Slow()
    working = asyncio.create_task(worker_with(service, slow).work_once())
    await slow.asked.wait()
    claim_id, claimed_until = await claim(service)

    async with asyncio.timeout(20):
        while (now := await claim(service))[1] < claimed_until + timedelta(seconds=3 * LEASE):
            assert now[0] == claim_id
            await asyncio.sleep(LEASE / 10)
    slow.answer.set()

    assert await working == 1
    assert (await get(service, stored["id"]))["embedding_status"] == "completed"


async def test_what_comes_after_the_lease_ran_out_is_not_written(service: Service) -> None:
    stored = await store(service)
    late = uuid4()
    await service.jobs.claim(late, 10, 0.0)
    (job,) = await service.jobs.claim(uuid4(), 10, 60.0)

    await service.jobs.postpone(late, [(job.message_id, 3600.0, None)], "too late")
    await service.jobs.extend(late, [job.message_id], 3600.0)
    assert await service.jobs.fail(late, [(job.message_id, None)], "too late") == 0

    now = await get(service, stored["id"])
    assert (now["embedding_status"], now["embedding_error"]) == ("pending", None)


async def test_two_workers_at_once_never_embed_a_message_twice(service: Service) -> None:
    stored = await store_many(service, [message(f"m{n}") for n in range(300)])
    providers = [Scripted(), Scripted(), Scripted()]

    async def drain(provider: Scripted) -> None:
        worker = worker_with(service, provider, batch_size=16)
        while await worker.work_once():
            pass

    await asyncio.gather(*map(drain, providers))

    texts = [text for provider in providers for batch in provider.documents for text in batch]
    assert len(texts) == len(set(texts)) == len(stored)
    assert await embedded(service) == 300


async def test_the_oldest_messages_are_embedded_first(service: Service) -> None:
    for n in range(6):
        await store(service, f"m{n}")
    provider = Scripted()
    worker = worker_with(service, provider, batch_size=2)

    while await worker.work_once():
        pass

    assert [[text[-2:] for text in batch] for batch in provider.documents] == [["m0", "m1"], ["m2", "m3"], ["m4", "m5"]]


async def test_statements_on_the_same_jobs_wait_for_each_other_and_none_is_ended(service: Service) -> None:
    """The jobs lie on disk in the reverse order of their ids, and each statement names them in an order of its own."""
    claim_id, error = uuid4(), "The provider is away."
    ids = [UUID(int=number) for number in range(600, 0, -1)]
    async with service.database.connection() as connection:
        await connection.executemany(
            "INSERT INTO embedding_jobs (message_id, tenant_id, bytes, claim_id) VALUES ($1, 'acme', 1, $2)",
            [(message_id, claim_id) for message_id in ids],
        )

    async def change_often(order: list[UUID]) -> None:
        for _ in range(10):
            await service.jobs.extend(claim_id, order, LEASE)
        await service.jobs.postpone(claim_id, [(each, 0.0, None) for each in order], error)
        await service.jobs.fail(claim_id, [(each, None) for each in order], error)

    # Postgres ends one of two that wait for each other, which is an error.
    await asyncio.gather(*(change_often(order) for order in (ids, ids[::-1], ids[::2] + ids[1::2])))
