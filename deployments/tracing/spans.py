"""The spans of this process. While tracing is off, each of these functions does next to nothing.

No content goes into a span: no message, no query, no tenant, no key, and of an error its kind alone, since what it
says may quote them.
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
    """What crosses to another replica with the trace that it belongs to; a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def trace(self) -> SpanContext | None:
        """The span that waits for it."""


Item = TypeVar("Item")
TracedItem = TypeVar("TracedItem", bound=Traced)


class _Tracing:
    """Where spans are made, if anywhere. Not OpenTelemetry's global one: libraries would put theirs there too."""

    tracer: Tracer | None = None


def use_tracer(tracer: Tracer | None) -> None:
    """Make spans by a tracer from now on, or none."""
    _Tracing.tracer = tracer


def is_tracing() -> bool:
    """Whether spans are made."""
    return _Tracing.tracer is not None


@contextmanager
def root(
    name: str, context: Context, kind: SpanKind, attributes: Attributes, began: int | None = None
) -> Iterator[Span]:
    """A span of its own trace, or of the one in `context`, for the block. `began`: nanoseconds since 1970."""
    tracer = _Tracing.tracer
    if tracer is None:
        yield INVALID_SPAN
        return
    with _entered(tracer.start_span(name, context, kind, attributes, start_time=began)) as span:
        yield span


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None) -> Iterator[Span]:
    """A part of what happens in the current span, for the block. Where none is recorded, neither is this."""
    tracer = _Tracing.tracer
    if tracer is None or not get_current_span().is_recording():
        yield INVALID_SPAN
        return
    with _entered(tracer.start_span(name, kind=kind, attributes=attributes)) as part:
        yield part


def http_request(method: str, host: str, port: int | None = None) -> AbstractContextManager[Span]:
    """A request to another service, for the block."""
    attributes: dict[str, AttributeValue] = {"http.request.method": method, "server.address": host}
    return span(method, SpanKind.CLIENT, attributes if port is None else {**attributes, "server.port": port})


@contextmanager
def served(name: str, trace: SpanContext | None, attributes: Attributes | None = None) -> Iterator[Span]:
    """What another replica asks for, in its trace, for the block."""
    if trace is None:
        yield INVALID_SPAN
        return
    with _entered(_serving(name, trace, attributes)) as part:
        yield part


@contextmanager
def each_served(name: str, traces: Sequence[SpanContext | None]) -> Iterator[list[Span]]:
    """The same for several that ask at once, each in its own trace; none of them becomes the current one."""
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
    """What is done once for several is part of the first of them that is recorded; the others link to that one."""
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
    """A part of the current span that is over; nanoseconds since 1970."""
    if _Tracing.tracer is not None:
        _Tracing.tracer.start_span(name, attributes=attributes, start_time=began).end(ended)


def current_trace() -> SpanContext | None:
    """What another replica needs to go on with the current trace, which pickles; None outside of one."""
    if not is_tracing():
        return None
    context = get_current_span().get_span_context()
    return context if context.is_valid else None


def traced(name: str, call: Callable[[Item], Awaitable[Result]]) -> Callable[[Item], Awaitable[Result]]:
    """The same call, in a span of its own."""

    async def in_a_span(item: Item) -> Result:
        with span(name):
            return await call(item)

    return in_a_span


def crossing(name: str, call: Callable[[TracedItem], Awaitable[Result]]) -> Callable[[TracedItem], Awaitable[Result]]:
    """The same call to another replica, in a span of its own, which the item takes along."""

    async def in_a_span(item: TracedItem) -> Result:
        if not is_tracing():
            return await call(item)
        with span(name, SpanKind.CLIENT):
            return await call(replace(item, trace=current_trace()))

    return in_a_span


def note_error(error: BaseException, failed: Span | None = None) -> None:
    """The span, or else the current one, failed: our own code of the error, or its class."""
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
    """Say something of the current span."""
    get_current_span().set_attribute(name, value)


def trace_ids() -> dict[str, str]:
    """The current trace and span, for a log line; empty outside of one."""
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
