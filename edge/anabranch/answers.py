"""What the SDK answers besides readings: writes, changes, differences, and how the replica stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anabranch_sync.document import Object
from anabranch_sync.ids import Cursor, DocumentId, HubSeq
from anabranch_sync.later import later

from anabranch.readings import WAIT_S, Reading, State
from anabranch.replica import Link, LinkMode

if TYPE_CHECKING:
    from anabranch_sync import acknowledgement, version
    from anabranch_sync.acknowledgement import Level, Marks
    from anabranch_sync.version import Patch

    from anabranch.acknowledging import Acknowledgeable
    from anabranch.replica import Acknowledged, HubRestored, LogState
else:
    later(globals(), "anabranch_sync", "acknowledgement", "version")


@dataclass(frozen=True, slots=True)
class Committed:
    """A durable write. `dot` is its identity in the log; all are empty when nothing changed.

    `quarantined` are those of the documents that are still invalid for an older reason: readers do not
    see the write before that is repaired.
    """

    dot: str
    documents: tuple[DocumentId, ...]
    quarantined: tuple[DocumentId, ...] = ()
    receipt: Acknowledgeable | None = field(default=None, compare=False, repr=False)

    def wait(self, level: Level | str, timeout_s: float = WAIT_S) -> Acknowledged:
        """Return once the write is ``"stored"``, ``"merged"`` or ``"visible"``; needs an agent or a `sync`.

        Where nothing changed, once all that was written before has come so far. Raises NotAcknowledged
        after `timeout_s` (the write stays as durable as it is), and ChangeRefused as soon as it is
        known, which is with *visible*: the hub may decide to refuse. Raises ChangeLost.
        """
        assert self.receipt is not None, "what was committed through a client has a receipt"
        return self.receipt.wait(acknowledgement.Level(level), timeout_s)


@dataclass(frozen=True, slots=True)
class Changed:
    """A document that readers see otherwise than before. `reading` is None when it was deleted."""

    document: DocumentId
    reading: Reading | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Two states of a document; None: it was not there, or deleted."""

    document: DocumentId
    before: Object | None
    after: Object | None

    @property
    def patch(self) -> Patch:
        """What leads from `before` to `after` (RFC 6902)."""
        return version.patches(self.before, self.after)[0]

    @property
    def inverse(self) -> Patch:
        """What leads back."""
        return version.patches(self.before, self.after)[1]


@dataclass(frozen=True, slots=True)
class LogReading:
    """What is known of the hub's transparency log; `leaves` None: no checkpoint was seen yet.

    `decided_since`: changes that the hub has decided since it showed that checkpoint. `refused` says
    why a log was last refused, `refused_since_s` when that began, `refused_age_s` when it last was so.
    """

    leaves: int | None
    age_s: float | None
    decided_since: int
    refusals: int
    refused: str
    refused_since_s: float | None
    refused_age_s: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """How the replica stands.

    `proved_ms`: when, by the hub's clock, its documents were last proved equal to the hub's, at its
    position `proved_hub_seq`.
    """

    path: str
    tenant: str
    edge: str
    prefixes: tuple[str, ...]
    state: State
    age_s: float | None
    link: Link | None
    agent_running: bool
    clock_offset_ms: int | None
    incarnation: int
    cursor: Cursor
    documents: int
    outbox: int
    unsent: int
    oldest_unsent_s: float | None
    conflicts: int
    refused: int
    quarantined: int
    digest: str
    mode: LinkMode
    proved_ms: int | None
    proved_hub_seq: HubSeq | None
    incidents: int
    damaged: int
    damaged_changes: int
    log: LogReading
    file_bytes: int
    wal_bytes: int
    reserve: bool
    marks: Marks
    hub_restores: tuple[HubRestored, ...]


def log_reading(state: LogState, hub_seq: HubSeq, now_s: float) -> LogReading:
    """The log as a person asks about it; `hub_seq` is where the replica stands."""
    seen = state.seen
    last = max(state.refusals, key=lambda each: each.last_ms, default=None)
    return LogReading(
        leaves=None if seen is None else seen.witnessed.tree.size,
        age_s=None if seen is None else max(0.0, now_s - seen.seen_ms / 1000),
        decided_since=0 if seen is None else max(0, hub_seq - seen.hub_seq),
        refusals=sum(each.times for each in state.refusals),
        refused="" if last is None else last.reason,
        refused_since_s=None if last is None else max(0.0, now_s - last.first_ms / 1000),
        refused_age_s=None if last is None else max(0.0, now_s - last.last_ms / 1000),
    )
