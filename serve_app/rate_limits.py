"""Rate limits at the front door: who is counted, and what an answer says of it.

A client's address is counted before its key is looked at, so that it holds for those who guess too. A key, and the
tenant that it is bound to, are counted as soon as they are known, before the body is read. A tenant that is named by
whoever may name any is known when the request is valid: `TenantLimited` counts it then, for every route.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from math import ceil
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.errors import MemoryLayerError
from deployments.rate_limits.leases import Counted, Standing
from deployments.rate_limits.limiter import Admission, RateLimiter
from deployments.tenancy import named_tenants
from serve_app.http_errors import answer_to
from serve_app.keyring import Caller

# Who asks these asks all the time, and must not be told that the service is away because of it.
UNLIMITED_PATHS = frozenset({"/v1/admin/health", "/v1/admin/readiness", "/v1/admin/liveness", "/metrics"})
UNKNOWN_ADDRESS = "unknown"

_admission: ContextVar[Admission | None] = ContextVar("admission", default=None)


class _RateLimits:
    """Counts each request once for each of the limits that `_limits` names; None: nothing here concerns it."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits = self._limits(scope) if scope["type"] == "http" and scope["path"] not in UNLIMITED_PATHS else None
        if limits is None:
            await self._app(scope, receive, send)
            return
        admission: Admission | None = scope.get("admission")
        if admission is None:
            scope["admission"] = admission = Admission(self._limiter)
            send = _saying_how_it_stands(admission, send)
        try:
            await admission.admit(limits)
        except MemoryLayerError as error:
            await answer_to(error, scope.get("request_id"))(scope, receive, send)
            return
        with _admitting(admission):
            await self._app(scope, receive, send)

    def _limits(self, scope: Scope) -> tuple[Counted, ...] | None:
        raise NotImplementedError


class AddressLimits(_RateLimits):
    """Counts requests of each client address."""

    def _limits(self, scope: Scope) -> tuple[Counted, ...] | None:
        client = scope.get("client")
        return self._limiter.of_address(client[0] if client else UNKNOWN_ADDRESS)


class CallerLimits(_RateLimits):
    """Counts requests of each key that was made, and of the tenant that it is bound to."""

    def _limits(self, scope: Scope) -> tuple[Counted, ...] | None:
        caller: Caller | None = scope.get("caller")
        if caller is None:
            return None
        limits = self._limiter.of_key(caller.name, caller.rate_limit) if caller.was_made else ()
        if not self._limiter.limits_tenants:
            return limits or None
        tenant_id = caller.rights.tenant_id
        return limits if tenant_id is None else (*limits, *self._limiter.of_tenant(tenant_id))


class TenantLimited(APIRoute):
    """A route that counts the tenants that its request names, when it is valid and before anything is done for it."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _counting_tenants(endpoint), **options)


def _counting_tenants(endpoint: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(endpoint)
    async def limited(**arguments: Any) -> Any:
        admission = _admission.get()
        if admission is not None:
            await admission.admit_tenants(named_tenants())
        return await endpoint(**arguments)

    return limited


@contextmanager
def _admitting(admission: Admission) -> Iterator[None]:
    token = _admission.set(admission)
    try:
        yield
    finally:
        _admission.reset(token)


def _saying_how_it_stands(admission: Admission, send: Send) -> Send:
    async def send_with_limit(message: Message) -> None:
        if message["type"] == "http.response.start" and admission.tightest is not None:
            message["headers"] = [*message["headers"], *_headers(admission.tightest)]
        await send(message)

    return send_with_limit


def _headers(standing: Standing) -> list[tuple[bytes, bytes]]:
    """Of the limit with the least left; when it resets, in seconds since 1970."""
    figures = {
        b"x-ratelimit-limit": standing.counted.rate.amount,
        b"x-ratelimit-remaining": standing.remaining,
        b"x-ratelimit-reset": ceil(time.time() + standing.resets_in),
    }
    return [(name, str(figure).encode()) for name, figure in figures.items()]
