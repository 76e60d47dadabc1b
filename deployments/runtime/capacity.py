"""How much each replica takes on: the `args` of `serve_config.yaml`, which has every default too.

How many replicas there are, and how many calls each takes at once, stands beside them under `deployments`.
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
    """Connections to Postgres of one replica: how many stay open, and how many there are at most."""

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
        """Return the size as the database takes it."""
        return PoolSize(self.min_size, self.max_size)


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
