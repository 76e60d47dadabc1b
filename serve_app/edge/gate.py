"""Admits requests that have a valid key and are within their rate limits."""

from contextlib import AbstractContextManager
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.errors import ForbiddenError, InvalidRequestError, MemoryLayerError
from deployments.rate_limits.limiter import Admission, RateLimiter
from deployments.tenancy import bound_to
from serve_app.edge.auth import is_open, presented_key
from serve_app.edge.http_errors import answer_to
from serve_app.edge.keyring import Caller, Keyring
from serve_app.edge.rate_limits import UNLIMITED_PATHS, admitting, limits_of, saying_how_it_stands

UNKNOWN_ADDRESS = "unknown"
# These routes check their own query parameters.
READING_METHODS = frozenset({"GET", "HEAD"})


class Gate:
    """Counts a request and checks its key before the body is read, then binds it to the key's tenant or user.

    This is one middleware and not three: limits and key checks alternate, so that callers who guess keys are limited
    too.
    """

    def __init__(self, app: ASGIApp, keyring: Keyring, limiter: RateLimiter) -> None:
        self._app = app
        self._keyring = keyring
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        admission = None
        if scope["path"].removesuffix("/") not in UNLIMITED_PATHS:
            admission = Admission(self._limiter)
            send = saying_how_it_stands(admission, send)
        try:
            caller = await self._admitted(scope, admission)
            held = _bound_to_key(scope, caller)
        except MemoryLayerError as error:
            await answer_to(error, scope.get("request_id"))(scope, receive, send)
            return
        if caller is None:
            await self._app(scope, receive, send)
            return
        scope["caller"] = caller
        with held, admitting(admission):
            await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope, admission: Admission | None) -> Caller | None:
        """Return the key's caller, or None on an open path. Raises the error that refuses the request."""
        if admission is not None:
            client = scope.get("client")
            await admission.admit(self._limiter.of_address(client[0] if client else UNKNOWN_ADDRESS))
        if is_open(scope["path"]):
            return None
        caller = await self._keyring.caller(presented_key(scope["headers"]))
        if admission is not None:
            await admission.admit(limits_of(self._limiter, caller))
        return caller


def _bound_to_key(scope: Scope, caller: Caller | None) -> AbstractContextManager[None]:
    """Return a context that binds the request to its key's tenant and user, or else to the tenant in its query.

    So `tenant_id` applies even where a route has no such parameter. Raises `ForbiddenError` and `InvalidRequestError`.
    """
    bound, user_id = (None, None) if caller is None else (caller.rights.tenant_id, caller.rights.user_id)
    if not scope["query_string"] or scope["method"] in READING_METHODS:
        return bound_to(bound, user_id)
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    tenants = {value for name, value in query if name == "tenant_id"}
    if len(tenants) > 1:
        raise InvalidRequestError("The query names several tenants.")
    if not tenants:
        return bound_to(bound, user_id)
    if bound is not None and tenants != {bound}:
        raise ForbiddenError("This key is bound to another tenant.")
    return bound_to(tenants.pop(), user_id, in_query=bound is None)
