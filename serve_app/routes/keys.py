"""API keys: create, list, rotate, revoke. A key manages keys of its own tenant with at most its own rights."""

from dataclasses import replace
from uuid import UUID

import structlog
from fastapi import APIRouter

from deployments.errors import ForbiddenError
from deployments.schemas.api_keys import CreatedKey, KeyPage, NewKey, Rotation
from serve_app.edge.auth import Administers, Administrator
from serve_app.edge.http_errors import error_responses
from serve_app.edge.rate_limits import TenantLimited
from serve_app.routes.cursors import Cursor, Limit, decode_cursor, page_of
from serve_app.routes.dependencies import OnlyTenant, ServicesOf

logger = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/admin/keys", tags=["keys"], route_class=TenantLimited)


@router.post("", status_code=201, response_model=CreatedKey, responses=error_responses(400, 413, 422))
async def create_key(new: NewKey, services: ServicesOf, caller: Administrator) -> CreatedKey:
    """Create a key, which only this answer shows. It may have at most the rights of the key that creates it."""
    if not caller.rights.cover(new.rights):
        raise ForbiddenError("A key cannot make one that allows more than it does, or for longer.")
    created = await services.keys.create(new)
    logger.info("key_created", prefix=created.prefix, tenant_id=created.tenant_id, by=caller.name)
    return created


@router.get("", response_model=KeyPage, responses=error_responses(422), dependencies=[Administers])
async def list_keys(
    services: ServicesOf,
    only_tenant: OnlyTenant,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> KeyPage:
    """List all keys, or those of one tenant, newest first; revoked and expired ones too."""
    listing = f"keys\0{only_tenant.tenant_id or ''}"
    after = None if cursor is None else decode_cursor(cursor, listing, UUID)
    found = await services.keys.page(only_tenant.tenant_id, limit + 1, after)
    items, next_cursor = page_of(found, limit, listing, lambda key: (key.created_at, str(key.id)))
    return KeyPage(items=items, next_cursor=next_cursor)


@router.delete("/{key_id}", status_code=204, responses=error_responses(404, 422))
async def revoke_key(key_id: UUID, services: ServicesOf, caller: Administrator, only_tenant: OnlyTenant) -> None:
    """Revoke a key, which is refused within a second. Revoking it again is no error."""
    prefix = await services.keys.revoke(key_id, only_tenant.tenant_id)
    logger.info("key_revoked", prefix=prefix, by=caller.name)


@router.post(
    "/{key_id}/rotate", status_code=201, response_model=CreatedKey, responses=error_responses(400, 404, 413, 422)
)
async def rotate_key(
    key_id: UUID, rotation: Rotation, services: ServicesOf, caller: Administrator, only_tenant: OnlyTenant
) -> CreatedKey:
    """Create a key with the same rights. The old one expires after the overlap."""
    within = replace(caller.rights, tenant_id=only_tenant.tenant_id)
    created = await services.keys.rotate(key_id, rotation.overlap_seconds, within)
    logger.info("key_rotated", prefix=created.prefix, rotated_id=str(key_id), by=caller.name)
    return created
