"""The ports that the service uses on one machine, and the option that changes each: docs/ports.md."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.errors import ConfigurationError

_GREATEST = 65_535
# Variables that each name a port, and the process that listens there.
VARIABLES = {
    "RAY_SERVE_HAPROXY_METRICS_PORT": "HAProxy's metrics",
    "RAY_SERVE_HAPROXY_STATS_PORT": "HAProxy's statistics",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": "Serve's fallback proxy",
}
_RANGE = ("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT")


@dataclass(frozen=True)
class Port:
    """A port, the process that listens there, and the option or variable that changes it."""

    number: int
    use: str
    moved_by: str


def chosen_ports(http: object, dashboard: object, environment: Mapping[str, str]) -> list[Port]:
    """Return the ports that must be free at the start. Raises `ConfigurationError` for an invalid port."""
    api, ray = "--port, or http_options.port in the Serve config", "--dashboard-port"
    ports = [Port(_number(http, api), "the API", api), Port(_number(dashboard, ray), "Ray's dashboard", ray)]
    ports += [Port(_number(environment[name], name), use, name) for name, use in VARIABLES.items()]
    first, last = (_number(environment[name], name) for name in _RANGE)
    if first > last:
        raise ConfigurationError(f"{_RANGE[0]}: {first} is above {_RANGE[1]}, {last}")
    return ports


def check_free(ports: Sequence[Port]) -> None:
    """Raise `ConfigurationError` for a port that is in use or configured twice."""
    seen: dict[int, Port] = {}
    for port in ports:
        if (other := seen.setdefault(port.number, port)) is not port:
            raise ConfigurationError(
                f"Port {port.number} is for {other.use} already: choose another for {port.use}: {port.moved_by}"
            )
        if not _is_free(port.number):
            raise ConfigurationError(
                f"Port {port.number} is in use. Free it, or choose another for {port.use}: {port.moved_by}"
            )


def _number(value: object, name: str) -> int:
    text = str(value).strip()
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _GREATEST):
        raise ConfigurationError(f"{name}: {text!r} is no port: it must be a number from 1 to {_GREATEST}")
    return int(text)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Bind like servers do: connections in TIME_WAIT do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - closed again at once # nosec B104
        except OSError:
            return False
    return True
