"""What the edge's side of a stream asks its shell to do: the effects of `edge_session`."""

from dataclasses import dataclass
from typing import TypeAlias

from anabranch_sync.ids import HubSeq
from anabranch_sync.offering import Ask as Ask
from anabranch_sync.offering import Discard as Discard
from anabranch_sync.offering import Keep as Keep
from anabranch_sync.pull import Pull
from anabranch_sync.reoffer import Reoffer
from anabranch_sync.repairing import Report as Report
from anabranch_sync.repairing import Survey as Survey
from anabranch_sync.revision import Wanted as Wanted
from anabranch_sync.scope import Scope
from anabranch_sync.stream import Send as Send
from anabranch_sync.transfer import StorePart as StorePart
from anabranch_sync.witness import Witnessed


@dataclass(frozen=True, slots=True)
class Load:
    """Read the outbox after this local_seq; report `loaded`."""

    after: int


@dataclass(frozen=True, slots=True)
class NoteStored:
    """All own changes up to here are on the other side's disk, not decided yet: make the mark durable."""

    stored_mark: int


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The hub has committed all own changes up to here: make the mark durable."""

    push_mark: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class Apply:
    """Apply the pull and move the cursor, in one transaction; report `applied`.

    `reoffer`: what the restored hub lacks goes into the outbox in the same transaction. `rescoped`: from
    then on this is the replica's scope, and what is outside of it goes.
    """

    pull: Pull
    reoffer: Reoffer | None = None
    rescoped: Scope | None = None


@dataclass(frozen=True, slots=True)
class Overtake:
    """Show readers these documents, whole, until an applied pull comes as far; report `overtook`.

    Nothing else moves.
    """

    pull: Pull


@dataclass(frozen=True, slots=True)
class Stage:
    """A snapshot of these parts is on its way: those that are kept and not among them are of no use."""

    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Adopt:
    """Go on under this incarnation, every unacknowledged change included; report `adopted`."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The documents are not what the hub has: forget the cursor, so that the next pull is whole."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wipe:
    """Remove everything: at once, or unless something is unsent. Report `wiped`, or else `offered`."""

    at_once: bool


@dataclass(frozen=True, slots=True)
class Witness:
    """The hub's log goes on from what was seen of it: make the newer checkpoint durable.

    `hub_seq` is where the hub stood when it showed it, `epoch` its epoch. `broken` tells how the log
    does not go on from what was seen, where a new epoch says that the hub was restored: then what was
    seen before is kept as evidence, and a person hears of it.
    """

    witnessed: Witnessed
    hub_seq: HubSeq
    epoch: int
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Distrust:
    """The hub's log does not go on from what was seen of it: keep what it presented, as evidence."""

    reason: str
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """End the stream. `renew`: the next session must ask for a new incarnation, and may at once.

    `denied`: the hub will not have this edge; trying again is of no use until someone acts. Where
    `retry_after_ms` says so, that may be soon.
    """

    reason: str
    renew: bool = False
    denied: bool = False
    retry_after_ms: int = 0


EdgeEffect: TypeAlias = (
    Send
    | StorePart
    | Load
    | Wanted
    | NoteStored
    | Acknowledge
    | Apply
    | Overtake
    | Stage
    | Ask
    | Keep
    | Discard
    | Adopt
    | Reset
    | Survey
    | Report
    | Wipe
    | Witness
    | Distrust
    | Close
)
