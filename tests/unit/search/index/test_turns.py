"""The turns of some conversations are linked anew, whatever there is besides."""

from datetime import timedelta

import pytest

from deployments.search.index import turns
from tests.unit.search.index.rows import index_of, row, seen, told, turns_of
from tests.unit.search.ranked import NOW


@pytest.mark.parametrize("ordered_whole", [0, 10_000], ids=["each conversation", "all at once"])
@pytest.mark.parametrize("conversations", [3, 50], ids=["few", "many"])
def test_what_comes_and_goes_is_linked(monkeypatch: pytest.MonkeyPatch, ordered_whole: int, conversations: int) -> None:
    monkeypatch.setattr(turns, "_ORDERED_WHOLE", ordered_whole)
    rows = [
        row(n, conversation_id=f"c{n % conversations}", created_at=NOW + timedelta(minutes=n * 7 % 40))
        for n in range(1, 151)
    ]
    index = index_of(rows[:100])
    index.remove([each.id for each in rows[10:20]])
    index.put(rows[100:])
    index.put([rows[15]])
    # It moves to another conversation: both are linked.
    moved = rows[50]._replace(conversation_id="c1", created_at=NOW + timedelta(minutes=3))
    index.put([moved])

    there = [each for each in rows if each not in rows[10:20] and each is not rows[50]] + [rows[15], moved]
    assert told(seen(index))["turns"] == turns_of(there)
