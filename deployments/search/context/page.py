"""Builds the text of a context within its token budget. Pure functions."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from deployments.schemas.candidates import Turn
from deployments.search.context.tokens import HUNDREDTHS, MOST_CHARACTERS_PER_TOKEN, weigh

LINE_END = "\n"
# Continuation lines are indented, so that no message can imitate a heading or another speaker.
LATER_LINES = "\n  "

# Cuts a text to a number of hundredths of a token. Returns an empty string if nothing fits.
Cut: TypeAlias = Callable[[str, int], str]


class Place(NamedTuple):
    """The sort key of a line: facts first, then by instant whatever the sender's time zone, then by id."""

    is_turn: bool
    created_at: datetime
    id: UUID


class Line(NamedTuple):
    """A rendered message or fact. Lines sort by place."""

    place: Place
    turn: Turn
    text: str
    content: str
    truncated: bool = False

    @property
    def id(self) -> UUID:
        """Return the id of the message or the fact."""
        return self.turn.id

    @property
    def section(self) -> tuple[date, str] | None:
        """Return the day in the sender's zone and the conversation id for the heading, or None for facts."""
        return None if self.turn.fact is not None else (self.turn.created_at.date(), self.turn.conversation_id)


class Page:
    """Facts, then messages, each in time order, with a heading wherever the day or the conversation changes.

    Weights add up exactly, so the weight of a new line with its headings is known before it is added.
    """

    def __init__(self, conversation_id: str, budget: int, *, headed: bool = True) -> None:
        """`conversation_id`: the current one, marked in its headings. `budget`: in tokens."""
        self.budget = budget
        self.lines: list[Line] = []
        self._conversation_id = conversation_id
        self._headed = headed
        # The last line has no line end, so its weight is subtracted.
        self._weight = -weigh(LINE_END)

    @property
    def used(self) -> int:
        """Return the number of tokens of the page."""
        return max(-(-self._weight // HUNDREDTHS), 0)

    def add(self, turn: Turn, allowance: int) -> bool:
        """Add a message unless the page would exceed `allowance` tokens. Return whether the page holds it."""
        index = bisect_left(self.lines, (_place(turn),))
        if self._holds(turn, index):
            return True
        room = allowance - self._weight // HUNDREDTHS
        if len(turn.content) > room * MOST_CHARACTERS_PER_TOKEN:
            return False
        return self._put(Line(_place(turn), turn, render(turn), turn.content), index, allowance)

    def add_part(self, turn: Turn, cut: Cut, allowance: int, least: int = 0) -> bool:
        """Add as much of a message as fits into `allowance`, replacing a shorter part. Return whether it is there.

        `least`: the minimum tokens of a part; a shorter one is not added.
        """
        index = bisect_left(self.lines, (_place(turn),))
        shorter = self._take_out(index) if self._holds(turn, index) else None
        line = self._part(turn, cut, index, allowance, least)
        if line is not None and (shorter is None or len(line.text) > len(shorter.text)):
            return self._put(line, index, allowance)
        return shorter is not None and self._put(shorter, index, self.budget)

    def add_while_fitting(self, turns: Iterable[Turn], allowance: int) -> None:
        """Add messages up to the first that does not fit, so that there are no gaps between turns."""
        for turn in turns:
            if not self.add(turn, allowance):
                return

    def text(self) -> str:
        """Return the text of the page."""
        above = (None, *self.lines)
        headed = (self._heading(*pair) + pair[1].text for pair in zip(above, self.lines, strict=False))
        return LINE_END.join(headed)

    def _holds(self, turn: Turn, index: int) -> bool:
        return index < len(self.lines) and self.lines[index].id == turn.id

    def _put(self, line: Line, index: int, allowance: int) -> bool:
        weight = self._weight + self._weigh_between(index, line, index)
        if weight > allowance * HUNDREDTHS:
            return False
        self.lines.insert(index, line)
        self._weight = weight
        return True

    def _take_out(self, index: int) -> Line:
        line = self.lines[index]
        self._weight -= self._weigh_between(index, line, index + 1)
        return self.lines.pop(index)

    def _part(self, turn: Turn, cut: Cut, index: int, allowance: int, least: int) -> Line | None:
        """Return a line with as much of the message as fits at `index`, or None."""
        speaker = render(turn._replace(content=""))
        if weigh(speaker) > allowance * HUNDREDTHS // 2:
            # A name of 255 Chinese characters takes 320 tokens, and would leave a small page no room for the message.
            speaker = render(turn._replace(content="", name=None))
        bare = Line(_place(turn), turn, speaker, "")
        room = allowance * HUNDREDTHS - self._weight - self._weigh_between(index, bare, index)
        if room < max(least * HUNDREDTHS, 1):
            return None
        body = _body(turn.content)
        part = cut(body, room)
        if not part:
            return None
        truncated = part != body
        content = part.replace(LATER_LINES, LINE_END) if truncated else turn.content
        return bare._replace(text=speaker + part, content=content, truncated=truncated)

    def _weigh_between(self, index: int, line: Line, following: int) -> int:
        """Return the weight that a line adds between the lines `index - 1` and `following`, including headings."""
        above = self.lines[index - 1] if index else None
        below = self.lines[following] if following < len(self.lines) else None
        headings = weigh(self._heading(above, line))
        if below is not None:
            headings += weigh(self._heading(line, below)) - weigh(self._heading(above, below))
        return headings + weigh(line.text + LINE_END)

    def _heading(self, above: Line | None, line: Line) -> str:
        if not self._headed or (above is not None and above.section == line.section):
            return ""
        if line.section is None:
            return f"[Facts]{LINE_END}"
        day, conversation_id = line.section
        this = ", this conversation" if conversation_id == self._conversation_id else ""
        return f"[{day.isoformat()}{this}]{LINE_END}"


def _place(turn: Turn) -> Place:
    return Place(turn.fact is None, turn.created_at, turn.id)


def render(turn: Turn) -> str:
    """Return the line of a message ("speaker: content") or of a fact. Continuation lines are indented."""
    if turn.fact is not None:
        subject = "" if turn.name is None else " ".join(turn.name.split()) + ", "
        return f"- {subject}since {turn.fact.valid_from.date().isoformat()}: {_body(turn.content)}"
    speaker = " ".join((turn.name or turn.role).split())
    return f"{speaker}: {_body(turn.content)}"


def _body(content: str) -> str:
    return LATER_LINES.join(content.strip().splitlines())
