"""A collector of traces for the tests: takes OTLP over HTTP, as the exporter sends it, and keeps the spans."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

DEADLINE_SECONDS = 30.0


@dataclass(frozen=True)
class Received:
    """A span as it came over the wire; ids in hex, `parent` empty for the first of a trace."""

    name: str
    trace: str
    span: str
    parent: str
    kind: str
    failed: bool
    attributes: dict[str, Any]
    links: tuple[str, ...]
    resource: dict[str, Any]

    @property
    def deployment(self) -> str:
        """Where it was made."""
        return str(self.resource["memory_layer.deployment"])


@dataclass
class Receiver:
    """What came so far."""

    endpoint: str
    spans: list[Received] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    """Status and reason with which it takes no spans."""

    def of(self, trace: str) -> list[Received]:
        """The spans of one trace, in hex."""
        return [span for span in self.spans if span.trace == trace]

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until what is expected has come."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, sorted((span.trace, span.name) for span in self.spans)
            time.sleep(0.05)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            receiver.bodies.append(body)
            if receiver.refusal is None:
                receiver.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
            self.send_response(*receiver.refusal or (200,))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Received]:
    for group in request.resource_spans:
        resource = _values(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Received(
                    name=span.name,
                    trace=span.trace_id.hex(),
                    span=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                    attributes=_values(span.attributes),
                    links=tuple(link.span_id.hex() for link in span.links),
                    resource=resource,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
