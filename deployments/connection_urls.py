"""Validation of connection URLs, before a driver sees them.

A driver's error quotes the URL that it cannot parse, and with it the password; or it takes a part of the password
for a host. Errors raised here are one fixed sentence for each kind of URL, and quote nothing of it.
"""

import ipaddress
import re
from collections.abc import Set
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

POSTGRES_FORM = (
    "must be like postgresql://user:password@host:5432/db, with whatever is no letter or digit in the password "
    "percent-encoded (# is %23)"
)
REDIS_FORM = (
    "must be like redis://host:6379/0 or rediss://user:password@host:6379/0, with whatever is no letter or digit in "
    "the password percent-encoded (# is %23)"
)
HTTP_FORM = "must be like http://host:8000 or https://host/path"

# Options of libpq that asyncpg does not support: it would take them for settings of the server.
LIBPQ_ALONE = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "require_auth",
        "requirepeer",
        "requiressl",
        "sslcertmode",
        "sslcompression",
        "sslcrldir",
        "sslkeylogfile",
        "sslsni",
        "tcp_user_timeout",
    }
)

# A host name or address with an optional port. Empty if the query names a socket.
_HOST_PATTERN = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]*))?")
_GREATEST_PORT = 65_535


def postgres_url(text: str) -> str:
    """Return the URL in the form that the driver expects.

    SQLAlchemy's form is accepted too; the driver named after `+` is ignored.
    Raises `ValueError` with `POSTGRES_FORM`, or naming options of `LIBPQ_ALONE`.
    """
    scheme, _, rest = text.partition("://")
    try:
        parts = _split(f"{scheme.partition('+')[0]}://{rest}", {"postgresql", "postgres"})
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        _check_places([host for host in query.get("host", ["/"])[-1].split(",") if not host.startswith("/")])
        for port in query.get("port", [""])[-1].split(","):
            _check_port(port)
    except ValueError:
        raise ValueError(POSTGRES_FORM) from None
    if alone := sorted(LIBPQ_ALONE & query.keys()):
        raise ValueError(f"leave out {', '.join(alone)}: libpq's alone, and not known to the driver that is used here")
    return f"postgresql://{rest}"


def redis_url(text: str) -> str:
    """Return the URL if the driver can use all of it. Raises `ValueError` with `REDIS_FORM`."""
    # Slow to import, and most installations have no Redis.
    from redis import RedisError  # noqa: PLC0415
    from redis.asyncio import ConnectionPool  # noqa: PLC0415

    try:
        int(_split(text, {"redis", "rediss"}).path.removeprefix("/") or 0)
        # Not connected: creating the connection validates its options.
        ConnectionPool.from_url(text).make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError):
        raise ValueError(REDIS_FORM) from None
    return text


def http_url(text: str) -> str:
    """Return the URL. Raises `ValueError` with `HTTP_FORM`."""
    try:
        parts = _split(text, {"http", "https"})
    except ValueError:
        raise ValueError(HTTP_FORM) from None
    if not parts.hostname:
        raise ValueError(HTTP_FORM)
    return text


def _split(url: str, schemes: Set[str]) -> SplitResult:
    """Return the parts of a URL. Raises `ValueError` if a delimiter in the password may have split it wrongly."""
    parts = urlsplit(url)
    if "://" not in url or parts.scheme not in schemes:
        raise ValueError
    if not url.isprintable() or any(mark in url for mark in (" ", "#", "%00")):
        raise ValueError
    if "@" in f"{parts.path}{parts.query}" or parts.netloc.count("@") > 1:
        raise ValueError
    _check_places(parts.netloc.rpartition("@")[2].split(","))
    return parts


def _check_places(places: list[str]) -> None:
    if len(places) > 1 and not all(places):
        raise ValueError
    for place in places:
        found = _HOST_PATTERN.fullmatch(place)
        if found is None:
            raise ValueError
        _check_port(found["port"] or "")
        if found["address"] is not None:
            ipaddress.ip_address(found["address"].partition("%")[0])
        elif not (name := unquote(found["name"])).startswith("/"):
            # The resolver encodes it alike; empty and too long labels raise a `ValueError`.
            name.encode("idna")


def _check_port(port: str) -> None:
    if port and not (port.isdecimal() and 1 <= int(port) <= _GREATEST_PORT):
        raise ValueError
