"""What a message is scored by."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scorable:
    """The parts of a message that say how much it is worth keeping."""

    role: str
    content: str
    name: str | None
