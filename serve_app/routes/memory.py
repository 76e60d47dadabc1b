"""Search: what matters to a query."""

from typing import Annotated

from fastapi import APIRouter, Query

from deployments.schemas import SearchAnswer, SearchParameters, SearchRequest
from deployments.search.engine import Search
from serve_app.http_errors import error_responses
from serve_app.routes.dependencies import RequestId, ServicesOf

router = APIRouter(prefix="/v1/memory", tags=["memory"])


@router.get("/search", response_model=SearchAnswer, responses=error_responses(422))
async def search_memory(
    parameters: Annotated[SearchParameters, Query()], services: ServicesOf, request_id: RequestId
) -> SearchAnswer:
    """The messages that matter most to a query, by meaning and by words."""
    return await services.search(Search(SearchRequest(**parameters.model_dump()), request_id))


@router.post("/search", response_model=SearchAnswer, responses=error_responses(400, 413, 422))
async def search_memory_with_body(request: SearchRequest, services: ServicesOf, request_id: RequestId) -> SearchAnswer:
    """The same, with metadata filters, weights, explanations and the turns around each hit."""
    return await services.search(Search(request, request_id))
