"""Keys for the tests, and who sends them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from deployments.schemas.api_keys import CreatedKey, KeyScope, NewKey
from tests.integration.service import Service

ROOT_KEY = "root-key-of-the-tests"
ALL_SCOPES = list(KeyScope)


def sent(key: str | CreatedKey | None) -> dict[str, str]:
    """The headers of a request with a key."""
    text = key.key if isinstance(key, CreatedKey) else key
    return {} if text is None else {"X-API-Key": text}


AS_ROOT = sent(ROOT_KEY)


async def make(service: Service, tenant_id: str | None = "acme", *scopes: KeyScope, **fields: Any) -> CreatedKey:
    """A key for a tenant, with all scopes where none is named."""
    new = NewKey(name="for a test", tenant_id=tenant_id, scopes=list(scopes) or ALL_SCOPES, **fields)
    return await service.keys.create(new)


async def make_expired(service: Service, tenant_id: str = "acme") -> CreatedKey:
    """A key with all scopes that held until a minute ago."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    new = NewKey.model_construct(name="expired", tenant_id=tenant_id, scopes=ALL_SCOPES, expires_at=past)
    return await service.keys.create(new)


async def make_revoked(service: Service, tenant_id: str = "acme") -> CreatedKey:
    """A key with all scopes that was revoked."""
    key = await make(service, tenant_id)
    await service.keys.revoke(key.id)
    return key
