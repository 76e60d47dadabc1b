"""Plain lines where nobody looks at a terminal."""

from io import StringIO

from rich.console import Console

from jobs.progress import ProgressBars, ProgressLines


def test_lines_come_at_the_beginning_every_few_seconds_and_at_the_end() -> None:
    now = 0.0
    stream = StringIO()
    with ProgressLines(stream, lambda: now).step("storing", 2000) as advance:
        advance(500)
        now = 5.0
        advance(500)
        now = 6.0
        advance(1000)

    assert stream.getvalue().splitlines() == [
        "storing: 2,000 ...",
        "storing: 1,000 of 2,000",
        "storing: 2,000 of 2,000 in 6.0 s",
    ]


def test_a_terminal_shows_a_bar() -> None:
    stream = StringIO()
    with ProgressBars(Console(file=stream, force_terminal=True, width=100)).step("storing", 2) as advance:
        advance(2)

    assert "storing" in stream.getvalue()
    assert "2/2" in stream.getvalue()
