"""Request and response models of API keys, and the rights of a key."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from deployments.schemas.messages import Identifier, NewTenantOrAll, Time, Value, not_boolean
from deployments.schemas.rate_limits import RateLimit

MAX_OVERLAP_SECONDS = 30 * 24 * 3600

KEY_EXAMPLE: dict[str, JsonValue] = {
    "id": "0199d2a4-7a52-7c3e-9b1f-2f9f3f6f8a10",
    "prefix": "aml_Xk29sTbQ",
    "name": "acme's web application",
    "tenant_id": "acme",
    "user_id": None,
    "scopes": ["read", "write"],
    "expires_at": None,
    "rate_limit": "10/second;200/minute",
    "created_at": "2026-11-23T09:30:00Z",
}
LISTED_EXAMPLE = {**KEY_EXAMPLE, "last_used_at": "2026-11-23T09:31:00Z", "revoked_at": None}


class KeyScope(StrEnum):
    """A permission of a key. No scope includes another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True)
class Rights:
    """The rights of a key. `tenant_id`: None for all tenants. `expires_at`: None for no expiry.

    `user_id`: the only user of the tenant that the key may access, None for all.
    """

    tenant_id: str | None
    scopes: frozenset[KeyScope]
    expires_at: datetime | None
    user_id: str | None = None

    def allow(self, scope: KeyScope) -> bool:
        """Return whether the key has a scope. A key bound to a user never has `admin`."""
        return scope in self.scopes and not (scope is KeyScope.ADMIN and self.user_id is not None)

    def cover(self, other: "Rights") -> bool:
        """Return whether `other` allows nothing beyond these rights."""
        return (
            self.tenant_id in {None, other.tenant_id}
            and self.user_id in {None, other.user_id}
            and self.scopes >= other.scopes
            and (self.expires_at is None or (other.expires_at is not None and other.expires_at <= self.expires_at))
        )


EVERYTHING = Rights(None, frozenset(KeyScope), None)


def _each_once(scopes: Collection[KeyScope]) -> list[KeyScope]:
    return [scope for scope in KeyScope if scope in scopes]


def _to_come(when: datetime) -> datetime:
    if when <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return when


Scopes = Annotated[list[KeyScope], Field(min_length=1, max_length=len(KeyScope)), AfterValidator(_each_once)]


class NewKey(Value):
    """A key to make."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "acme's web application", "tenant_id": "acme", "scopes": ["read", "write"]}]
        }
    )

    name: Identifier = Field(description="The purpose of the key, shown in listings.")
    tenant_id: NewTenantOrAll = Field(
        default=None, validate_default=True, description="Left out: every tenant, or the tenant of the key that asks."
    )
    user_id: Identifier | None = Field(
        default=None, description="The only user of the tenant that the key may read and write. Left out: all users."
    )
    scopes: Scopes
    expires_at: Annotated[Time, AfterValidator(_to_come)] | None = None
    rate_limit: RateLimit | None = Field(
        default=None, description="How many requests it may make. Left out: the service's default for all keys."
    )

    @model_validator(mode="after")
    def _is_one_users_of_a_tenant(self) -> Self:
        if self.user_id is not None and self.tenant_id is None:
            raise ValueError("user_id needs a tenant_id")
        if self.user_id is not None and KeyScope.ADMIN in self.scopes:
            raise ValueError("a key that is bound to a user must not have the scope admin")
        return self

    @property
    def rights(self) -> Rights:
        """Return the rights of the key."""
        return Rights(self.tenant_id, frozenset(self.scopes), self.expires_at, self.user_id)


class Rotation(Value):
    """A request to replace a key by a new one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_seconds": 3600}]})

    overlap_seconds: Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS), BeforeValidator(not_boolean)] = Field(
        default=3600, description="How long the old key stays valid, in seconds."
    )


class KeyDescription(Value):
    """The public fields of a key."""

    id: UUID
    prefix: str = Field(description="The start of the key. It identifies the key, also in logs, and is not secret.")
    name: str
    tenant_id: str | None = Field(description="Null: every tenant.")
    user_id: str | None = Field(default=None, description="Null: every user of the tenant.")
    scopes: list[KeyScope]
    expires_at: datetime | None
    rate_limit: str | None = Field(description="Null: the service's default for all keys.")
    created_at: datetime

    @property
    def rights(self) -> Rights:
        """Return the rights of the key."""
        return Rights(self.tenant_id, frozenset(self.scopes), self.expires_at, self.user_id)


class CreatedKey(KeyDescription):
    """A new key."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**KEY_EXAMPLE, "key": f"aml_Xk29sTbQ_{'x' * 43}"}]})

    key: str = Field(description="The key itself. It is shown only once.")


class ListedKey(KeyDescription):
    """A key with its last use and revocation."""

    model_config = ConfigDict(json_schema_extra={"examples": [LISTED_EXAMPLE]})

    last_used_at: datetime | None = Field(description="Updated at most once a minute.")
    revoked_at: datetime | None


class KeyPage(Value):
    """A page of keys, newest first, including revoked and expired ones."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [LISTED_EXAMPLE], "next_cursor": None}]})

    items: list[ListedKey]
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page; null at the end.")
