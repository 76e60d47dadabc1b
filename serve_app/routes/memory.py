"""Search: what matters to a query; and contexts: that, with what was said last, for a prompt."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from deployments.context_schemas import ContextAnswer, ContextRequest
from deployments.search.context_assembler import Context
from deployments.search.ways import Search
from deployments.search_schemas import SearchAnswer, SearchParameters, SearchRequest
from serve_app.auth import Reads
from serve_app.hot_route import HotRoute
from serve_app.http_errors import error_responses
from serve_app.json_response import json_response
from serve_app.refreshing import refreshed_answer
from serve_app.routes.dependencies import RequestId, ServicesOf

router = APIRouter(prefix="/v1/memory", tags=["memory"], route_class=HotRoute)


@router.get("/search", response_model=SearchAnswer, responses=error_responses(422), dependencies=[Reads])
async def search_memory(
    parameters: Annotated[SearchParameters, Query()], http: Request, services: ServicesOf, request_id: RequestId
) -> Response:
    """Find the messages that matter most to a query, by meaning and by words."""
    # What is valid as parameters is valid here, and what they lack has its default.
    request = SearchRequest.model_construct(**dict(parameters))
    answer = await services.search(Search(request, request_id))
    return json_response(await refreshed_answer(http, services.expiry, request, answer))


@router.post("/search", response_model=SearchAnswer, responses=error_responses(400, 413, 422), dependencies=[Reads])
async def search_memory_with_body(
    request: SearchRequest, http: Request, services: ServicesOf, request_id: RequestId
) -> Response:
    """Find them with conditions, weights, explanations and the turns around each hit."""
    answer = await services.search(Search(request, request_id))
    return json_response(await refreshed_answer(http, services.expiry, request, answer))


@router.post("/context", response_model=ContextAnswer, responses=error_responses(400, 413, 422), dependencies=[Reads])
async def assemble_context(
    request: ContextRequest, http: Request, services: ServicesOf, request_id: RequestId
) -> Response:
    """Assemble the last turns of a conversation and the memories that matter to it for a prompt, within a budget."""
    answer = await services.assemble(Context(request, request_id))
    return json_response(await refreshed_answer(http, services.expiry, request, answer))
