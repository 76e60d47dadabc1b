"""Search, and contexts, which assemble search hits and the latest turns for a prompt."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from deployments.schemas.context import ContextAnswer, ContextRequest
from deployments.schemas.search import SearchAnswer, SearchParameters, SearchRequest
from deployments.search.context.assembler import Context
from deployments.search.plans import Search
from serve_app.edge.auth import Reads
from serve_app.edge.hot_route import HotRoute
from serve_app.edge.http_errors import error_responses
from serve_app.edge.json_response import json_response
from serve_app.routes.dependencies import RequestId, ServicesOf
from serve_app.routes.refreshing import refreshed_answer

router = APIRouter(prefix="/v1/memory", tags=["memory"], route_class=HotRoute)


@router.get("/search", response_model=SearchAnswer, responses=error_responses(422), dependencies=[Reads])
async def search_memory(
    parameters: Annotated[SearchParameters, Query()], http: Request, services: ServicesOf, request_id: RequestId
) -> Response:
    """Find the messages that matter most to a query, by meaning and by words."""
    # Every valid set of parameters is a valid request; missing fields get their defaults.
    request = SearchRequest.model_construct(**dict(parameters))
    answer = await services.search(Search(request, request_id))
    return json_response(await refreshed_answer(http, services.expiry, request, answer))


@router.post("/search", response_model=SearchAnswer, responses=error_responses(400, 413, 422), dependencies=[Reads])
async def search_memory_with_body(
    request: SearchRequest, http: Request, services: ServicesOf, request_id: RequestId
) -> Response:
    """Find messages with conditions, weights, explanations and the turns around each hit."""
    answer = await services.search(Search(request, request_id))
    return json_response(await refreshed_answer(http, services.expiry, request, answer))


@router.post("/context", response_model=ContextAnswer, responses=error_responses(400, 413, 422), dependencies=[Reads])
async def assemble_context(
    request: ContextRequest, http: Request, services: ServicesOf, request_id: RequestId
) -> Response:
    """Assemble the last turns of a conversation and relevant memories for a prompt, within a token budget."""
    answer = await services.assemble(Context(request, request_id))
    return json_response(await refreshed_answer(http, services.expiry, request, answer))
