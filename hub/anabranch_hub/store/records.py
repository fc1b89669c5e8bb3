"""What the store answers with: rows of its tables as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from anabranch_sync.budget import NO_BUDGET, Budget
from anabranch_sync.change import Entry
from anabranch_sync.circumstances import Circumstances
from anabranch_sync.clock import Timestamp
from anabranch_sync.document import Object
from anabranch_sync.epochs import Ended
from anabranch_sync.ids import Cursor, DocumentId, Dot, HubSeq, Incarnation, LocalSeq
from anabranch_sync.incident import Incident
from anabranch_sync.live import Quarantined
from anabranch_sync.path import Path
from anabranch_sync.policy import SCHEMA_NAMESPACE
from anabranch_sync.priority import PRIORITY_DEFAULT
from anabranch_sync.register import Slot, Value
from anabranch_sync.scope import EVERYTHING, Scope
from anabranch_sync.value import Json
from anabranch_sync.version import Patch
from anabranch_sync.violation import Violation

# What is both granted and asked for is looked up for each pull, and 64 times 64 prefixes take 20 ms.
_BOTH_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer of the hub: its documents and edges are in a schema of their own."""

    name: str
    created_ms: int


class EdgeStatus(StrEnum):
    """How far an edge, or an operator, has come."""

    INVITED = "invited"
    ENROLLED = "enrolled"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Proof:
    """An edge was proved equal: its digest at `cursor` was this hub's."""

    at_ms: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Told:
    """What an edge said of itself when it came last, at `told_ms` by the hub's clock.

    `clock_offset_ms` is the hub's clock minus the edge's; `oldest_unsent_ms` is by the edge's clock, 0: all
    was sent. `damaged_changes` rotted in its outbox; some of what they touch are `damaged_documents`.
    `drained`: where it stands, if all that it has written is here.
    """

    clock_offset_ms: int
    circumstances: Circumstances
    oldest_unsent_ms: int
    protocol: int
    told_ms: int = 0
    damaged_changes: int = 0
    damaged_documents: tuple[DocumentId, ...] = ()
    drained: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Behind:
    """Of an edge's scope: how many documents changed since it last pulled, and how many are in quarantine."""

    changed: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class EdgeIncident:
    """An incident of an edge, as the hub noted it."""

    edge: str
    at_ms: int
    incident: Incident


@dataclass(frozen=True, slots=True)
class Wipe:
    """An order that everything leaves an edge's disk; `done_ms` None: it has not said yet that it has."""

    ordered_ms: int
    at_once: bool
    done_ms: int | None


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge and what is known of its latest replica (`incarnation` 0: none yet, `seen_ms` 0: never).

    `next_serial` is that of a renewed certificate which the edge has not shown yet; empty: none. `relay`: it
    may pass others on. `proved` None: never; `told` None: it has not come yet. `twins` are earlier
    incarnations that were seen after the latest was leased: clones. `budget` is what an operator lets its
    link carry. `retired_ms` None: it is not retired. `subscription` is what it asks for of its `scope`.
    `wipe` None: it may keep what it has.
    """

    tenant: str
    name: str
    status: EdgeStatus
    scope: Scope
    certificate_serial: str
    next_serial: str
    not_after_ms: int
    incarnation: Incarnation
    push_mark: LocalSeq
    cursor: Cursor
    seen_ms: int
    relay: bool
    proved: Proof | None
    told: Told | None
    twins: tuple[Incarnation, ...] = ()
    budget: Budget = NO_BUDGET
    retired_ms: int | None = None
    subscription: Scope = EVERYTHING
    wipe: Wipe | None = None

    @property
    def replicates(self) -> Scope:
        """What is both granted and asked for."""
        return _both(self.scope.prefixes, self.subscription.prefixes)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a one-time token entitles to."""

    tenant: str
    edge: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who looks after a tenant from afar. `not_after_ms` 0: there is no certificate yet."""

    tenant: str
    name: str
    status: EdgeStatus
    certificate_serial: str
    not_after_ms: int
    invited_by: str


@dataclass(frozen=True, slots=True)
class OperatorInvitation:
    """Whom a one-time token lets in, and how long the certificate is to be good."""

    tenant: str
    operator: str
    lasts_s: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The first incarnation leased to a newly enrolled edge."""

    incarnation: Incarnation
    epoch: int


@dataclass(frozen=True, slots=True)
class Moved:
    """The tenant's order has come to `hub_seq`."""

    tenant: str
    hub_seq: HubSeq


@dataclass(frozen=True, slots=True)
class Logged:
    """The tenant's log has grown by something that decided no change."""

    tenant: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """The edge is shut out."""

    tenant: str
    edge: str


@dataclass(frozen=True, slots=True)
class Rescoped:
    """The edge has another scope."""

    tenant: str
    edge: str


@dataclass(frozen=True, slots=True)
class Restored:
    """The tenant's tables were restored from a backup, and another epoch has begun."""

    tenant: str


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """The epoch that a restore began, the one that it ended, and where the tenant stands."""

    epoch: int
    ended: Ended
    position: HubSeq


@dataclass(frozen=True, slots=True)
class Edit:
    """A document to be written whole; content None deletes it.

    `if_version` is the version the writer saw: 0 means that the document must not be there, None
    that it does not matter.
    """

    document: DocumentId
    content: Object | None
    if_version: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The hub's own change is committed: its position, and the version of each edited document in order.

    Where every document had that content already, nothing was written and `hub_seq` is where the
    tenant stands. `quarantined` are those whose readers do not see it yet.
    """

    hub_seq: HubSeq
    versions: tuple[int, ...]
    quarantined: tuple[DocumentId, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as the hub has it; content None: it is deleted.

    `content` is live: what readers get. Version, position and digest are those of the head, which is
    the same unless there is a `quarantine`.
    """

    document: DocumentId
    content: Object | None
    version: int
    hub_seq: HubSeq
    digest: int
    quarantine: "Quarantine | None" = None

    @property
    def head(self) -> Object | None:
        """All that has merged: what edits are made over, so that none reverts what waits for repair."""
        return self.content if self.quarantine is None else self.quarantine.head


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The invalid head of a document, and what is wrong with it.

    `live_version` is the version its readers get, 0 where it has never been valid; `since` the
    position at which the head became invalid.
    """

    head: Object
    live_version: int
    violations: tuple[Violation, ...]
    since: HubSeq


@dataclass(frozen=True, slots=True)
class Aside:
    """A document in quarantine while a batch decides, and the position since which it is there."""

    quarantined: Quarantined
    since: HubSeq


class Origin(StrEnum):
    """Where a change came from."""

    EDGE = "edge"
    OPERATOR = "operator"
    # A losing value of the ledger was written again.
    RESTORE = "restore"
    # Values of the past were written again.
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Version:
    """One step in a document's history, and the change that made it.

    `timestamp` is its author's clock, `decided_ms` the hub's. Where the history `is_folded` here, its
    patches are gone and stand as empty. The step leads over so many versions more as were `absorbed`.
    """

    version: int
    hub_seq: HubSeq
    digest_before: int
    digest_after: int
    patch: Patch
    inverse: Patch
    dot: Dot
    author: str
    message: str
    timestamp: Timestamp
    edge: str
    restores: int
    document: DocumentId
    decided_ms: int
    rolled_back_to: HubSeq | None
    is_folded: bool
    absorbed: int = 0

    @property
    def origin(self) -> Origin:
        """Where the change came from."""
        if self.edge:
            return Origin.EDGE
        if self.rolled_back_to is not None:
            return Origin.ROLLBACK
        return Origin.RESTORE if self.restores else Origin.OPERATOR


@dataclass(frozen=True, slots=True)
class Placed:
    """What stands in one place of a head, and the change that last changed it there."""

    slot: Slot
    value: Json
    hub_seq: HubSeq
    decided_ms: int
    edge: str
    author: str
    message: str


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a tenant keeps its histories readable; whatever stood at `folded_seq` or later can be read."""

    days: int
    folded_seq: HubSeq


@dataclass(frozen=True, slots=True)
class Folded:
    """What a fold came to: versions whose patches are gone, up to a position.

    `damaged` are the documents whose history is not what was recorded; they were left as they are.
    """

    upto: HubSeq
    documents: int
    versions: int
    patch_bytes: int
    damaged: tuple[str, ...]

    def with_more(self, other: "Folded") -> "Folded":
        """Both together."""
        return Folded(
            self.upto,
            self.documents + other.documents,
            self.versions + other.versions,
            self.patch_bytes + other.patch_bytes,
            self.damaged + other.damaged,
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """A document at two moments; None: nobody had written it, or it was deleted."""

    document: DocumentId
    before: Stored | None
    after: Stored | None


@dataclass(frozen=True, slots=True)
class Write:
    """Who wrote a candidate: one stamp of its register, with what the change log knows of it.

    `edge` vouched for `author`; it is empty for the hub's own. `skew_ms` tells how far ahead the
    writer's clock was; such a `timestamp` counts as the moment of decision. `received_ms` is when it came.
    It stands for so many earlier ones as were `absorbed`.
    """

    hub_seq: HubSeq
    timestamp: Timestamp
    dot: Dot
    base: Cursor
    author: str
    edge: str
    skew_ms: int
    received_ms: int = 0
    absorbed: int = 0


@dataclass(frozen=True, slots=True)
class RecordedCandidate:
    """One of the values that competed, and everyone who wrote it."""

    path: Path
    element: bytes | None
    value: Value
    writes: tuple[Write, ...]


class Reviewed(StrEnum):
    """What an operator did about a ledger row."""

    ACCEPTED = "accepted"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Review:
    """One look at a ledger row. `candidate`: which one was restored; None: another value, or none.

    `hub_seq` is the change that restored it, or where the tenant stood.
    """

    what: Reviewed
    candidate: int | None
    reviewer: str
    note: str
    reviewed_ms: int
    hub_seq: HubSeq


@dataclass(frozen=True, slots=True)
class Matching:
    """Which rows of the ledger; a field that is None or False leaves all.

    `prefix` is a namespace or a whole address, `rule` a policy without its field, `edge` one that wrote
    a candidate (empty: the hub), `path` a place or what lies below it. Times are those of the decision,
    the first included, the last not.
    """

    prefix: str | None = None
    kind: str | None = None
    rule: str | None = None
    edge: str | None = None
    author: str | None = None
    path: Path | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    reviewed: bool | None = None
    waiting: bool = False


ALL_ROWS = Matching()


@dataclass(frozen=True, slots=True)
class LedgerStats:
    """Rows of a ledger, counted. `by` has, for each thing that rows may have in common, the most frequent.

    `oldest_unreviewed` is (id, decided_ms).
    """

    rows: int
    unreviewed: int
    waiting: int
    oldest_unreviewed: tuple[int, int] | None
    by: Mapping[str, Sequence[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A conflict as it was decided; the winner is the first candidate.

    `review` (what it was, or empty) and the two after it tell the last review; `reviewed_seq` is the last
    change that restored a candidate, or where the tenant stood when a row was accepted that had waited.
    `reviews` has all, and is read with one row only. `quarantined`: the document was invalid as a whole
    once this was decided, so that readers did not get it.
    """

    id: int
    hub_seq: HubSeq
    decided_ms: int
    document: DocumentId
    path: Path
    element: bytes | None
    kind: str
    policy: str
    policy_version: str
    candidates: tuple[RecordedCandidate, ...]
    waiting: bool
    review: str = ""
    reviewed_by: str = ""
    reviewed_ms: int = 0
    reviewed_seq: HubSeq = 0
    reviews: tuple[Review, ...] = ()
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class Push:
    """Changes of one incarnation that arrived together."""

    edge: str
    entries: Sequence[Entry]
    chain_before: bytes


@dataclass(frozen=True, slots=True)
class HubWrite:
    """A change of the hub's own, still to be expressed as operations over what will stand."""

    edits: Sequence[Edit]
    author: str
    message: str
    restores: int
    rolled_back_to: HubSeq | None = None
    priority: int = PRIORITY_DEFAULT


@dataclass(frozen=True, slots=True)
class Replica:
    """An incarnation at the moment of decision, and the rights of the edge it was leased to."""

    incarnation: Incarnation
    edge: str
    push_mark: LocalSeq
    chain: bytes
    scope: Scope
    revoked: bool


def is_schema(document: DocumentId) -> bool:
    """Whether policies depend on this document."""
    return document.namespace == SCHEMA_NAMESPACE


def replicated(row: Mapping[str, Any]) -> Scope:
    """What an edge of these columns replicates: what is both granted and asked for."""
    return _both(tuple(row["prefixes"]), tuple(row["subscription"]))


@lru_cache(maxsize=_BOTH_MAX)
def _both(granted: tuple[str, ...], wanted: tuple[str, ...]) -> Scope:
    return Scope(granted).narrowed(Scope(wanted))


def address(text: str) -> DocumentId:
    """The address that a row writes as one text; it was checked before it was stored."""
    namespace, _, key = text.rpartition("/")
    return DocumentId(namespace, key)


def ended_of(row: Mapping[str, Any]) -> tuple[Ended, ...]:
    """The epochs that ended, from a row that has them in two columns."""
    return tuple(map(Ended, row["ended_epochs"], row["ended_known"]))


def stored_number(digest: bytes | None) -> int:
    """A digest as a number; 0 for that of a document that is not there."""
    return 0 if digest is None else int.from_bytes(digest, "big")
