"""A queue in which owners take turns."""

from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Turns(Generic[Item]):
    """Round robin over the owners that have items, each with its oldest item first.

    An owner's first item waits for one item of each other owner at most.
    """

    def __init__(self) -> None:
        self._items: dict[str, deque[Item]] = {}
        # Each owner with items, once; the first has the turn.
        self._owners: deque[str] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, owner: str, item: Item) -> None:
        """Put an item behind the others of its owner. An owner that had none comes last."""
        items = self._items.get(owner)
        if items is None:
            items = self._items[owner] = deque()
            self._owners.append(owner)
        items.append(item)
        self._count += 1

    def first(self) -> Item:
        """Return the next item. Raises `IndexError` where there is none."""
        return self._items[self._owners[0]][0]

    def take(self) -> Item:
        """Remove and return the next item, and give the turn to the next owner. Raises `IndexError`."""
        owner = self._owners[0]
        item = self._items[owner].popleft()
        self._count -= 1
        if not self._forget_if_empty(owner):
            self._owners.rotate(-1)
        return item

    def drop(self) -> None:
        """Remove the next item, which costs its owner no turn. Raises `IndexError`."""
        owner = self._owners[0]
        self._items[owner].popleft()
        self._count -= 1
        self._forget_if_empty(owner)

    def give_way(self, owner: str) -> Item | None:
        """Remove and return the newest item of who has most, if an item of `owner` would still make fewer."""
        most = max(self._owners, key=lambda each: len(self._items[each]), default=owner)
        if len(self._items.get(most, ())) <= len(self._items.get(owner, ())) + 1:
            return None
        self._count -= 1
        return self._items[most].pop()

    def ahead(self, owner: str) -> int:
        """Return how many items at most are taken before one that this owner adds now."""
        own = len(self._items.get(owner, ()))
        owners = len(self._owners) + (not own)
        return min(self._count, owners * (own + 1) - 1)

    def _forget_if_empty(self, owner: str) -> bool:
        if self._items[owner]:
            return False
        del self._items[owner]
        # The turn is this owner's.
        self._owners.popleft()
        return True
