"""Where a replica stands: what an edge session must know of its store to begin an exchange."""

from dataclasses import dataclass

from anabranch_sync.digest import ScopeDigest
from anabranch_sync.ids import Cursor, Incarnation, LocalSeq
from anabranch_sync.witness import Witnessed, mark_of


@dataclass(frozen=True, slots=True)
class Partial:
    """An inbound batch of which a head is durable: `received` are its first bytes out of `total`."""

    batch: bytes
    total: int
    received: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """One replica, read in one transaction.

    `push_mark` and `chain` name the last own change the hub acknowledged and the chain up to it,
    `last_local` the last one committed here. `digest` covers the confirmed documents of the scope.
    `oldest_unsent_ms` is the wall clock at which the oldest change after the push mark was written.
    `log` is the origin of the tenant's log, `witnessed` what has been seen of it, in epoch `log_epoch`.
    `epoch` is that of what is confirmed here, also where the cursor was reset; 0 where nothing is.
    `staged` names the parts of a snapshot that are here and wait for the others. `urgent_upto` is the last
    urgent change after the push mark; 0: there is none.
    `must_renew`: nothing of the outbox may go under this incarnation any more. `damaged_changes` of it were
    set aside before the hub had them; `damaged_documents` are some of those they touch.
    """

    incarnation: Incarnation
    cursor: Cursor
    push_mark: LocalSeq
    chain: bytes
    last_local: LocalSeq
    digest: ScopeDigest
    partial: Partial | None = None
    oldest_unsent_ms: int | None = None
    log: str = ""
    witnessed: Witnessed | None = None
    epoch: int = 0
    log_epoch: int = 0
    staged: tuple[bytes, ...] = ()
    urgent_upto: LocalSeq = 0
    must_renew: bool = False
    damaged_changes: int = 0
    damaged_documents: tuple[str, ...] = ()

    @property
    def log_mark(self) -> bytes:
        """What it tells of the newest tree of the log that it has been shown."""
        return mark_of(self.witnessed.tree if self.witnessed else None)
