"""Batches keep within their limit of bytes, and hold every item once, in order."""

import pickle
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import InvalidRequestError, MemoryLayerError
from deployments.runtime.call_bytes import ANSWERS_BYTES, LIMIT_BYTES, cut, fit_together, parts
from deployments.schemas.vectors import EmbeddingSpace, QueryVector
from deployments.search.server import query_bytes

MOST = 100
ERROR = InvalidRequestError("bad")

sizes = st.lists(st.integers(0, 2 * MOST), max_size=40)
answers = st.lists(st.binary(max_size=2 * MOST) | st.just(ERROR), max_size=40)


@given(sizes)
def test_batches_hold_all_in_order_and_no_more_than_may_cross(items: list[int]) -> None:
    batches = list(cut(items, lambda size: size, MOST))

    assert [item for batch in batches for item in batch] == items
    assert all(batch and (sum(batch) <= MOST or len(batch) == 1) for batch in batches)
    # No batch could have taken the first of the next one too.
    assert all(sum(batch) + following[0] > MOST for batch, following in pairwise(batches))


def size(answer: bytes | int | MemoryLayerError) -> int:
    return len(answer) if isinstance(answer, bytes) else 0


@given(answers)
def test_the_smallest_answers_cross_together_up_to_the_limit(made: list[bytes | MemoryLayerError]) -> None:
    crossing = fit_together(made, MOST)

    assert all(after in (before, size(before)) for before, after in zip(made, crossing, strict=True))
    assert sum(map(size, crossing)) <= MOST
    left = [each for each in crossing if isinstance(each, int)]
    assert all(each >= size(other) for each in left for other in crossing)
    assert not left or sum(map(size, crossing)) + min(left) > MOST


@given(st.binary(max_size=1_000), st.integers(1, 300))
def test_the_parts_of_an_answer_are_the_answer(answer: bytes, most: int) -> None:
    pieces = [part for part in parts(answer, most) if isinstance(part, bytes)]

    assert b"".join(pieces) == answer
    assert all(0 < len(piece) <= most for piece in pieces)


def test_an_error_is_its_only_part() -> None:
    assert list(parts(ERROR)) == [ERROR]


def test_what_crosses_together_is_within_rays_limit() -> None:
    assert ANSWERS_BYTES < LIMIT_BYTES


@given(st.text("a日😀", max_size=300), st.integers(1, 4_000))
def test_a_query_and_its_vector_take_no_more_bytes_than_estimated(text: str, dimensions: int) -> None:
    space = EmbeddingSpace("model" * 50, dimensions)
    query = text, "r" * 128, space, None
    vector = QueryVector(space, np.ones(dimensions, np.float32))

    assert len(pickle.dumps(query)) <= query_bytes(query)
    assert len(pickle.dumps(vector)) <= query_bytes(query)
