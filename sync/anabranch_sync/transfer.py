"""One batch on its way: cut into chunks under a window, and resumed inside itself after a break.

A batch is the sealed bytes of a push or a pull, named by their hash. The sender keeps at most a window
beyond what the receiver has acknowledged as stored; the receiver makes each piece durable when it comes
and acknowledges several small ones together, so a link that breaks every few kilobytes still gets
somewhere. How large pieces and window are, the link has taught (`pacing`).
A batch of a single piece is never stored in parts: its effect is its acknowledgement. It travels
without its name and length, which follow from it. A part of a snapshot has its own name, its sha256, of
which the batch's is the head.
"""

from dataclasses import dataclass, replace
from hashlib import blake2b, sha256

from anabranch_sync.errors import CorruptFrame, FrameTooLarge, ProtocolViolation
from anabranch_sync.messages import (
    BATCH_BYTES_MAX,
    CHUNK_BYTES_MAX,
    CHUNK_BYTES_MIN,
    WINDOW_BYTES,
    Batch,
    Chunk,
    Stored,
)
from anabranch_sync.pacing import ACKNOWLEDGE_BYTES, WINDOW_BYTES_MIN, Pacing
from anabranch_sync.standing import Partial

BATCH_ID_BYTES = 8
_LAST_BYTES = 8
# How long a peer may be silent while we wait for its answer. Twice the 30 s that a chunk of 8 KiB
# takes on a 2.4 kbit/s link, and some; a dead link is noticed within it.
SILENCE_MS_MAX = 75_000


@dataclass(frozen=True, slots=True)
class StorePart:
    """An effect of either session: make this piece of an inbound batch durable."""

    batch: bytes
    total: int
    offset: int
    piece: bytes


def batch_id(sealed: bytes) -> bytes:
    """The name of a batch: a hash of its bytes."""
    return blake2b(sealed, digest_size=BATCH_ID_BYTES).digest()


def upload_name(batch: bytes, last: int) -> bytes:
    """How a hub's store knows an upload.

    The last change in it is a part: the edge needs it to cut its outbox at the same place again.
    """
    return batch + last.to_bytes(_LAST_BYTES, "big")


def split_upload_name(name: bytes) -> tuple[bytes, int]:
    """The batch and the last change of `upload_name`."""
    return name[:BATCH_ID_BYTES], int.from_bytes(name[BATCH_ID_BYTES:], "big")


class Sending:
    """The sender's half. `batch` and `total` never change; `pieces` says what to send next."""

    def __init__(
        self,
        sealed: bytes,
        *,
        offset: int = 0,
        last: int = 0,
        chain: bytes = b"",
        chunk_bytes_max: int = CHUNK_BYTES_MAX,
        window_bytes_max: int = WINDOW_BYTES,
        part: int = 0,
        name: bytes = b"",
        urgent: tuple[int, ...] = (),
    ) -> None:
        self.batch = name[:BATCH_ID_BYTES] or batch_id(sealed)
        self.part = part
        self.last = last
        self._sealed = sealed
        self._chain = chain
        self._urgent = urgent
        self._sent = self._stored = offset if 0 <= offset < len(sealed) else 0
        # What a peer allows is not believed where it leads nowhere: pieces of nothing would have no end, and
        # behind a smaller window each side would wait for the other.
        self._chunk_bytes_max = max(chunk_bytes_max, CHUNK_BYTES_MIN)
        self._window_bytes_max = max(window_bytes_max, WINDOW_BYTES_MIN)
        self._begun = False

    @property
    def total(self) -> int:
        """The length of the batch."""
        return len(self._sealed)

    @property
    def is_stored(self) -> bool:
        """Whether the receiver has all of it on disk."""
        return self._stored == self.total

    def is_small(self, pacing: Pacing) -> bool:
        """Whether one piece is all of it, over a link that is known as this."""
        return self.total <= min(pacing.chunk_bytes, self._chunk_bytes_max)

    def pieces(self, pacing: Pacing) -> list[Batch | Chunk]:
        """What may go now over a link that is known as this."""
        chunk_bytes = min(pacing.chunk_bytes, self._chunk_bytes_max)
        window_bytes = min(pacing.window_bytes, self._window_bytes_max)
        messages: list[Batch | Chunk] = []
        while self._sent < self.total and self._sent - self._stored < window_bytes:
            piece = self._sealed[self._sent : self._sent + chunk_bytes]
            if self._begun:
                messages.append(Chunk(self._sent, piece))
            elif len(piece) == self.total:
                whole = Batch(b"", 0, 0, piece, self.last, self._chain)
                messages.append(replace(whole, part=self.part, urgent=self._urgent))
                self._begun = True
            else:
                first = Batch(self.batch, self.total, self._sent, piece, self.last, self._chain)
                messages.append(replace(first, part=self.part, urgent=self._urgent))
                self._begun = True
            self._sent += len(piece)
        return messages

    def stored(self, offset: int, pacing: Pacing) -> list[Batch | Chunk]:
        """The receiver has `offset` bytes on disk. Raises ProtocolViolation."""
        if not self._stored <= offset <= self._sent:
            raise ProtocolViolation(
                f"acknowledged {offset} bytes; between {self._stored} and {self._sent} were possible"
            )
        self._stored = offset
        return self.pieces(pacing)


class Receiving:
    """The receiver's half; `name` is that of the part it must be. Raises CorruptFrame, FrameTooLarge and
    ProtocolViolation.
    """

    def __init__(self, first: Batch, partial: Partial | None, name: bytes = b"") -> None:
        if not first.batch:
            batch = name[:BATCH_ID_BYTES] or batch_id(first.piece)
            first = replace(first, batch=batch, total=len(first.piece))
        if first.total > BATCH_BYTES_MAX or first.total < 1:
            raise FrameTooLarge("batch", first.total, BATCH_BYTES_MAX)
        if len(first.batch) != BATCH_ID_BYTES:
            raise CorruptFrame("a batch's name has another length")
        self.batch = first.batch
        self.total = first.total
        self.last = first.last
        self.chain = first.chain
        self.urgent = first.urgent
        self.name = name
        known = b""
        if partial is not None and partial.batch == first.batch and partial.total == first.total:
            known = partial.received[: first.offset]
        self._received = bytearray(known)
        self._acknowledged = first.offset

    @property
    def offset(self) -> int:
        """How many bytes have come."""
        return len(self._received)

    @property
    def complete(self) -> bool:
        """Whether all have come."""
        return self.offset == self.total

    def add(self, offset: int, piece: bytes) -> None:
        """Take the next piece."""
        if offset != self.offset or not piece:
            raise ProtocolViolation(f"piece at {offset}, expected at {self.offset}")
        if self.offset + len(piece) > self.total:
            raise FrameTooLarge("batch", self.offset + len(piece), self.total)
        self._received += piece

    def acknowledgement(self) -> list[Stored]:
        """What to tell the sender of pieces that are durable; empty until it is worth a frame."""
        if self.offset - self._acknowledged < ACKNOWLEDGE_BYTES:
            return []
        self._acknowledged = self.offset
        return [Stored(self.offset)]

    def sealed(self) -> bytes:
        """The whole batch, verified against its name."""
        sealed = bytes(self._received)
        if sha256(sealed).digest() != self.name if self.name else batch_id(sealed) != self.batch:
            raise CorruptFrame("batch does not match its hash")
        return sealed
