"""What retention archives and deletes, and what it leaves alone."""

from dataclasses import replace
from uuid import UUID

import pytest

from deployments.embedding.providers.local import LocalProvider
from deployments.schemas.retention import TenantPolicy
from deployments.settings import Settings
from deployments.storage.retention.policies import RetentionPolicyRepository, default_policy
from tests.integration.calls import Json, change, found, message, store_many
from tests.integration.postgres import SPACE
from tests.integration.recount import execute
from tests.integration.retaining import aged, all_counts_hold, archived, finished, states
from tests.integration.service import Service, create_service


async def set_policy(service: Service, tenant_id: str = "acme", **own: object) -> None:
    policies = RetentionPolicyRepository(service.database, default_policy(service.settings.retention))
    await policies.put(tenant_id, TenantPolicy.model_validate(own))


async def test_what_is_old_and_unimportant_is_archived_and_nothing_else(service: Service) -> None:
    old = await aged(service, 5)
    kept = [
        *await aged(service, 3, days=20),
        *await aged(service, 3, importance=0.35),
        *await aged(service, 3, importance=None),
    ]
    pending = await aged(service, 1)
    await execute(service, "UPDATE messages SET embedding_status = 'pending' WHERE id = $1", UUID(pending[0]))

    report = await finished(service.settings, dry_run=False)

    assert (report.status, report.archived, report.deleted, report.skipped) == ("completed", 5, 0, 0)
    assert await states(service) == dict.fromkeys(old, True) | dict.fromkeys([*kept, *pending], False)
    await all_counts_hold_with_pending(service)


async def all_counts_hold_with_pending(service: Service) -> None:
    await execute(service, "UPDATE messages SET embedding_status = 'completed' WHERE embedding_status = 'pending'")
    await all_counts_hold(service)


async def test_an_override_of_the_importance_decides(service: Service) -> None:
    ids = await aged(service, 6)
    await aged(service, 6, importance=0.9)
    await change(service, ids[0], importance_override=0.9)

    report = await finished(service.settings, dry_run=False)

    assert report.archived == 5
    assert not (await states(service))[ids[0]]


async def test_archived_messages_are_out_of_search_unless_asked_for(service: Service) -> None:
    await aged(service, 1)
    await aged(service, 2, importance=0.9)

    await finished(service.settings, dry_run=False)

    assert len(await found(service, "note")) == 2
    assert len(await found(service, "note", include_archived=True)) == 3


async def test_archived_messages_are_found_by_meaning_in_a_tenant_of_any_size(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in one that is searched through the HNSW index, which has none of them."""
    monkeypatch.setenv("MEMORY_SEARCH_EXACT_LIMIT", "1")
    service = create_service(Settings.load(), LocalProvider(SPACE))
    await store_many(service, [message("My sister lives in Lisbon"), message("It rained"), message("Apples")])
    await service.embed_all()
    await execute(service, "UPDATE messages SET archived = true WHERE content LIKE 'My sister%'")

    assert len(await found(service, "where is her home")) == 2
    assert len(await found(service, "where is her home", include_archived=True)) == 3
    await service.database.close()


async def test_archived_messages_are_deleted_when_they_have_been_so_for_long(service: Service) -> None:
    await archived(service, 4, days_ago=91)
    kept = [*await archived(service, 2, days_ago=89), *await aged(service, 5, importance=0.9)]

    report = await finished(service.settings, dry_run=False)

    assert (report.archived, report.deleted) == (0, 4)
    assert set(await states(service)) == set(kept)
    await all_counts_hold(service)


async def test_age_counts_from_the_archiving_whoever_archives(service: Service) -> None:
    ids = await aged(service, 3, days=400)

    await execute(service, "UPDATE messages SET archived = true")
    report = await finished(service.settings, dry_run=False, force=True)

    assert report.deleted == 0
    assert set(await states(service)) == set(ids)
    await execute(service, "UPDATE messages SET archived = false")
    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM messages WHERE archived_at IS NOT NULL") == 0


@pytest.mark.parametrize(("actions", "left"), [(["archive"], 6), (["delete"], 4), (["archive", "delete"], 4)])
async def test_only_the_actions_that_are_asked_for_are_done(service: Service, actions: list[str], left: int) -> None:
    await archived(service, 2, days_ago=100)
    await aged(service, 1)
    await aged(service, 3, importance=0.9)

    report = await finished(service.settings, dry_run=False, actions=actions)

    assert len(await states(service)) == left
    assert (report.archived, report.deleted) == ("archive" in actions, 2 * ("delete" in actions))


async def test_only_the_tenant_that_is_asked_for_is_touched(service: Service) -> None:
    for tenant_id in ("acme", "globex"):
        await aged(service, 2, tenant_id=tenant_id)
        await aged(service, 2, importance=0.9, tenant_id=tenant_id)

    report = await finished(service.settings, tenant_id="globex", dry_run=False)

    assert (report.archived, [each.tenant_id for each in report.tenants]) == (2, ["globex"])
    async with service.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM messages WHERE archived AND tenant_id = 'acme'") == 0


@pytest.mark.parametrize(
    ("own", "count"),
    [
        ({"max_age_days": 41}, 2),
        ({"importance_threshold": 0.05}, 0),
        ({"keep_newest": 22}, 10),
        ({"keep_newest": 30}, 2),
        ({"keep_newest": 32}, 0),
        ({"keep_newest": 100}, 0),
        ({"exempt": True}, 0),
        ({}, 12),
    ],
)
async def test_a_tenants_own_policy_takes_the_place_of_the_defaults(service: Service, own: Json, count: int) -> None:
    """32 messages: 20 important ones of today, 10 unimportant ones of 40 days ago, and 2 of 45 days ago."""
    await aged(service, 20, days=0, importance=0.9)
    await aged(service, 10)
    await aged(service, 2, days=45)
    await set_policy(service, **own)

    report = await finished(service.settings, dry_run=False)

    assert report.archived == count
    await all_counts_hold(service)


async def test_each_tenants_policy_is_in_the_ledger(service: Service) -> None:
    for tenant_id in ("acme", "globex"):
        await aged(service, 2, tenant_id=tenant_id)
        await aged(service, 2, importance=0.9, tenant_id=tenant_id)
    await set_policy(service, max_age_days=10)

    report = await finished(service.settings, dry_run=True)

    assert report.policy.max_age_days == 30
    assert {each.tenant_id: each.policy.max_age_days for each in report.tenants} == {"acme": 10, "globex": 30}


async def test_the_settings_are_the_defaults(service: Service, settings: Settings) -> None:
    await aged(service, 4, days=3, importance=0.5)
    await aged(service, 4, days=3, importance=0.9)
    retention = settings.retention.model_copy(update={"max_age_days": 2, "importance_threshold": 0.6})

    assert (await finished(settings, dry_run=False)).archived == 0
    assert (await finished(replace(settings, retention=retention), dry_run=False)).archived == 4


async def test_a_database_without_messages_has_nothing_to_do(settings: Settings) -> None:
    report = await finished(settings, dry_run=False)

    assert (report.status, report.archived, report.deleted, report.tenants) == ("completed", 0, 0, [])
