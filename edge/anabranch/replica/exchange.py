"""What an exchange needs of a replica, and what it leaves in it. Each function is one transaction's work."""

from collections.abc import Iterable
from dataclasses import dataclass

from anabranch_sync.change import CHAIN_START, Entry, chained
from anabranch_sync.document import Object, rebuild
from anabranch_sync.errors import ProtocolViolation
from anabranch_sync.ids import DocumentId, Incarnation, LocalSeq
from anabranch_sync.incident import DOCUMENTS_NAMED_MAX
from anabranch_sync.outbox import PUSH_CHANGES_MAX, next_push
from anabranch_sync.priority import PRIORITY_MAX, URGENT
from anabranch_sync.revision import Contents, changed_by
from anabranch_sync.scope import Scope
from anabranch_sync.standing import Partial, Standing

from anabranch.errors import OutboxSalvaged, ReplicaCorrupt
from anabranch.replica.acknowledgements import rename
from anabranch.replica.file import Connection
from anabranch.replica.log import log_state
from anabranch.replica.queries import SQL
from anabranch.replica.rows import Rot, confirmed_body, entry, position, shown, standing_body
from anabranch.replica.salvage import damaged_changes
from anabranch.replica.serving import aside
from anabranch.replica.shelf import Shelf
from anabranch.replica.show import Outbox, note_shown, show
from anabranch.replica.staging import staged
from anabranch.replica.subscribing import wanted


def standing(connection: Connection, rot: Rot) -> Standing:
    """Where the replica stands. `connection` holds one snapshot. Raises ReplicaCorrupt."""
    at = position(connection)
    known = log_state(connection, rot)
    unsent = connection.execute(SQL["oldest_unsent"], (at.push_mark,)).fetchone()
    lost = [each for each in damaged_changes(connection) if not each.merged]
    parts = connection.execute(SQL["parts"]).fetchall()
    partial = Partial(parts[0][0], parts[0][1], b"".join(part[3] for part in parts)) if parts else None
    return Standing(
        at.incarnation,
        at.cursor,
        at.push_mark,
        at.push_chain,
        at.last_local,
        at.digest,
        partial,
        None if unsent is None else unsent[0],
        known.origin,
        known.seen.witnessed if known.seen else None,
        at.base.epoch,
        known.seen.epoch if known.seen else 0,
        staged(connection),
        connection.execute(SQL["last_urgent_after"], (at.push_mark,)).fetchone()[0],
        connection.execute(SQL["renewal_due"]).fetchone() is not None,
        len(lost),
        tuple(sorted({document for each in lost for document in each.documents})[:DOCUMENTS_NAMED_MAX]),
    )


def pending(connection: Connection, after: LocalSeq, rot: Rot) -> list[Entry]:
    """The changes after `after`, as many as one push may carry. Raises ReplicaCorrupt, OutboxSalvaged."""
    at = position(connection)
    if connection.execute(SQL["renewal_due"]).fetchone() is not None:
        raise OutboxSalvaged(str(rot.path))
    rows = connection.execute(SQL["outbox_after"], (after, PUSH_CHANGES_MAX)).fetchall()
    # A pull may have taken changes out whose acknowledgement was lost; they are below the mark then.
    mark = max(after, at.push_mark)
    unsent = [row[0] for row in rows if row[0] > mark]
    end = at.last_local if len(rows) < PUSH_CHANGES_MAX else mark + len(unsent)
    if unsent != list(range(mark + 1, end + 1)):
        raise rot.at("the numbers of changes in the outbox")
    return list(next_push([entry(at.incarnation, columns, rot) for columns in rows]))


def to_push(connection: Connection, after: LocalSeq, rot: Rot) -> tuple[list[Entry], Contents]:
    """`pending`, and the confirmed documents by which these changes are said. Raises as `pending`."""
    entries = pending(connection, after, rot)
    return entries, contents(connection, changed_by(each.change for each in entries), rot)


def contents(connection: Connection, documents: Iterable[DocumentId], rot: Rot) -> Contents:
    """What these documents are, of those that are confirmed and not damaged."""
    found = ((each, _confirmed_content(connection, each, rot)) for each in documents)
    return {document: content for document, content in found if content is not None}


def _confirmed_content(connection: Connection, document: DocumentId, rot: Rot) -> Object | None:
    row = shown(connection, document).row
    try:
        return rebuild(confirmed_body(connection, document, row, rot)[0].registers) if row else None
    except ReplicaCorrupt:
        return None


def newest(connection: Connection, rot: Rot) -> Entry | None:
    """The last change of the outbox. Raises ReplicaCorrupt."""
    at = position(connection)
    row = connection.execute(SQL["outbox_between"], (at.last_local, at.last_local)).fetchone()
    return None if row is None else entry(at.incarnation, row, rot)


def most_pressing_unsent(connection: Connection) -> int | None:
    """The priority of the most pressing change that has not reached the hub; None: all have."""
    at = position(connection)
    if at.last_local <= at.push_mark:
        return None
    (priority,) = connection.execute(SQL["most_pressing_after"], (at.push_mark,)).fetchone()
    # Nothing checks the number: what bit rot made of it must not come too late.
    return priority if priority is None or priority in range(PRIORITY_MAX + 1) else URGENT


@dataclass(frozen=True, slots=True)
class Noticed:
    """What an exchange looks for whenever something was written.

    `most_pressing` is the priority of what has not reached the hub (None: all has), `wanted` what is asked
    for of what was granted; `is_damaged`: some document is known to be.
    """

    most_pressing: int | None
    wanted: Scope
    is_damaged: bool


def noticed(connection: Connection) -> Noticed:
    """What there is of it now."""
    is_damaged = bool(connection.execute(SQL["damaged_count"]).fetchone()[0])
    return Noticed(most_pressing_unsent(connection), wanted(connection), is_damaged)


def store_part(connection: Connection, batch: bytes, total: int, offset: int, piece: bytes) -> None:
    """Append what is new in a piece of an inbound batch, which may come again, cut at other places.

    Raises ProtocolViolation for a gap.
    """
    known = connection.execute(SQL["parts_end"]).fetchone()
    if known is not None and known[:2] != (batch, total):
        connection.execute(SQL["drop_parts"])
        known = None
    end = 0 if known is None else known[2]
    if offset > end or offset + len(piece) > total:
        raise ProtocolViolation(f"piece {offset}+{len(piece)} of {total} bytes, of which {end} are here")
    if offset + len(piece) > end:
        connection.execute(SQL["put_part"], (end, batch, total, piece[end - offset :]))


def discard(connection: Connection) -> None:
    """Drop the pieces of an inbound batch."""
    connection.execute(SQL["drop_parts"])


def reset(connection: Connection) -> None:
    """Forget the cursor, and the batch that was on its way to it."""
    connection.execute(SQL["reset"])
    connection.execute(SQL["drop_parts"])


def adopt(connection: Connection, incarnation: Incarnation, shelf: Shelf, rot: Rot) -> None:
    """Go on under `incarnation`; every change in the outbox gets a new dot, its body stays."""
    at = position(connection)
    if incarnation == at.incarnation:
        return  # it was adopted before a crash
    chain = CHAIN_START
    renumbered: dict[LocalSeq, LocalSeq] = {}
    old = connection.execute(SQL["outbox_after"], (0, -1)).fetchall()
    for number, (local_seq, _, body, _) in enumerate(old, 1):
        chain = chained(chain, body)
        renumbered[local_seq] = number
        # A number only gets smaller, and in this order its place is already free.
        connection.execute(SQL["renumber"], (number, chain, local_seq))
    pairs = connection.execute(SQL["outbox_pairs"]).fetchall()
    connection.execute(SQL["drop_outbox_pairs"])
    connection.executemany(SQL["write_document"], [(row, renumbered[seq]) for row, seq in pairs])
    rename(connection, at.incarnation, incarnation, list(renumbered.items()))
    connection.execute(SQL["drop_parts"])
    connection.execute(SQL["add_incarnation"], (at.incarnation,))
    connection.execute(SQL["adopted"], (incarnation, CHAIN_START, len(renumbered), chain, at.revision + 1))
    outbox = Outbox(connection, incarnation, rot, shelf.decoded)
    policies = shelf.policies_in(connection)
    for row, namespace, key in connection.execute(SQL["pending_documents"]).fetchall():
        document = DocumentId(namespace, key)
        stands = standing_body(connection, document, row, rot)
        waiting = outbox.of(document, row)
        state = show(connection, document, row, stands, waiting, policies)
        # Under which name it is written changes nothing of whether it is valid.
        which = shown(connection, document).served
        seen = aside(connection, document, row, state, which, policies, rot)
        note_shown(
            connection, row, state, len(waiting), at.revision + 1, content=False, aside=seen, served=which
        )
