"""What the routes are given. Async, though nothing is awaited: FastAPI sends the others through a thread."""

from typing import Annotated

from fastapi import Depends, Query, Request

from deployments.schemas import Identifier
from serve_app.services import Services


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _request_id(request: Request) -> str | None:
    request_id: str | None = request.scope.get("request_id")
    return request_id


ServicesOf = Annotated[Services, Depends(_services)]
RequestId = Annotated[str | None, Depends(_request_id)]
TenantId = Annotated[Identifier, Query(description="Whose memory it is.", examples=["acme"])]
