"""Looking at a replica: lists, history, status, and whether its bytes are still those written."""

from pathlib import Path

from anabranch_sync.change import decode
from anabranch_sync.clock import wall_ms
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import digest, rebuild
from anabranch_sync.ids import DocumentId, Dot
from anabranch_sync.live import Served
from anabranch_sync.outbox import Continuity
from anabranch_sync.policy import Policies
from anabranch_sync.pull import Notice

from anabranch.errors import ReplicaCorrupt
from anabranch.replica.facts import Facts, Fate, Listed, LogLine, Refused
from anabranch.replica.file import Connection, ReplicaFile, problems
from anabranch.replica.log import log_state
from anabranch.replica.past import check
from anabranch.replica.queries import SQL
from anabranch.replica.rows import Rot, confirmed_body, entry, position, shown, unpack_notice
from anabranch.replica.seen import Heard
from anabranch.replica.serving import quarantined_body
from anabranch.replica.show import Decoded, visible_state


def documents(connection: Connection, prefix: str, rot: Rot) -> list[Listed]:
    """The live documents at or below a namespace, by name. Raises ReplicaCorrupt."""
    # No checksum covers a name; the file has each twice, and rot strikes one place.
    if connection.execute(SQL["misnamed"]).fetchone() is not None:
        raise rot.at("the list of documents")
    # '0' is the character after '/'; every segment is made of ASCII, which ends with DEL.
    low, high = (f"{prefix}/", f"{prefix}0") if prefix else ("", "\x7f")
    rows = connection.execute(SQL["listed"], {"prefix": prefix, "low": low, "high": high})
    return [
        Listed(DocumentId(namespace, key), version, pending, served != Served.HEAD)
        for namespace, key, version, pending, served in rows
    ]


def set_aside(connection: Connection) -> list[DocumentId]:
    """The documents of which readers do not see the head, by name."""
    return [DocumentId(namespace, key) for namespace, key in connection.execute(SQL["aside"])]


def facts(connection: Connection, file: ReplicaFile, heard: Heard) -> Facts:
    """What `status` tells."""
    at = position(connection)
    unsent = connection.execute(SQL["oldest_unsent"], (at.push_mark,)).fetchone()
    proved_ms, proved_hub_seq = connection.execute(SQL["proved"]).fetchone()
    return Facts(
        cursor=at.cursor,
        continuity=Continuity(at.incarnation, at.push_mark, at.push_chain),
        last_local=at.last_local,
        digest=at.digest,
        documents=_count(connection, "counted"),
        outbox=_count(connection, "outbox_count"),
        unsent=at.last_local - at.push_mark,
        oldest_unsent_ms=None if unsent is None else unsent[0],
        notices=_count(connection, "notices_count"),
        refused=_count(connection, "refused_count"),
        quarantined=_count(connection, "aside_count"),
        heard=heard,
        proved_ms=proved_ms,
        proved_hub_seq=proved_hub_seq,
        incidents=_count(connection, "incidents_count"),
        damaged=_count(connection, "damaged_count"),
        damaged_changes=_count(connection, "damaged_changes_count"),
        file_bytes=_size_bytes(file.path),
        wal_bytes=_size_bytes(Path(f"{file.path}-wal")),
        reserve=file.ballast.exists(),
    )


def history(connection: Connection, document: DocumentId, rot: Rot) -> list[LogLine]:
    """What is known of a document's past, oldest first; what waits comes last."""
    at = position(connection)
    row = shown(connection, document).row
    lines = []
    for version, hub_seq, actor, local_seq, wall, author, message, fate in connection.execute(
        SQL["history"], (row,)
    ):
        dot = None if local_seq is None else Dot(actor, local_seq)
        lines.append(LogLine(Fate(fate), wall, author, message, dot, actor, version, hub_seq))
    for columns in connection.execute(SQL["outbox_of"], (row, 0)).fetchall():
        each = entry(at.incarnation, columns, rot)
        fate = Fate.SENT if each.dot.local_seq <= at.push_mark else Fate.PENDING
        change = each.change
        wall = wall_ms(change.timestamp)
        lines.append(LogLine(fate, wall, change.author, change.message, each.dot, at.incarnation, None, None))
    return lines


def notices(connection: Connection) -> list[Notice]:
    """Conflicts that concern the replica, in the order of the hub's ledger."""
    return [unpack_notice(body) for (body,) in connection.execute(SQL["notices"])]


def refused(connection: Connection) -> list[Refused]:
    """Own changes the hub refused, oldest first."""
    return [
        Refused(Dot(incarnation, local_seq), reason, decided_ms, decode(body))
        for incarnation, local_seq, reason, decided_ms, body in connection.execute(SQL["refused"])
    ]


def verify(connection: Connection, policies: Policies, rot: Rot) -> list[ReplicaCorrupt]:
    """Every damaged place that the file's structure, checksums, digests and chain show."""
    found = []
    for line in problems(connection):
        found.append(ReplicaCorrupt(str(rot.path), line))
    at = position(connection)
    try:
        log_state(connection, rot)
    except ReplicaCorrupt as error:
        found.append(error)
    for columns in connection.execute(SQL["outbox_after"], (0, -1)).fetchall():
        try:
            entry(at.incarnation, columns, rot)
        except ReplicaCorrupt as error:
            found.append(error)
    total = ScopeDigest()
    decoded = Decoded()
    for row, namespace, key in connection.execute(SQL["all_documents"]).fetchall():
        document = DocumentId(namespace, key)
        try:
            visible_state(connection, document, shown(connection, document), policies, rot, decoded)
            quarantined_body(connection, document, row, rot)
            state, seen = confirmed_body(connection, document, row, rot)
            if digest(document, rebuild(state.registers)) != seen:
                raise rot.at(str(document))
            check(connection, document, rot)
            total = total.replaced(0, seen)
        except ReplicaCorrupt as error:
            found.append(error)
    if not found and total != at.digest:
        found.append(rot.at(f"the list of documents (digest {total}, noted {at.digest})"))
    return found


def _count(connection: Connection, query: str) -> int:
    return int(connection.execute(SQL[query]).fetchone()[0])


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
