"""What the service measures while it works, over a real database."""

import asyncio
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.errors import ByteQuotaError, EmbeddingUnavailableError, MessageQuotaError
from deployments.metrics.database_totals import DatabaseTotalsCollector
from deployments.runtime.metrics.snapshot import take
from deployments.settings import Settings
from deployments.storage.tenants import totals as reading
from deployments.storage.tenants.totals import DatabaseTotalsRepository
from tests.integration.calls import message, search, store, store_many
from tests.integration.failing import Away
from tests.integration.retaining import aged, finished_run, undone
from tests.integration.service import Service, create_service
from tests.integration.tables import locked

Sample = tuple[str, frozenset[tuple[str, str]]]


async def measured(service: Service) -> dict[Sample, float]:
    """What `GET /metrics` says, by name and labels."""
    answer = await service.client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def sample(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


async def totals(collector: DatabaseTotalsCollector) -> dict[str, float]:
    """What is read from the database, by name and the value of the label."""
    await collector.read_once()
    return {
        " ".join([name, *(value for _, value in labels)]): value
        for family in take(collector).values()
        for (name, labels), value in family.values.items()
    }


async def test_messages_are_counted_when_they_are_stored(service: Service) -> None:
    await store(service)
    await store_many(service, [message("One"), message("Two")])
    for _ in range(2):
        answer = await service.client.post("/v1/messages", json=message("Once"), headers={"Idempotency-Key": "k"})
        assert answer.status_code == 202
    await service.client.post("/v1/messages", json=message("", role="user"))
    found = await measured(service)

    assert found[sample("messages_created_total")] == 4
    stored = {"method": "POST", "endpoint": "/v1/messages"}
    assert found[sample("http_requests_total", **stored, status="202")] == 3
    assert found[sample("http_requests_total", **stored, status="422")] == 1


async def test_searches_are_counted_and_timed_stage_by_stage(service: Service) -> None:
    await store(service)
    await service.embed_all()
    for _ in range(2):
        await search(service, "Python")
    found = await measured(service)

    assert found[sample("memory_searches_total", outcome="whole")] == 2
    for stage in ("index", "embed", "rank"):
        assert found[sample("memory_search_stage_duration_seconds_count", stage=stage)] == 2
    assert found[sample("embedding_cache_queries_total", outcome="miss")] == 1
    assert found[sample("embedding_cache_queries_total", outcome="hit")] == 1


async def test_a_search_by_words_only_is_told_apart(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise EmbeddingUnavailableError("Away.")

    monkeypatch.setattr(service.spaces, "embed_queries", away)
    await search(service, "Python")

    assert (await measured(service))[sample("memory_searches_total", outcome="words_only")] == 1


async def test_contexts_are_counted_and_so_are_their_searches(service: Service) -> None:
    await store(service)
    await service.embed_all()
    asked = {"tenant_id": "acme", "conversation_id": "c1", "query": "Python"}
    assert (await service.client.post("/v1/memory/context", json=asked)).status_code == 200
    found = await measured(service)

    assert found[sample("memory_contexts_total", outcome="whole")] == 1
    assert found[sample("memory_searches_total", outcome="whole")] == 1


async def test_what_a_quota_refuses_is_counted_by_quota(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_QUOTA_MESSAGES", "2")
    async with create_service(Settings.load(), Away()) as service:
        batch = {"messages": [message(content) for content in ("One", "Two", "Three", "Four")]}
        assert (await service.client.post("/v1/messages/batch", json=batch)).status_code == 207
        found = await measured(service)

        assert found[sample("quota_refusals_total", code=MessageQuotaError.code)] == 2
        assert found[sample("messages_created_total")] == 2


async def test_a_change_that_a_quota_refuses_is_counted_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_QUOTA_BYTES", "40")
    async with create_service(Settings.load(), Away()) as service:
        stored = await store(service, content="Short")
        change = {"content": "x" * 100}
        path = f"/v1/messages/{stored['id']}"
        assert (await service.client.patch(path, json=change)).status_code == 413
        kept = {"Idempotency-Key": "k"}
        for _ in range(2):
            answer = await service.client.post("/v1/messages", json=message("x" * 100), headers=kept)
            assert answer.status_code == 413
        found = await measured(service)

        assert found[sample("quota_refusals_total", code=ByteQuotaError.code)] == 3
        assert found[sample("messages_created_total")] == 1


async def test_embeddings_are_counted_and_timed(service: Service) -> None:
    await store_many(service, [message("One"), message("Two"), message("Three")])
    await service.embed_all()
    found = await measured(service)

    assert found[sample("embedding_messages_total", outcome="completed")] == 3
    assert found[sample("embedding_claim_size_sum")] == 3
    assert found[sample("embedding_claim_size_count")] == 1
    assert found[sample("embedding_generation_duration_seconds_count", purpose="documents")] == 1


async def test_asking_whether_the_provider_works_counts_as_no_query(service: Service) -> None:
    assert (await service.client.get("/v1/admin/health")).json()["embedding"] == "ok"
    found = await measured(service)

    assert found[sample("embedding_generation_duration_seconds_count", purpose="probe")] == 1
    assert found.get(sample("embedding_generation_duration_seconds_count", purpose="queries"), 0) == 0


async def test_the_pool_and_the_queues_are_told(service: Service) -> None:
    await store(service)
    found = await measured(service)

    most = service.database.usage().max_size
    connections = sum(
        found[sample("database_pool_connections", deployment="Ingress", state=state)] for state in ("idle", "in_use")
    )
    assert 1 <= connections <= most == found[sample("database_pool_size", deployment="Ingress")]
    assert found[sample("database_pool_waiting", deployment="Ingress")] == 0
    for queue in ("store", "search", "assemble"):
        assert found[sample("queue_waiting", deployment="Ingress", queue=queue)] == 0
    assert found[sample("replicas", deployment="Ingress")] == 1
    assert found[sample("replica_resident_memory_bytes", deployment="Ingress")] > 1e6


async def test_a_tenant_is_in_no_label(service: Service) -> None:
    await store(service, tenant_id="a-tenant-of-ours", conversation_id="a-conversation-of-theirs")
    await service.client.get("/v1/conversations/a-conversation-of-theirs", params={"tenant_id": "a-tenant-of-ours"})
    await service.client.get("/v1/admin/tenants/a-tenant-of-ours/usage")
    await service.client.get("/nothing/of-ours")
    text = (await service.client.get("/metrics")).text

    assert "/v1/conversations/{conversation_id}" in text
    for word in ("a-tenant-of-ours", "a-conversation-of-theirs", "of-ours"):
        assert word not in text


async def test_how_things_stand_in_the_database(service: Service) -> None:
    await store(service)
    await store(service, tenant_id="globex")
    await service.embed_all()
    await store(service)
    collector = DatabaseTotalsCollector(DatabaseTotalsRepository(service.database).read)
    assert take(collector) == {}
    found = await totals(collector)

    assert found["embeddings_oldest_pending_seconds"] >= 0
    assert (found["embeddings_pending"], found["embeddings_failed"], found["tenants"]) == (1, 0, 2)


async def test_a_database_that_does_not_answer_is_not_waited_for(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = DatabaseTotalsCollector(DatabaseTotalsRepository(service.database).read)
    assert "tenants" in await totals(collector)
    monkeypatch.setattr(reading, "READ_TIMEOUT_SECONDS", 0.1)
    async with locked(database_url, "embedding_jobs"), asyncio.timeout(15):
        assert await totals(collector) == {}
    monkeypatch.undo()

    assert "tenants" in await totals(collector)


async def test_what_was_erased_is_counted_over_all_erasures(service: Service) -> None:
    await store_many(service, [message("One"), message("Two")])
    await store(service, tenant_id="globex")
    for tenant in ("acme", "globex"):
        assert (await service.client.delete(f"/v1/admin/tenants/{tenant}")).status_code == 200
    found = await totals(DatabaseTotalsCollector(DatabaseTotalsRepository(service.database).read))

    assert (found["erased_messages_total"], found["erasures_unfinished"], found["tenants"]) == (3, 0, 0)


async def test_what_was_forgotten_is_counted_over_all_runs(service: Service) -> None:
    await aged(service, 20, importance=0.9)
    await aged(service, 3)
    collector = DatabaseTotalsCollector(DatabaseTotalsRepository(service.database).read)
    found = await totals(collector)
    assert found["retention_messages_total archived"] == found["retention_runs_total completed"] == 0
    assert "retention_last_completed_timestamp_seconds" not in found
    run_id = await finished_run(service.settings, tenant_id="acme", dry_run=False)
    await undone(service.settings, run_id)
    found = await totals(collector)

    assert found["retention_messages_total archived"] == found["retention_messages_total restored"] == 3
    assert found["retention_messages_total deleted"] == 0
    assert found["retention_runs_total completed"] == 2
    assert found["retention_runs_running"] == 0
    assert time.time() - 600 < found["retention_last_completed_timestamp_seconds"] < time.time() + 600
