"""The tenant and user to which the current request is bound.

The ingress binds each request once. Every model that names a tenant or a user is checked against the binding when it
is validated, so that no route can forget the check. Without a binding, as in a job, every tenant is allowed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from pydantic_core import PydanticCustomError

from deployments.errors import ForbiddenError, MemoryLayerError, NotFoundError

Tenant = TypeVar("Tenant", str, str | None)


class Visible(NamedTuple):
    """The tenant, and perhaps the user, whose messages may be seen. None: any."""

    tenant_id: str | None = None
    user_id: str | None = None


ALL = Visible()


@dataclass(slots=True)
class _Binding:
    """The tenant and user of a request, the tenants that it has named, and whether its user was checked.

    `in_query`: the tenant comes from the query string, and not from the API key.
    """

    tenant_id: str | None = None
    user_id: str | None = None
    in_query: bool = False
    named: set[str] = field(default_factory=set)
    held: bool = False


_binding: ContextVar[_Binding | None] = ContextVar("binding", default=None)


@contextmanager
def bound_to(tenant_id: str | None, user_id: str | None = None, *, in_query: bool = False) -> Iterator[None]:
    """Bind all validation inside of the block to one tenant, or to one of its users. None: no restriction.

    `in_query`: the tenant comes from the query string, and not from the API key.
    """
    token = _binding.set(_Binding(tenant_id, user_id, in_query))
    try:
        yield
    finally:
        _binding.reset(token)


def bound_tenant() -> str | None:
    """Return the tenant that the current request is bound to, or None."""
    binding = _binding.get()
    return None if binding is None else binding.tenant_id


def bound_user() -> str | None:
    """Return the user that the current request is bound to, or None."""
    binding = _binding.get()
    return None if binding is None else binding.user_id


def the_tenant(given: object) -> object:
    """Return the tenant that a request names, or else the one that it is bound to.

    Raises `ForbiddenError` if it is not the key's tenant, `NotFoundError` if it is not the query's, and pydantic's own
    "missing" error if there is none.
    """
    tenant = tenant_if_any(given)
    if tenant is None:
        raise PydanticCustomError("missing", "Field required")
    return tenant


def tenant_if_any(given: object) -> object:
    """Return the same, or None for all tenants, if neither is known."""
    bound = bound_tenant()
    if given is None or bound is None:
        return bound if given is None else given
    if isinstance(given, str) and given != bound:
        raise _of_another()
    return given


def _of_another() -> MemoryLayerError:
    binding = _binding.get()
    if binding is not None and binding.in_query:
        return NotFoundError("The query names a tenant, and the rest of the request another.")
    return ForbiddenError("This key is bound to another tenant.")


def user_if_any(given: object) -> object:
    """Return the user that a request names, or else the one that it is bound to, or None.

    Raises `ForbiddenError` if it is not the bound user. Marks the user as checked.
    """
    binding = _binding.get()
    if binding is None or binding.user_id is None:
        return given
    binding.held = True
    if isinstance(given, str) and given != binding.user_id:
        raise ForbiddenError("This key is bound to another user.")
    return binding.user_id if given is None else given


def visible() -> Visible:
    """Return whose messages the current request may see. Marks the user as checked."""
    binding = _binding.get()
    if binding is None:
        return ALL
    binding.held = True
    return Visible(binding.tenant_id, binding.user_id)


def of_bound_user(key: str | None) -> str | None:
    """Return an idempotency key as it is stored. Each bound user has a separate set of keys.

    The separator is a line break, which a sent key cannot contain, so that keys of different users never collide.
    """
    binding = _binding.get()
    if key is None or binding is None or binding.user_id is None:
        return key
    return f"{binding.user_id}\n{key}"


def check_held_to_user() -> None:
    """Raise `ForbiddenError` if the current request is bound to a user whom no code has checked.

    So code that ignores users refuses their keys, instead of showing them everything.
    """
    binding = _binding.get()
    if binding is not None and binding.user_id is not None and not binding.held:
        raise ForbiddenError("This is not for keys that are bound to a user.")


def named(tenant_id: Tenant) -> Tenant:
    """Record a tenant that the current request names, for rate limits. Every type of a tenant id ends with this."""
    binding = _binding.get()
    if binding is not None and tenant_id is not None:
        binding.named.add(tenant_id)
    return tenant_id


def named_tenants() -> frozenset[str]:
    """Return the tenants that were validated since the current request was bound."""
    binding = _binding.get()
    return frozenset(() if binding is None else binding.named)
