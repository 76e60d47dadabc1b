"""docs/alerts.md sends nobody to look for a log line or a panel that there is not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.monitoring.expressions import panels
from tests.paths import ROOT

PAGE = re.sub(r"\s+", " ", (ROOT / "docs" / "alerts.md").read_text())
# "the log line `request`", "the log lines `a`, `b` and `c`"
LINES = re.compile(r"log lines? ((?:`\w+`(?:, | and )?)+)")
LEVELS = {"debug", "info", "warning", "error", "exception"}


def logged(path: Path) -> Iterator[str]:
    """The events that a file logs."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name("logger"), attr=level), args=[ast.Constant(str(event)), *_]
            ) if level in LEVELS:
                yield event


def test_each_log_line_that_the_page_names_is_one_that_the_code_writes() -> None:
    files = [path for package in ("deployments", "serve_app", "jobs") for path in (ROOT / package).rglob("*.py")]
    events = {event for path in files for event in logged(path)}
    named = {name for names in LINES.findall(PAGE) for name in re.findall(r"`(\w+)`", names)}

    assert {"request", "recall_low", "retention_watch_broke"} <= named
    assert named <= events


def test_each_panel_that_the_page_names_is_on_the_dashboard() -> None:
    """What is said of another page stands in quotes too, after a comma behind its link."""
    named = set(re.findall(r'(?<!\), )"([A-Z][^"]+)"', PAGE))

    assert {"Searches", "Stages of a search, p95"} <= named
    assert named <= {panel["title"] for panel in panels()}
