"""A scope's documents at one position, cut into parts that are named by their bytes.

A **slice** is some documents, in the order of their addresses; a **part** is a slice sealed, and its name
the sha256 of those bytes. So a part can be kept by whoever passes it on, for any replica of any scope that
holds these documents, and be believed by its name alone. Parts end where the documents say (`Cutter`): a
change moves the cuts near it and no others, and all further parts of the next snapshot have the old names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b, sha256

import msgpack

from anabranch_sync.columns import pack_documents, unpack_documents
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Document
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import Cursor, DocumentId
from anabranch_sync.live import Quarantined
from anabranch_sync.packing import LEVEL_KEPT, seal, unpack, unseal
from anabranch_sync.pull import Pull
from anabranch_sync.pull_body import pack_quarantined, unpack_quarantined
from anabranch_sync.tables import MALFORMED

NAME_BYTES = 32
# Of documents as they are stored; as one table the catalogue's take two thirds of it, so a part expands to
# 4 MiB at most, what an edge holds in memory at once while it swaps a snapshot in. The least size is large
# because what repeats is written once in a part only: docs/decisions/0015.
SLICE_BYTES_MIN = 5 * 1024 * 1024
SLICE_BYTES_MAX = 6 * 1024 * 1024
# Beyond the least size one document of so many ends its slice.
_CUTS_ONE_OF = 128
# An offer names all parts in one frame. 2,000 parts hold some 3 GB of documents.
PARTS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Part:
    """Sealed documents, by name."""

    name: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The parts that are a scope at `upto`; `digest` is the scope's there."""

    upto: Cursor
    digest: ScopeDigest
    parts: tuple[Part, ...]

    @property
    def size_bytes(self) -> int:
        """What all parts take on a link."""
        return sum(part.size_bytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class Offer:
    """A snapshot for one replica. `closing` is the pull that swaps it in once all parts are there.

    It says what became of the replica's own changes, and names the parts in place of documents.
    """

    snapshot: Snapshot
    closing: Pull


@dataclass(frozen=True, slots=True)
class Slice:
    """Whole documents, and those of them whose head is invalid."""

    documents: Mapping[DocumentId, Document]
    quarantined: Mapping[DocumentId, Quarantined] = field(default_factory=dict)


class Cutter:
    """Cuts documents, added in the order of their addresses, into slices."""

    def __init__(self) -> None:
        self._documents: dict[DocumentId, Document] = {}
        self._quarantined: dict[DocumentId, Quarantined] = {}
        self._bytes = 0

    def add(
        self, document: DocumentId, state: Document, size_bytes: int, quarantined: Quarantined | None = None
    ) -> Slice | None:
        """Take a document of so many bytes; returns a slice that is complete with it, or before it."""
        full = self.rest() if self._documents and self._bytes + size_bytes > SLICE_BYTES_MAX else None
        self._documents[document] = state
        if quarantined is not None:
            self._quarantined[document] = quarantined
        self._bytes += size_bytes
        if full is None and self._bytes >= SLICE_BYTES_MIN and _ends_slice(document):
            return self.rest()
        return full

    def rest(self) -> Slice | None:
        """What has come since the last cut."""
        if not self._documents:
            return None
        cut = Slice(self._documents, self._quarantined)
        self._documents, self._quarantined, self._bytes = {}, {}, 0
        return cut


def seal_slice(cut: Slice) -> bytes:
    """The part of a slice. Equal slices have equal parts."""
    row = [pack_documents(cut.documents), pack_quarantined(cut.quarantined)]
    return seal(msgpack.packb(row), LEVEL_KEPT)


def open_slice(sealed: bytes) -> Slice:
    """The slice of a part's bytes. Raises CorruptFrame, FrameTooLarge."""
    try:
        documents, quarantined = unpack(unseal(sealed))
        return Slice(unpack_documents(documents), unpack_quarantined(quarantined))
    except MALFORMED as error:
        raise CorruptFrame(f"malformed part: {error}") from error


def name_of(sealed: bytes) -> bytes:
    """The name of a part with these bytes."""
    return sha256(sealed).digest()


def _ends_slice(document: DocumentId) -> bool:
    """Whether the cut is after this document: its address decides, so what changed elsewhere does not."""
    address = f"{document.namespace}\n{document.key}".encode()
    return int.from_bytes(blake2b(address, digest_size=8).digest(), "big") % _CUTS_ONE_OF == 0
