"""Log lines: JSON in production, readable in development, with the request's id."""

import json
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import structlog

from deployments.runtime.logging import configure_logging
from deployments.settings import Environment, LogLevel, RuntimeSettings


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What is written. Other tests log as before."""
    before = structlog.get_config()
    stream = StringIO()
    monkeypatch.setattr(sys, "__stdout__", stream)
    yield stream
    structlog.configure(**before)


def logger(environment: Environment, level: LogLevel = LogLevel.INFO) -> Any:
    configure_logging(RuntimeSettings(environment=environment, log_level=level), "Search")
    return structlog.get_logger()


def failure() -> LookupError:
    """An error from a place that knows a secret."""

    def fail(secret: str) -> None:
        raise LookupError(len(secret))

    try:
        fail(f"hunter{1 + 1}")
    except LookupError as error:
        return error
    raise AssertionError


def lines(out: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_production_lines_are_json_with_all_that_is_known(out: StringIO) -> None:
    log = logger(Environment.PRODUCTION)
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        log.info("searched", hits=3, query="Grüße\n🌍")

    (line,) = lines(out)

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "deployment": "Search",
        "level": "info",
        "event": "searched",
        "request_id": "r-1",
        "hits": 3,
        "query": "Grüße\n🌍",
    }


def test_every_line_of_a_request_has_its_id_and_the_next_has_not(out: StringIO) -> None:
    log = logger(Environment.PRODUCTION)
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        log.info("one")
        log.warning("two")
    log.info("three")

    assert [line.get("request_id") for line in lines(out)] == ["r-1", "r-1", None]


def test_a_traceback_stays_on_its_line_in_production(out: StringIO) -> None:
    log = logger(Environment.PRODUCTION)
    log.error("unexpected_error", exc_info=failure())

    (line,) = lines(out)

    assert "LookupError: 7" in line["exception"]
    assert "hunter2" not in line["exception"]


def test_what_is_no_json_is_logged_all_the_same(out: StringIO) -> None:
    logger(Environment.PRODUCTION).info("odd", value=object())

    assert lines(out)[0]["value"].startswith("<object")


def test_development_lines_are_for_people(out: StringIO) -> None:
    log = logger(Environment.DEVELOPMENT)
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        log.info("searched", hits=3)

    line = out.getvalue()

    for part in ("searched", "hits=3", "request_id=r-1", "deployment=Search"):
        assert part in line
    assert not line.startswith("{")


def test_a_traceback_in_development_shows_no_local_variables(out: StringIO) -> None:
    """They hold what users said, and drawing them stops the event loop for seconds."""
    log = logger(Environment.DEVELOPMENT)
    log.error("unexpected_error", exc_info=failure())

    assert "LookupError" in (shown := out.getvalue())
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("level", "shown"), [(LogLevel.DEBUG, "diwe"), (LogLevel.WARNING, "we"), (LogLevel.ERROR, "e")]
)
def test_what_is_below_the_level_is_not_logged(level: LogLevel, shown: str, out: StringIO) -> None:
    log = logger(Environment.PRODUCTION, level)
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")

    assert "".join(line["event"] for line in lines(out)) == shown
