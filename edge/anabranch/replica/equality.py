"""Whether the documents here are those of the hub: where that was disproved, and what is damaged."""

import json
from contextlib import suppress
from dataclasses import dataclass

from anabranch_sync.ids import DocumentId, document_id
from anabranch_sync.incident import Incident, IncidentKind, Remedy
from anabranch_sync.repairing import Surveyed

from anabranch.errors import ReplicaError
from anabranch.replica import dictionary
from anabranch.replica.file import Connection, ReplicaFile
from anabranch.replica.queries import SQL
from anabranch.replica.rows import checksum_of_confirmed, number, shown

# Some years of a disk that is going bad; the hub keeps its own.
INCIDENTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Reported:
    """An incident, and when this edge noted it."""

    at_ms: int
    incident: Incident


class Equality:
    """The part of a replica that range repair asks, and that people look at."""

    def __init__(self, file: ReplicaFile) -> None:
        self._file = file

    def survey(self) -> Surveyed:
        """The digest of each live confirmed document, and what is damaged: every byte confirmed is read."""
        with self._file.snapshot() as connection:
            return _survey(connection)

    def report(self, incident: Incident, now_ms: int) -> None:
        """Keep an incident."""
        self._file.write(lambda connection: put_incident(connection, incident, now_ms))

    def incidents(self) -> list[Reported]:
        """Those that are kept, oldest first."""
        with self._file.reading() as connection:
            rows = connection.execute(SQL["incidents"]).fetchall()
        return [
            Reported(
                at_ms,
                Incident(IncidentKind(kind), Remedy(remedy), hub_seq, count, _addresses(documents)),
            )
            for at_ms, kind, remedy, hub_seq, count, documents in rows
        ]

    def is_damaged(self) -> bool:
        """Whether some document is known to be damaged."""
        with self._file.reading() as connection:
            return bool(connection.execute(SQL["damaged_count"]).fetchone()[0])

    def note_damage(self, document: DocumentId) -> None:
        """A read has met damage in this document: the agent will ask for it. Best effort: the read tells."""

        def work(connection: Connection) -> None:
            row = shown(connection, document).row
            if row:
                connection.execute(SQL["note_damage"], (row,))

        with suppress(ReplicaError):
            self._file.write(work)


def put_incident(connection: Connection, incident: Incident, now_ms: int) -> None:
    """Keep an incident, and of all of them the newest."""
    documents = json.dumps([str(document) for document in incident.documents])
    row = (now_ms, str(incident.kind), str(incident.remedy), incident.hub_seq, incident.count, documents)
    connection.execute(SQL["report"], row)
    connection.execute(SQL["trim_incidents"], (INCIDENTS_MAX,))


def _survey(connection: Connection) -> Surveyed:
    digests: dict[DocumentId, int] = {}
    behind = dictionary.stored(connection)
    damaged: list[DocumentId] = []
    for _, namespace, key, digest, checksum, body, is_damaged in connection.execute(SQL["survey"]):
        document = DocumentId(namespace, key)
        if is_damaged or checksum_of_confirmed(document, digest, body, behind) != checksum:
            damaged.append(document)
        elif number(digest):
            digests[document] = number(digest)
    return Surveyed(digests, tuple(sorted(damaged)))


def _addresses(documents: str) -> tuple[DocumentId, ...]:
    parts = (text.rpartition("/") for text in json.loads(documents))
    return tuple(document_id(namespace, key) for namespace, _, key in parts)
