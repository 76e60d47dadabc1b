"""Every error in one shape, with a stable code and no word of what is behind it."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from deployments.errors import (
    ByteQuotaError,
    DatabaseUnavailableError,
    EmbeddingQuotaError,
    EmbeddingRejectedError,
    EmbeddingUnavailableError,
    ExternalIdConflictError,
    ForbiddenError,
    IdempotencyConflictError,
    IdTakenError,
    InvalidRequestError,
    MemoryLayerError,
    MessageQuotaError,
    NotFoundError,
    OverloadedError,
    PreconditionFailedError,
    RateLimitedError,
    RetentionConflictError,
    SearchUnavailableError,
    UnauthorizedError,
    UnavailableError,
)
from deployments.tracing.spans import note
from serve_app.edge.route_matching import matching_routes

logger = structlog.get_logger(__name__)

STATUS: dict[str, HTTPStatus] = {
    InvalidRequestError.code: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnauthorizedError.code: HTTPStatus.UNAUTHORIZED,
    ForbiddenError.code: HTTPStatus.FORBIDDEN,
    NotFoundError.code: HTTPStatus.NOT_FOUND,
    IdempotencyConflictError.code: HTTPStatus.CONFLICT,
    ExternalIdConflictError.code: HTTPStatus.CONFLICT,
    RetentionConflictError.code: HTTPStatus.CONFLICT,
    ExternalIdConflictError.code: HTTPStatus.CONFLICT,
    IdTakenError.code: HTTPStatus.CONFLICT,
    PreconditionFailedError.code: HTTPStatus.PRECONDITION_FAILED,
    # Waiting makes no room, so it must not look like what a client's library repeats by itself.
    MessageQuotaError.code: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ByteQuotaError.code: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    EmbeddingQuotaError.code: HTTPStatus.TOO_MANY_REQUESTS,
    RateLimitedError.code: HTTPStatus.TOO_MANY_REQUESTS,
    EmbeddingRejectedError.code: HTTPStatus.UNPROCESSABLE_ENTITY,
    EmbeddingUnavailableError.code: HTTPStatus.SERVICE_UNAVAILABLE,
    UnavailableError.code: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseUnavailableError.code: HTTPStatus.SERVICE_UNAVAILABLE,
    OverloadedError.code: HTTPStatus.SERVICE_UNAVAILABLE,
    SearchUnavailableError.code: HTTPStatus.SERVICE_UNAVAILABLE,
}
HEADERS = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "1"},
}

NOT_JSON = "The body is not valid JSON."
JSON_ONLY = "Send JSON, with the header Content-Type: application/json."
# What FastAPI says of a body that is JSON by its type and that Python cannot read, as one of other bytes than UTF-8.
FASTAPIS_UNREADABLE_BODY = "There was an error parsing the body"

EXAMPLES = {
    400: ("invalid_json", NOT_JSON),
    401: ("unauthorized", "This API key does not hold: it is unknown, expired or revoked."),
    403: ("forbidden", "This key is bound to another tenant."),
    404: ("not_found", "There is no such message."),
    405: ("method_not_allowed", "Method Not Allowed"),
    409: ("idempotency_conflict", "This Idempotency-Key was used before with another body."),
    412: ("precondition_failed", "The message was changed since: it is at version 3."),
    413: ("request_too_large", "The body is larger than 16777216 bytes."),
    415: ("unsupported_media_type", JSON_ONLY),
    422: ("validation_error", "The request is not valid."),
    429: ("rate_limited", "Too many requests of this tenant: it may make 200 per 1 minute."),
    503: ("database_unavailable", "The database cannot be reached just now."),
    504: ("timeout", "The request took longer than 30 seconds."),
}


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str
    message: str
    request_id: str | None
    details: Any = None


class ErrorAnswer(BaseModel):
    """The shape of every error."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "code": "validation_error",
                        "message": "The request is not valid.",
                        "request_id": "5f0c5b7e9d8f4a6e8c1d2b3a4f5e6d7c",
                        "details": [{"location": ["body", "content"], "message": "Value error, must not be blank"}],
                    }
                }
            ]
        }
    )

    error: ErrorBody


class _ErrorResponse(JSONResponse):
    """Leaves its code to the log line of the request: `error_code` of the scope."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__({"error": error}, status, HEADERS.get(HTTPStatus(status)))
        self._code = error["code"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["error_code"] = self._code
        await super().__call__(scope, receive, send)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route behind a key may answer with, for OpenAPI."""
    return open_error_responses(*statuses, 401, 403, 429)


def open_error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route which needs no key may answer with, for OpenAPI. What has a body has a type (415)."""
    of_type = {415} if HTTPStatus.REQUEST_ENTITY_TOO_LARGE in statuses else set()
    return {status: _documented(status) for status in sorted({*statuses, *of_type, 503, 504})}


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in the one shape."""
    app.add_exception_handler(MemoryLayerError, _on_memory_layer_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def error_answer(status: int, code: str, message: str, request_id: str | None, details: Any = None) -> JSONResponse:
    """An error as it goes out."""
    note("memory_layer.error_code", code)
    error = {"code": code, "message": message, "request_id": request_id}
    if details is not None:
        error["details"] = details
    return _ErrorResponse(status, error)


def answer_to(error: Exception, request_id: str | None) -> JSONResponse:
    """What a client learns of an error that was raised on purpose."""
    code = getattr(error, "code", MemoryLayerError.code)
    status = STATUS.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("unexpected_error", exc_info=error)
        return unexpected_error_answer(request_id)
    message, details = getattr(error, "message", str(error)), getattr(error, "details", None)
    answer = error_answer(status, code, message, request_id, details)
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        answer.headers["Retry-After"] = str(int(retry_after))
    return answer


def unexpected_error_answer(request_id: str | None) -> JSONResponse:
    """What a client learns of a fault of ours: nothing but where to look it up."""
    message = "Something went wrong on our side. The request id helps us to find it."
    return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, MemoryLayerError.code, message, request_id)


def validation_details(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """Where and why, without echoing what was sent."""
    return [{"location": list(error["loc"]), "message": error["msg"]} for error in errors]


def _documented(status: int) -> dict[str, Any]:
    code, message = EXAMPLES[status]
    example = {"error": {"code": code, "message": message, "request_id": "5f0c5b7e9d8f4a6e8c1d2b3a4f5e6d7c"}}
    return {
        "model": ErrorAnswer,
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"example": example}},
    }


def _request_id(request: Request) -> str | None:
    return request.scope.get("request_id")


async def _on_memory_layer_error(request: Request, error: Exception) -> JSONResponse:
    return answer_to(error, _request_id(request))


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    if any(each["type"] == "json_invalid" for each in errors):
        return error_answer(400, "invalid_json", NOT_JSON, _request_id(request))
    if any(each["loc"] == ("body",) for each in errors) and _names_another_type(request):
        return error_answer(415, "unsupported_media_type", JSON_ONLY, _request_id(request))
    details = validation_details(errors)
    return error_answer(422, "validation_error", "The request is not valid.", _request_id(request), details)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return _other_method(request)
    phrase = HTTPStatus(status).phrase
    code, message = phrase.lower().replace(" ", "_"), phrase
    if getattr(error, "detail", None) == FASTAPIS_UNREADABLE_BODY:
        code, message = "invalid_json", NOT_JSON
    answer = error_answer(status, code, message, _request_id(request))
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


def _other_method(request: Request) -> Response:
    """Say what the path answers to: Starlette names the methods of the first route alone, and a path has several."""
    methods = {
        method
        for _, route in matching_routes(request.app, request.scope)
        for method in getattr(route, "methods", None) or ()
    }
    allowed = {"Allow": ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))}
    if request.method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=allowed)
    answer = error_answer(
        405, "method_not_allowed", f"This path does not answer {request.method}.", _request_id(request)
    )
    answer.headers.update(allowed)
    return answer


def _names_another_type(request: Request) -> bool:
    """Return whether a body was sent as something else than JSON."""
    kind = (request.headers.get("content-type") or "application/json").partition(";")[0].strip().lower()
    return kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json"))
