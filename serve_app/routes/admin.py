"""Administration: health, a tenant's usage, and retries of failed embeddings."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from deployments.schemas.health import Status
from deployments.schemas.messages import StoredIdentifier, TenantInPath, TenantOrAll
from deployments.schemas.usage import Usage
from deployments.tenancy import Visible
from serve_app.edge.auth import Administers
from serve_app.edge.http_errors import error_responses, open_error_responses
from serve_app.edge.named_paths import NamedRoute
from serve_app.health import Health, Liveness, Readiness
from serve_app.routes.dependencies import ServicesOf

router = APIRouter(prefix="/v1/admin", tags=["admin"], route_class=NamedRoute)


class RetryRequest(BaseModel):
    """Selects the failed messages to retry: of one tenant, or of all that the key may see."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"tenant_id": "acme"}]})

    tenant_id: TenantOrAll = Field(default=None, validate_default=True)


class RetryAnswer(BaseModel):
    """How many messages are pending again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"retried": 12}]})

    retried: int


@router.get(
    "/health",
    response_model=Health,
    responses={**open_error_responses(), 503: {"model": Health, "description": "The database is away."}},
)
async def health(services: ServicesOf, response: Response) -> Health:
    """Report the health of every part, with latencies. For people and dashboards."""
    report = await services.health.health()
    response.status_code = _status_code(report.status)
    return report


@router.get(
    "/readiness",
    response_model=Readiness,
    responses={**open_error_responses(), 503: {"model": Readiness, "description": "Do not send requests here."}},
)
async def readiness(services: ServicesOf, response: Response) -> Readiness:
    """Report whether this replica accepts requests. For load balancers."""
    report = await services.health.readiness()
    response.status_code = _status_code(report.status)
    return report


@router.get(
    "/liveness",
    response_model=Liveness,
    responses={503: {"model": Liveness, "description": "This replica is to be replaced."}},
)
async def liveness(services: ServicesOf, response: Response) -> Liveness:
    """Report whether this process is healthy, by the same rule as Serve's health checks. For supervisors."""
    problem = services.liveness.problem()
    status = Status.OK if problem is None else Status.UNAVAILABLE
    response.status_code = _status_code(status)
    return Liveness(status=status, problems=[problem] if problem else [])


@router.post(
    "/embeddings/retry",
    status_code=202,
    response_model=RetryAnswer,
    responses=error_responses(400, 413, 422),
    dependencies=[Administers],
)
async def retry_failed_embeddings(request: RetryRequest, services: ServicesOf) -> RetryAnswer:
    """Embed all failed messages again, of one tenant or of all."""
    return RetryAnswer(retried=await services.messages.retry_embedding(Visible(request.tenant_id)))


@router.get("/usage", response_model=Usage, responses=error_responses(422), dependencies=[Administers])
@router.get(
    "/tenants/{tenant_id:name}/usage",
    response_model=Usage,
    responses=error_responses(404, 422),
    dependencies=[Administers],
    deprecated=True,
    name="tenant_usage_by_path",
)
async def tenant_usage(
    tenant_id: TenantInPath,
    services: ServicesOf,
    user_id: Annotated[
        StoredIdentifier | None, Query(description="Only this user's. Left out: the whole tenant's.")
    ] = None,
) -> Usage:
    """Show a tenant's or a user's stored data, its embeddings of today, and its quotas."""
    return await services.usage.get(tenant_id, user_id)


def _status_code(status: Status) -> int:
    return 503 if status is Status.UNAVAILABLE else 200
