"""HTTP preconditions (If-Match, If-Unmodified-Since) on a message or fact, checked while its row is locked."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from deployments.epoch import micros
from deployments.errors import PreconditionFailedError


def entity_tag(version: int, updated_at: datetime) -> str:
    """Return the entity tag of one version of a message or a fact, without quotes.

    The time distinguishes it from the same version of a deleted message with the same id or name.
    """
    return f"{version}-{micros(updated_at):x}"


class Precondition(NamedTuple):
    """A precondition of a change of a stored message or fact.

    `tags`: one of these must be its entity tag or its version; None: any version.
    `unmodified_since`: in whole seconds, like HTTP dates.
    """

    tags: frozenset[str] | None = None
    unmodified_since: datetime | None = None

    def check(self, stored: Mapping[str, Any]) -> None:
        """Raise `PreconditionFailedError` unless a row with `version` and `updated_at` meets the precondition."""
        version, updated_at = stored["version"], stored["updated_at"]
        matches = self.tags is None or not self.tags.isdisjoint({f"{version}", entity_tag(version, updated_at)})
        unmodified = self.unmodified_since is None or updated_at.replace(microsecond=0) <= self.unmodified_since
        if not (matches and unmodified):
            raise PreconditionFailedError(f"It was changed since: it is at version {version}.", {"version": version})
