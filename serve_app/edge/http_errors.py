"""Error answers: one shape, a stable code, and no internal details."""

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
    # Waiting frees no storage, so the status must not be one that client libraries retry automatically.
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
# FastAPI's message for a body with the JSON content type that Python cannot decode, for example not UTF-8.
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
    """The error of a request: its code, a sentence about it, and details where there are any."""

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
    """Stores its error code in the scope as `error_code`, for the log line of the request."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__({"error": error}, status, HEADERS.get(HTTPStatus(status)))
        self._code = error["code"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["error_code"] = self._code
        await super().__call__(scope, receive, send)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of a route that needs a key, for OpenAPI."""
    return open_error_responses(*statuses, 401, 403, 429)


def open_error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of a route that needs no key, for OpenAPI; 415 only if the route has a body."""
    of_type = {415} if HTTPStatus.REQUEST_ENTITY_TOO_LARGE in statuses else set()
    return {status: _documented(status) for status in sorted({*statuses, *of_type, 503, 504})}


def add_error_handlers(app: FastAPI) -> None:
    """Add handlers that answer every error in the same shape."""
    app.add_exception_handler(MemoryLayerError, _on_memory_layer_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def error_answer(status: int, code: str, message: str, request_id: str | None, details: Any = None) -> JSONResponse:
    """Return an error as a response."""
    note("memory_layer.error_code", code)
    error = {"code": code, "message": message, "request_id": request_id}
    if details is not None:
        error["details"] = details
    return _ErrorResponse(status, error)


def answer_to(error: Exception, request_id: str | None) -> JSONResponse:
    """Return the answer to an error that was raised on purpose."""
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
    """Return the answer to an unexpected error: only the request id to look it up by."""
    message = "Something went wrong on our side. The request id helps us to find it."
    return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, MemoryLayerError.code, message, request_id)


def validation_details(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the location and the reason of each validation error, without echoing the input."""
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
    if any(each["loc"] == ("body",) for each in errors) and _has_other_content_type(request):
        return error_answer(415, "unsupported_media_type", JSON_ONLY, _request_id(request))
    details = validation_details(errors)
    return error_answer(422, "validation_error", "The request is not valid.", _request_id(request), details)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return _method_not_allowed(request)
    phrase = HTTPStatus(status).phrase
    code, message = phrase.lower().replace(" ", "_"), phrase
    if getattr(error, "detail", None) == FASTAPIS_UNREADABLE_BODY:
        code, message = "invalid_json", NOT_JSON
    answer = error_answer(status, code, message, _request_id(request))
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


def _method_not_allowed(request: Request) -> Response:
    """Answer 405 with all methods of the path. Starlette names only those of the first of several routes."""
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


def _has_other_content_type(request: Request) -> bool:
    """Return whether a body was sent with a content type other than JSON."""
    kind = (request.headers.get("content-type") or "application/json").partition(";")[0].strip().lower()
    return kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json"))
