"""Retention policies of tenants."""

from deployments.retention.policy import effective
from deployments.schemas.retention import RetentionPolicy, TenantPolicy, TenantRetention
from deployments.settings import RetentionSettings
from deployments.storage.postgres.database import Database
from deployments.storage.postgres.named_queries import load_queries


def default_policy(settings: RetentionSettings) -> RetentionPolicy:
    """Return the policy of tenants without their own."""
    return RetentionPolicy(
        max_age_days=settings.max_age_days,
        importance_threshold=settings.importance_threshold,
        delete_after_days=settings.delete_after_days,
        keep_newest=settings.keep_newest,
        exempt=False,
    )


class RetentionPolicyRepository:
    """Stores the tenants' policies. Errors of every method: `DatabaseUnavailableError`, `OverloadedError`."""

    def __init__(self, database: Database, defaults: RetentionPolicy) -> None:
        self._database = database
        self._defaults = defaults
        self._queries = load_queries("retention_policies")

    async def get(self, tenant_id: str) -> TenantRetention:
        """Return the policy that applies to a tenant, even to an unknown one."""
        async with self._database.connection() as connection:
            row = await self._queries.get_policy(connection, tenant_id=tenant_id)
        return self._described(tenant_id, None if row is None else TenantPolicy(**row))

    async def put(self, tenant_id: str, own: TenantPolicy) -> TenantRetention:
        """Set or replace a tenant's own policy. It applies from the next plan on."""
        async with self._database.connection() as connection:
            await self._queries.put_policy(connection, tenant_id=tenant_id, **own.model_dump())
        return self._described(tenant_id, own)

    async def delete(self, tenant_id: str) -> None:
        """Delete a tenant's own policy, if any, so that the defaults apply again."""
        async with self._database.connection() as connection:
            await self._queries.delete_policy(connection, tenant_id=tenant_id)

    def _described(self, tenant_id: str, own: TenantPolicy | None) -> TenantRetention:
        return TenantRetention(tenant_id=tenant_id, policy=effective(self._defaults, own), own=own)
