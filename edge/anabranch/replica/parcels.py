"""What a replica remembers of courier files, from one to the next."""

from anabranch.replica.file import Connection, ReplicaFile
from anabranch.replica.queries import SQL

# An answer to an older file than these is of no use any more.
EXPORTS_MAX = 100


class Parcels:
    """Exports made here, and whether the next one asks for a new incarnation."""

    def __init__(self, file: ReplicaFile) -> None:
        self._file = file

    def exported(self, export: bytes, now_ms: int) -> None:
        """Remember an export, before anybody can answer it."""

        def work(connection: Connection) -> None:
            connection.execute(SQL["exported"], (export, now_ms))
            connection.execute(SQL["trim_exports"], (EXPORTS_MAX,))

        self._file.write(work)

    def exports(self) -> frozenset[bytes]:
        """The exports to which an answer may still come."""
        with self._file.reading() as connection:
            return frozenset(export for (export,) in connection.execute(SQL["exports"]))

    def ask_renewal(self) -> None:
        """The present incarnation's history is another at the hub. Safe to repeat."""
        self._file.write(lambda connection: connection.execute(SQL["ask_renewal"]))

    def renewal_due(self) -> bool:
        """Whether the next export asks for a new incarnation."""
        with self._file.reading() as connection:
            return connection.execute(SQL["renewal_due"]).fetchone() is not None
