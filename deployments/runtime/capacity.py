"""Capacity of each replica: the `args` of `serve_config.yaml`, which also lists every default.

The number of replicas, and of concurrent calls to each, are set there too, under `deployments`.
"""

from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, model_validator

from deployments.storage.postgres.database import PoolSize

logger = structlog.get_logger(__name__)

OLD_POOL_NAMES = {"kept": "min_size", "most": "max_size"}
Count = Annotated[int, Field(ge=1)]


class _Capacity(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pool(_Capacity):
    """Connection pool of one replica: the minimum and maximum number of connections to Postgres."""

    min_size: Annotated[int, Field(ge=0)]
    max_size: Count

    @model_validator(mode="before")
    @classmethod
    def _takes_names_of_0_1(cls, given: object) -> object:
        """Take `kept` and `most`, the names of release 0.1, with a warning. The release after this one refuses them."""
        if not isinstance(given, dict):
            return given
        old = {name: new for name, new in OLD_POOL_NAMES.items() if name in given and new not in given}
        if old:
            logger.warning("pool_names_deprecated", use=old)
        return {old.get(name, name): value for name, value in given.items()}

    @property
    def size(self) -> PoolSize:
        """Return the size in the type that `Database` takes."""
        return PoolSize(self.min_size, self.max_size)


class Batches(_Capacity):
    """Batching: at most `size` items in a batch, `slots` concurrent batches, `waiting` queued items."""

    size: Count
    slots: Count
    waiting: Count


class IngressCapacity(_Capacity):
    """Capacity of one ingress replica. `search`: batches of searches and of contexts, to each Search replica."""

    pool: Pool
    store: Batches
    search: Batches
    search_timeout_seconds: Annotated[float, Field(gt=0)]
    rate_limits: Batches
    rate_limits_timeout_seconds: Annotated[float, Field(gt=0)]


class SearchCapacity(_Capacity):
    """Capacity of one search replica."""

    pool: Pool
    embed: Batches


class EmbeddingCapacity(_Capacity):
    """Capacity of one embedding replica: its job queue, and its requests to the provider."""

    pool: Pool
    batch: Count
    concurrent_batches: Count
    provider_requests: Count
    scoring_timeout_seconds: Annotated[float, Field(gt=0)]


class Capacity(_Capacity):
    """Capacity of all deployments. Scoring, RateLimits and Metrics have no pools or queues to set."""

    ingress: IngressCapacity
    search: SearchCapacity
    embedding: EmbeddingCapacity


# As the builder binds them. Those of the second line have one replica: two would each count only a part.
DEPLOYMENTS = ("Ingress", "Search", "Embedding", "Scoring", "RateLimits", "Metrics")
COUNTED_ONCE = frozenset({"RateLimits", "Metrics"})
