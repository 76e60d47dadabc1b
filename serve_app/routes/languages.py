"""Languages of tenants, in which their messages and queries are analysed."""

from fastapi import APIRouter

from deployments.schemas.languages import OwnLanguage, TenantLanguage
from deployments.schemas.messages import NewTenantInPath, TenantInPath
from serve_app.edge.auth import Administers
from serve_app.edge.http_errors import error_responses
from serve_app.edge.named_paths import NamedRoute
from serve_app.routes.dependencies import ServicesOf

router = APIRouter(prefix="/v1/admin/languages", tags=["admin"], route_class=NamedRoute)

LANGUAGE = "/{tenant_id:name}"


@router.get(LANGUAGE, response_model=TenantLanguage, responses=error_responses(404, 422), dependencies=[Administers])
async def get_language(tenant_id: TenantInPath, services: ServicesOf) -> TenantLanguage:
    """Show a tenant's effective language, and whether its messages are being analysed again."""
    return await services.languages.get(tenant_id)


@router.put(
    LANGUAGE,
    response_model=TenantLanguage,
    responses=error_responses(400, 404, 413, 422),
    dependencies=[Administers],
)
async def put_language(tenant_id: NewTenantInPath, own: OwnLanguage, services: ServicesOf) -> TenantLanguage:
    """Set a tenant's own language. Its stored messages are analysed again in the background."""
    return await services.languages.put(tenant_id, own)


@router.delete(LANGUAGE, status_code=204, responses=error_responses(404, 422), dependencies=[Administers])
async def delete_language(tenant_id: TenantInPath, services: ServicesOf) -> None:
    """Remove a tenant's own language. The service's setting applies again."""
    await services.languages.delete(tenant_id)
