"""Selects the messages of a context, fits them into its budget, and orders them by time. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from deployments.analysis.terms import Languages
from deployments.schemas.candidates import Turn
from deployments.schemas.context import ContextAnswer, ContextItem, ContextRequest, Reason
from deployments.schemas.facts import Kind
from deployments.schemas.search import SearchAnswer, SearchHit
from deployments.search.context.excerpts import Passages, cut_middle
from deployments.search.context.page import Cut, Line, Page
from deployments.search.context.tokens import HUNDREDTHS, count_tokens, weigh
from deployments.search.ranking.versions import Saying, saying

# A newest turn that must be cut first takes at least this share, and gets back what other messages leave.
NEWEST_SHARE = 0.5
# A memory that does not fit whole takes at most a quarter of the budget, so that others have room.
PARTS = 4
# A shorter part is not informative, unless the budget is small.
LEAST_PART_TOKENS = 40
# If at most an eighth of the budget is empty, it stays empty: no further messages are cut to fill it.
ROOM_WORTH_FILLING = 8


@dataclass
class Wanted:
    """A candidate message for the context, and the reasons for it."""

    turn: Turn
    reasons: set[Reason] = field(default_factory=set)
    score: float | None = None


class Choice(NamedTuple):
    """The candidates, each list in order of priority. A message may be in several lists."""

    recent: list[Wanted]
    relevant: list[Wanted]
    neighbors: list[Wanted]

    def messages(self) -> dict[UUID, Wanted]:
        """Return all candidates by id."""
        return {each.turn.id: each for part in self for each in part}


def assemble(
    request: ContextRequest, recent: Sequence[Turn], found: SearchAnswer, query: str, languages: Languages
) -> ContextAnswer:
    """Return the context made of a conversation's last turns, newest first, and of search hits, best first.

    `query`: the search query, analysed in `languages`. Long memories are cut around its words.
    """
    choice = choose(recent, found.items, request.top_k)
    page = _filled(request, choice, Passages(query, languages))
    messages = choice.messages()
    text = page.text()
    return ContextAnswer.model_construct(
        token_budget=request.token_budget,
        tokens_used=count_tokens(text),
        degraded=found.degraded,
        omitted=len(messages) - len(page.lines),
        items=[_to_item(messages[line.turn.id], line) for line in page.lines],
        text=text,
    )


def choose(recent: Sequence[Turn], hits: Sequence[SearchHit], top_k: int) -> Choice:
    """Return each candidate once with all its reasons: recent turns, `top_k` other hits, and neighbors of hits.

    Of hits and neighbors with the same text, a recent turn represents all, else the newest. Recent turns are not
    deduplicated: a second "yes" belongs after its own question.
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
    """Admitted messages by id. One message represents all others with the same speaker and text."""

    def __init__(self, last: dict[UUID, Wanted], recent: Sequence[Turn], hits: Sequence[SearchHit]) -> None:
        self._by_id = dict(last)
        found = [turn for hit in hits for turn in (_turn_of(hit), *_turns_around(hit))]
        by_time = sorted(found, key=lambda turn: (turn.created_at, turn.id))
        self._representatives = {_saying(turn): turn for turn in (*by_time, *reversed(recent))}

    def admit(self, turn: Turn, reason: Reason) -> Wanted:
        """Add a reason to the message or its representative, and return it."""
        said = turn if turn.id in self._by_id else self._representatives[_saying(turn)]
        wanted = self._by_id.setdefault(said.id, Wanted(said))
        wanted.reasons.add(reason)
        return wanted


def _saying(turn: Turn) -> Saying:
    return saying(turn.name or turn.role, turn.content)


def _turn_of(hit: SearchHit) -> Turn:
    return Turn(hit.message_id, hit.conversation_id, hit.role, hit.name, hit.content, hit.created_at, hit.fact)


def _turns_around(hit: SearchHit) -> Iterator[Turn]:
    for turn in hit.neighbors or ():
        yield Turn(turn.message_id, hit.conversation_id, turn.role, turn.name, turn.content, turn.created_at)


def _filled(request: ContextRequest, choice: Choice, passages: Passages) -> Page:
    """Return the filled page, without headings if the budget is too small for the newest turn with its heading."""
    page = Page(request.conversation_id, request.token_budget)
    filling = _Filling(page, passages)
    filling.fill(choice, request.recent_share)
    newest = choice.recent[0].turn if choice.recent else None
    if newest is None or any(line.id == newest.id for line in page.lines):
        return page
    bare = Page(request.conversation_id, request.token_budget, headed=False)
    bare.add(newest, bare.budget) or bare.add_part(newest, cut_middle, bare.budget)
    return bare if bare.lines else page


class _Filling:
    """Fills a page: whole messages first, then parts of those that are too long."""

    def __init__(self, page: Page, passages: Passages) -> None:
        self._page = page
        self._passages = passages
        self._least = min(LEAST_PART_TOKENS, page.budget // ROOM_WORTH_FILLING)
        self._part = page.budget // PARTS

    def fill(self, choice: Choice, recent_share: float) -> None:
        """Add the newest turn, earlier turns up to their share, memories, and further turns, in this order."""
        newest, earlier = choice.recent[:1], choice.recent[1:]
        budget = self._page.budget
        for each in newest:
            share = max(recent_share, NEWEST_SHARE)
            self._page.add(each.turn, budget) or self._page.add_part(each.turn, cut_middle, int(budget * share))
        for each in earlier:
            if not self._add(each, int(budget * recent_share)):
                break
        for each in (*choice.relevant, *choice.neighbors):
            self._add(each, budget)
        self._page.add_while_fitting([each.turn for each in choice.recent], budget)
        self._fill_rest(newest, choice.relevant, earlier, choice.neighbors)

    def _add(self, wanted: Wanted, allowance: int) -> bool:
        """Add a message whole, or a part if it is long. A short message that does not fit is skipped."""
        page = self._page
        if page.add(wanted.turn, allowance):
            return True
        if weigh(wanted.turn.content) <= self._part * HUNDREDTHS:
            return False
        return page.add_part(wanted.turn, self._cut(wanted), min(allowance, page.used + self._part), self._least)

    def _fill_rest(self, *lists: Sequence[Wanted]) -> None:
        """Extend parts, and add parts of omitted messages, while more than an eighth of the page is empty.

        Recent turns continue without gaps.
        """
        page = self._page
        whole = {line.id for line in page.lines if not line.truncated}
        for each in chain.from_iterable(lists):
            if each.turn.id in whole:
                continue
            if page.budget - page.used <= page.budget // ROOM_WORTH_FILLING:
                return
            page.add_part(each.turn, cut_middle if each in lists[0] else self._cut(each), page.budget, self._least)

    def _cut(self, wanted: Wanted) -> Cut:
        """Return the cut for a message: in its middle if it is only a recent turn, else around the query's words."""
        return cut_middle if wanted.reasons == {Reason.RECENT} else self._passages.cut


def _to_item(wanted: Wanted, line: Line) -> ContextItem:
    turn = wanted.turn
    return ContextItem.model_construct(
        message_id=turn.id,
        conversation_id=turn.conversation_id,
        role=turn.role,
        name=turn.name,
        content=line.content,
        truncated=line.truncated,
        created_at=turn.created_at,
        kind=Kind.MESSAGE if turn.fact is None else Kind.FACT,
        fact=turn.fact,
        tokens=count_tokens(line.text),
        reasons=[reason for reason in Reason if reason in wanted.reasons],
        score=wanted.score,
    )
