"""Metadata is merged as RFC 7396 says, and what merging makes of it stays within the bounds."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import InvalidRequestError
from deployments.schemas.messages import MessageChange
from deployments.schemas.metadata import MAX_METADATA_BYTES, merge_patch
from deployments.storage.messages.changed_fields import changed_fields, patched

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# RFC 7396, appendix A.
CASES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@pytest.mark.parametrize(("target", "patch", "result"), CASES)
def test_the_examples_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    before = deepcopy((target, patch))

    assert merge_patch(target, patch) == result
    assert (target, patch) == before


@given(OBJECTS, OBJECTS)
def test_patching_twice_changes_nothing_and_what_is_not_named_stays(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)

    assert merge_patch(once, patch) == once
    assert {key: once[key] for key in target.keys() - patch.keys()} == {
        key: target[key] for key in target.keys() - patch.keys()
    }
    assert {key for key, value in patch.items() if value is None}.isdisjoint(once)


def test_merged_metadata_that_is_too_large_is_refused() -> None:
    half = "x" * (MAX_METADATA_BYTES // 2)

    with pytest.raises(InvalidRequestError, match="merged metadata must not be larger than 16384 bytes"):
        patched({"chat": None, "metadata": {"a": half}}, MessageChange(metadata={"b": half}), NOW)


def test_what_takes_keys_away_is_taken_however_large_the_rest_is_in_the_patch() -> None:
    after = patched(
        {"chat": None, "metadata": {"a": "x" * 9_000}}, MessageChange(metadata={"a": None, "b": "x" * 9_000}), NOW
    )

    assert after["metadata"].keys() == {"b"}


@pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), (1, "1"), (None, False), ({"a": 1}, {"a": True})])
def test_what_python_takes_for_equal_is_a_change(before: Any, after: Any) -> None:
    assert changed_fields({"metadata": before}, {"metadata": after}) == {"metadata"}


def test_the_order_of_keys_is_no_change() -> None:
    assert changed_fields({"metadata": {"a": 1, "b": 2}}, {"metadata": {"b": 2, "a": 1}}) == set()
