"""The pools of all replicas are held against what Postgres allows."""

import warnings

import pytest
from pydantic import PydanticDeprecatedSince20, ValidationError
from structlog.testing import capture_logs

from deployments.errors import ConfigurationError
from deployments.runtime.capacity import Pool
from deployments.runtime.connection_budget import Demand, check_demands, configured_replicas, demands, most_replicas
from deployments.settings import Settings
from deployments.storage.postgres.database import PoolSize
from tests.integration.service import capacity

with warnings.catch_warnings():
    # What Ray's own modules do when they are imported is not ours to mend.
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    from ray.serve.config import AutoscalingConfig

SERVES_AUTO = AutoscalingConfig.default().max_replicas  # type: ignore[no-untyped-call]


def deployment(**config: object) -> dict[str, object]:
    """What Serve says of one."""
    return {"deployment_config": config}


def test_the_greatest_number_of_replicas_counts() -> None:
    details = {
        "applications": {
            "memory": {
                "deployments": {
                    "Ingress": deployment(num_replicas=2, autoscaling_config=None),
                    "Search": deployment(num_replicas=1, autoscaling_config={"max_replicas": 7}),
                }
            }
        }
    }

    assert most_replicas(details, "memory") == {"Ingress": 2, "Search": 7}


@pytest.mark.parametrize(
    ("config", "max_size"),
    [
        ({}, 1),
        ({"num_replicas": None}, 1),
        ({"num_replicas": 3, "autoscaling_config": None}, 3),
        ({"num_replicas": "auto"}, SERVES_AUTO),
        ({"num_replicas": "auto", "autoscaling_config": {"min_replicas": 2}}, SERVES_AUTO),
        ({"num_replicas": "auto", "autoscaling_config": {"max_replicas": 4}}, 4),
        ({"autoscaling_config": {"min_replicas": 1}}, AutoscalingConfig().max_replicas),
    ],
)
def test_a_number_that_the_serve_config_leaves_to_serve_is_serves(config: dict[str, object], max_size: int) -> None:
    assert configured_replicas({"deployments": [{"name": "Search", **config}]}) == {"Search": max_size}


@pytest.mark.parametrize(
    "config",
    [
        {"num_replicas": "many"},
        {"num_replicas": float("inf")},
        {"autoscaling_config": {"max_replicas": "all"}},
        {"autoscaling_config": "none"},
    ],
)
def test_a_number_of_replicas_that_is_none_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="no number"):
        configured_replicas({"deployments": [{"name": "Search", **config}]})


def test_a_config_that_leaves_its_deployments_empty_asks_for_none() -> None:
    assert configured_replicas({"deployments": None}) == {}


def test_each_deployment_asks_for_its_replicas_times_its_pool() -> None:
    wanted = demands(capacity(), Settings.load(), {"Ingress": 2, "Search": 3, "Embedding": 1})

    pools = capacity()
    assert {(d.deployment, d.total) for d in wanted} == {
        ("Ingress", 2 * (pools.ingress.pool.max_size + 1)),
        ("Search", 3 * pools.search.pool.max_size),
        ("Embedding", pools.embedding.pool.max_size + 1),
        ("Retention", 2),
        ("Metrics", 1),
    }


def test_searches_of_a_read_replica_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_READ_URL", "postgresql://elsewhere/db")

    assert {d.deployment for d in demands(capacity(), Settings.load(), {})} == {
        "Ingress",
        "Embedding",
        "Retention",
        "Metrics",
    }


def test_the_environment_overrides_the_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_DATABASE_POOL_SIZE", "20")
    monkeypatch.setenv("MEMORY_DATABASE_MAX_OVERFLOW", "10")

    totals = {d.deployment: d.connections for d in demands(capacity(), Settings.load(), {})}

    assert totals == {"Ingress": 31, "Search": 30, "Embedding": 31, "Retention": 2, "Metrics": 1}


def test_a_pool_takes_the_names_of_the_release_before_with_a_warning() -> None:
    with capture_logs() as lines:
        pool = Pool.model_validate({"kept": 2, "most": 6})

    assert (pool.size, [line["event"] for line in lines]) == (PoolSize(2, 6), ["pool_names_deprecated"])


def test_a_pool_that_is_given_a_size_by_both_names_is_refused() -> None:
    with pytest.raises(ValidationError, match="kept"):
        Pool.model_validate({"kept": 2, "min_size": 1, "max_size": 6})


def test_more_than_postgres_allows_is_refused_in_one_line_that_adds_up() -> None:
    wanted = [Demand("Ingress", 2, 30), Demand("Search", 2, 20)]

    check_demands(wanted, 100)
    with pytest.raises(ConfigurationError) as refused:
        check_demands(wanted, 99)
    assert "add up to 100 (Ingress 2 x 30, Search 2 x 20), but Postgres allows 99" in refused.value.message
    assert "\n" not in refused.value.message
