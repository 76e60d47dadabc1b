"""Authentication and authorisation by API key.

The `Gate` refuses every request without a valid key, except on `OPEN_PATHS`, and binds the request to the key's tenant.
A route declares the scope that it needs with one of `Reads`, `Writes`, `Administers`.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from deployments.errors import ForbiddenError, UnauthorizedError
from deployments.schemas.api_keys import KeyScope
from serve_app.edge.documentation import ASSETS
from serve_app.edge.keyring import Caller

# None of these exposes tenant data, and their callers have no key: load balancers, monitors, readers of the docs.
OPEN_PATHS = frozenset(
    {
        "/v1/admin/health",
        "/v1/admin/readiness",
        "/v1/admin/liveness",
        "/metrics",
        "/docs",
        "/redoc",
        "/openapi.json",
    }
)

OPEN_PREFIX = f"{ASSETS}/"

_header = APIKeyHeader(name="X-API-Key", scheme_name="ApiKey", auto_error=False)
_bearer = HTTPBearer(scheme_name="Bearer", auto_error=False)


def is_open(path: str) -> bool:
    """Return whether a path is answered without a key."""
    return path.removesuffix("/") in OPEN_PATHS or path.startswith(OPEN_PREFIX)


def presented_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the request's key, or None without one. Raises `UnauthorizedError` if it carries two different keys."""
    keys = {key for name, value in headers if (key := _key_in(name, value))}
    if len(keys) > 1:
        raise UnauthorizedError("X-API-Key and Authorization hold different keys: send one.")
    return keys.pop().decode("latin-1") if keys else None


def _key_in(name: bytes, value: bytes) -> bytes | None:
    if name == b"x-api-key":
        return value.strip()
    if name == b"authorization" and value[:7].lower() == b"bearer ":
        return value[7:].strip()
    return None


def _needing(needed: KeyScope) -> Callable[..., Awaitable[Caller]]:
    async def allowed(
        request: Request,
        _key: Annotated[str | None, Security(_header)],
        _credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    ) -> Caller:
        return require(request, needed)

    return allowed


def require(request: Request, needed: KeyScope) -> Caller:
    """Return the caller. Raises `ForbiddenError` if the key lacks the scope."""
    caller: Caller = request.scope["caller"]
    if not caller.rights.allow(needed):
        raise ForbiddenError(f"This key lacks the scope {needed}.")
    return caller


Reads = Security(_needing(KeyScope.READ))
Writes = Security(_needing(KeyScope.WRITE))
Administers = Security(_needing(KeyScope.ADMIN))
Administrator = Annotated[Caller, Administers]
