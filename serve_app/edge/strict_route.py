"""Routes that refuse unknown query parameters."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

# Methods that read or delete: with a misspelt filter they would read or delete too much. A body has a model.
STRICT_METHODS = frozenset({"GET", "HEAD", "DELETE"})


class StrictRoute(APIRoute):
    """Answers 422 if the query has a parameter that neither the route nor its dependencies declare."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the request handler."""
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
