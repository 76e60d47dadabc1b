"""The HTTP application: middleware, routes, error handlers. Imports no Ray."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute

from serve_app.auth import Authentication
from serve_app.http_errors import add_error_handlers
from serve_app.middleware import BodyLimit, RequestContext
from serve_app.routes import admin, conversations, erasures, keys, memory, messages
from serve_app.services import Services

DESCRIPTION = """
Stores what was said to an assistant and gives back what matters.

Errors have one shape: `{"error": {"code", "message", "request_id", "details"?}}`. Every answer carries
`X-Request-ID`; send your own to find a request in the logs.

A key goes into `X-API-Key` or `Authorization: Bearer`. With one that is bound to a tenant `tenant_id` may be left out,
and another's is refused.
"""


def create_app(services: Services, *, answers_request_id: bool = True) -> FastAPI:
    """The application over a set of services. `answers_request_id`: false under Serve, which does it itself."""
    app = FastAPI(
        title="AI Memory Layer",
        description=DESCRIPTION,
        version=version("ai-memory-layer"),
        generate_unique_id_function=_operation_id,
    )
    app.state.services = services
    add_error_handlers(app)
    app.add_middleware(BodyLimit, most=services.http.request_max_bytes)
    app.add_middleware(Authentication, keyring=services.keyring)
    app.add_middleware(RequestContext, answers_id=answers_request_id)
    for resource in (messages, memory, conversations, admin, keys, erasures):
        app.include_router(resource.router)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
