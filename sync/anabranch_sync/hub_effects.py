"""What the hub's side of a stream asks its shell to do: the effects of `hub_session`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from anabranch_sync.change import Entry
from anabranch_sync.ids import Cursor, DocumentId
from anabranch_sync.messages import Hello
from anabranch_sync.repairing import Report as Report
from anabranch_sync.repairing import Survey as Survey
from anabranch_sync.revision import Wanted as Wanted
from anabranch_sync.stream import Send as Send
from anabranch_sync.transfer import StorePart as StorePart


@dataclass(frozen=True, slots=True)
class Open:
    """Look the incarnation up, or lease one (0); report `opened`."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Decide:
    """Merge these changes in one transaction; report `decided`, or `fenced`."""

    entries: Sequence[Entry]
    chain: bytes


@dataclass(frozen=True, slots=True)
class Draw:
    """Compute what the replica lacks after this cursor; report `drawn`.

    `always`: also when nothing in its scope changed, so that its cursor comes up to the hub's. `replaced`
    are documents that travel whole. `held`: the replica has what was in the scope of this fingerprint, and
    has been told of another.
    """

    after: Cursor
    always: bool
    replaced: frozenset[DocumentId] = frozenset()
    held: bytes = b""


@dataclass(frozen=True, slots=True)
class Weigh:
    """Find how pressing what is new to the replica after this position is; report `weighed`."""

    after: Cursor


@dataclass(frozen=True, slots=True)
class DrawUrgent:
    """Find the urgent documents that others changed after this position; report `drawn_urgent`."""

    after: Cursor


@dataclass(frozen=True, slots=True)
class Compare:
    """Find where the tenant stands and the digest of the replica's scope there; report `compared`."""


@dataclass(frozen=True, slots=True)
class Spool:
    """Keep a pull's bytes, so that another hub process can resume it. Losing them costs bytes only."""

    batch: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Recall:
    """Find a spooled pull again; report `recalled`."""

    batch: bytes


@dataclass(frozen=True, slots=True)
class Fetch:
    """Find a part of a snapshot; report `fetched`."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """The replica has applied everything up to here, and is proved equal: the digests were compared."""

    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Wiped:
    """The edge says that it has removed everything, as it was ordered to."""


@dataclass(frozen=True, slots=True)
class Present:
    """Find what a replica that shows this mark is to be shown of the log; report `presented`."""

    mark: bytes


@dataclass(frozen=True, slots=True)
class Accused:
    """The replica has seen another log than the one it was shown: an operator must hear of it."""

    reason: str


@dataclass(frozen=True, slots=True)
class WentBack:
    """The replica was told of more than the hub now has: it was restored, and nobody has said so."""

    reason: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the stream."""

    reason: str


HubEffect: TypeAlias = (
    Open
    | Send
    | StorePart
    | Wanted
    | Decide
    | Draw
    | Weigh
    | DrawUrgent
    | Compare
    | Survey
    | Report
    | Spool
    | Recall
    | Fetch
    | Seen
    | Wiped
    | Present
    | Accused
    | WentBack
    | Close
)
