"""Batches: each item is validated, stored or refused individually."""

from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import Response
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError, WithJsonSchema

from deployments.errors import MemoryLayerError
from deployments.schemas.messages import MAX_BATCH
from deployments.tenancy import visible
from serve_app.edge.http_errors import STATUS, ErrorBody, validation_details
from serve_app.edge.json_response import json_response

SIZE = Field(min_length=1, max_length=MAX_BATCH)


class RejectedItem(BaseModel):
    """An item that was refused, and why."""

    status: int
    error: ErrorBody


Refusal = TypeVar("Refusal", bound=RejectedItem)


def judged_by(adapter: TypeAdapter[Any]) -> AfterValidator:
    """Return a validator that turns an item into its model, or into the `ValidationError` that explains the refusal.

    Items are validated with their batch, so that the limits of the tenants that they name apply before anything is
    stored.
    """

    def judge(item: Any) -> Any:
        try:
            return adapter.validate_python(item)
        except ValidationError as error:
            # An item that is no object has no field that binds the batch to its user.
            visible()
            return error

    return AfterValidator(judge)


def described_as(model: str) -> WithJsonSchema:
    """Return the JSON schema of a batch's items: a list of a model of the OpenAPI document."""
    items = {"$ref": f"#/components/schemas/{model}"}
    return WithJsonSchema({"type": "array", "items": items, "minItems": 1, "maxItems": MAX_BATCH})


def rejected(
    model: type[Refusal], error: MemoryLayerError | ValidationError, request_id: str | None, what: str = "message"
) -> Refusal:
    """Return the item of the answer that explains why `what` was refused."""
    if isinstance(error, ValidationError):
        details = validation_details(error.errors(include_input=False, include_context=False))
        code, message = "validation_error", f"The {what} is not valid."
        body = ErrorBody(code=code, message=message, request_id=request_id, details=details)
        return model.model_validate({"status": 422, "error": body})
    body = ErrorBody(code=error.code, message=error.message, request_id=request_id, details=error.details)
    return model.model_validate({"status": STATUS[error.code].value, "error": body})


def batch_response(model: type[BaseModel], items: Sequence[BaseModel], status: int) -> Response:
    """Return the results of a batch's items as a response, with 207 if any item was refused."""
    refused = sum(isinstance(item, RejectedItem) for item in items)
    answer = model.model_construct(accepted=len(items) - refused, rejected=refused, items=items)
    return json_response(answer, 207 if refused else status)
