"""Dependencies of the routes. They are async although they await nothing: FastAPI runs sync ones in a thread."""

from collections.abc import Iterator
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticCustomError

from deployments.schemas.messages import StoredIdentifier
from deployments.tenancy import Visible, named, tenant_if_any, the_tenant, user_if_any, visible
from serve_app.edge.message_ids import message_ids
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
) -> Visible:
    return Visible(named(cast("str | None", tenant_if_any(tenant_id))), visible().user_id)


async def _user(
    user_id: Annotated[
        StoredIdentifier | None,
        Query(description="Only this user's. Left out: everyone's, or the user's of the key that asks."),
    ] = None,
) -> str | None:
    return cast("str | None", user_if_any(user_id))


ServicesOf = Annotated[Services, Depends(_services)]
RequestId = Annotated[str | None, Depends(_request_id)]
TenantId = Annotated[str, Depends(_tenant)]
# The ids of the messages that a request stores, in order, the same in each attempt. None: generate an id.
MessageIds = Annotated[Iterator[UUID | None], Depends(_message_ids)]
# The user to whose messages the request is limited, or None for all users.
UserId = Annotated[str | None, Depends(_user)]
# The scope of what the request may see: a tenant, one of its users, or everything.
OnlyTenant = Annotated[Visible, Depends(_only_tenant)]
