"""An index that is brought up to date equals one that is built of what there is in the end."""

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given

from deployments.schemas.vectors import EmbeddingSpace
from deployments.search.index import tenant_index
from deployments.search.index.tenant_index import KEPT_CHARACTERS, TenantIndex
from deployments.storage.search.message_changes import MessageRow
from tests.unit.search.generated import GENERATED
from tests.unit.search.index.rows import (
    IDS,
    SPACE,
    WORDS,
    changes,
    counts_of,
    embedding,
    hit_of,
    index_of,
    literal,
    nearness,
    request,
    row,
    rows,
    seen,
    told,
    turns_of,
)


@pytest.fixture(autouse=True)
def compacts_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots of few messages are given back, too."""
    monkeypatch.setattr(tenant_index, "_GONE_LEAST", 2)


@GENERATED
@given(changes())
def test_an_index_equals_one_that_is_built_anew(steps: list[tuple[set[UUID], list[MessageRow]]]) -> None:
    index, now = TenantIndex(SPACE), dict[UUID, MessageRow]()
    for gone, came in steps:
        index.remove(gone)
        index.put(came)
        now = {each: kept for each, kept in now.items() if each not in gone} | {each.id: each for each in came}
        # The column that the first of these makes is kept up from then on.
        assert with_metadata(index) == {each for each, message in now.items() if message.metadata == '{"a": 1}'}
    anew = index_of(list(now.values()))

    view, built = seen(index), seen(anew)
    assert len(index) == len(now)
    assert told(view) == told(built)
    assert (index.embedded, index.expiring) == (anew.embedded, anew.expiring)
    np.testing.assert_allclose(index.vector_sum, anew.vector_sum, atol=1e-5)
    near, near_anew = nearness(view), nearness(built)
    assert near.keys() == near_anew.keys()
    np.testing.assert_allclose([near[each] for each in now], [near_anew[each] for each in now], atol=1e-5)
    # Nothing that went is counted, and nothing that is there is forgotten. Names leave with a compaction only.
    assert index._text_bytes == anew._text_bytes
    index._compact()
    assert index._name_bytes == anew._name_bytes
    index.remove(IDS)
    index._compact()
    assert (index._text_bytes, index._name_bytes, len(index), index.embedded, index.expiring) == (0, 0, 0, 0, 0)


def with_metadata(index: TenantIndex) -> set[UUID]:
    """Return the messages whose metadata say that `a` is 1."""
    found = seen(index, request(where={"a": 1}))
    return {hit.id for hit in found.hits(np.arange(len(found.slots)))}


@GENERATED
@given(rows())
def test_an_index_says_what_its_rows_say(messages: list[MessageRow]) -> None:
    says = told(seen(index_of(messages)))

    assert says["hits"] == {each.id: hit_of(each) for each in messages}
    assert says["turns"] == turns_of(messages)
    assert says["tenant"] == (max(len(messages), 1), sum(each.term_count for each in messages))
    for word in WORDS:
        holders = {each.id: counts_of(each.terms)[word] for each in messages if counts_of(each.terms)[word]}
        assert says["terms"][word] == (holders, len(holders))


def test_one_half_of_an_id_is_not_the_whole() -> None:
    index = index_of([row(each) for each in IDS])

    index.remove([IDS[0]])

    assert set(told(seen(index))["hits"]) == set(IDS[1:])
    assert sorted(index.id_of(slot) for slot in index.slots_of(IDS).tolist()) == sorted(IDS[1:])
    assert not len(index.slots_of([UUID(int=7), IDS[0]]))


def test_what_changes_but_for_its_text_keeps_its_slot() -> None:
    """Every message is put three times, stored, embedded and scored: once may cost what a new one does."""
    first = row(1, terms=literal({"amber": 1}), term_count=1)
    index = index_of([first, row(2)])
    taken = index.postings.nbytes

    index.put([first._replace(embedding=embedding(1, 0, 0, 0))])
    index.put([first._replace(embedding=embedding(0, 1, 0, 0), importance=0.3, metadata='{"a": 1}')])

    assert (index.slots, index.postings.nbytes, index.embedded) == (2, taken, 1)
    (hit,) = [hit for hit in seen(index).hits(np.arange(2)) if hit.id == first.id]
    assert (hit.importance, hit.metadata) == (0.3, '{"a": 1}')


def test_slots_of_what_went_are_given_back() -> None:
    """A tenant that changes its messages all day takes no more than one that does not."""
    index = index_of([row(number, terms=literal({"amber": number})) for number in range(1, 20)])
    for round_ in range(50):
        index.put([row(number, content=f"{round_}", terms=literal({"birch": number})) for number in range(1, 20)])

    assert len(index) == 19
    assert index.slots < 2 * 19
    assert index.columns.nbytes < 4 * index_of([row(number) for number in range(1, 20)]).columns.nbytes


@pytest.mark.parametrize("length", [KEPT_CHARACTERS, KEPT_CHARACTERS + 1])
def test_a_long_content_is_not_kept(length: int) -> None:
    index = index_of([row(1, content="x" * length)])

    (hit,) = seen(index).hits(np.arange(1))

    assert hit.has_content == (length <= KEPT_CHARACTERS)
    assert (index._text_bytes > KEPT_CHARACTERS) == hit.has_content


def test_nothing_is_an_index() -> None:
    index = index_of([])
    index.remove(IDS)

    assert told(seen(index))["hits"] == {}
    assert not seen(index).hits(np.arange(0))


def test_names_count_in_what_an_index_takes() -> None:
    short, long = (index_of([row(n, conversation_id=f"{n}{end}") for n in range(100)]) for end in ("", "x" * 200))

    assert long.nbytes - short.nbytes >= 100 * 200


def test_a_message_takes_at_most_so_much() -> None:
    """1.6 KB at 256 dimensions, contents aside: 10,000 messages of 20 words as Zipf has them, in 500 conversations."""
    random = np.random.default_rng(7)
    halves = random.normal(size=(10_000, 256)).astype(">f2")
    index = TenantIndex(EmbeddingSpace("stand-in", 256))
    contents = 0
    for start in range(0, 10_000, 1_000):
        some = []
        for number in range(start, start + 1_000):
            terms = literal({f"word{each}": 1 for each in set(random.zipf(1.3, 20).clip(max=50_000).tolist())})
            text = f"message {number} " * 8
            contents += len(text)
            header = b"\x01\x00\x00\x00"
            some.append(
                row(
                    UUID(int=number << 64 | number),
                    conversation_id=f"conversation/{number // 20}",
                    content=text,
                    terms=terms,
                    term_count=20,
                    embedding=header + halves[number].tobytes(),
                    importance=0.5,
                )
            )
        index.put(some)

    assert (index.nbytes - contents) / 10_000 <= 1_600
