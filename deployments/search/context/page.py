"""The text of a context, as messages are put onto it: never more than its budget. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from deployments.schemas.candidates import Turn
from deployments.search.context.tokens import HUNDREDTHS, MOST_CHARACTERS_PER_TOKEN, weigh

LINE_END = "\n"
# Only lines of ours start at the margin, so that no message can pass for a heading or for another's words.
LATER_LINES = "\n  "

# Cuts a text to so many hundredths of a token; what it returns is empty where nothing of the text fits.
Cut: TypeAlias = Callable[[str, int], str]


class Place(NamedTuple):
    """Where a line stands: facts first, then by instant, whatever the zone of each sender, then by id."""

    is_turn: bool
    created_at: datetime
    id: UUID


class Line(NamedTuple):
    """A message or a fact as it is rendered. Lines sort by place."""

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
        """Return what the heading above it names: the sender's day, and the conversation. None: facts."""
        return None if self.turn.fact is not None else (self.turn.created_at.date(), self.turn.conversation_id)


class Page:
    """Facts, then messages, each in time order, with a heading wherever the day or the conversation changes.

    Weights add up exactly, so what a further line takes is known before it is put in, headings included.
    """

    def __init__(self, conversation_id: str, budget: int, *, headed: bool = True) -> None:
        """`conversation_id`: the one that goes on, which its headings say. `budget`: in tokens."""
        self.budget = budget
        self.lines: list[Line] = []
        self._conversation_id = conversation_id
        self._headed = headed
        # The last line has no end: what it would take is left over.
        self._weight = -weigh(LINE_END)

    @property
    def used(self) -> int:
        """Return the tokens that the page takes."""
        return max(-(-self._weight // HUNDREDTHS), 0)

    def add(self, turn: Turn, allowance: int) -> bool:
        """Put a message in, unless the page would then take more than `allowance` tokens. Says whether it is there."""
        index = bisect_left(self.lines, (_place(turn),))
        if self._holds(turn, index):
            return True
        room = allowance - self._weight // HUNDREDTHS
        if len(turn.content) > room * MOST_CHARACTERS_PER_TOKEN:
            return False
        return self._put(Line(_place(turn), turn, render(turn), turn.content), index, allowance)

    def add_part(self, turn: Turn, cut: Cut, allowance: int, least: int = 0) -> bool:
        """Put in as much of a message as `allowance` has room for, in place of a shorter part. Says whether it is in.

        `least`: the tokens without which a part says too little.
        """
        index = bisect_left(self.lines, (_place(turn),))
        shorter = self._take_out(index) if self._holds(turn, index) else None
        line = self._part(turn, cut, index, allowance, least)
        if line is not None and (shorter is None or len(line.text) > len(shorter.text)):
            return self._put(line, index, allowance)
        return shorter is not None and self._put(shorter, index, self.budget)

    def add_while_fitting(self, turns: Iterable[Turn], allowance: int) -> None:
        """Put messages in up to the first that does not fit, so that no turn is missing in between."""
        for turn in turns:
            if not self.add(turn, allowance):
                return

    def text(self) -> str:
        """All of it."""
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
        """Return the message with as much of its content as fits in at `index`, or None."""
        speaker = render(turn._replace(content=""))
        if weigh(speaker) > allowance * HUNDREDTHS // 2:
            # A name of 255 Chinese characters takes 320 tokens, and would leave a small page without the question.
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
        """Return what a line adds between the line before `index` and the one at `following`, headings included."""
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
    """Who said what, or what is known of whom and since when, in one line; further lines are set in."""
    if turn.fact is not None:
        subject = "" if turn.name is None else " ".join(turn.name.split()) + ", "
        return f"- {subject}since {turn.fact.valid_from.date().isoformat()}: {_body(turn.content)}"
    speaker = " ".join((turn.name or turn.role).split())
    return f"{speaker}: {_body(turn.content)}"


def _body(content: str) -> str:
    return LATER_LINES.join(content.strip().splitlines())
