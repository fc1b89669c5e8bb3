"""Another scope: what is outside of it goes, and nothing here tells of it any more.

Only changes that wait in the outbox stay, for the hub to decide, and those that it refused, for somebody to
look at. An edge that asks for less itself sends them first (`subscribing`).

What is confirmed is packed behind a dictionary made of some of it: that is made anew of what stays.
"""

import json
from collections.abc import Collection, Mapping
from functools import lru_cache

from anabranch_sync.ids import DocumentId
from anabranch_sync.scope import Scope, told_scope

from anabranch.errors import ReplicaCorrupt
from anabranch.replica import dictionary
from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL
from anabranch.replica.rows import Rot, pack, unpack_notice, unpacked


def stored_scope(connection: Connection) -> Scope:
    """The replica's scope. Any process may have changed it, so nobody keeps it."""
    (prefixes,) = connection.execute(SQL["prefixes"]).fetchone()
    return scope_of(prefixes)


@lru_cache(maxsize=4)  # checking a scope takes as long as reading it, and a process reads that of one replica
def scope_of(prefixes: str) -> Scope:
    """The scope of these prefixes, as they are stored. Raises ValueError, InvalidName."""
    return told_scope(tuple(json.loads(prefixes)))


def put_scope(connection: Connection, given: Scope) -> None:
    """Give the replica a scope."""
    connection.execute(SQL["put_prefixes"], (json.dumps(given.prefixes),))


def outside(connection: Connection, given: Scope, *, waiting: bool) -> dict[DocumentId, int]:
    """The documents outside of this scope, with their rows: all that were ever here, or only those that are
    `waiting` in the outbox."""
    rows = connection.execute(SQL["waiting_documents" if waiting else "all_documents"]).fetchall()
    named = {DocumentId(namespace, key): row for row, namespace, key in rows}
    return {document: row for document, row in named.items() if not given.reads(document)}


def drop_ahead(connection: Connection, documents: Mapping[DocumentId, int]) -> None:
    """Show none of these documents ahead of a pull any more."""
    connection.executemany(SQL["drop_ahead_of"], [(row,) for row in documents.values()])


def forget(connection: Connection, documents: Mapping[DocumentId, int]) -> None:
    """Drop what is told of the past of these documents."""
    for row in documents.values():
        connection.execute(SQL["drop_steps_of"], (row,))
        connection.execute(SQL["drop_history_of"], (row,))
    _drop_notices(connection, documents.keys())


def repack(connection: Connection, rot: Rot) -> None:
    """Pack what is confirmed behind another dictionary. What is damaged stays so, until the hub sends it."""
    kept = connection.execute(SQL["dictionary"]).fetchone()
    if kept is None:
        return
    before = dictionary.opened(kept[0])
    named = [
        (DocumentId(namespace, key), row)
        for row, namespace, key in connection.execute(SQL["all_confirmed"]).fetchall()
    ]

    def read(document: DocumentId, row: int) -> tuple[bytes, int] | None:
        columns = connection.execute(SQL["confirmed"], (row,)).fetchone()[:3]
        try:
            return unpacked(document, columns, before, rot)
        except ReplicaCorrupt:
            return None

    some = [read(*each) for each in dictionary.spread(named)]
    after = dictionary.make(connection, [found[0] for found in some if found is not None])
    for document, row in named:
        found = read(document, row)
        if found is not None:
            pack(connection, document, row, *found, after)


def _drop_notices(connection: Connection, documents: Collection[DocumentId]) -> None:
    for (body,) in connection.execute(SQL["notices"]).fetchall():
        notice = unpack_notice(body)
        if notice.case.document in documents:
            connection.execute(SQL["drop_notice"], (notice.ledger,))
