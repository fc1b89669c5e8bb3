"""The contract of replicas, kept by the simulator's."""

from pathlib import Path

from anabranch_sync.document import Object, rebuild
from anabranch_sync.ids import DocumentId

from tests.contracts.replica import SCOPE, ReplicaContract, ReplicaStore
from tests.simulation.memory import MemoryReplica, ReplicaState


class _Store(MemoryReplica):
    def content(self, document: DocumentId) -> Object | None:
        return rebuild(self.visible(document).registers)


class TestMemoryReplica(ReplicaContract):
    """A kill forgets what is not on the disk."""

    def make(self, folder: Path) -> ReplicaStore:
        return _Store(ReplicaState(1, SCOPE))

    def again(self, replica: ReplicaStore) -> ReplicaStore:
        assert isinstance(replica, _Store)
        replica.crash()
        return replica
