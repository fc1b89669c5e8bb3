"""What goes into a replica and what comes out of it, besides what its readers see (`seen`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Object
from anabranch_sync.ids import Cursor, DocumentId, Dot, HubSeq
from anabranch_sync.violation import Violation

if TYPE_CHECKING:
    from anabranch_sync.change import Change
    from anabranch_sync.outbox import Continuity

    from anabranch.replica.seen import Heard


@dataclass(frozen=True, slots=True)
class Edit:
    """The whole new content of one document; None deletes it.

    With `if_version` the edit is refused unless the document is at that version as its readers see
    it; 0 stands for a document that does not exist.
    """

    document: DocumentId
    content: Object | None
    if_version: int | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a list of documents. `version` is that of all that has merged."""

    document: DocumentId
    version: int
    pending: int
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class SetAside:
    """A document whose merged whole is invalid, for `violations`: readers see the last valid version.

    `live_version` 0: it has never been valid, and readers see nothing. `version` is that of the head.
    """

    document: DocumentId
    live_version: int
    version: int
    pending: int
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class LinkMode:
    """How an agent keeps in touch: it holds an exchange, or looks in each `poll_ms`.

    `metered`: the link is paid by the byte, so it is kept awake less often and changes are saved up.
    """

    poll_ms: int = 0
    metered: bool = False


class Fate(StrEnum):
    """What became of a line of a document's history."""

    PENDING = "pending"  # in the outbox, not known to be at the hub
    SENT = "sent"  # merged by the hub; the pull that says where is still to come
    MERGED = "merged"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    RECEIVED = "received"  # somebody else's
    DAMAGED = "damaged"  # its bytes rotted before the hub had them, and are set aside


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a document's history as this replica knows it, which starts when it was enrolled.

    Of others' changes a pull tells the outcome only: `author` and `message` are then empty, and
    several changes that came in one pull are one line. `dot` is None for those.
    """

    fate: Fate
    wall_ms: int
    author: str
    message: str
    dot: Dot | None
    actor: int
    version: int | None
    hub_seq: HubSeq | None


@dataclass(frozen=True, slots=True)
class Known:
    """A state of a document that can be read here.

    It was confirmed at position `hub_seq` and stood at least until `until_seq`; `hub_seq` is None for a
    state that waits for the hub. Readers here have seen it since `since_ms`, the oldest since its writer
    wrote it.
    """

    version: int
    hub_seq: HubSeq | None
    since_ms: int
    until_seq: HubSeq


@dataclass(frozen=True, slots=True)
class Past:
    """A document as it stood; content None: deleted. `hub_seq` None: the hub had not confirmed it."""

    content: Object | None
    version: int
    hub_seq: HubSeq | None


@dataclass(frozen=True, slots=True)
class Refused:
    """An own change that the hub refused, whole, so that nothing anyone wrote is lost."""

    dot: Dot
    reason: str
    decided_ms: int
    change: Change


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything `status` tells about the replica itself."""

    cursor: Cursor
    continuity: Continuity
    last_local: int
    digest: ScopeDigest
    documents: int
    outbox: int
    unsent: int
    oldest_unsent_ms: int | None
    notices: int
    refused: int
    quarantined: int
    heard: Heard
    proved_ms: int | None
    proved_hub_seq: HubSeq | None
    incidents: int
    damaged: int
    damaged_changes: int
    file_bytes: int
    wal_bytes: int
    reserve: bool
