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
Stores what was said to an assistant and gives back what matters.

Errors have one shape: `{"error": {"code", "message", "request_id", "details"?}}`. Every answer carries
`X-Request-ID`; send your own to find a request in the logs.

A key goes into `X-API-Key` or `Authorization: Bearer`. With one that is bound to a tenant `tenant_id` may be left out,
and another's is refused. With one for all tenants, `tenant_id` in the query holds any request to that tenant.

Bodies are JSON, compressed or not (`Content-Encoding: gzip` or `deflate`). HEAD answers where GET does. What is marked
as deprecated goes with the release after this one.

Where requests are limited, every answer says how the limit with the least left stands: `X-RateLimit-Limit`,
`X-RateLimit-Remaining` and `X-RateLimit-Reset` (seconds since 1970). Beyond it: 429 with `Retry-After`.
"""

# FastAPI's own puts the path and the query into its spans: who asks, and for what. `RequestTracing` leaves them out.
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
    """The application over a set of services.

    `answers_request_id`: false under Serve, which does it itself. `behind_haproxy`: requests come by our HAProxy alone,
    which says who its peer is, and which attempts belong to one request.
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
    # Ahead of all others, and not inside of routers: FastAPI takes 30 us to find a route in the second one.
    app.router.routes[:0] = [*messages.hot_router.routes, *memory.router.routes]
    # The erasures come last: their path of a tenant would take in others below it.
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
    """From the inside to the outside: what is added last sees a request first, and its answer last.

    - The peer, then who the proxies say that the client is: all others go by the client's address and scheme.
    - The security headers and CORS are around all that answers: refusals, timeouts and faults carry their headers,
      a page of an allowed origin can read them, and a preflight, which has no key, is answered before one is asked for.
    - The request context knows all but preflights: it gives the id, logs, and answers what nobody expected.
    - Requests are measured next to it, with all that it and those inside of it answer.
    - A request's span is around both, so that its lines name its trace.
    - The timeout spans all that may wait: the key's check in the database and the reading of the body too.
    - The gate counts the address, checks the key, and counts the key and its tenant, all before the body is read.
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
