"""The interface of a memory under evaluation."""

from typing import Protocol


class Memory(Protocol):
    """Stored messages, searched under one configuration."""

    async def ask(self, tenant: int, question: str, top_k: int) -> list[str]:
        """Return the dataset's ids of the hits, best first. `tenant`: its index among the stored ones.

        Raises `EvaluationFailedError`.
        """
        ...
