"""Retention archives a tenant's messages while it is searched from memory."""

import asyncio
from io import StringIO
from typing import Any

from deployments.schemas.retention import RetentionRequest
from deployments.storage.retention.policies import default_policy
from deployments.storage.retention.runs import RetentionRunRepository
from jobs.progress import ProgressLines
from jobs.retention.pace import Pace
from jobs.retention.running import RetentionRunner
from tests.integration.retaining import aged, database_of, states
from tests.integration.service import Service

OLD = 1_000
# A policy archives a part of a tenant at most.
NEW = 2 * OLD
BATCH = 20
HITS = 100


async def test_what_is_archived_is_never_found(service: Service) -> None:
    await aged(service, OLD)
    kept = set(await aged(service, NEW, days=0, importance=0.9))
    database = database_of(service.settings)
    runs = RetentionRunRepository(database, default_policy(service.settings.retention))
    runner = RetentionRunner(database, runs, Pace(BATCH, 0.0), ProgressLines(StringIO()))
    run_id = await runs.create(RetentionRequest(dry_run=False), "test")
    retention = asyncio.create_task(runner.finish(run_id))

    sizes: set[int] = set()
    while not retention.done():
        archived = await archived_of(service)
        found = await found_by(service)
        assert len(found) == HITS
        assert not archived & found
        sizes.add(len(archived))
    await retention
    await database.close()

    # It went on while the searches did.
    assert len(sizes) > 2
    assert set(await states(service)) - await archived_of(service) == kept
    assert await found_by(service) < kept


async def archived_of(service: Service) -> set[str]:
    return {found for found, archived in (await states(service)).items() if archived}


async def found_by(service: Service) -> set[str]:
    query: dict[str, Any] = {"tenant_id": "acme", "query": "note", "top_k": HITS}
    answer = await service.client.post("/v1/memory/search", json=query)
    assert answer.status_code == 200
    return {hit["message_id"] for hit in answer.json()["items"]}
