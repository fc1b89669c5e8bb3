"""The SQLite replica as the contract suite drives it, and small things its tests share."""

from pathlib import Path

from anabranch.replica import Edit, Replica
from anabranch_sync.change import Entry
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId
from anabranch_sync.pull import Pull
from anabranch_sync.reoffer import Reoffer
from anabranch_sync.scope import Scope
from anabranch_sync.witness import Witnessed

from tests.contracts.replica import NOW_MS, SCOPE


def create(path: Path, *, incarnation: int = 1) -> Replica:
    """A new replica of the contract's scope."""
    return Replica.create(
        path, tenant="acme", edge="one", prefixes=SCOPE.prefixes, incarnation=incarnation, author="ada"
    )


def write(
    replica: Replica, document: DocumentId, content: Object | None, now_ms: int = NOW_MS
) -> Entry | None:
    """Commit one document."""
    return replica.commit([Edit(document, content)], author="ada", message="", now_ms=now_ms)


class SqliteStore:
    """A replica behind the contract's words."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.standing = replica.standing
        self.pending = replica.pending
        self.acknowledge = replica.acknowledge
        self.marks = replica.marks
        self.note_stored = replica.note_stored
        self.store_part = replica.store_part
        self.discard = replica.discard
        self.overtake = replica.overtake
        self.stage = replica.stage
        self.keep = replica.keep
        self.adopt = replica.adopt
        self.reset = replica.reset

    def commit(self, document: DocumentId, content: Object | None, *, now_ms: int) -> Entry | None:
        return write(self.replica, document, content, now_ms)

    def content(self, document: DocumentId) -> Object | None:
        visible = self.replica.read(document)
        return None if visible is None else visible.content

    def witness(self, witnessed: Witnessed, hub_seq: int, *, epoch: int = 0, broken: str = "") -> None:
        self.replica.witness(witnessed, hub_seq, NOW_MS, epoch=epoch, broken=broken)

    def distrust(self, reason: str, checkpoint: bytes) -> None:
        self.replica.distrust(reason, checkpoint, NOW_MS)

    def apply(self, pull: Pull, reoffer: Reoffer | None = None, rescoped: Scope | None = None) -> ScopeDigest:
        return self.replica.apply(pull, NOW_MS, reoffer, rescoped)
