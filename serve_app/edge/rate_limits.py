"""Rate limits at the front door: who is counted, and what an answer says of it.

The `Gate` counts a client's address before it looks at the key, so that the limit holds for those who guess too. It
counts a key, and the tenant that the key is bound to, as soon as they are known, before the body is read. A tenant that
is named by whoever may name any is known when the request is valid: `TenantLimited` counts it then, for every route.
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

# Who asks these asks all the time, and must not be told that the service is away because of it.
UNLIMITED_PATHS = frozenset({"/v1/admin/health", "/v1/admin/readiness", "/v1/admin/liveness", "/metrics"})

_admission: ContextVar[Admission | None] = ContextVar("admission", default=None)


def limits_of(limiter: RateLimiter, caller: Caller) -> tuple[Counted, ...]:
    """Return the limits of a key that was made, and of the tenant that a key is bound to."""
    limits = limiter.of_key(caller.name, caller.rate_limit) if caller.was_made else ()
    tenant_id = caller.rights.tenant_id
    return limits if tenant_id is None else (*limits, *limiter.of_tenant(tenant_id))


class TenantLimited(StrictRoute):
    """A route that judges what its request names, when it is valid and before anything is done for it.

    The tenants are counted. A key that is bound to a user is refused where nothing held the request to that user.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if options.get("summary") is None:
            options["summary"] = _first_sentence(endpoint)
        super().__init__(path, _judged(endpoint), **options)


def _first_sentence(endpoint: Callable[..., Any]) -> str:
    """Return what an endpoint does, for lists of all of them, where FastAPI would show its name."""
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
    """Have the routes of the block count their tenants with what a request has taken; None: they are not limited."""
    token = _admission.set(admission)
    try:
        yield
    finally:
        _admission.reset(token)


def saying_how_it_stands(admission: Admission, send: Send) -> Send:
    """Return what sends an answer with the headers of the limit that has the least left."""

    async def send_with_limit(message: Message) -> None:
        if message["type"] == "http.response.start" and admission.tightest is not None:
            message["headers"] = [*message["headers"], *_headers(admission.tightest)]
        await send(message)

    return send_with_limit


def _headers(status: LimitStatus) -> list[tuple[bytes, bytes]]:
    """Of the limit with the least left; when it resets, in seconds since 1970."""
    figures = {
        b"x-ratelimit-limit": status.counted.rate.amount,
        b"x-ratelimit-remaining": status.remaining,
        b"x-ratelimit-reset": ceil(time.time() + status.resets_in),
    }
    return [(name, str(figure).encode()) for name, figure in figures.items()]
