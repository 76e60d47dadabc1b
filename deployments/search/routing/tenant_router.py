"""The Serve request router of the Search deployment. Only this file uses Ray's routing interface."""

import random
from collections.abc import Collection

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from deployments.search.routing.affinity import RunningReplicas, ranked


class TenantRouter(RequestRouter):
    """Routes a call to the replica that its `session_id` names, else to the next replica in rank.

    The next replica takes the call when the named one is full (`max_ongoing_requests`) or gone. A call without a
    `session_id` goes to the least busy replica.

    Serve pickles this class and its module by value, so module state does not reach the routing process.
    """

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Update the list of running replicas from the controller."""
        super().update_replicas(replicas)
        self._publish_names()

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        """Remove a replica that a call found dead, before the controller notices."""
        super().on_replica_actor_died(replica_id)
        self._publish_names()

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Return the candidates in ranks. Serve tries one rank after the other, and starts again after a backoff."""
        name = ""
        if pending_request is not None:
            pending_request.routing_context.should_backoff = True
            name = pending_request.metadata.session_id
        if not name:
            # Only spreads load: not used for security.
            return [random.sample(candidate_replicas, len(candidate_replicas))]  # nosec B311
        replicas = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        return [[replicas[each]] for each in in_turn(name, replicas)]

    def _publish_names(self) -> None:
        RunningReplicas.note([replica_id.unique_id for replica_id in self.curr_replicas])


def in_turn(name: str, replicas: Collection[str]) -> list[str]:
    """Return the named replica first, if it runs, then the others in an order that depends on the name."""
    return sorted(ranked(name, replicas), key=lambda replica: replica != name)
