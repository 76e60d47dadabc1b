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
    `details` is JSON-ready. `retry_after`: in how many seconds it may work, where that is known.
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
    """A setting, or what the settings point to, makes no sense: refuse to start."""

    code = "configuration_error"


class InvalidRequestError(MemoryLayerError):
    """The request is well-formed but asks for something that cannot be."""

    code = "invalid_request"


class NotFoundError(MemoryLayerError):
    """No such thing for this tenant."""

    code = "not_found"


class UnauthorizedError(MemoryLayerError):
    """No key, or none that holds."""

    code = "unauthorized"


class ForbiddenError(MemoryLayerError):
    """The key holds, but does not allow this."""

    code = "forbidden"


class IdempotencyConflictError(MemoryLayerError):
    """The idempotency key was used before with another body."""

    code = "idempotency_conflict"


class ExternalIdConflictError(MemoryLayerError):
    """The tenant has another message or fact of this external id."""

    code = "external_id_conflict"


class PreconditionFailedError(MemoryLayerError):
    """The stored message or fact does not meet the caller's If-Match, If-None-Match or If-Unmodified-Since.

    `details` gives the `version` that is stored, where another one was asked for.
    """

    code = "precondition_failed"


class MessageQuotaError(MemoryLayerError):
    """The tenant has stored as many messages as it may."""

    code = "quota_messages_exceeded"


class ByteQuotaError(MemoryLayerError):
    """The tenant may not store as many more bytes of content."""

    code = "quota_bytes_exceeded"


class EmbeddingQuotaError(MemoryLayerError):
    """The tenant has had as many texts embedded today as it may.

    `retry_after` is the time until the next day begins in UTC, in seconds.
    """

    code = "quota_embeddings_exceeded"


class RateLimitedError(MemoryLayerError):
    """More requests than the client address, the tenant or the key may make; `details` says which.

    `retry_after` is the time until the limit's window ends, in seconds.
    """

    code = "rate_limited"


class RetentionConflictError(MemoryLayerError):
    """The run that is asked for does not fit what became of another: its plan is spent, or it is still under way."""

    code = "retention_conflict"


class UnavailableError(MemoryLayerError):
    """Something that this request needs is away for now: try again later."""

    code = "unavailable"


class DatabaseUnavailableError(UnavailableError):
    """Postgres cannot be reached, or is not ready to serve."""

    code = "database_unavailable"


class OverloadedError(UnavailableError):
    """More waits than this replica takes."""

    code = "overloaded"


class SearchUnavailableError(UnavailableError):
    """No search replica answered."""

    code = "search_unavailable"


class EmbeddingError(MemoryLayerError):
    """Base of what an embedding provider may raise."""

    code = "embedding_error"


class EmbeddingUnavailableError(EmbeddingError):
    """The provider is away, overloaded, or refuses our key: the same texts may work later.

    `retry_after` is the provider's own wish in seconds, where it stated one.
    """

    code = "embedding_unavailable"


class EmbeddingRejectedError(EmbeddingError):
    """The provider refuses these very texts: trying again would change nothing."""

    code = "embedding_rejected"


class IdTakenError(MemoryLayerError):
    """Another message has the id that the caller chose: one that says something else, or another tenant's."""

    code = "id_taken"
