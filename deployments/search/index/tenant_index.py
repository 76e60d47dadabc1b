"""The in-memory index of one tenant's messages, as arrays for scoring."""

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias, TypeVar
from uuid import UUID

import numpy as np
import numpy.typing as npt

from deployments.epoch import micros
from deployments.schemas.vectors import EmbeddingSpace
from deployments.search.index.columns import NEVER, Columns
from deployments.search.index.holding import spans
from deployments.search.index.metadata_columns import MetadataColumns
from deployments.search.index.postings import Postings, term_counts
from deployments.search.index.turns import link
from deployments.search.ranking.messages import Speaker, says_when
from deployments.storage.search.message_changes import MessageRow

Slots: TypeAlias = npt.NDArray[np.intp]
Names = TypeVar("Names", "Owner", Speaker)

# Header of `halfvec_send`: two bytes for the number of dimensions, two unused bytes.
_HEADER_BYTES = 4
_HALF = np.dtype(">f2")
_LOW = 2**64 - 1
# Longer contents are not kept in memory: they are read from the database for hits.
KEPT_CHARACTERS = 4_096
# The index is compacted when more than a quarter of its slots, and more than _GONE_LEAST, are free.
_GONE_SHARE = 0.25
_GONE_LEAST = 64
# Bytes of a name besides its text: entries in a dictionary and a list, and its number.
_NAME_BYTES = 150


class Owner(NamedTuple):
    """The owner of a message."""

    user_id: str | None
    agent_id: str | None


class Text(NamedTuple):
    """The stored text of a message. `content`: None if it is too long to keep. `metadata`, `fact`: JSON."""

    content: str | None
    metadata: str
    external_id: str | None = None
    fact: str | None = None


_EMPTY = "{}"
_NOTHING = Text(None, _EMPTY)


class TenantIndex:
    """Messages by slot. Slot numbers are stable until `put` or `remove` compacts the index."""

    def __init__(self, space: EmbeddingSpace) -> None:
        self.space = space
        self.columns = Columns(space.dimensions)
        self.postings = Postings()
        self.conversations: dict[str, int] = {}
        self.conversation_names: list[str] = []
        self.speakers: dict[Speaker, int] = {}
        self.owners: dict[Owner, int] = {}
        self.texts: list[Text] = []
        self.metadata = MetadataColumns()
        self.expiring = 0
        self.vector_sum = np.zeros(space.dimensions)
        self.embedded = 0
        self.term_count = 0
        self._gone = 0
        self._text_bytes = 0
        self._name_bytes = 0
        self._products: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return self.slots - self._gone

    @property
    def slots(self) -> int:
        """Return the number of slots, including free ones."""
        return len(self.texts)

    @property
    def nbytes(self) -> int:
        """Return the size of the index in bytes, including contents."""
        texts = sys.getsizeof(self.texts) + self._text_bytes
        return self.columns.nbytes + self.postings.nbytes + texts + self._name_bytes + self.metadata.nbytes

    @property
    def live(self) -> npt.NDArray[np.bool_]:
        """Return which slots hold a message, shape (slots,)."""
        return self.columns.live[: self.slots]

    def products_with_sum(self) -> npt.NDArray[np.float32]:
        """Return each vector's dot product with the sum of all, shape (slots,). Cached: it takes half of a search."""
        if self._products is None:
            self._products = self.columns.vectors[: self.slots] @ self.vector_sum.astype(np.float32)
        return self._products

    def put(self, rows: Sequence[MessageRow]) -> None:
        """Insert messages, or replace their stored versions."""
        known = self._slots_of([row.id for row in rows])
        fingerprints = [_fingerprint(row) for row in rows]
        slots = [
            slot if (slot := known.get(row.id, -1)) >= 0 and self.columns.fingerprints[slot] == fingerprint else -1
            for row, fingerprint in zip(rows, fingerprints, strict=True)
        ]
        new = [place for place, slot in enumerate(slots) if slot < 0]
        touched = self._free_slots([known[rows[place].id] for place in new if rows[place].id in known])
        for place, slot in zip(new, self._append([rows[place] for place in new]), strict=True):
            slots[place] = slot
            self.columns.fingerprints[slot] = fingerprints[place]
        self._update(slots, rows)
        self._settle(touched | {int(self.columns.conversations[slots[place]]) for place in new})

    def remove(self, ids: Collection[UUID]) -> None:
        """Remove messages. Unknown ids are ignored."""
        self._settle(self._free_slots(list(self._slots_of(ids).values())))

    def id_of(self, slot: int) -> UUID:
        """Return the id of the message in a slot."""
        return UUID(int=(int(self.columns.high[slot]) << 64) | int(self.columns.low[slot]))

    def slots_of(self, ids: Collection[UUID]) -> Slots:
        """Return the slots of those ids that are in the index, in ascending order."""
        return np.array(sorted(self._slots_of(ids).values()), dtype=np.intp)

    def _slots_of(self, ids: Collection[UUID]) -> dict[UUID, int]:
        if not ids or not self.slots:
            return {}
        all_ids, low = set(ids), self.columns.low[: self.slots]
        wanted = np.array(sorted({each.int & _LOW for each in all_ids}), dtype=np.uint64)
        places = np.minimum(np.searchsorted(wanted, low), len(wanted) - 1)
        near = np.flatnonzero((wanted[places] == low) & self.live)
        # The lower half of two ids may collide, by chance or on purpose.
        return {found: slot for slot in near.tolist() if (found := self.id_of(slot)) in all_ids}

    def _append(self, rows: Sequence[MessageRow]) -> range:
        """Append messages: set the values that embedding and scoring do not change. Return their slots."""
        slots = range(self.slots, self.slots + len(rows))
        self.columns.reserve(slots.stop)
        columns, at = self.columns, slice(slots.start, slots.stop)
        columns.high[at] = np.array([row.id.int >> 64 for row in rows], dtype=np.uint64)
        columns.low[at] = np.array([row.id.int & _LOW for row in rows], dtype=np.uint64)
        columns.created[at] = [micros(row.created_at) for row in rows]
        columns.offsets[at] = [row.utc_offset for row in rows]
        columns.lengths[at] = [row.term_count for row in rows]
        columns.conversations[at] = [self._conversation(row.conversation_id) for row in rows]
        columns.who[at] = [self._number(self.speakers, Speaker(row.role, row.name)) for row in rows]
        columns.owners[at] = [self._number(self.owners, Owner(row.user_id, row.agent_id)) for row in rows]
        columns.expires[at] = NEVER
        columns.telling[at] = [says_when(row.content) for row in rows]
        columns.facts[at] = [row.fact is not None for row in rows]
        columns.holds_from[at], columns.holds_until[at] = spans(rows)
        # Facts keep -1: they have no neighbors.
        columns.previous[at], columns.following[at] = -1, -1
        columns.norms[at], columns.vectors[at], columns.live[at] = np.nan, 0.0, True
        self.postings.add(slots, [term_counts(row.terms) for row in rows])
        self.texts += [_NOTHING] * len(rows)
        self.term_count += sum(row.term_count for row in rows)
        return slots

    def _conversation(self, name: str) -> int:
        number = self.conversations.setdefault(name, len(self.conversation_names))
        if number == len(self.conversation_names):
            self.conversation_names.append(name)
            self._name_bytes += _name_size(name)
        return number

    def _number(self, numbers: dict[Names, int], names: Names) -> int:
        number = numbers.get(names)
        if number is None:
            number = numbers[names] = len(numbers)
            self._name_bytes += _names_size(names)
        return number

    def _update(self, slots: Sequence[int], rows: Sequence[MessageRow]) -> None:
        """Set the values that may change when messages are embedded or scored."""
        self._forget_vectors(slots)
        self._set_expiry(slots, [NEVER if row.expires_at is None else micros(row.expires_at) for row in rows])
        self.metadata.put(slots, [row.metadata for row in rows])
        self.columns.importances[slots] = [np.nan if row.importance is None else row.importance for row in rows]
        for slot, row in zip(slots, rows, strict=True):
            self._text_bytes -= _size(self.texts[slot])
            self.texts[slot] = _text(row)
            self._text_bytes += _size(self.texts[slot])
        embedded = [(slot, row.embedding) for slot, row in zip(slots, rows, strict=True) if row.embedding is not None]
        if embedded:
            at = [slot for slot, _ in embedded]
            halves = b"".join(embedding[_HEADER_BYTES:] for _, embedding in embedded)
            vectors = np.frombuffer(halves, dtype=_HALF).reshape(len(at), -1).astype(np.float32)
            self.columns.vectors[at] = vectors
            self.columns.norms[at] = np.einsum("ij,ij->i", vectors, vectors)
            self.vector_sum += vectors.sum(axis=0, dtype=np.float64)
            self.embedded += len(at)

    def _free_slots(self, slots: Sequence[int]) -> set[int]:
        """Free slots. Return the conversation numbers of their messages."""
        self._forget_vectors(slots)
        self._set_expiry(slots, [NEVER] * len(slots))
        self.columns.live[slots] = False
        self.term_count -= int(self.columns.lengths[slots].sum())
        for slot in slots:
            self._text_bytes -= _size(self.texts[slot])
            self.texts[slot] = _NOTHING
        self._gone += len(slots)
        return set(self.columns.conversations[slots].tolist())

    def _set_expiry(self, slots: Sequence[int], expires: Sequence[int]) -> None:
        column = self.columns.expires
        self.expiring -= int(np.count_nonzero(column[slots] != NEVER))
        column[slots] = expires
        self.expiring += int(np.count_nonzero(column[slots] != NEVER))

    def _forget_vectors(self, slots: Sequence[int]) -> None:
        self._products = None
        at = np.array(slots, dtype=np.intp)
        with_one = at[~np.isnan(self.columns.norms[at])]
        self.vector_sum -= self.columns.vectors[with_one].sum(axis=0, dtype=np.float64)
        self.embedded -= len(with_one)
        self.columns.vectors[with_one], self.columns.norms[with_one] = 0.0, np.nan

    def _settle(self, conversations: Collection[int]) -> None:
        """Link the turns of changed conversations, and compact the index if many slots are free."""
        link(self.columns, self.slots, conversations)
        if self._gone > max(_GONE_LEAST, _GONE_SHARE * self.slots):
            self._compact()

    def _compact(self) -> None:
        kept = np.flatnonzero(self.live)
        numbers = np.full(self.slots, -1, dtype=np.int32)
        numbers[kept] = np.arange(len(kept), dtype=np.int32)
        self.postings.renumber(numbers)
        self.columns.keep(kept)
        self.texts = [self.texts[slot] for slot in kept.tolist()]
        self._gone = 0
        self.metadata.clear()
        self._renumber_names()
        self._products = None
        # Recompute the sum: repeated additions and subtractions accumulate rounding errors.
        self.vector_sum = self.columns.vectors.sum(axis=0, dtype=np.float64)
        link(self.columns, self.slots, range(len(self.conversations)))

    def _renumber_names(self) -> None:
        """Drop conversations, speakers and owners without messages, and renumber the others."""
        columns = self.columns
        used, numbers = np.unique(columns.conversations, return_inverse=True)
        columns.conversations = numbers
        self.conversation_names = [self.conversation_names[number] for number in used.tolist()]
        self.conversations = {name: number for number, name in enumerate(self.conversation_names)}
        self.speakers, columns.who = _renumbered(self.speakers, columns.who)
        self.owners, columns.owners = _renumbered(self.owners, columns.owners)
        names = sum(map(_names_size, self.speakers)) + sum(map(_names_size, self.owners))
        self._name_bytes = sum(map(_name_size, self.conversation_names)) + names


def _text(row: MessageRow) -> Text:
    content = row.content if len(row.content) <= KEPT_CHARACTERS else None
    # Most messages have no metadata, and share this one string.
    return Text(content, _EMPTY if row.metadata == _EMPTY else row.metadata, row.external_id, row.fact)


def _fingerprint(row: MessageRow) -> int:
    kept = row._replace(metadata="", importance=None, embedding=None, external_id=None, expires_at=None)
    return hash(kept)


def _size(text: Text) -> int:
    """Return the size of a text in bytes."""
    return (
        0
        if text is _NOTHING
        else sys.getsizeof(text) + sum(sys.getsizeof(each) for each in text if each and each is not _EMPTY)
    )


def _name_size(name: str | None) -> int:
    return _NAME_BYTES + (0 if name is None else sys.getsizeof(name))


def _names_size(names: Speaker | Owner) -> int:
    return sum(map(_name_size, names))


def _renumbered(
    numbers: Mapping[Names, int], column: npt.NDArray[np.int32]
) -> tuple[dict[Names, int], npt.NDArray[np.int32]]:
    """Return the names used by a column with new numbers, and the renumbered column."""
    names = list(numbers)
    used, column_anew = np.unique(column, return_inverse=True)
    return {names[number]: place for place, number in enumerate(used.tolist())}, column_anew.astype(np.int32)
