"""Validation of OpenTelemetry's standard environment variables.

For the faults that are checked here the SDK would raise, use a default silently, or log a header's value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from math import nan
from urllib.parse import unquote

from deployments.connection_urls import http_url
from deployments.errors import ConfigurationError

PROTOCOL = "http/protobuf"
QUEUE, BATCH = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
# The SDK's defaults.
DEFAULT_QUEUE, DEFAULT_BATCH = 2048, 512

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
CREDENTIAL_PROVIDERS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
)


@dataclass(frozen=True)
class _Range:
    """The valid range of a number."""

    read: type[int] | type[float]
    least: float
    most: float

    def __str__(self) -> str:
        kind = "a whole number" if self.read is int else "a number"
        return f"{kind} from {self.least:.10g} to {self.most:.10g}"


_LARGEST = 2**31 - 1
_POSITIVE = _Range(int, 1, _LARGEST)
_COUNT = _Range(int, 0, _LARGEST)
_SECONDS = _Range(float, 0.001, 86_400)

_NUMBERS: Mapping[str, _Range] = {
    "OTEL_BSP_SCHEDULE_DELAY": _POSITIVE,
    QUEUE: _POSITIVE,
    BATCH: _POSITIVE,
    "OTEL_BSP_EXPORT_TIMEOUT": _COUNT,
    "OTEL_TRACES_SAMPLER_ARG": _Range(float, 0, 1),
    "OTEL_EXPORTER_OTLP_TIMEOUT": _SECONDS,
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": _SECONDS,
    "OTEL_ATTRIBUTE_COUNT_LIMIT": _COUNT,
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": _COUNT,
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": _COUNT,
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": _COUNT,
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": _COUNT,
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": _COUNT,
    "OTEL_SPAN_EVENT_COUNT_LIMIT": _COUNT,
    "OTEL_SPAN_LINK_COUNT_LIMIT": _COUNT,
}

_COMPRESSIONS = ("none", "gzip", "deflate")
_ALWAYS = ("always_on", "always_off", "traceidratio")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "OTEL_TRACES_SAMPLER": (*_ALWAYS, *(f"parentbased_{each}" for each in _ALWAYS)),
    "OTEL_EXPORTER_OTLP_COMPRESSION": _COMPRESSIONS,
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": _COMPRESSIONS,
}

# A shorter text is not a key, and could be part of any word.
SHORTEST_SECRET = 4

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# The characters that a header's value may have in the variable, and in HTTP.
_WRITTEN_VALUE = re.compile(r"[ !#-:<-\[\]-~]*")
_SENT_VALUE = re.compile(r"[ -~\xa0-\xff]*")


def wants_tracing(environment: Mapping[str, str]) -> bool:
    """Return whether the standard variables ask for traces.

    Raises `ConfigurationError` for invalid or unsupported values. The message quotes nothing that may be a key.
    """
    _check_propagators(environment)
    given = {name: value for name, value in environment.items() if name.startswith("OTEL_") and value.strip()}
    exporter = given.get("OTEL_TRACES_EXPORTER", "otlp" if given.keys() & set(ENDPOINTS) else "none").strip().lower()
    if given.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    if exporter != "otlp":
        raise ConfigurationError(f"OTEL_TRACES_EXPORTER: {exporter} is not known here: otlp or none")
    _check_protocol(given)
    _check_endpoints(given)
    _check_headers(given)
    _check_credential_providers(given)
    _check_choices(given)
    _check_numbers(given)
    return True


def header_values(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the values of the headers for the collector, which may be keys: as written, as sent, and word by word."""
    headers = [header for name in HEADERS for header in _split(environment.get(name, ""))]
    written = [header.partition("=")[2].strip() for header in headers]
    sent = list(map(unquote, written))
    words = [word for value in (*written, *sent) for word in re.split(r"\s|%20", value)]
    return frozenset(value for value in (*written, *sent, *words) if len(value) >= SHORTEST_SECRET)


def _check_propagators(environment: Mapping[str, str]) -> None:
    """Check propagators even if tracing is off: OpenTelemetry's API, which FastAPI imports, rejects unknown names."""
    names = environment.get("OTEL_PROPAGATORS")
    for name in map(str.strip, names.split(",")) if names else ():
        if name.lower() == "none":
            return
        if not entry_points(group="opentelemetry_propagator", name=name):
            raise ConfigurationError(
                f"OTEL_PROPAGATORS: {name or 'an empty name'} is not installed; tracecontext and baggage are"
            )


def _check_protocol(given: Mapping[str, str]) -> None:
    name = next((name for name in PROTOCOLS if name in given), None)
    if name is not None and given[name].strip() != PROTOCOL:
        raise ConfigurationError(f"{name}: {given[name]} is not spoken here: {PROTOCOL} is")


def _check_endpoints(given: Mapping[str, str]) -> None:
    for name in ENDPOINTS:
        if name not in given:
            continue
        try:
            http_url(given[name])
        except ValueError:
            raise ConfigurationError(f"{name}: must be a URL such as http://localhost:4318") from None


def _check_headers(given: Mapping[str, str]) -> None:
    for name in HEADERS:
        if not all(map(_can_be_sent, _split(given.get(name, "")))):
            raise ConfigurationError(
                f"{name}: must be name=value, or several with commas between them, each value percent-encoded"
            )


def _split(headers: str) -> list[str]:
    return [header for header in map(str.strip, headers.split(",")) if header]


def _can_be_sent(header: str) -> bool:
    name, sign, value = (part.strip() for part in header.partition("="))
    return bool(
        sign
        and _HEADER_NAME.fullmatch(unquote(name))
        and _WRITTEN_VALUE.fullmatch(value)
        and _SENT_VALUE.fullmatch(unquote(value))
    )


def _check_credential_providers(given: Mapping[str, str]) -> None:
    for name in CREDENTIAL_PROVIDERS:
        if name in given and not entry_points(group="opentelemetry_otlp_credential_provider", name=given[name]):
            raise ConfigurationError(f"{name}: {given[name]} is not installed")


def _check_choices(given: Mapping[str, str]) -> None:
    # The SDK does not strip whitespace.
    for name, choices in _CHOICES.items():
        if name in given and given[name].lower() not in choices:
            raise ConfigurationError(f"{name}: must be one of {', '.join(choices)}")


def _check_numbers(given: Mapping[str, str]) -> None:
    for name, allowed in _NUMBERS.items():
        if name in given and not allowed.least <= _number(given[name], allowed) <= allowed.most:
            raise ConfigurationError(f"{name}: must be {allowed}")
    queue, batch = int(given.get(QUEUE, DEFAULT_QUEUE)), int(given.get(BATCH, DEFAULT_BATCH))
    if queue < batch:
        name = QUEUE if QUEUE in given else BATCH
        raise ConfigurationError(
            f"{name}: the queue must hold at least a batch, but {QUEUE} is {queue} and {BATCH} is {batch}"
        )


def _number(text: str, allowed: _Range) -> float:
    try:
        return allowed.read(text)
    except ValueError:
        return nan
