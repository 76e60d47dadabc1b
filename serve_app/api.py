"""The HTTP application: middleware, routes, error handlers. Imports no Ray."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from deployments.tracing.spans import is_tracing
from serve_app.edge.documentation import add_documentation, add_parameter_examples
from serve_app.edge.gate import Gate
from serve_app.edge.haproxy_headers import BehindHAProxy
from serve_app.edge.http_errors import add_error_handlers
from serve_app.edge.middleware import RequestContext
from serve_app.edge.request_body import RequestBody
from serve_app.edge.request_metrics import RequestMetrics
from serve_app.edge.request_timeout import RequestTimeout
from serve_app.edge.request_tracing import RequestTracing
from serve_app.edge.security_headers import SecurityHeaders
from serve_app.edge.trailing_slash import without_slash
from serve_app.routes import (
    admin,
    conversations,
    erasures,
    facts,
    keys,
    languages,
    memory,
    message_history,
    messages,
    metrics,
    named_messages,
    retention,
    users,
)
from serve_app.services import Services

DESCRIPTION = """
Stores messages of conversations with an assistant, and returns the ones that matter to a query.

Errors have one shape: `{"error": {"code", "message", "request_id", "details"?}}`. Every answer carries
`X-Request-ID`; send your own to find a request in the logs.

Send the key as `X-API-Key` or `Authorization: Bearer`. A key that is bound to a tenant needs no `tenant_id`, and
another tenant's is refused. With a key for all tenants, `tenant_id` in the query limits any request to that tenant.

Bodies are JSON, compressed or not (`Content-Encoding: gzip` or `deflate`). Every GET route answers HEAD. The next
release removes what is marked as deprecated.

Where requests are limited, every answer reports the limit with the least remaining: `X-RateLimit-Limit`,
`X-RateLimit-Remaining` and `X-RateLimit-Reset` (seconds since 1970). Beyond it: 429 with `Retry-After`.
"""

# FastAPI's own tracing puts path and query into its spans: tenant names and search text. `RequestTracing` omits them.
NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False, auto_configure=False)

CROSS_ORIGIN_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CROSS_ORIGIN_HEADERS = (
    "Authorization",
    "Content-Encoding",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "X-API-Key",
    "X-Request-ID",
)
EXPOSED_HEADERS = (
    "ETag",
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
)


def create_app(services: Services, *, answers_request_id: bool = True, behind_haproxy: bool = False) -> FastAPI:
    """Return the application over a set of services.

    `answers_request_id`: false under Serve, which sets the request id header itself. `behind_haproxy`: all requests
    come through our HAProxy, which names its peer and which attempts belong to one request.
    """
    app = FastAPI(
        title="AI Memory Layer",
        description=DESCRIPTION,
        version=version("ai-memory-layer"),
        generate_unique_id_function=_operation_id,
        docs_url=None,
        redoc_url=None,
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,
        strict_content_type=False,
    )
    app.state.services = services
    app.router.default = without_slash(app.router)
    add_error_handlers(app)
    _add_middleware(app, services, answers_request_id=answers_request_id, behind_haproxy=behind_haproxy)
    add_documentation(app)
    add_parameter_examples(app)
    if services.metrics is not None:
        app.include_router(metrics.router)
    # Hot routes come first and on the application itself: FastAPI takes 30 us to find a route in the second router.
    app.router.routes[:0] = [*messages.hot_router.routes, *memory.router.routes]
    # Erasures come last: their path with a tenant name would match other paths below it.
    for resource in (
        named_messages,
        messages,
        message_history,
        facts,
        conversations,
        users,
        admin,
        keys,
        languages,
        retention,
        erasures,
    ):
        app.include_router(resource.router)
    return app


def _add_middleware(app: FastAPI, services: Services, *, answers_request_id: bool, behind_haproxy: bool) -> None:
    """Add the middleware from the inside out: the last one added sees a request first and its answer last.

    - The peer is set first, then the client that the proxies report: all others use the client's address and scheme.
    - Security headers and CORS wrap every answer, so that refusals, timeouts and errors carry their headers, pages
      of allowed origins can read them, and a preflight, which has no key, is answered before the key check.
    - The request context sees all requests but preflights: it sets the id, logs, and answers unexpected errors.
    - Request metrics come next to it, so that they include everything that it and the inner middleware answer.
    - The request's span wraps both, so that log lines name the trace.
    - The timeout covers all waiting, also the key check in the database and the reading of the body.
    - The gate counts the address, checks the key, and counts the key and its tenant before the body is read.
    """
    http = services.http
    app.add_middleware(RequestBody, most=http.request_max_bytes)
    app.add_middleware(Gate, keyring=services.keyring, limiter=services.limiter)
    app.add_middleware(RequestTimeout, seconds=http.request_timeout_seconds)
    app.add_middleware(RequestContext, answers_id=answers_request_id, slow_seconds=http.slow_request_seconds)
    if services.metrics is not None:
        app.add_middleware(RequestMetrics, instruments=services.metrics.instruments)
    if is_tracing():
        app.add_middleware(RequestTracing)
    if http.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=http.allowed_origins,
            allow_methods=CROSS_ORIGIN_METHODS,
            allow_headers=CROSS_ORIGIN_HEADERS,
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(SecurityHeaders)
    if http.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(http.trusted_proxies))
    if behind_haproxy:
        app.add_middleware(BehindHAProxy)


def _operation_id(route: APIRoute) -> str:
    return route.name
