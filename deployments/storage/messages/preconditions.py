"""Conditions on a stored message or fact, judged under the lock of its row: HTTP's If-Match and If-Unmodified-Since."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from deployments.epoch import micros
from deployments.errors import PreconditionFailedError


def entity_tag(version: int, updated_at: datetime) -> str:
    """Return a tag of one version of a message or a fact, without quotes.

    The time tells it from the same version of an earlier one, deleted since, of the same id or name.
    """
    return f"{version}-{micros(updated_at):x}"


class Precondition(NamedTuple):
    """What must hold of a stored message or fact before it is changed.

    `tags`: one of these must be its entity tag, or its version alone; None: any version will do.
    `unmodified_since`: of whole seconds, as HTTP's dates are.
    """

    tags: frozenset[str] | None = None
    unmodified_since: datetime | None = None

    def check(self, stored: Mapping[str, Any]) -> None:
        """Raise `PreconditionFailedError` unless it holds of a row with `version` and `updated_at`."""
        version, updated_at = stored["version"], stored["updated_at"]
        matches = self.tags is None or not self.tags.isdisjoint({f"{version}", entity_tag(version, updated_at)})
        unmodified = self.unmodified_since is None or updated_at.replace(microsecond=0) <= self.unmodified_since
        if not (matches and unmodified):
            raise PreconditionFailedError(f"It was changed since: it is at version {version}.", {"version": version})
