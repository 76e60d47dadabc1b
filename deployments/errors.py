"""The errors that this service raises on purpose.

Each class has a stable `code`, which is what callers match on: Ray wraps the class of an error that
crosses a handle, and clients over HTTP see nothing but the code. Every constructor argument goes to
`super().__init__`, so that each error survives pickling.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class MemoryLayerError(Exception):
    """Base of all errors raised on purpose.

    `message` is one sentence that may be shown to a client: no SQL, no address, no secret.
    `details` is JSON-ready. `retry_after`: seconds until a retry may succeed, if known.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(
        self, message: str, details: Mapping[str, Any] | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, details, retry_after)
        self.message = message
        self.details = details
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class ConfigurationError(MemoryLayerError):
    """A setting, or what it points to, is invalid: the process refuses to start."""

    code = "configuration_error"


class InvalidRequestError(MemoryLayerError):
    """The request is well-formed but asks for something impossible."""

    code = "invalid_request"


class NotFoundError(MemoryLayerError):
    """The tenant has no such resource."""

    code = "not_found"


class UnauthorizedError(MemoryLayerError):
    """The API key is missing or invalid."""

    code = "unauthorized"


class ForbiddenError(MemoryLayerError):
    """The API key is valid, but does not allow this."""

    code = "forbidden"


class IdempotencyConflictError(MemoryLayerError):
    """The idempotency key was used before with another body."""

    code = "idempotency_conflict"


class ExternalIdConflictError(MemoryLayerError):
    """Another message or fact of the tenant has this external id."""

    code = "external_id_conflict"


class PreconditionFailedError(MemoryLayerError):
    """The stored message or fact does not meet the caller's If-Match, If-None-Match or If-Unmodified-Since.

    `details` gives the stored `version`, if another one was asked for.
    """

    code = "precondition_failed"


class MessageQuotaError(MemoryLayerError):
    """The tenant has reached its quota of messages."""

    code = "quota_messages_exceeded"


class ByteQuotaError(MemoryLayerError):
    """The content would exceed the tenant's quota of bytes."""

    code = "quota_bytes_exceeded"


class EmbeddingQuotaError(MemoryLayerError):
    """The tenant has reached its quota of embedded texts for today.

    `retry_after`: seconds until the next day begins in UTC.
    """

    code = "quota_embeddings_exceeded"


class RateLimitedError(MemoryLayerError):
    """The client address, the tenant or the key exceeded its rate limit; `details` says which.

    `retry_after`: seconds until the window of the limit ends.
    """

    code = "rate_limited"


class RetentionConflictError(MemoryLayerError):
    """The requested run conflicts with another run: that one is unfinished, or its plan was applied already."""

    code = "retention_conflict"


class UnavailableError(MemoryLayerError):
    """Something that this request needs is temporarily unavailable: retry later."""

    code = "unavailable"


class DatabaseUnavailableError(UnavailableError):
    """Postgres cannot be reached, or is not ready."""

    code = "database_unavailable"


class OverloadedError(UnavailableError):
    """The queue of this replica is full."""

    code = "overloaded"


class SearchUnavailableError(UnavailableError):
    """No search replica answered."""

    code = "search_unavailable"


class EmbeddingError(MemoryLayerError):
    """Base of the errors that an embedding provider may raise."""

    code = "embedding_error"


class EmbeddingUnavailableError(EmbeddingError):
    """The provider is down, overloaded, or refuses our key: the same texts may succeed later.

    `retry_after`: the delay in seconds that the provider asked for, if any.
    """

    code = "embedding_unavailable"


class EmbeddingRejectedError(EmbeddingError):
    """The provider rejects these texts: a retry would fail too."""

    code = "embedding_rejected"


class IdTakenError(MemoryLayerError):
    """The id that the caller chose belongs to a different message, or to another tenant's."""

    code = "id_taken"
