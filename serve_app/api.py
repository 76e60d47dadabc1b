"""The HTTP application: middleware, routes, error handlers. Imports no Ray."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from deployments.settings import HttpSettings
from serve_app.documentation import add_documentation
from serve_app.http_errors import add_error_handlers
from serve_app.middleware import BodyLimit, RequestContext
from serve_app.request_timeout import RequestTimeout
from serve_app.routes import admin, conversations, memory, messages
from serve_app.security_headers import SecurityHeaders
from serve_app.services import Services

DESCRIPTION = """
Stores what was said to an assistant and gives back what matters.

Errors have one shape: `{"error": {"code", "message", "request_id", "details"?}}`. Every answer carries
`X-Request-ID`; send your own to find a request in the logs.
"""

CROSS_ORIGIN_METHODS = ("GET", "POST", "PATCH", "DELETE")
CROSS_ORIGIN_HEADERS = ("Authorization", "Idempotency-Key", "X-API-Key", "X-Request-ID")


def create_app(services: Services, *, answers_request_id: bool = True) -> FastAPI:
    """The application over a set of services. `answers_request_id`: false under Serve, which does it itself."""
    app = FastAPI(
        title="AI Memory Layer",
        description=DESCRIPTION,
        version=version("ai-memory-layer"),
        generate_unique_id_function=_operation_id,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    add_error_handlers(app)
    app.add_middleware(BodyLimit, most=services.http.request_max_bytes)
    app.add_middleware(RequestTimeout, seconds=services.http.request_timeout_seconds)
    app.add_middleware(RequestContext, answers_id=answers_request_id)
    _add_browser_rules(app, services.http)
    add_documentation(app)
    for resource in (messages, memory, conversations, admin):
        app.include_router(resource.router)
    return app


def _add_browser_rules(app: FastAPI, http: HttpSettings) -> None:
    """Around everything else, so that unexpected errors carry the headers too."""
    if http.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=http.allowed_origins,
            allow_methods=CROSS_ORIGIN_METHODS,
            allow_headers=CROSS_ORIGIN_HEADERS,
            expose_headers=("X-Request-ID", "Retry-After"),
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(http.trusted_proxies))


def _operation_id(route: APIRoute) -> str:
    return route.name
