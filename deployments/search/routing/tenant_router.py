"""The Serve request router of the Search deployment. What it knows of Ray's routing stays in this file."""

import random
from collections.abc import Collection

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from deployments.search.routing.affinity import RunningReplicas, ranked


class TenantRouter(RequestRouter):
    """Sends a call to the replica that its `session_id` names, else to the next ones in rank.

    The next ones take it when the named replica is full (`max_ongoing_requests`) or gone. A call without a
    `session_id` goes to the least busy replica.

    Serve pickles this class and its module by value: no state of the module reaches the process that routes.
    """

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Take over the replicas that run, as the controller knows them."""
        super().update_replicas(replicas)
        self._tell()

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        """Forget a replica that a call has found dead, before the controller does."""
        super().on_replica_actor_died(replica_id)
        self._tell()

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Return the candidates in ranks: Serve tries one rank after the other, and begins anew after a pause."""
        name = ""
        if pending_request is not None:
            pending_request.routing_context.should_backoff = True
            name = pending_request.metadata.session_id
        if not name:
            # Spreads calls that name no replica, guards nothing.
            return [random.sample(candidate_replicas, len(candidate_replicas))]  # nosec B311
        replicas = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        return [[replicas[each]] for each in in_turn(name, replicas)]

    def _tell(self) -> None:
        RunningReplicas.note([replica_id.unique_id for replica_id in self.curr_replicas])


def in_turn(name: str, replicas: Collection[str]) -> list[str]:
    """Return the named replica, if it is there, and then the others in an order of its own."""
    return sorted(ranked(name, replicas), key=lambda replica: replica != name)
