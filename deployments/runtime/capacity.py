"""How much each replica takes on: the `args` of `serve_config.yaml`, which has every default too.

How many replicas there are, and how many calls each takes at once, stands beside them under `deployments`.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from deployments.storage.postgres.database import PoolSize

Count = Annotated[int, Field(ge=1)]


class _Capacity(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pool(_Capacity):
    """Connections to Postgres of one replica: kept open, and at most."""

    kept: Annotated[int, Field(ge=0)]
    most: Count

    @property
    def size(self) -> PoolSize:
        """In the words of the storage."""
        return PoolSize(self.kept, self.most)


class Batches(_Capacity):
    """What waits goes together: at most `size` in one batch, `slots` batches at once, `waiting` behind them."""

    size: Count
    slots: Count
    waiting: Count


class IngressCapacity(_Capacity):
    """One ingress replica. `search`: for searches and for contexts, to each Search replica."""

    pool: Pool
    store: Batches
    search: Batches
    search_timeout_seconds: Annotated[float, Field(gt=0)]
    rate_limits: Batches
    rate_limits_timeout_seconds: Annotated[float, Field(gt=0)]


class SearchCapacity(_Capacity):
    """One search replica."""

    pool: Pool
    embed: Batches


class EmbeddingCapacity(_Capacity):
    """One embedding replica: the messages that it drains, and its requests to the provider."""

    pool: Pool
    batch: Count
    concurrent_batches: Count
    provider_requests: Count
    scoring_timeout_seconds: Annotated[float, Field(gt=0)]


class Capacity(_Capacity):
    """All of it. Scoring, RateLimits and Metrics keep nothing open for others, so they have no settings here."""

    ingress: IngressCapacity
    search: SearchCapacity
    embedding: EmbeddingCapacity


# As the builder binds them. Those of the second line are one replica each: two would each know a part.
DEPLOYMENTS = ("Ingress", "Search", "Embedding", "Scoring", "RateLimits", "Metrics")
COUNTED_ONCE = frozenset({"RateLimits", "Metrics"})
