"""A history of writes, and what a search may see of it: a checker in the manner of Elle, for writers of their own keys.

Each message has one writer, so its versions are in an order that is known. A search that begins after version `n` was
acknowledged sees `n` or later, and one that ends before the commit of version `m` was sent sees none from `m` on.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from tests.integration.indexed import Said


class Version(NamedTuple):
    """A state of a message: what it says, None once deleted, and whether it is archived."""

    said: Said | None
    archived: bool = False

    def seen(self, *, archived: bool) -> Said | None:
        """Return what an index with or without archived messages tells of it."""
        return self.said if archived or not self.archived else None


@dataclass
class _Message:
    # The first version: not there yet.
    versions: list[Version] = field(default_factory=lambda: [Version(None)])
    acknowledged: int = 0


class Floors(NamedTuple):
    """The newest acknowledged version of each message when a search begins."""

    tenant_id: str
    archived: bool
    versions: dict[UUID, int]


class History:
    """What was committed, in the order of each message's versions. Nothing of it is known by a clock."""

    def __init__(self) -> None:
        self._messages: defaultdict[str, dict[UUID, _Message]] = defaultdict(dict)
        self.reads = 0

    def sent(self, tenant_id: str, versions: dict[UUID, Version]) -> None:
        """Note that a commit is about to be sent: from now on it may be seen."""
        for each, version in versions.items():
            self._messages[tenant_id].setdefault(each, _Message()).versions.append(version)

    def acknowledged(self, tenant_id: str, ids: list[UUID]) -> None:
        """Note that a commit came back: from now on it has to be seen."""
        for each in ids:
            message = self._messages[tenant_id][each]
            message.acknowledged = len(message.versions) - 1

    def begin(self, tenant_id: str, *, archived: bool) -> Floors:
        """Note that a search begins."""
        messages = self._messages[tenant_id]
        return Floors(tenant_id, archived, {each: message.acknowledged for each, message in messages.items()})

    def check(self, floors: Floors, seen: dict[UUID, Said]) -> None:
        """Raise AssertionError where a search that ends now may not have seen this."""
        messages = self._messages[floors.tenant_id]
        assert seen.keys() <= messages.keys(), f"never committed: {seen.keys() - messages.keys()}"
        for each, message in messages.items():
            possible = message.versions[floors.versions.get(each, 0) :]
            values = [version.seen(archived=floors.archived) for version in possible]
            assert seen.get(each) in values, f"saw {seen.get(each)}, of {values}"
        self.reads += 1
