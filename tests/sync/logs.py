"""A small log with everything in it, for the tests of its exports, proofs and exchanges."""

from collections.abc import Sequence
from dataclasses import dataclass

from anabranch_hub.simulation.log_key import LogKey
from anabranch_sync.audit_event import SALT_BYTES, Event, EventKind, ValueOpening, leaf_bytes
from anabranch_sync.audit_file import ExportHead, LoggedLeaf, exported
from anabranch_sync.checkpoint import SignedCheckpoint
from anabranch_sync.merkle import Frontier, Subtree, frontier_at, inclusion_proof, leaf_hash
from anabranch_sync.tlog_proof import TlogProof, proof_of

NOON_MS = 1_795_953_600_000


def logged(tenant: str, index: int, what: str = "") -> LoggedLeaf:
    """Leaf `index` of a tenant's log: a change with one value, which is shown."""
    opening = ValueOpening(index.to_bytes(SALT_BYTES, "big"), {"limit": index})
    event = Event(
        EventKind.CHANGE_DECIDED,
        f"{tenant}/prod/router/config",
        {"position": index, "value": opening.commitment, "what": what},
    )
    raw = leaf_bytes(event, tenant, index, NOON_MS + index)
    return LoggedLeaf(raw, leaf_hash(raw), (opening,))


@dataclass(frozen=True)
class Log:
    """A tenant's log, whole, with the hash of each of its complete subtrees."""

    key: LogKey
    tenant: str
    leaves: tuple[LoggedLeaf, ...]
    store: dict[Subtree, bytes]

    def signed(self, size: int) -> SignedCheckpoint:
        return self.key.signed(frontier_at(size, self.store).head)

    def lines(self, *, checkpoints: Sequence[int] = ()) -> list[bytes]:
        """Its export; `checkpoints` are the sizes at which earlier ones were signed."""
        head = ExportHead(self.tenant, self.key.verifier, self.signed(len(self.leaves)).note)
        return list(exported(head, self.leaves, [(size, self.signed(size).note) for size in checkpoints]))

    def proof(self, index: int) -> TlogProof:
        size = len(self.leaves)
        hashes = inclusion_proof(index, size, self.store)
        return proof_of(index, self.leaves[index], hashes, self.signed(size).note, self.key.verifier)


def log_of(leaves: Sequence[LoggedLeaf], tenant: str = "acme", key: LogKey | None = None) -> Log:
    _, completed = Frontier().appended(leaf_hash(each.raw) for each in leaves)
    return Log(key or LogKey(tenant), tenant, tuple(leaves), dict(completed))


def log_with(count: int, tenant: str = "acme", what: str = "") -> Log:
    """A log of `count` leaves."""
    return log_of([logged(tenant, index, what) for index in range(count)], tenant)
