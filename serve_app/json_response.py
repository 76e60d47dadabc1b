"""Answers as JSON, serialized once."""

from fastapi import Response
from pydantic import BaseModel


def json_response(answer: BaseModel, status: int = 200) -> Response:
    """Return a model as a response.

    FastAPI would validate it again before, which costs 10 us for a message and 0.3 ms for a batch of 100.
    """
    return Response(answer.__pydantic_serializer__.to_json(answer), status, media_type="application/json")
