"""Urgent documents that overtook a pull: shown to readers until an applied pull comes as far.

Nothing else knows of them: what is confirmed, the cursor, the digest and the outbox stay as they are.
"""

from anabranch_sync.columns import encode_document
from anabranch_sync.document import Document
from anabranch_sync.ids import Cursor, DocumentId
from anabranch_sync.live import Served
from anabranch_sync.policy import SCHEMA_NAMESPACE
from anabranch_sync.pull import Pull

from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL
from anabranch.replica.rows import checksum_of, position, row_of, shown
from anabranch.replica.show import note_shown


def overtake(connection: Connection, pull: Pull) -> bool:
    """Show the documents of `pull`, whole states at `upto`, unless what is applied has come as far.

    Returns whether one of them has to wait for a pull.

    One that a waiting change touches waits for it: the hub may have decided that change by now, and
    merging it twice would count it twice. So does one of which readers do not see the head. A schema
    never overtakes what it judges.
    """
    at, upto = position(connection), pull.upto
    if upto <= at.cursor:
        return False
    latest, lacks = at.last_timestamp, False
    for document, state in pull.documents.items():
        known = shown(connection, document)
        if known.pending or known.served is not Served.HEAD or document.namespace == SCHEMA_NAMESPACE:
            lacks = True
            continue
        row = row_of(connection, document)
        put_ahead(connection, document, row, upto, state)
        note_shown(connection, row, state, 0, at.revision + 1, content=True)
        stamps = (each.stamp.timestamp for each in state.registers.values())
        latest = max(latest, *stamps, 0)
    connection.execute(SQL["overtaken"], (latest, at.revision + 1))
    return lacks


def put_ahead(connection: Connection, document: DocumentId, row: int, upto: Cursor, state: Document) -> None:
    """Keep what the hub has of a document at `upto`."""
    body = encode_document(state)
    columns = (row, upto.epoch, upto.hub_seq, checksum_of(document, body), body)
    connection.execute(SQL["put_ahead"], columns)
