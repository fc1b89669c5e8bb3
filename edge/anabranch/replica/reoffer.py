"""What this replica offers again to a restored hub: `anabranch_sync.reoffer` over its file.

All of it happens in the transaction that puts the hub's documents in place of those it came from: there
is no moment at which a power cut would lose what only this replica knew.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from anabranch_sync.change import chained
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.ids import DocumentId, HubSeq
from anabranch_sync.reoffer import Offers, Reoffer, in_front, offers
from anabranch_sync.scope import Scope

from anabranch.errors import ReplicaCorrupt
from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL
from anabranch.replica.rows import Rot, confirmed_body, entry, position, put_entry


@dataclass(frozen=True, slots=True)
class HubRestored:
    """A restore of the hub as this replica met it: what it offered of the epoch that had ended.

    `withheld` are addresses of documents of which the hub lacks something that was not offered.
    """

    epoch: int
    past: int
    known: HubSeq
    changes: int
    withheld: tuple[str, ...]
    noted_ms: int


def to_offer(
    connection: Connection, standing: Mapping[DocumentId, Document], reoffer: Reoffer, scope: Scope, rot: Rot
) -> Offers:
    """What the hub lacks of what is confirmed here; `standing` is all that it has.

    A document that is damaged here cannot be offered, and counts as withheld.
    """
    damaged: list[DocumentId] = []

    def confirmed() -> Iterator[tuple[DocumentId, Document]]:
        for row, namespace, key in connection.execute(SQL["all_confirmed"]).fetchall():
            document = DocumentId(namespace, key)
            try:
                yield document, confirmed_body(connection, document, row, rot)[0]
            except ReplicaCorrupt:
                damaged.append(document)

    own = {incarnation for (incarnation,) in connection.execute(SQL["incarnations"])}
    own.add(position(connection).incarnation)
    found = offers(confirmed(), lambda document: standing.get(document, EMPTY), reoffer, own, scope)
    return Offers(found.changes, tuple(sorted({*found.withheld, *damaged})))


def put_offers(
    connection: Connection,
    found: Offers,
    reoffer: Reoffer,
    rows: Mapping[DocumentId, int],
    now_ms: int,
    rot: Rot,
) -> None:
    """Put what is offered in front of what waits in the outbox; `rows` are those of its documents."""
    at = position(connection)
    mark = at.push_mark
    waiting = [
        entry(at.incarnation, row, rot)
        for row in connection.execute(SQL["outbox_after"], (mark, -1)).fetchall()
    ]
    written_ms = dict(connection.execute(SQL["written_after"], (mark,)).fetchall())
    times = [now_ms] * len(found.changes) + [written_ms[each.dot.local_seq] for each in waiting]
    connection.execute(SQL["drop_outbox_after"], (mark,))
    connection.execute(SQL["drop_outbox_pairs_after"], (mark,))
    chain, last = at.push_chain, mark
    for each, time_ms in zip(in_front(found.changes, waiting, at.incarnation, mark), times, strict=True):
        chain, last = chained(chain, each.body), each.dot.local_seq
        put_entry(connection, each, chain, time_ms)
        pairs = [(rows[document], last) for document in each.change.documents]
        connection.executemany(SQL["write_document"], pairs)
    if found.changes:
        shift = (reoffer.present, at.incarnation, mark + 1, len(found.changes))
        connection.execute(SQL["note_shift"], shift)
    if last > mark:
        connection.execute(SQL["wrote"], (last, chain, at.last_timestamp, at.revision))
    # Parts of counters from before are the hub's now, up to where it knows them.
    connection.execute(SQL["drop_incarnations"])
    withheld = json.dumps([str(document) for document in found.withheld])
    note = (reoffer.present, reoffer.past, reoffer.known, len(found.changes), withheld, now_ms)
    connection.execute(SQL["note_reoffer"], note)


def hub_restores(connection: Connection) -> tuple[HubRestored, ...]:
    """The restores of the hub that this replica has met, in the order of their epochs."""
    rows = connection.execute(SQL["reoffers"]).fetchall()
    return tuple(
        HubRestored(epoch, past, known, changes, tuple(json.loads(withheld)), noted_ms)
        for epoch, past, known, changes, withheld, noted_ms in rows
    )
