"""The order in which the router of the Search deployment tries its replicas."""

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import PydanticDeprecatedSince20

from deployments.search.routing.affinity import RunningReplicas, ranked

with warnings.catch_warnings():
    # What Ray's own modules do when they are imported is not ours to mend.
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    from ray.serve._private.common import DeploymentHandleSource, DeploymentID
    from ray.serve.request_router import ReplicaID

    from deployments.search.routing.tenant_router import TenantRouter, in_turn

SEARCH = DeploymentID(name="Search", app_name="memory")


def replica(name: str) -> Any:
    """As much of a `RunningReplica` as a router looks at."""

    async def get_queue_len(*, deadline_s: float) -> int:
        return 0

    return SimpleNamespace(
        replica_id=ReplicaID(unique_id=name, deployment_id=SEARCH), max_ongoing_requests=64, get_queue_len=get_queue_len
    )


def request(session_id: str) -> Any:
    return SimpleNamespace(
        metadata=SimpleNamespace(session_id=session_id), routing_context=SimpleNamespace(should_backoff=False)
    )


def router(kind: type[TenantRouter] = TenantRouter) -> TenantRouter:
    made = kind(deployment_id=SEARCH, handle_source=DeploymentHandleSource.REPLICA)
    made.update_replicas([replica(name) for name in "abcd"])
    return made


async def order(routed: TenantRouter, session_id: str) -> list[list[str]]:
    ranks = await routed.choose_replicas(list(routed.curr_replicas.values()), request(session_id))
    return [[each.replica_id.unique_id for each in rank] for rank in ranks]


@pytest.fixture(autouse=True)
def _known_to_nobody_else() -> Any:
    yield
    RunningReplicas.note([])


async def test_the_named_replica_comes_first_and_then_all_others() -> None:
    assert (await order(router(), "c"))[0] == ["c"]
    assert sorted(await order(router(), "c")) == [["a"], ["b"], ["c"], ["d"]]


async def test_what_was_for_a_dead_replica_goes_to_one_of_the_others() -> None:
    routed = router()
    routed.on_replica_actor_died(ReplicaID(unique_id="c", deployment_id=SEARCH))

    assert RunningReplicas.names() == ("a", "b", "d")
    assert await order(routed, "c") == [[name] for name in ranked("c", "abd")]
    assert in_turn("c", "abd") == ranked("c", "abd")


async def test_a_call_for_any_replica_has_all_of_them_in_one_rank() -> None:
    ((*rank,),) = await order(router(), "")

    assert sorted(rank) == ["a", "b", "c", "d"]
