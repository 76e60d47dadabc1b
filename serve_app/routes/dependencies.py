"""What the routes are given. Async, though nothing is awaited: FastAPI sends the others through a thread."""

from collections.abc import Iterator
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticCustomError

from deployments.schemas import StoredIdentifier
from deployments.tenancy import named, tenant_if_any, the_tenant
from serve_app.message_ids import message_ids
from serve_app.services import Services


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _request_id(request: Request) -> str | None:
    request_id: str | None = request.scope.get("request_id")
    return request_id


async def _message_ids(request: Request) -> Iterator[UUID | None]:
    return message_ids(request.scope.get("delivery"))


async def _tenant(
    tenant_id: Annotated[
        StoredIdentifier | None,
        Query(
            description="Whose memory it is. May be left out with a key that is bound to a tenant.", examples=["acme"]
        ),
    ] = None,
) -> str:
    try:
        return named(str(the_tenant(tenant_id)))
    except PydanticCustomError as error:
        missing = {"type": error.type, "loc": ("query", "tenant_id"), "msg": error.message()}
        raise RequestValidationError([missing]) from None


async def _only_tenant(
    tenant_id: Annotated[
        StoredIdentifier | None,
        Query(description="Only what is this tenant's: 404 for another's. Left out: the key's.", examples=["acme"]),
    ] = None,
) -> str | None:
    return named(cast("str | None", tenant_if_any(tenant_id)))


ServicesOf = Annotated[Services, Depends(_services)]
RequestId = Annotated[str | None, Depends(_request_id)]
TenantId = Annotated[str, Depends(_tenant)]
# The ids of the messages that a request stores, in order, and the same at each attempt. None: any will do.
MessageIds = Annotated[Iterator[UUID | None], Depends(_message_ids)]
# The tenant whose things alone may be seen, or None for every tenant's.
OnlyTenant = Annotated[str | None, Depends(_only_tenant)]
