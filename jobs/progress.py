"""How far it is: bars on a terminal, else plain lines, so that the log of a Ray job can be read."""

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
    """Shows how far something is."""

    def step(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """Whoever works in the block says each time how much more is done, of `total`."""
        ...


class ProgressBars:
    """One bar for each step."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Advance]:
        """A bar for as long as the block runs, and its last state afterwards."""
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
    """A line at the beginning, one every few seconds, one at the end."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = monotonic) -> None:
        self._stream = stream
        self._clock = clock

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Advance]:
        """The lines of one step."""
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
    """What suits the place that standard error goes to."""
    if sys.stderr.isatty():
        return ProgressBars(Console(stderr=True))
    return ProgressLines(sys.stderr)
