"""What the documents of a replica have in common, stored once: those that are confirmed are packed behind it.

A document of 2 KB takes half of that by itself, and a quarter behind some others of its scope
(docs/decisions/0031). The dictionary is some of them as they are encoded. It is made when many documents come
at once, and anew when some leave the disk, for it may hold what they said.

Where its bytes are not those that were written, no checksum fits of a document that is packed behind it: they
are damaged, and the hub sends them again.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from anabranch_sync.errors import WireError
from anabranch_sync.packing import Dictionary, seal, unseal

from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL

# 1,000 documents take 537 kB with a dictionary of 64 KiB and 530 with one of 128, itself included; whoever
# reads a document from disk reads it as well.
DICTIONARY_BYTES_MAX = 64 * 1024
# Fewer documents at once gain less than a dictionary takes.
DOCUMENTS_MIN = 128
# Replicas that one process reads at a time; most read one.
_OPEN_MAX = 4

T = TypeVar("T")


def spread(documents: Sequence[T]) -> Sequence[T]:
    """Some of these from all over, of which to make a dictionary; none where they are few."""
    return documents[:: len(documents) // DOCUMENTS_MIN] if len(documents) >= DOCUMENTS_MIN else ()


def make(connection: Connection, bodies: Sequence[bytes]) -> Dictionary | None:
    """Make a dictionary of these, in place of any before; None, and there is none, where nothing is given."""
    connection.execute(SQL["drop_dictionary"])
    if not bodies:
        return None
    every = -(-sum(map(len, bodies)) // DICTIONARY_BYTES_MAX)
    content = b"".join(bodies[::every])[:DICTIONARY_BYTES_MAX]
    connection.execute(SQL["put_dictionary"], (seal(content),))
    return Dictionary(content)


def stored(connection: Connection) -> Dictionary | None:
    """The replica's dictionary; None where there is none, or none that can be read."""
    row = connection.execute(SQL["dictionary"]).fetchone()
    return None if row is None else opened(row[0])


def opened(body: bytes | None) -> Dictionary | None:
    """The dictionary of a row; None as of `stored`."""
    try:
        return None if body is None else _opened(body)
    except WireError:
        return None


@lru_cache(maxsize=_OPEN_MAX)
def _opened(body: bytes) -> Dictionary:
    return Dictionary(unseal(body))
