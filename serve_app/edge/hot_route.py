"""Routes for the most frequent requests, without FastAPI's overhead per request."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from serve_app.edge.rate_limits import TenantLimited

Solve = Callable[[Request], Awaitable[Any]]
Read = Callable[[Request], Awaitable[BaseModel | None]]

JSON = b"application/json"


class HotRoute(TenantLimited):
    """A route that validates the model from the request's bytes and calls the endpoint with it.

    FastAPI's own handling takes 0.2 ms longer: it decodes the body, enters four exit stacks and solves the dependencies
    anew for each request. FastAPI still handles requests that are not plain and valid (another content type, a header
    that the endpoint takes, an invalid model), so that all routes refuse requests in the same way.

    The endpoint takes one model, from the body or the query, and returns a `Response`. Its dependencies take only the
    request. The route must belong to the application itself: an included router makes FastAPI rebuild it.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options | {"operation_id": endpoint.__name__, "strict_content_type": False})
        self._by_fastapi = self.app
        self._request_name = self.dependant.request_param_name
        self._dependencies = [(each.name, _of_request(each)) for each in self.dependant.dependencies]
        self._special_headers = frozenset(each.alias.lower().encode() for each in self.dependant.header_params)
        if self.body_field is not None:
            self._model_name, self._read = self.body_field.name, _from_body(_model_of(self.body_field))
        else:
            (query,) = self.dependant.query_params
            self._model_name, self._read = query.name, _from_query(_model_of(query))
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._response(request) if self._is_plain(scope) else None
        if response is None:
            await self._by_fastapi(scope, _replaying(request, receive), send)
        else:
            await response(scope, receive, send)

    def _is_plain(self, scope: Scope) -> bool:
        """Return whether the body, if any, has the JSON content type, and no header needs validation."""
        for name, value in scope["headers"]:
            if name in self._special_headers:
                return False
            names_type = name == b"content-type" and self.body_field is not None
            if names_type and value.partition(b";")[0].strip().lower() != JSON:
                return False
        return True

    async def _response(self, request: Request) -> Response | None:
        """Return the endpoint's answer, or None if the model is invalid."""
        # A dependency that only checks the request has no name.
        solved = {name or "": await solve(request) for name, solve in self._dependencies}
        model = await self._read(request)
        if model is None:
            return None
        solved.pop("", None)
        if self._request_name is not None:
            solved[self._request_name] = request
        response: Response = await self.endpoint(**solved, **{self._model_name: model})
        return response


def _replaying(request: Request, receive: Receive) -> Receive:
    """Return a `receive` that replays the body, which may have been read already."""
    body = getattr(request, "_body", None)
    if body is None:
        return receive
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return first.pop() if first else await receive()

    return receive_again


def _model_of(field: Any) -> type[BaseModel]:
    return cast("type[BaseModel]", field.field_info.annotation)


def _of_request(dependency: Dependant) -> Solve:
    """Return a dependency as a function of the request alone.

    The security schemes below it only document OpenAPI and get None: the `Gate` has read the key. Raises `TypeError`
    for a dependency that takes anything else.
    """
    schemes = {str(each.name): None for each in dependency.dependencies if isinstance(each.call, SecurityBase)}
    others = len(dependency.dependencies) - len(schemes)
    if dependency.call is None or dependency.request_param_name is None or others or _parameters(dependency):
        raise TypeError(f"a hot route's dependency takes more than the request: {dependency.call}")
    call = partial(dependency.call, **schemes)
    name = dependency.request_param_name
    return lambda request: call(**{name: request})


def _parameters(dependency: Dependant) -> list[Any]:
    return [*dependency.query_params, *dependency.header_params, *dependency.path_params, *dependency.body_params]


def _from_body(model: type[BaseModel]) -> Read:
    async def read(request: Request) -> BaseModel | None:
        try:
            return model.model_validate_json(await request.body())
        except (ValidationError, ClientDisconnect):
            return None

    return read


def _from_query(model: type[BaseModel]) -> Read:
    async def read(request: Request) -> BaseModel | None:
        pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(pairs)
        if len(given) < len(pairs):
            return None
        try:
            return model.model_validate(given)
        except ValidationError:
            return None

    return read
