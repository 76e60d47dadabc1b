"""Windows hold all of a text, fit, and end where a sentence or a word does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.embedding.providers.windows import cut


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400), st.integers(4, 200))
def test_windows_fit_and_leave_nothing_but_white_space_out(text: str, most: int) -> None:
    windows = cut(text, most)

    assert windows
    assert all(len(window.encode()) <= most for window in windows)
    assert "".join("".join(windows).split()) == "".join(text.split())
    assert len(windows) == 1 or not any(window.isspace() for window in windows)


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("short", ["short"]),
        ("It rained. We stayed in.", ["It rained. ", "We stayed ", "in."]),
        ("aaaaaaaaaaaaaaa", ["aaaaaaaaaaaa", "aaa"]),
        ("ééééééé", ["éééééé", "é"]),
        (" " * 30, [" " * 12]),
    ],
)
def test_windows_of_twelve_bytes(text: str, windows: list[str]) -> None:
    assert cut(text, 12) == windows
