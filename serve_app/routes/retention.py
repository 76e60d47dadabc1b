"""Retention: policies of tenants, runs, and their ledger."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from deployments.schemas.messages import NewTenantInPath, TenantInPath
from deployments.schemas.retention import (
    WAIT,
    RetentionReport,
    RetentionRequest,
    RetentionRunPage,
    RunStatus,
    TenantPolicy,
    TenantRetention,
    Wait,
)
from serve_app.edge.auth import Administers, Administrator
from serve_app.edge.http_errors import error_responses
from serve_app.edge.named_paths import NamedRoute
from serve_app.routes.cursors import Cursor, Limit, decode_cursor, page_of
from serve_app.routes.dependencies import OnlyTenant, ServicesOf

router = APIRouter(prefix="/v1/admin", tags=["retention"], route_class=NamedRoute)

POLICY = "/retention/policy"
POLICY_BY_PATH = "/tenants/{tenant_id:name}/retention"
RUNS = "/retention/runs"


def _run_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    under_way = {"model": RetentionReport, "description": "Not over within the wait: it goes on."}
    return {202: under_way, **error_responses(*statuses)}


@router.post("/retention/run", response_model=RetentionReport, responses=_run_responses(400, 404, 409, 413, 422))
async def run_retention(
    request: RetentionRequest, services: ServicesOf, caller: Administrator, response: Response
) -> RetentionReport:
    """Plan what the policies select, then archive and delete it, or apply the plan of a dry run."""
    return _answer(await services.retention.start(request, caller.name), response)


@router.get(RUNS, response_model=RetentionRunPage, responses=error_responses(422), dependencies=[Administers])
async def list_retention_runs(
    services: ServicesOf,
    only_tenant: OnlyTenant,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RetentionRunPage:
    """List the ledger, newest first: all runs, or those for one tenant."""
    listing = f"retention\0{only_tenant.tenant_id or ''}"
    after = None if cursor is None else decode_cursor(cursor, listing, UUID)
    found = await services.retention_runs.page(only_tenant.tenant_id, limit + 1, after)
    items, next_cursor = page_of(found, limit, listing, lambda run: (run.created_at, str(run.run_id)))
    return RetentionRunPage(items=items, next_cursor=next_cursor)


@router.get(
    f"{RUNS}/{{run_id}}",
    response_model=RetentionReport,
    responses=error_responses(404, 422),
    dependencies=[Administers],
)
async def get_retention_run(run_id: UUID, services: ServicesOf, only_tenant: OnlyTenant) -> RetentionReport:
    """Show one run: its progress or result, its plan for each tenant, and samples."""
    return await services.retention_runs.report(run_id, only_tenant.tenant_id)


@router.post(f"{RUNS}/{{run_id}}/undo", response_model=RetentionReport, responses=_run_responses(404, 409, 422))
async def undo_retention_run(
    run_id: UUID,
    services: ServicesOf,
    caller: Administrator,
    response: Response,
    only_tenant: OnlyTenant,
    wait_seconds: Annotated[Wait, Query(description=WAIT)] = 30,
) -> RetentionReport:
    """Undo the archiving of a run, for messages that are not deleted yet. The undo is a run of its own."""
    undone = await services.retention.undo(run_id, only_tenant.tenant_id, caller.name, wait_seconds)
    return _answer(undone, response)


@router.get(POLICY, response_model=TenantRetention, responses=error_responses(422), dependencies=[Administers])
@router.get(
    POLICY_BY_PATH,
    response_model=TenantRetention,
    responses=error_responses(404, 422),
    dependencies=[Administers],
    deprecated=True,
    name="get_retention_policy_by_path",
)
async def get_retention_policy(tenant_id: TenantInPath, services: ServicesOf) -> TenantRetention:
    """Show a tenant's effective policy, and its own part of it."""
    return await services.retention_policies.get(tenant_id)


@router.put(
    POLICY, response_model=TenantRetention, responses=error_responses(400, 404, 413, 422), dependencies=[Administers]
)
@router.put(
    POLICY_BY_PATH,
    response_model=TenantRetention,
    responses=error_responses(400, 404, 413, 422),
    dependencies=[Administers],
    deprecated=True,
    name="put_retention_policy_by_path",
)
async def put_retention_policy(tenant_id: NewTenantInPath, own: TenantPolicy, services: ServicesOf) -> TenantRetention:
    """Set a tenant's own policy, in place of the previous one."""
    return await services.retention_policies.put(tenant_id, own)


@router.delete(POLICY, status_code=204, responses=error_responses(404, 422), dependencies=[Administers])
@router.delete(
    POLICY_BY_PATH,
    status_code=204,
    responses=error_responses(404, 422),
    dependencies=[Administers],
    deprecated=True,
    name="delete_retention_policy_by_path",
)
async def delete_retention_policy(tenant_id: TenantInPath, services: ServicesOf) -> None:
    """Remove a tenant's own policy. The service's settings apply again."""
    await services.retention_policies.delete(tenant_id)


def _answer(report: RetentionReport, response: Response) -> RetentionReport:
    response.status_code = 202 if report.status is RunStatus.RUNNING else 200
    return report
