"""Languages of tenants: in which their messages and queries are analysed."""

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
    """Show the language that holds for a tenant, and whether its messages are being analysed anew."""
    return await services.languages.get(tenant_id)


@router.put(
    LANGUAGE,
    response_model=TenantLanguage,
    responses=error_responses(400, 404, 413, 422),
    dependencies=[Administers],
)
async def put_language(tenant_id: NewTenantInPath, own: OwnLanguage, services: ServicesOf) -> TenantLanguage:
    """Give a tenant a language of its own. What it has stored is analysed anew in the background."""
    return await services.languages.put(tenant_id, own)


@router.delete(LANGUAGE, status_code=204, responses=error_responses(404, 422), dependencies=[Administers])
async def delete_language(tenant_id: TenantInPath, services: ServicesOf) -> None:
    """Have the service's settings hold for a tenant again."""
    await services.languages.delete(tenant_id)
