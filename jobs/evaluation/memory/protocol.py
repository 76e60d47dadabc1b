"""What can be asked."""

from typing import Protocol


class Memory(Protocol):
    """Stored messages, searched under one configuration."""

    async def ask(self, tenant: int, question: str, top_k: int) -> list[str]:
        """The ids of the hits, best first, as the dataset names its messages. `tenant`: its place among those stored.

        Raises `EvaluationFailedError`.
        """
        ...
