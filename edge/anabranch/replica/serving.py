"""Which content of a document readers see, and the hub's word on what it keeps in quarantine."""

from dataclasses import dataclass

import msgpack
from anabranch_sync.document import Document, Object, rebuild
from anabranch_sync.errors import WireError
from anabranch_sync.ids import DocumentId
from anabranch_sync.live import Quarantined, Served, served
from anabranch_sync.packing import unpack
from anabranch_sync.policy import Policies
from anabranch_sync.violation import Violation

from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL
from anabranch.replica.rows import Rot, checksum_of, standing_body


@dataclass(frozen=True, slots=True)
class Aside:
    """What readers see where it is not the head, and why not. `content` None: there is nothing to see."""

    content: Object | None
    version: int
    violations: tuple[Violation, ...]


def put_quarantined(connection: Connection, document: DocumentId, row: int, quarantined: Quarantined) -> None:
    """Keep the hub's word."""
    violations = [[each.place, each.rule, each.reason, each.passes] for each in quarantined.violations]
    body: bytes = msgpack.packb([quarantined.live, quarantined.live_version, violations])
    connection.execute(SQL["put_quarantined"], (row, checksum_of(document, body), body))


def quarantined_body(connection: Connection, document: DocumentId, row: int, rot: Rot) -> Quarantined | None:
    """The hub's word on a document; None: its head is valid. Raises ReplicaCorrupt."""
    kept = connection.execute(SQL["quarantined"], (row,)).fetchone()
    if kept is None:
        return None
    known, body = kept
    if checksum_of(document, body) != known:
        raise rot.at(f"what is live of {document}")
    try:
        live, live_version, violations = unpack(body)
    except WireError as error:
        raise rot.at(f"what is live of {document}") from error
    return Quarantined(live, live_version, tuple(Violation(*each) for each in violations))


def serving(
    connection: Connection,
    document: DocumentId,
    row: int,
    state: Document,
    policies: Policies,
    *,
    pending: bool,
) -> Served:
    """Which content readers see of a document whose head here is `state`."""
    kept = connection.execute(SQL["is_quarantined"], (row,)).fetchone()
    return served(
        document,
        lambda: rebuild(state.registers),
        policies,
        pending=pending,
        quarantined=kept is not None,
    )


def aside(
    connection: Connection,
    document: DocumentId,
    row: int,
    state: Document,
    which: Served,
    policies: Policies,
    rot: Rot,
) -> Aside | None:
    """What readers see instead of the head `state`; None: the head. Raises ReplicaCorrupt."""
    match which:
        case Served.HEAD:
            return None
        case Served.LIVE:
            quarantined = quarantined_body(connection, document, row, rot)
            if quarantined is None:
                raise rot.at(f"what is live of {document}")
            return Aside(quarantined.live, quarantined.live_version, quarantined.violations)
        case Served.CONFIRMED:
            standing = standing_body(connection, document, row, rot)
            violations = policies.violations(document, rebuild(state.registers))
            return Aside(rebuild(standing.registers), standing.version, violations)
