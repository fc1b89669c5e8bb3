"""Parts of a snapshot, kept until all are here. They outlive breaks, restarts and the offer they came for."""

from collections.abc import Collection

from anabranch_sync.snapshot import Slice, name_of, open_slice

from anabranch.errors import StagedPartDamaged
from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL
from anabranch.replica.rows import Rot


def stage(connection: Connection, names: Collection[bytes]) -> None:
    """Keep only parts of these names."""
    for (name,) in connection.execute(SQL["staged"]).fetchall():
        if name not in names:
            connection.execute(SQL["drop_staged"], (name,))


def keep(connection: Connection, name: bytes, sealed: bytes) -> None:
    """Keep a part, in place of the pieces in which it came. Safe to repeat."""
    connection.execute(SQL["drop_parts"])  # first, so that it takes their room in the file
    connection.execute(SQL["keep_staged"], (name, sealed))


def staged(connection: Connection) -> tuple[bytes, ...]:
    """The names of the parts that are here."""
    return tuple(name for (name,) in connection.execute(SQL["staged"]))


def taken(connection: Connection, name: bytes, rot: Rot) -> Slice:
    """The documents of a part. Raises StagedPartDamaged."""
    row = connection.execute(SQL["staged_body"], (name,)).fetchone()
    if row is None or name_of(row[0]) != name:
        raise StagedPartDamaged(str(rot.path), name)
    return open_slice(row[0])
