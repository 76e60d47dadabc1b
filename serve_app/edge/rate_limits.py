"""Rate limits of requests, and the headers that report them.

The `Gate` counts a client's address before it checks the key, so that callers who guess keys are limited too. It counts
a key, and the tenant that the key is bound to, as soon as they are known, before the body is read. If the key is bound
to no tenant, the tenant is known once the request is valid: `TenantLimited` counts it then, on every route.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from math import ceil
from typing import Any

from starlette.types import Message, Send

from deployments.rate_limits.leases import Counted, LimitStatus
from deployments.rate_limits.limiter import Admission, RateLimiter
from deployments.tenancy import check_held_to_user, named_tenants
from serve_app.edge.keyring import Caller
from serve_app.edge.strict_route import StrictRoute

# Probes call these all the time, and a refusal would make the service look unavailable.
UNLIMITED_PATHS = frozenset({"/v1/admin/health", "/v1/admin/readiness", "/v1/admin/liveness", "/metrics"})

_admission: ContextVar[Admission | None] = ContextVar("admission", default=None)


def limits_of(limiter: RateLimiter, caller: Caller) -> tuple[Counted, ...]:
    """Return the limits of a stored key, and of the tenant that the key is bound to."""
    limits = limiter.of_key(caller.name, caller.rate_limit) if caller.was_made else ()
    tenant_id = caller.rights.tenant_id
    return limits if tenant_id is None else (*limits, *limiter.of_tenant(tenant_id))


class TenantLimited(StrictRoute):
    """A route that checks the tenants that a valid request names, before the endpoint runs.

    It counts the tenants against their limits. It refuses a user's key if the request was not bound to that user.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if options.get("summary") is None:
            options["summary"] = _first_sentence(endpoint)
        super().__init__(path, _judged(endpoint), **options)


def _first_sentence(endpoint: Callable[..., Any]) -> str:
    """Return the first sentence of the endpoint's docstring, as the OpenAPI summary: FastAPI would show the name."""
    return f"{(endpoint.__doc__ or '').strip().partition('.')[0].partition(chr(10))[0]}."


def _judged(endpoint: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(endpoint)
    async def judged(**arguments: Any) -> Any:
        check_held_to_user()
        admission = _admission.get()
        if admission is not None:
            await admission.admit_tenants(named_tenants())
        return await endpoint(**arguments)

    return judged


@contextmanager
def admitting(admission: Admission | None) -> Iterator[None]:
    """Make the routes inside the block count their tenants under this admission; None: no limits."""
    token = _admission.set(admission)
    try:
        yield
    finally:
        _admission.reset(token)


def saying_how_it_stands(admission: Admission, send: Send) -> Send:
    """Return a `send` that adds the headers of the limit with the least remaining."""

    async def send_with_limit(message: Message) -> None:
        if message["type"] == "http.response.start" and admission.tightest is not None:
            message["headers"] = [*message["headers"], *_headers(admission.tightest)]
        await send(message)

    return send_with_limit


def _headers(status: LimitStatus) -> list[tuple[bytes, bytes]]:
    """Return the rate-limit headers; the reset time is in seconds since 1970."""
    figures = {
        b"x-ratelimit-limit": status.counted.rate.amount,
        b"x-ratelimit-remaining": status.remaining,
        b"x-ratelimit-reset": ceil(time.time() + status.resets_in),
    }
    return [(name, str(figure).encode()) for name, figure in figures.items()]
