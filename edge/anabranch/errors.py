"""What can go wrong on an edge, one class per thing a caller can do about it.

::

    AnabranchError                  (anabranch_sync.errors) the root; `exit_code` is what the CLI returns
    ├── NotFound                3   no such document, or nothing at that path in it
    │   └── StateUnknown            a state of the past that this replica never had, or keeps no more
    ├── ConflictUnknown         3   this edge took part in no such conflict
    ├── NothingCached           7   nothing there, and this replica has never heard from its hub
    ├── NotAcknowledged         6   a write that is durable here has not come as far as was waited for
    ├── ChangeRefused           5   the hub refused a write, whole; it is kept: `anabranch conflicts`
    ├── ChangeLost              8   the replica's file is an older copy: what was waited for is not in it
    ├── ChangeDamaged           8   its bytes rotted on this disk before the hub had them: `anabranch doctor`
    ├── Denied                  4   a write outside the edge's scope or into an operators' layer
    ├── Invalid                 5   (anabranch_sync.errors) a schema forbids it: rule, place, what passes
    ├── PreconditionFailed      5   the document is not what the write demands; nothing was changed
    │   ├── VersionMismatch         another version than `if_version`
    │   ├── NotAnObject             a path that leads through a scalar or a list
    │   └── PatchFailed             a JSON Patch that does not apply
    ├── HubError                    the other side of the link; what is here stays as it is
    │   ├── HubUnreachable      7   no connection, or one that brings nothing forward
    │   │   └── HubAway             it answers, and cannot serve now
    │   ├── HubDenied           4   revoked, a used token, a certificate that is not the last one
    │   ├── HubUnverified       8   whoever answers there cannot prove to be this edge's hub
    │   └── HubLogRefused       8   its transparency log is not the one that was seen here before
    ├── EdgeWiped               9   everything of this edge was removed, by order of its hub
    ├── NotARelay               4   its certificate does not let it serve others
    ├── ListenRefused           5   a relay cannot listen there
    ├── IdentityUnusable        7   the edge's key or certificate is missing or damaged
    ├── IdentityForeign         8   the key and certificate beside the replica are another edge's
    └── ReplicaError            1   the file itself; nothing was changed
        ├── ReplicaMissing      7   there is no replica at that path
        ├── ReplicaExists       5   `create` never overwrites
        ├── ReplicaTooNew           written by a newer anabranch
        ├── ReplicaCorrupt      8   damaged bytes: found, never repaired silently
        ├── OutboxSalvaged          damaged changes were set aside; the rest goes on under a new incarnation
        ├── StagedPartDamaged       a part of a snapshot, before it was used: it is fetched again
        ├── ReplicaInUse            another agent runs on this file, or another `init`
        ├── ReplicaBusy             another process has been writing for too long
        ├── ReplicaUnwritable       permissions, or a read-only disk
        ├── DiskFull                no room for the write
        └── StorageFailed           the disk reported an error; the outcome of the write is unknown
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from anabranch_sync.errors import AnabranchError, Invalid
from anabranch_sync.ids import DocumentId

if TYPE_CHECKING:
    from anabranch_sync.acknowledgement import Level

__all__ = [
    "AnabranchError",
    "ChangeDamaged",
    "ChangeLost",
    "ChangeRefused",
    "ConflictUnknown",
    "Denied",
    "DiskFull",
    "EdgeWiped",
    "HubAway",
    "HubDenied",
    "HubError",
    "HubLogRefused",
    "HubUnreachable",
    "HubUnverified",
    "IdentityForeign",
    "IdentityUnusable",
    "Invalid",
    "NotAcknowledged",
    "ListenRefused",
    "NotAnObject",
    "NotFound",
    "NotARelay",
    "NothingCached",
    "OutboxSalvaged",
    "PatchFailed",
    "PreconditionFailed",
    "ReplicaBusy",
    "ReplicaCorrupt",
    "ReplicaError",
    "ReplicaExists",
    "ReplicaInUse",
    "ReplicaMissing",
    "ReplicaTooNew",
    "ReplicaUnwritable",
    "StagedPartDamaged",
    "StateUnknown",
    "StorageFailed",
    "VersionMismatch",
]


class NotFound(AnabranchError):
    """No such document, or nothing at that path in it."""

    exit_code = 3

    def __init__(self, document: DocumentId, path: str = "", reason: str = "") -> None:
        self.document = document
        self.path = path
        where = f"{document} has nothing at {path}" if path else f"{document} does not exist"
        super().__init__(f"{where}: {reason}" if reason else where)


class StateUnknown(NotFound):
    """A state of the past that this replica never had, or keeps no more. `near` names some that it has."""

    def __init__(self, document: DocumentId, asked: str, near: tuple[str, ...]) -> None:
        super().__init__(document)
        self.asked = asked
        self.near = near
        has = f"it has {', '.join(near)}" if near else "it has none"
        message = f"{asked} of {document} is not known to this replica ({has}): the hub knows every version"
        self.args = (message,)


class ConflictUnknown(AnabranchError):
    """The hub told this replica of no conflict with that number in its ledger."""

    exit_code = 3

    def __init__(self, ledger: int) -> None:
        self.ledger = ledger
        super().__init__(f"this edge took part in no conflict #{ledger}: `anabranch conflicts` lists its own")


class NothingCached(AnabranchError):
    """Nothing there, and this replica has never heard from its hub, so it cannot know."""

    exit_code = 7

    def __init__(self, document: DocumentId) -> None:
        self.document = document
        super().__init__(
            f"{document} is not here and this replica has never synced: run `anabranch sync` once online"
        )


class NotAcknowledged(AnabranchError):
    """A write is durable here and has not come as far as was waited for; it still may."""

    exit_code = 6

    def __init__(self, dot: str, level: Level, timeout_s: float, reached: Level | None, way_out: str) -> None:
        self.dot = dot
        self.level = str(level)
        self.timeout_s = timeout_s
        self.reached = None if reached is None else str(reached)
        now = "is durable here only" if reached is None else f"is {reached}"
        super().__init__(f"change {dot} {now}, not {level} within {timeout_s:g} s; {way_out}")


class ChangeRefused(AnabranchError):
    """The hub refused a write, whole. It is kept with the reason."""

    exit_code = 5

    def __init__(self, dot: str, reason: str) -> None:
        self.dot = dot
        self.reason = reason
        super().__init__(f"the hub refused change {dot}: {reason} (`anabranch conflicts` keeps it whole)")


class ChangeLost(AnabranchError):
    """What was waited for is not in the replica's file any more."""

    exit_code = 8

    def __init__(self, dot: str) -> None:
        self.dot = dot
        super().__init__(
            f"change {dot} is not in the replica any more: its file was put back from an older copy; "
            "write it again"
        )


class ChangeDamaged(AnabranchError):
    """What was waited for rotted on the disk before the hub had it."""

    exit_code = 8

    def __init__(self, dot: str) -> None:
        self.dot = dot
        super().__init__(
            f"the bytes of change {dot} were damaged on this disk before the hub had them: write it again; "
            "`anabranch doctor` lists what is left of it"
        )


class EdgeWiped(AnabranchError):
    """Everything of this edge was removed from its disk, by order of its hub's operator."""

    exit_code = 9

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"{path}: everything of this edge was removed, by order of the hub's operator: "
            "it can be enrolled anew with `anabranch init`"
        )


class Denied(AnabranchError):
    """A write this edge may not make. Decided here, without asking the hub."""

    exit_code = 4

    def __init__(self, document: DocumentId, prefixes: tuple[str, ...]) -> None:
        self.document = document
        self.prefixes = prefixes
        super().__init__(
            f"{document} is outside what this edge may write ({', '.join(prefixes) or 'nothing'}): "
            "ask an operator to write it on the hub or to widen the scope, or see `anabranch subscribe`"
        )


class PreconditionFailed(AnabranchError):
    """The document is not what the write demands. Nothing was changed; read again and decide anew."""

    exit_code = 5


class VersionMismatch(PreconditionFailed):
    """Another version than the one demanded by `if_version`."""

    def __init__(self, document: DocumentId, version: int, if_version: int) -> None:
        self.document = document
        self.version = version
        self.if_version = if_version
        super().__init__(
            f"{document} is at version {version}, not {if_version}: somebody changed it; read it again"
        )


class NotAnObject(PreconditionFailed):
    """A path that leads through a scalar or a list."""

    def __init__(self, document: DocumentId, path: str, found: str) -> None:
        self.document = document
        self.path = path
        super().__init__(f"{document} has {found} at {path or '/'}, not an object: write that place whole")


class PatchFailed(PreconditionFailed):
    """A JSON Patch (RFC 6902) that is malformed, too large or does not apply. `index` counts from 0."""

    def __init__(self, document: DocumentId, reason: str, index: int | None = None) -> None:
        self.document = document
        self.index = index
        place = "" if index is None else f" at operation {index}"
        super().__init__(f"the patch of {document} does not apply{place}: {reason}; nothing was changed")


class HubError(AnabranchError):
    """The other side of the link. `address` is host:port as it was given."""

    def __init__(self, address: str, message: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(message)


class HubUnreachable(HubError):
    """No connection, or one that brings nothing forward. Nothing is lost: it goes on where it was."""

    exit_code = 7

    def __init__(self, address: str, reason: str, meanwhile: str = "reading and writing here go on") -> None:
        super().__init__(
            address,
            f"the hub at {address} is not reachable ({reason}): {meanwhile}; "
            "check the address and the network, then try again",
            reason,
        )


class HubAway(HubUnreachable):
    """The hub answers, and cannot serve now: its store is away, or another stream of this edge took over."""


class HubDenied(HubError):
    """The hub answers, and will not have this edge. Trying again is of no use until someone acts."""

    exit_code = 4

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, f"the hub at {address} says no: {reason}", reason)


class HubUnverified(HubError):
    """Whoever answers at that address cannot prove to be the hub that is meant. Nothing was sent to it."""

    exit_code = 8

    def __init__(
        self,
        address: str,
        reason: str,
        way_out: str = "check the address; if it is right, somebody stands between",
    ) -> None:
        super().__init__(
            address,
            f"whoever answers at {address} is not the hub that is meant ({reason}): {way_out}",
            reason,
        )


class HubLogRefused(HubError):
    """The hub shows a log that does not go on from what was seen of it. Nothing was exchanged."""

    exit_code = 8

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            address,
            f"the log of the hub at {address} is refused ({reason}): nothing was exchanged; "
            "`anabranch audit show` has the evidence, show it to the hub's operator",
            reason,
        )


class NotARelay(AnabranchError):
    """This edge's certificate does not let it serve others."""

    exit_code = 4

    def __init__(self, tenant: str, edge: str) -> None:
        self.tenant = tenant
        self.edge = edge
        super().__init__(
            f"{tenant}/{edge} is not enrolled as a relay: let an operator print a token with "
            f"`anabranch-hub edge invite {tenant} {edge} --relay`, then run `anabranch init --keep-replica`"
        )


class ListenRefused(AnabranchError):
    """A relay cannot listen there."""

    exit_code = 5

    def __init__(self, listen: str) -> None:
        self.listen = listen
        super().__init__(f"cannot listen on {listen}: it is in use, or not an address of this machine")


class IdentityUnusable(AnabranchError):
    """The edge's key or certificate. `path` is the folder beside the replica."""

    exit_code = 7

    def __init__(
        self,
        path: str,
        reason: str,
        way_out: str = "enrol this edge again with `anabranch init --keep-replica`",
    ) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"identity {path}: {reason}: {way_out}")


class IdentityForeign(AnabranchError):
    """The identity is whole, and another edge's: `found` and `expected` are TENANT/EDGE."""

    exit_code = 8

    def __init__(self, path: str, found: str, expected: str) -> None:
        self.path = path
        self.found = found
        self.expected = expected
        super().__init__(
            f"identity {path} is of {found}, the replica beside it of {expected}: "
            "put back the folder that belongs to it; nothing was sent"
        )


class ReplicaError(AnabranchError):
    """The replica's file. `path` names it, `way_out` says what to do."""

    way_out: ClassVar[str] = ""

    def __init__(self, path: str, reason: str, way_out: str = "") -> None:
        self.path = path
        self.reason = reason
        advice = way_out or self.way_out
        super().__init__(f"replica {path}: {reason}" + (f": {advice}" if advice else ""))


class ReplicaMissing(ReplicaError):
    """There is no replica at that path."""

    exit_code = 7
    way_out = "enrol this edge with `anabranch init`, or name another file with ANABRANCH_REPLICA"


class ReplicaExists(ReplicaError):
    """There is one already, and it may hold changes the hub has not seen."""

    exit_code = 5
    way_out = "nothing was overwritten; `anabranch init --keep-replica` gives it a new certificate"


class ReplicaTooNew(ReplicaError):
    """Written by a newer anabranch, whose schema this one does not know."""

    way_out = "update anabranch on this machine; nothing was changed"


class ReplicaCorrupt(ReplicaError):
    """Damaged bytes. What can still be read stays readable; nothing is repaired silently."""

    exit_code = 8
    way_out = "move the file aside, enrol again with `anabranch init` and let the hub fill it"


class OutboxSalvaged(ReplicaError):
    """Damaged changes were set aside, and what is left of the outbox goes on under a new incarnation."""

    way_out = "nothing is to be done: the next exchange asks for it; `anabranch doctor` lists what is damaged"

    def __init__(self, path: str) -> None:
        super().__init__(path, "its outbox was damaged")


class StagedPartDamaged(ReplicaError):
    """A part of a snapshot that waited for the others is not what came. `name` is the part's."""

    way_out = "nothing was changed; the part was dropped and is fetched again"

    def __init__(self, path: str, name: bytes) -> None:
        self.name = name
        super().__init__(path, f"the bytes of part {name.hex()[:16]} of a snapshot are not those that came")


class ReplicaInUse(ReplicaError):
    """Another agent runs on this file, or another `init` makes it."""

    way_out = "one agent is enough: stop the other one first"


class ReplicaBusy(ReplicaError):
    """Another process has been writing for longer than a write may take."""

    way_out = "nothing was changed; try again"


class ReplicaUnwritable(ReplicaError):
    """Permissions, a missing directory or a read-only disk."""

    way_out = "check who owns the file and its directory"

    @classmethod
    def after(cls, path: str, error: OSError, reason: str = "") -> ReplicaUnwritable:
        """What the system said, with the way out of that."""
        way_out = "mount its disk for writing" if error.errno == errno.EROFS else ""
        return cls(path, reason or error.strerror or str(error), way_out)


class DiskFull(ReplicaError):
    """No room for the write. Reading, status and deleting go on in a reserve kept for them."""

    way_out = "nothing was changed; free some space and try again (reading and deleting still work)"


class StorageFailed(ReplicaError):
    """The disk reported an error. The write is not acknowledged and may or may not be there."""

    way_out = "check the disk; read the document before you write it again"
