"""The spans of this process. While tracing is off, these functions cost next to nothing.

No content goes into a span: no message, query, tenant or key. Of an error only the class goes in, since its text
may quote them.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

BATCH_SIZE = "memory_layer.batch.size"
ERROR_TYPE = "error.type"
SQL_STATE = "db.response.status_code"

Attributes = Mapping[str, AttributeValue]
Result = TypeVar("Result")


class Traced(Protocol):
    """A dataclass that is sent to another replica with its trace context."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def trace(self) -> SpanContext | None:
        """The span that waits for the result."""


Item = TypeVar("Item")
TracedItem = TypeVar("TracedItem", bound=Traced)


class _Tracing:
    """The tracer in use, or None. It is not OpenTelemetry's global one, in which libraries would create spans too."""

    tracer: Tracer | None = None


def use_tracer(tracer: Tracer | None) -> None:
    """Set the tracer that creates spans. None turns tracing off."""
    _Tracing.tracer = tracer


def is_tracing() -> bool:
    """Return whether tracing is on."""
    return _Tracing.tracer is not None


@contextmanager
def root(
    name: str, context: Context, kind: SpanKind, attributes: Attributes, began: int | None = None
) -> Iterator[Span]:
    """Open a span for the block, in a new trace or the one in `context`. `began`: nanoseconds since 1970."""
    tracer = _Tracing.tracer
    if tracer is None:
        yield INVALID_SPAN
        return
    with _entered(tracer.start_span(name, context, kind, attributes, start_time=began)) as span:
        yield span


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> Iterator[Span]:
    """Open a child of the current span for the block. It is recorded only if the current span is."""
    tracer = _Tracing.tracer
    if tracer is None or not get_current_span().is_recording():
        yield INVALID_SPAN
        return
    with _entered(tracer.start_span(name, kind=kind, attributes=attributes)) as part:
        yield part


def http_request(method: str, host: str, port: int | None = None) -> AbstractContextManager[Span]:
    """Open a client span for the block: a request to another service."""
    attributes: dict[str, AttributeValue] = {"http.request.method": method, "server.address": host}
    return span(method, SpanKind.CLIENT, attributes if port is None else {**attributes, "server.port": port})


@contextmanager
def served(name: str, trace: SpanContext | None, attributes: Attributes | None = None) -> Iterator[Span]:
    """Open a span for the block, in the trace of the replica that called."""
    if trace is None:
        yield INVALID_SPAN
        return
    with _entered(_serving(name, trace, attributes)) as part:
        yield part


@contextmanager
def each_served(name: str, traces: Sequence[SpanContext | None]) -> Iterator[list[Span]]:
    """Open a span for each caller of a batch, in its own trace. None of them becomes the current span."""
    spans = [INVALID_SPAN if trace is None else _serving(name, trace, {BATCH_SIZE: len(traces)}) for trace in traces]
    try:
        yield spans
    except BaseException as error:
        for each in spans:
            note_error(error, each)
        raise
    finally:
        for each in spans:
            each.end()


@contextmanager
def shared(spans: Sequence[Span]) -> Iterator[None]:
    """Run the block, which serves several spans, as part of the first recorded one. The others link to that one."""
    recorded = [each for each in spans if each.is_recording()] if is_tracing() else []
    if not recorded:
        yield
        return
    first = recorded[0]
    for other in recorded:
        other.set_attribute(BATCH_SIZE, len(spans))
        if other is not first:
            other.add_link(first.get_span_context())
    token = attach(set_span_in_context(first))
    try:
        yield
    finally:
        detach(token)


def record(name: str, began: int, ended: int, attributes: Attributes) -> None:
    """Record a child of the current span that has already ended. Times are nanoseconds since 1970."""
    if _Tracing.tracer is not None:
        _Tracing.tracer.start_span(name, attributes=attributes, start_time=began).end(ended)


def current_trace() -> SpanContext | None:
    """Return the current trace context for another replica, which can be pickled, or None outside of a trace."""
    if not is_tracing():
        return None
    context = get_current_span().get_span_context()
    return context if context.is_valid else None


def traced(name: str, call: Callable[[Item], Awaitable[Result]]) -> Callable[[Item], Awaitable[Result]]:
    """Return the call wrapped in a span."""

    async def in_a_span(item: Item) -> Result:
        with span(name):
            return await call(item)

    return in_a_span


def crossing(name: str, call: Callable[[TracedItem], Awaitable[Result]]) -> Callable[[TracedItem], Awaitable[Result]]:
    """Return the call to another replica wrapped in a span, whose context is sent with the item."""

    async def in_a_span(item: TracedItem) -> Result:
        if not is_tracing():
            return await call(item)
        with span(name, SpanKind.CLIENT):
            return await call(replace(item, trace=current_trace()))

    return in_a_span


def note_error(error: BaseException, failed: Span | None = None) -> None:
    """Mark a span, by default the current one, as failed with our error code or the error's class."""
    failed = get_current_span() if failed is None else failed
    if not failed.is_recording():
        return
    code = getattr(error, "code", None)
    failed.set_attribute(ERROR_TYPE, code if isinstance(code, str) else type(error).__qualname__)
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        failed.set_attribute(SQL_STATE, state)
    failed.set_status(StatusCode.ERROR)


def note(name: str, value: AttributeValue) -> None:
    """Set an attribute of the current span."""
    get_current_span().set_attribute(name, value)


def trace_ids() -> dict[str, str]:
    """Return the ids of the current trace and span for a log line; empty outside of a trace."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}


def _serving(name: str, trace: SpanContext, attributes: Attributes | None) -> Span:
    parent = NonRecordingSpan(trace)
    tracer = _Tracing.tracer
    if tracer is None:
        return parent
    return tracer.start_span(name, set_span_in_context(parent, Context()), SpanKind.SERVER, attributes)


@contextmanager
def _entered(entered: Span) -> Iterator[Span]:
    token = attach(set_span_in_context(entered))
    try:
        yield entered
    except BaseException as error:
        note_error(error, entered)
        raise
    finally:
        detach(token)
        entered.end()
