"""Whose memory the work at hand may touch.

The front door says it once for each request; every model that names a tenant or a user is held to it when it is
validated, so that no route can forget to. Where nobody said anything, as in a job, every tenant may be named.
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
    """Whose messages may be seen: of a tenant, or of one of its users. None: of any."""

    tenant_id: str | None = None
    user_id: str | None = None


ALL = Visible()


@dataclass(slots=True)
class _Binding:
    """What the work at hand is bound to, the tenants that it named, and whether its user was asked for.

    `in_query`: the tenant is the request's own choice, and not its key's.
    """

    tenant_id: str | None = None
    user_id: str | None = None
    in_query: bool = False
    named: set[str] = field(default_factory=set)
    held: bool = False


_binding: ContextVar[_Binding | None] = ContextVar("binding", default=None)


@contextmanager
def bound_to(tenant_id: str | None, user_id: str | None = None, *, in_query: bool = False) -> Iterator[None]:
    """Hold what is validated inside of the block to one tenant, or to one of its users; None: to none in particular.

    `in_query`: the tenant is the request's own choice, and not its key's.
    """
    token = _binding.set(_Binding(tenant_id, user_id, in_query))
    try:
        yield
    finally:
        _binding.reset(token)


def bound_tenant() -> str | None:
    """The tenant that the work at hand is bound to, or None."""
    binding = _binding.get()
    return None if binding is None else binding.tenant_id


def bound_user() -> str | None:
    """The one user that the work at hand is bound to, or None."""
    binding = _binding.get()
    return None if binding is None else binding.user_id


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
    """Return what a request names as its user, or else the one that it is bound to; None: nobody in particular.

    Raises `ForbiddenError` for another's. From here on the work at hand counts as held to its user.
    """
    binding = _binding.get()
    if binding is None or binding.user_id is None:
        return given
    binding.held = True
    if isinstance(given, str) and given != binding.user_id:
        raise ForbiddenError("This key is bound to another user.")
    return binding.user_id if given is None else given


def visible() -> Visible:
    """Return whose messages the work at hand may see, which holds it to its user."""
    binding = _binding.get()
    if binding is None:
        return ALL
    binding.held = True
    return Visible(binding.tenant_id, binding.user_id)


def of_bound_user(key: str | None) -> str | None:
    """Return an idempotency key as it is kept: each user that is bound to has keys of its own.

    What is sent holds no line break, so no two users' keys, nor one of nobody's, are the same here.
    """
    binding = _binding.get()
    if key is None or binding is None or binding.user_id is None:
        return key
    return f"{binding.user_id}\n{key}"


def check_held_to_user() -> None:
    """Raise `ForbiddenError` where the work at hand is bound to a user for whom nobody asked.

    So what was written without a thought of users is closed to their keys, in place of showing them everything.
    """
    binding = _binding.get()
    if binding is not None and binding.user_id is not None and not binding.held:
        raise ForbiddenError("This is not for keys that are bound to a user.")


def named(tenant_id: Tenant) -> Tenant:
    """Note that the work at hand is a tenant's, for what limits tenants. Every type that holds one ends with it."""
    binding = _binding.get()
    if binding is not None and tenant_id is not None:
        binding.named.add(tenant_id)
    return tenant_id


def named_tenants() -> frozenset[str]:
    """The tenants that were validated since the work at hand was bound."""
    binding = _binding.get()
    return frozenset(() if binding is None else binding.named)
