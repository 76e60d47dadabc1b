"""Progress reports: bars on a terminal, else plain lines, so that the log of a Ray job stays readable."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

BETWEEN_LINES_SECONDS = 5.0

Advance = Callable[[int], None]


class Progress(Protocol):
    """Reports the progress of a job."""

    def step(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """Report one step of `total` units. The block calls the yielded function with the units newly done."""
        ...


class ProgressBars:
    """Shows one bar for each step."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Advance]:
        """Show a bar while the block runs, and leave its last state."""
        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=self._console) as bars:
            task = bars.add_task(title, total=total)
            yield lambda count: bars.advance(task, count)


class ProgressLines:
    """Writes a line at the start, one every few seconds, and one at the end."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = monotonic) -> None:
        self._stream = stream
        self._clock = clock

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Advance]:
        """Write the lines of one step."""
        began = said = self._clock()
        done = 0

        def advance(count: int) -> None:
            nonlocal done, said
            done += count
            if self._clock() - said >= BETWEEN_LINES_SECONDS:
                said = self._clock()
                self._say(f"{title}: {done:,} of {total:,}")

        self._say(f"{title}: {total:,} ...")
        yield advance
        self._say(f"{title}: {done:,} of {total:,} in {self._clock() - began:.1f} s")

    def _say(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


def progress_on_stderr() -> Progress:
    """Return bars if standard error is a terminal, else lines."""
    if sys.stderr.isatty():
        return ProgressBars(Console(stderr=True))
    return ProgressLines(sys.stderr)
