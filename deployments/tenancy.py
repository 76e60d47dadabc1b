"""Whose memory the work at hand may touch.

The front door says it once for each request; every model that names a tenant is held to it when it is validated,
so that no route can forget to. Where nobody said anything, as in a job, every tenant may be named.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

from pydantic_core import PydanticCustomError

from deployments.errors import ForbiddenError, MemoryLayerError, NotFoundError

Tenant = TypeVar("Tenant", str, str | None)


class _Bound(NamedTuple):
    tenant_id: str | None
    in_query: bool


_TO_NONE = _Bound(None, in_query=False)
_bound: ContextVar[_Bound] = ContextVar("bound", default=_TO_NONE)
_named: ContextVar[set[str] | None] = ContextVar("named_tenants", default=None)


@contextmanager
def bound_to(tenant_id: str | None, *, in_query: bool = False) -> Iterator[None]:
    """Hold what is validated inside of the block to one tenant; None: to none in particular.

    `in_query`: it is the request's own choice, and not its key's.
    """
    token, named_token = _bound.set(_Bound(tenant_id, in_query)), _named.set(set())
    try:
        yield
    finally:
        _bound.reset(token)
        _named.reset(named_token)


def bound_tenant() -> str | None:
    """The tenant that the work at hand is bound to, or None."""
    return _bound.get().tenant_id


def the_tenant(given: object) -> object:
    """What a request names as its tenant, or else the one that it is bound to.

    Raises `ForbiddenError` for another's than the key's, `NotFoundError` for another's than the query's, and pydantic's
    own "missing" where neither is known.
    """
    tenant = tenant_if_any(given)
    if tenant is None:
        raise PydanticCustomError("missing", "Field required")
    return tenant


def tenant_if_any(given: object) -> object:
    """The same where None stands for all tenants."""
    bound = _bound.get().tenant_id
    if given is None or bound is None:
        return bound if given is None else given
    if isinstance(given, str) and given != bound:
        raise _of_another()
    return given


def _of_another() -> MemoryLayerError:
    if _bound.get().in_query:
        return NotFoundError("The query names a tenant, and the rest of the request another.")
    return ForbiddenError("This key is bound to another tenant.")


def named(tenant_id: Tenant) -> Tenant:
    """Note that the work at hand is a tenant's, for what limits tenants. Every type that holds one ends with it."""
    tenants = _named.get()
    if tenants is not None and tenant_id is not None:
        tenants.add(tenant_id)
    return tenant_id


def named_tenants() -> frozenset[str]:
    """The tenants that were validated since the work at hand was bound."""
    return frozenset(_named.get() or ())
