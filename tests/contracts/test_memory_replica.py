"""The contract of replicas, kept by the simulator's."""

from pathlib import Path

from anabranch_hub.simulation.memory import MemoryReplica, ReplicaState
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId

from tests.contracts.overtaking import OvertakingContract
from tests.contracts.reoffer import ReofferContract
from tests.contracts.replica import SCOPE, ReplicaContract, ReplicaStore, ReplicaSuite
from tests.contracts.validity import ValidityContract


class _Store(MemoryReplica):
    def content(self, document: DocumentId) -> Object | None:
        return self.read(document)


class _Memory(ReplicaSuite):
    """A kill forgets what is not on the disk."""

    def make(self, folder: Path) -> ReplicaStore:
        return _Store(ReplicaState(1, SCOPE))

    def again(self, replica: ReplicaStore) -> ReplicaStore:
        assert isinstance(replica, _Store)
        replica.crash()
        return replica


class TestMemoryReplica(_Memory, ReplicaContract):
    """Everything a replica keeps."""


class TestMemoryValidity(_Memory, ValidityContract):
    """What its readers see of what is invalid."""


class TestMemoryOvertaking(_Memory, OvertakingContract):
    """What its readers see of what overtakes a pull."""


class TestMemoryReoffer(_Memory, ReofferContract):
    """What it does when the hub comes back from a backup."""
