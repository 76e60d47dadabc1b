"""Counts and times every request."""

from functools import cache
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.edge.instruments import IngressInstruments
from serve_app.edge.route_matching import template_of

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "OTHER"
# The label of requests that match no route: the client chooses the path, and could create any number of series.
NO_ENDPOINT = "none"
# The status of requests whose client disconnected before there was an answer.
NO_STATUS = "none"


class RequestMetrics:
    """Wraps everything that answers, so that refusals and errors are counted too."""

    def __init__(self, app: ASGIApp, instruments: IngressInstruments) -> None:
        self._app = app
        self._in_flight = instruments.in_flight
        # Looking up a labelled child costs prometheus_client 3 us each time. Routes, methods and statuses are few.
        self._requests = cache(instruments.requests.labels)
        self._durations = cache(instruments.durations.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), NO_STATUS

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        self._in_flight.inc()
        try:
            await self._app(scope, receive, send_noted)
        finally:
            self._in_flight.dec()
            method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
            endpoint = endpoint_of(scope)
            self._requests(method, endpoint, status).inc()
            self._durations(method, endpoint).observe(perf_counter() - started)


def endpoint_of(scope: Scope) -> str:
    """Return the template of the request's route from the scope, unless the request was refused before routing."""
    route = scope.get("route")
    return route.path_format if route is not None else template_of(scope["app"], scope) or NO_ENDPOINT
