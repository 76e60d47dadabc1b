"""`serve_config.yaml` against Serve's schema and the builder: Serve ignores what it does not know."""

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import PydanticDeprecatedSince20

from deployments.errors import ConfigurationError
from deployments.runtime.capacity import COUNTED_ONCE, DEPLOYMENTS, Capacity
from deployments.runtime.replica import Replica
from jobs.doctor.serve_config import unknown_keys
from tests.paths import SERVE_CONFIG

with warnings.catch_warnings():
    # What Ray's own modules do when they are imported is not ours to mend.
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    from ray.serve import Application
    from ray.serve.schema import ServeDeploySchema

    from deployments.search.routing.tenant_router import TenantRouter
    from serve_app.build import build_app


def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(SERVE_CONFIG.read_text())
    return loaded


def args() -> dict[str, Any]:
    given: dict[str, Any] = config()["applications"][0]["args"]
    return given


def bound(application: Application) -> dict[str, Any]:
    """All deployments that an application binds together, by name."""
    deployment: Any = application._bound_deployment
    found = {deployment.name: deployment}
    for part in [*deployment.init_args, *deployment.init_kwargs.values()]:
        found |= bound(part) if isinstance(part, Application) else {}
    return found


def test_every_key_is_known_to_serve() -> None:
    assert list(unknown_keys(config(), ServeDeploySchema)) == []


def test_a_key_that_serve_does_not_know_is_found_at_any_depth() -> None:
    wrong = {
        "proxy_locations": "EveryNode",
        "http_options": {"prot": 8000},
        "applications": [
            {"deployments": [{"num_replica": 2, "ray_actor_options": {"cpus": 1}, "autoscaling_config": {"least": 1}}]}
        ],
    }

    assert list(unknown_keys(wrong, ServeDeploySchema)) == [
        ("proxy_locations", "proxy_location"),
        ("http_options.prot", "port"),
        ("applications.deployments.num_replica", "num_replicas"),
        ("applications.deployments.ray_actor_options.cpus", "num_cpus"),
        ("applications.deployments.autoscaling_config.least", None),
    ]


def test_serve_accepts_the_config() -> None:
    schema = ServeDeploySchema.model_validate(config())

    assert [application.name for application in schema.applications] == ["memory"]


def test_the_deployments_are_those_that_the_builder_binds() -> None:
    (application,) = config()["applications"]
    names = [deployment["name"] for deployment in application["deployments"]]

    assert len(names) == len(set(names))
    assert set(names) == set(DEPLOYMENTS) == set(bound(build_app(application["args"])))


def test_search_is_routed_by_tenant_and_all_others_by_serve() -> None:
    """A router in the config would take the builder's place, and every tenant would be loaded by every replica."""
    routed = {
        name: deployment._deployment_config.request_router_config.request_router_class
        for name, deployment in bound(build_app(args())).items()
        if not deployment._deployment_config.request_router_config.is_default_request_router()
    }

    assert routed == {"Search": f"{TenantRouter.__module__}.{TenantRouter.__name__}"}
    assert not [each["name"] for each in config()["applications"][0]["deployments"] if "request_router_config" in each]


def test_replicas_that_serve_adds_and_removes_by_load_keep_what_the_builder_set() -> None:
    options = next(each for each in config()["applications"][0]["deployments"] if each["name"] == "Search")
    autoscaled = {key: value for key, value in options.items() if key != "num_replicas"}
    autoscaled["autoscaling_config"] = {"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 4}

    deployment = bound(build_app(args()))["Search"].options(**autoscaled)

    assert list(unknown_keys({"applications": [{"deployments": [autoscaled]}]}, ServeDeploySchema)) == []
    assert deployment._deployment_config.request_router_config.request_router_class.endswith(".TenantRouter")


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_deployment_goes_by_the_one_rule_for_being_replaced(name: str) -> None:
    """As a coroutine: a plain function says nothing of the event loop."""
    replica = bound(build_app(args()))[name].func_or_class

    assert issubclass(replica, Replica)
    assert replica.check_health is Replica.check_health
    assert inspect.iscoroutinefunction(replica.check_health)


def test_each_deployment_states_its_own_capacity() -> None:
    stated = {
        "max_ongoing_requests",
        "max_queued_requests",
        "graceful_shutdown_timeout_s",
        "health_check_period_s",
        "health_check_timeout_s",
        "ray_actor_options",
    }
    for deployment in config()["applications"][0]["deployments"]:
        assert stated <= set(deployment), deployment["name"]
        assert "num_replicas" in deployment or "autoscaling_config" in deployment


def test_a_deployment_takes_at_least_what_one_caller_sends_at_once() -> None:
    taken = {each["name"]: each["max_ongoing_requests"] for each in config()["applications"][0]["deployments"]}
    capacity = Capacity.model_validate(args())

    assert taken["Search"] >= capacity.ingress.search.slots
    assert taken["Embedding"] >= capacity.search.embed.slots
    assert taken["RateLimits"] >= capacity.ingress.rate_limits.slots
    assert taken["Scoring"] >= capacity.embedding.concurrent_batches


@pytest.mark.parametrize("name", ["Ingress", "Search"])
def test_searches_do_not_depend_on_a_single_replica(name: str) -> None:
    (needed,) = (each for each in config()["applications"][0]["deployments"] if each["name"] == name)

    assert needed["num_replicas"] >= 2


@pytest.mark.parametrize("name", sorted(COUNTED_ONCE))
def test_what_is_counted_for_all_is_counted_once(name: str) -> None:
    (counting,) = (each for each in config()["applications"][0]["deployments"] if each["name"] == name)

    assert counting["num_replicas"] == 1


def test_the_arguments_are_the_capacitys_fields_and_no_others() -> None:
    assert Capacity.model_validate(args()).model_dump() == args()


def leaves(value: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, part in value.items():
        if isinstance(part, dict):
            yield from leaves(part, (*path, key))
        else:
            yield (*path, key)


def changed(path: tuple[str, ...], **to: Any) -> dict[str, Any]:
    """The arguments without one of them, or with another value for it."""
    given = args()
    inner = given
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    inner.update(to)
    return given


@pytest.mark.parametrize("path", list(leaves(args())), ids=".".join)
def test_an_argument_that_is_missing_or_senseless_is_named_in_one_line(path: tuple[str, ...]) -> None:
    for wrong in (changed(path), changed(path, **{path[-1]: -1}), changed(path, **{path[-1]: "many"})):
        with pytest.raises(ConfigurationError) as raised:
            build_app(wrong)
        assert raised.value.message.startswith(f"serve_config.yaml, args.{'.'.join(path)}: ")
        assert "\n" not in raised.value.message


def test_an_argument_that_nothing_takes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"args\.embedding\.bach"):
        build_app(changed(("embedding", "batch"), batch=1, bach=1))
