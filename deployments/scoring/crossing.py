"""Splits messages into calls to the Scoring deployment."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from deployments.runtime.call_bytes import CHARACTER_BYTES, cut
from deployments.scoring.importance import READ_CHARACTERS
from deployments.scoring.scorable import Scorable

# A role, a name of 255 characters, and the overhead of pickle.
BYTES_BESIDES_CONTENT = 1_200


def calls(messages: Sequence[Scorable]) -> Iterator[list[Scorable]]:
    """Yield batches of messages in order, each small enough for one call. Contents are cut to what scoring reads."""
    return cut([_beginning(message) for message in messages], _size)


def _beginning(message: Scorable) -> Scorable:
    if len(message.content) <= READ_CHARACTERS:
        return message
    return replace(message, content=message.content[:READ_CHARACTERS])


def _size(message: Scorable) -> int:
    return len(message.content) * CHARACTER_BYTES + BYTES_BESIDES_CONTENT
