"""JSON responses that are serialized once."""

from collections.abc import Mapping

from fastapi import Response
from pydantic import BaseModel

from deployments.runtime.json_bytes import json_of


def json_response(answer: BaseModel | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a model, or its JSON, as a response.

    FastAPI would validate a model again, which costs 10 us for a message and 0.3 ms for a batch of 100.
    """
    json = answer if isinstance(answer, bytes) else json_of(answer)
    return Response(json, status, headers, media_type="application/json")
