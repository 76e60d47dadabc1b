"""Routes that refuse query parameters which they do not know."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

# What reads, and what deletes: a misspelt filter would read, or delete, more than was meant. A body has a model.
STRICT_METHODS = frozenset({"GET", "HEAD", "DELETE"})


class StrictRoute(APIRoute):
    """Answers 422 where a query has a parameter that neither the route nor what it depends on takes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        handle = super().get_route_handler()
        if not STRICT_METHODS & (self.methods or set()):
            return handle
        known = frozenset(_query_names(self.dependant))

        async def handle_known(request: Request) -> Response:
            unknown = sorted(request.query_params.keys() - known)
            if unknown:
                raise RequestValidationError([_unknown(name) for name in unknown])
            return await handle(request)

        return handle_known


def _query_names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from model.model_fields
        else:
            yield field.alias
    for each in dependant.dependencies:
        yield from _query_names(each)


def _unknown(name: str) -> dict[str, Any]:
    return {"type": "extra_forbidden", "loc": ("query", name), "msg": "Extra inputs are not permitted"}
