"""Size limits of one call between replicas: gRPC refuses larger ones, and small items wait for large ones beside them.

Ray sets the limit for a call and for its answer: RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH, 4 MiB by default, and
16 MiB by `serve_app.launcher.cluster_environment`. The parts that are made here stay below both.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from deployments.errors import MemoryLayerError

Item = TypeVar("Item")

MIB = 1024 * 1024
LIMIT_BYTES = int(os.environ.get("RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH") or 4 * MIB)
# Limit of the arguments of one call, by the estimated sizes of its items.
REQUEST_BYTES = 2 * MIB
# Limit of the answers in one message: 8 MiB take 50 ms, for which the small answers among them wait.
ANSWERS_BYTES = min(8 * MIB, LIMIT_BYTES * 3 // 4)
PART_BYTES = MIB
# The most that one character takes in UTF-8.
CHARACTER_BYTES = 4


def cut(items: Sequence[Item], size_of: Callable[[Item], int], most: int = REQUEST_BYTES) -> Iterator[list[Item]]:
    """Yield the items in order, in lists of at most `most` bytes each; an item that is larger comes alone."""
    batch: list[Item] = []
    room = most
    for item in items:
        size = size_of(item)
        if batch and size > room:
            yield batch
            batch, room = [], most
        batch.append(item)
        room -= size
    if batch:
        yield batch


def fit_together(
    answers: Sequence[bytes | MemoryLayerError], most: int = ANSWERS_BYTES
) -> list[bytes | int | MemoryLayerError]:
    """Return the answers in order. The smallest fit into `most` bytes; each other one is replaced by its size."""
    sizes = [len(each) if isinstance(each, bytes) else 0 for each in answers]
    fitting: list[bytes | int | MemoryLayerError] = list(answers)
    excess = sum(sizes) - most
    if excess <= 0:
        return fitting
    for place in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        fitting[place] = sizes[place]
        excess -= sizes[place]
    return fitting


def parts(answer: bytes | MemoryLayerError, most: int = PART_BYTES) -> Iterator[bytes | MemoryLayerError]:
    """Yield an answer in parts of at most `most` bytes, or its error alone."""
    if isinstance(answer, MemoryLayerError):
        yield answer
        return
    for start in range(0, len(answer), most):
        yield answer[start : start + most]
