"""Rows of messages as the database gives them, and what an index of them is to say, worked out without an index."""

import struct
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from hypothesis import strategies as st

from deployments.analysis.query import AnalyzedQuery
from deployments.schemas.search import SearchRequest
from deployments.schemas.vectors import EmbeddingSpace
from deployments.search.index.tenant_index import KEPT_CHARACTERS, TenantIndex
from deployments.search.index.view import IndexedHit, View, view
from deployments.storage.search.message_changes import MessageRow
from tests.unit.search.ranked import NOW

DIMENSIONS = 4
SPACE = EmbeddingSpace("stand-in", DIMENSIONS)
# Nothing has expired then.
LONG_AGO = datetime.min.replace(tzinfo=UTC)
WORDS = ("amber", "birch", "cedar")
# Equal in one half or the other, as no ids by chance are.
IDS = tuple(UUID(int=(high << 64) | low) for high in (0, 1, 2**63) for low in (0, 1, 2**64 - 1))


FACT = '{"subject": null, "valid_from": "2025-01-01T00:00:00+00:00", "valid_to": null, "superseded_at": null}'


def literal(counts: dict[str, int]) -> str:
    """Return terms as the text of a tsvector."""
    quoted = {term: term.replace("\\", "\\\\").replace("'", "''") for term in counts}
    return " ".join(
        f"'{quoted[term]}':{','.join(str(place + 1) for place in range(times))}" for term, times in counts.items()
    )


def embedding(*values: float) -> bytes:
    """Return a vector as `halfvec_send` does."""
    return struct.pack(f">HH{len(values)}e", len(values), 0, *values)


def row(number: int | UUID, **fields: Any) -> MessageRow:
    """Return a message of one conversation, without words, embedding or importance."""
    blank = {
        "conversation_id": "one",
        "role": "user",
        "name": None,
        "content": f"content{number}",
        "metadata": "{}",
        "created_at": NOW,
        "utc_offset": 0,
        "importance": None,
        "embedding": None,
        "terms": "",
        "term_count": 0,
    }
    return MessageRow(id=number if isinstance(number, UUID) else UUID(int=number), **{**blank, **fields})


def index_of(rows: Sequence[MessageRow]) -> TenantIndex:
    """Return an index that was built of these rows at once."""
    index = TenantIndex(SPACE)
    index.put(rows)
    return index


def request(**fields: Any) -> SearchRequest:
    """Return a search of all messages, unless told otherwise."""
    return SearchRequest(**{"tenant_id": "acme", "query": "Which one?"} | fields)


EVERY_WORD = AnalyzedQuery(WORDS, (1.0,) * len(WORDS), tuple((word,) for word in WORDS))


def seen(
    index: TenantIndex, asked: SearchRequest | None = None, query: AnalyzedQuery = EVERY_WORD, **options: Any
) -> View:
    """Return what a search of `WORDS` reads."""
    vector = np.array([1.0, 0.5, -0.25, 0.0], dtype=np.float32)
    return view(index, asked or request(), query, vector, **{"subtract_mean": True, "now": LONG_AGO, **options})


def told(view: View) -> dict[str, Any]:
    """Return what a view says, by id, in whatever order its messages are."""
    hits = view.hits(np.arange(len(view.slots)))
    messages, ids = view.messages, [hit.id for hit in hits]
    beside = (messages.previous.tolist(), messages.following.tolist())
    held: defaultdict[int, dict[UUID, float]] = defaultdict(dict)
    for number, place, times in zip(*(column.tolist() for column in view.terms.postings), strict=True):
        held[number][ids[place]] = times
    return {
        "hits": {hit.id: hit._replace(similarity=None) for hit in hits},
        "turns": {
            each: tuple(None if place < 0 else ids[place] for place in places)
            for each, *places in zip(ids, *beside, strict=True)
        },
        "terms": {
            term: (held[number], holders)
            for number, (term, holders) in enumerate(zip(view.terms.terms, view.terms.holders.tolist(), strict=True))
        },
        "tenant": (view.terms.messages, view.terms.term_count),
        "lengths": dict(zip(ids, messages.lengths.tolist(), strict=True)),
        "telling": dict(zip(ids, messages.telling.tolist(), strict=True)),
        "speakers": {speaker.name for speaker in messages.speakers},
    }


def nearness(view: View) -> dict[UUID, tuple[float, float]]:
    """Return similarity and closeness by id, which are equal up to rounding."""
    hits = view.hits(np.arange(len(view.slots)))
    values = zip(view.similarities.tolist(), view.messages.closeness.tolist(), strict=True)
    return {hit.id: value for hit, value in zip(hits, values, strict=True)}


def hit_of(each: MessageRow) -> IndexedHit:
    """Return the hit that a row is to become, its similarity aside."""
    kept = len(each.content) <= KEPT_CHARACTERS
    fields = each._asdict() | {"content": each.content if kept else "", "has_content": kept, "similarity": None}
    return IndexedHit(**{name: fields[name] for name in IndexedHit._fields})


def turns_of(rows: Sequence[MessageRow]) -> dict[UUID, tuple[UUID | None, UUID | None]]:
    """Return the ids of the turns before and after each, by plain sorting; facts have none."""
    turns: dict[UUID, tuple[UUID | None, UUID | None]] = {each.id: (None, None) for each in rows if each.fact}
    said = [each for each in rows if each.fact is None]
    for conversation in {each.conversation_id for each in said}:
        ids: list[UUID | None] = [
            id_
            for _, id_ in sorted((each.created_at, each.id) for each in said if each.conversation_id == conversation)
        ]
        for before, this, after in zip([None, *ids], ids, [*ids[1:], None], strict=False):
            assert this is not None
            turns[this] = (before, after)
    return turns


_COUNTS = st.dictionaries(st.sampled_from(WORDS), st.integers(1, 3))
_CHANGING: dict[str, st.SearchStrategy[Any]] = {
    "importance": st.none() | st.floats(0, 1),
    "embedding": st.none() | st.lists(st.integers(-4, 4), min_size=4, max_size=4).map(lambda e: embedding(*e)),
    "metadata": st.sampled_from(["{}", '{"a": 1}']),
    "external_id": st.sampled_from([None, "crm-1"]),
    "expires_at": st.sampled_from([None, None, NOW, NOW + timedelta(microseconds=1)]),
}
_LASTING: dict[str, st.SearchStrategy[Any]] = {
    "conversation_id": st.sampled_from(["a", "a/b", "ab"]),
    "user_id": st.sampled_from([None, "ada"]),
    "agent_id": st.sampled_from([None, "helper"]),
    "role": st.sampled_from(["user", "assistant"]),
    "name": st.sampled_from([None, "Ida", "Bo"]),
    "content": st.sampled_from(["I like tea", "we met on Monday", "", "long " * KEPT_CHARACTERS]),
    "created_at": st.sampled_from(
        [NOW, NOW - timedelta(days=1), NOW + timedelta(microseconds=1), datetime.min.replace(tzinfo=NOW.tzinfo)]
    ),
    "utc_offset": st.sampled_from([0, 330, -720]),
    "terms": _COUNTS.map(literal),
    "term_count": st.integers(0, 9),
    "fact": st.sampled_from([None, None, FACT]),
}


@st.composite
def rows(draw: st.DrawFn, *, ids: Sequence[UUID] = IDS) -> list[MessageRow]:
    """Draw messages of different ids."""
    chosen = draw(st.lists(st.sampled_from(ids), unique=True, max_size=len(ids)))
    return [MessageRow(id=each, **draw(st.fixed_dictionaries(_LASTING | _CHANGING))) for each in chosen]


@st.composite
def changes(draw: st.DrawFn, *, ids: Sequence[UUID] = IDS) -> list[tuple[set[UUID], list[MessageRow]]]:
    """Draw what happens one after the other: ids that go, and rows as they are from then on."""
    now: dict[UUID, MessageRow] = {}
    steps = []
    for _ in range(draw(st.integers(1, 6))):
        gone = draw(st.sets(st.sampled_from(ids), max_size=4))
        came = draw(rows(ids=ids))
        # What is embedded or scored later is most of what happens.
        later = [
            now[each]._replace(**draw(st.fixed_dictionaries(_CHANGING)))
            for each in sorted(set(now) - gone - {each.id for each in came})
            if draw(st.booleans())
        ]
        now = {each: kept for each, kept in now.items() if each not in gone} | {r.id: r for r in (*came, *later)}
        steps.append((gone, [*came, *later]))
    return steps


def counts_of(text: str) -> Counter[str]:
    """Return the terms of a literal of `WORDS`."""
    held = (each.split(":") for each in text.split())
    return Counter({term.strip("'"): positions.count(",") + 1 for term, positions in held})
