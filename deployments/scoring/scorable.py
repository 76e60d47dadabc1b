"""The input of scoring."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scorable:
    """The fields of a message that its importance depends on."""

    role: str
    content: str
    name: str | None
