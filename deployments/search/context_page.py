"""The text of a context, as messages are put onto it: never more than its budget. Pure."""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from deployments.search.tokens import HUNDREDTHS, MOST_CHARACTERS_PER_TOKEN, weigh
from deployments.storage.recent_turns import Turn

LINE_END = "\n"
# Only lines of ours start at the margin, so that no message can pass for a heading or for another's words.
LATER_LINES = "\n  "


class Line(NamedTuple):
    """A message as it is rendered. Lines sort by instant, whatever the zone of each sender, then by id."""

    created_at: datetime
    id: UUID
    turn: Turn
    text: str

    @property
    def section(self) -> tuple[date, str]:
        """Return what the heading above it names: the sender's day, and the conversation."""
        return self.created_at.date(), self.turn.conversation_id


class Page:
    """Lines in time order, with a heading wherever the day or the conversation changes.

    Weights add up exactly, so what a further line takes is known before it is put in, headings included.
    """

    def __init__(self, conversation_id: str, budget: int) -> None:
        """`conversation_id`: the one that goes on, which its headings say. `budget`: in tokens."""
        self.budget = budget
        self.lines: list[Line] = []
        self._conversation_id = conversation_id
        # The last line has no end: what it would take is left over.
        self._weight = -weigh(LINE_END)

    def add(self, turn: Turn, allowance: int) -> bool:
        """Put a message in, unless the page would then take more than `allowance` tokens. Says whether it is there."""
        if len(turn.content) > allowance * MOST_CHARACTERS_PER_TOKEN:
            return False
        line = Line(turn.created_at, turn.id, turn, render(turn))
        index = bisect_left(self.lines, line)
        above = self.lines[index - 1] if index else None
        below = self.lines[index] if index < len(self.lines) else None
        if below is not None and below.id == line.id:
            return True
        weight = self._weight + self._weigh_between(above, line, below)
        if weight > allowance * HUNDREDTHS:
            return False
        self.lines.insert(index, line)
        self._weight = weight
        return True

    def add_while_fitting(self, turns: Iterable[Turn], allowance: int) -> None:
        """Put messages in up to the first that does not fit, so that no turn is missing in between."""
        for turn in turns:
            if not self.add(turn, allowance):
                return

    def could_hold(self, turn: Turn) -> bool:
        """Whether a message would fit if it were alone."""
        return Page(self._conversation_id, self.budget).add(turn, self.budget)

    def text(self) -> str:
        """All of it."""
        above = (None, *self.lines)
        headed = (self._heading(*pair) + pair[1].text for pair in zip(above, self.lines, strict=False))
        return LINE_END.join(headed)

    def _weigh_between(self, above: Line | None, line: Line, below: Line | None) -> int:
        headings = weigh(self._heading(above, line))
        if below is not None:
            headings += weigh(self._heading(line, below)) - weigh(self._heading(above, below))
        return headings + weigh(line.text + LINE_END)

    def _heading(self, above: Line | None, line: Line) -> str:
        if above is not None and above.section == line.section:
            return ""
        day, conversation_id = line.section
        this = ", this conversation" if conversation_id == self._conversation_id else ""
        return f"[{day.isoformat()}{this}]{LINE_END}"


def render(turn: Turn) -> str:
    """Who said what, in one line; further lines of a message are set in."""
    speaker = " ".join((turn.name or turn.role).split())
    return f"{speaker}: {LATER_LINES.join(turn.content.strip().splitlines())}"
