"""What goes into a context: messages chosen, each once, fitted into a budget, in time order. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from deployments.context_schemas import ContextAnswer, ContextItem, ContextRequest, Reason
from deployments.search.context_page import Page
from deployments.search.tokens import count_tokens
from deployments.search.versions import Saying, saying
from deployments.search_schemas import SearchAnswer, SearchHit
from deployments.storage.recent_turns import Turn


@dataclass
class Wanted:
    """A message that may go into the context, and why."""

    turn: Turn
    reasons: set[Reason] = field(default_factory=set)
    score: float | None = None


class Choice(NamedTuple):
    """Who may come in, each list in the order in which room is given; a message may stand in more than one."""

    recent: list[Wanted]
    relevant: list[Wanted]
    neighbors: list[Wanted]

    def messages(self) -> dict[UUID, Wanted]:
        """All of them by id."""
        return {each.turn.id: each for part in self for each in part}


def assemble(request: ContextRequest, recent: Sequence[Turn], found: SearchAnswer) -> ContextAnswer:
    """The context from a conversation's last turns, newest first, and what a search found, best first."""
    choice = choose(recent, found.items, request.top_k)
    page = Page(request.conversation_id, request.token_budget)
    _fill(page, choice, request.recent_share)
    messages = choice.messages()
    text = page.text()
    return ContextAnswer.model_construct(
        token_budget=request.token_budget,
        tokens_used=count_tokens(text),
        degraded=found.degraded,
        omitted=len(messages) - len(page.lines),
        items=[_to_item(messages[line.turn.id], line.text) for line in page.lines],
        text=text,
    )


def choose(recent: Sequence[Turn], hits: Sequence[SearchHit], top_k: int) -> Choice:
    """Each message once, with all of its reasons: the recent turns, `top_k` hits besides them, the turns around those.

    Of hits and neighbors that say the same, the newest stands for all, and a recent turn before any other.
    Recent turns are left as they were said: a second "yes" has its place behind its own question.
    """
    last = {turn.id: Wanted(turn, {Reason.RECENT}) for turn in recent}
    admitted = _Admitted(last, recent, hits)
    relevant: dict[UUID, Wanted] = {}
    neighbors: dict[UUID, Wanted] = {}
    for hit in hits:
        if len(relevant.keys() - last.keys()) >= top_k:
            break
        memory = admitted.admit(_turn_of(hit), Reason.RELEVANT)
        memory.score = hit.score if memory.score is None else memory.score
        relevant[memory.turn.id] = memory
        for turn in _turns_around(hit):
            neighbor = admitted.admit(turn, Reason.NEIGHBOR)
            neighbors[neighbor.turn.id] = neighbor
    return Choice(list(last.values()), list(relevant.values()), list(neighbors.values()))


class _Admitted:
    """Messages by id, where one may stand for others that say the same."""

    def __init__(self, last: dict[UUID, Wanted], recent: Sequence[Turn], hits: Sequence[SearchHit]) -> None:
        self._by_id = dict(last)
        found = [turn for hit in hits for turn in (_turn_of(hit), *_turns_around(hit))]
        by_time = sorted(found, key=lambda turn: (turn.created_at, turn.id))
        self._spokesmen = {_saying(turn): turn for turn in (*by_time, *reversed(recent))}

    def admit(self, turn: Turn, reason: Reason) -> Wanted:
        """The message itself, or the one that stands for it."""
        said = turn if turn.id in self._by_id else self._spokesmen[_saying(turn)]
        wanted = self._by_id.setdefault(said.id, Wanted(said))
        wanted.reasons.add(reason)
        return wanted


def _saying(turn: Turn) -> Saying:
    return saying(turn.name or turn.role, turn.content)


def _turn_of(hit: SearchHit) -> Turn:
    return Turn(hit.message_id, hit.conversation_id, hit.role, hit.name, hit.content, hit.created_at)


def _turns_around(hit: SearchHit) -> Iterator[Turn]:
    for turn in hit.neighbors or ():
        yield Turn(turn.message_id, hit.conversation_id, turn.role, turn.name, turn.content, turn.created_at)


def _fill(page: Page, choice: Choice, recent_share: float) -> None:
    """Give room: to the newest turn, to turns before it up to their share, to memories, to further turns."""
    turns = [each.turn for each in choice.recent if page.could_hold(each.turn)]
    page.add_while_fitting(turns[:1], page.budget)
    page.add_while_fitting(turns[1:], int(page.budget * recent_share))
    for each in (*choice.relevant, *choice.neighbors):
        page.add(each.turn, page.budget)
    page.add_while_fitting(turns, page.budget)


def _to_item(wanted: Wanted, line: str) -> ContextItem:
    turn = wanted.turn
    return ContextItem.model_construct(
        message_id=turn.id,
        conversation_id=turn.conversation_id,
        role=turn.role,
        name=turn.name,
        content=turn.content,
        created_at=turn.created_at,
        tokens=count_tokens(line),
        reasons=[reason for reason in Reason if reason in wanted.reasons],
        score=wanted.score,
    )
