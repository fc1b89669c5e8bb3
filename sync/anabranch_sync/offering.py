"""The two halves of a snapshot on its way: what the hub still has to send, what the edge still lacks.

An edge behind a relay asks that for each part first, piece by piece (`Ask`), and the hub for the rest: with
its first piece that does not come from near it says `Parts`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from anabranch_sync import frame
from anabranch_sync.errors import CorruptFrame, FrameTooLarge, ProtocolViolation, WireError
from anabranch_sync.messages import BATCH_BYTES_MAX, Batch, Parts, SnapshotOffer, decode_message, kind_of
from anabranch_sync.pull import Pull
from anabranch_sync.pull_body import split_names
from anabranch_sync.snapshot import PARTS_MAX, Offer, Part, name_of
from anabranch_sync.standing import Partial
from anabranch_sync.transfer import BATCH_ID_BYTES, StorePart


@dataclass(frozen=True, slots=True)
class Keep:
    """An edge's effect: make a part of the snapshot durable, in place of the pieces in which it came."""

    name: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """An edge's effect: ask the relay for so many bytes of a part; report `brought`."""

    part: Part
    offset: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Discard:
    """An edge's effect: the pieces on disk are not of what they were said to be; they go."""


def overheard(raw: bytes) -> tuple[Part, ...]:
    """The parts of the offer in a frame that passes; none where it is no offer that anybody believes."""
    if raw[:1] != bytes([kind_of(SnapshotOffer)]):
        return ()
    try:
        passing = frame.decode(raw)
        message = decode_message(passing.kind, passing.body)
        return parts_of(message) if isinstance(message, SnapshotOffer) else ()
    except WireError:
        return ()


def parts_of(offer: SnapshotOffer) -> tuple[Part, ...]:
    """What an offer names. Raises CorruptFrame, FrameTooLarge."""
    try:
        names = split_names(offer.names)
    except ValueError as error:
        raise CorruptFrame(str(error)) from error
    if len(names) != len(offer.sizes) or len(names) > PARTS_MAX:
        raise CorruptFrame(f"{len(names)} parts of {len(offer.sizes)} sizes, limit {PARTS_MAX}")
    if any(size > BATCH_BYTES_MAX for size in offer.sizes):
        raise FrameTooLarge("part", max(offer.sizes), BATCH_BYTES_MAX)
    return tuple(map(Part, names, offer.sizes))


class Offering:
    """The hub's half. Raises ProtocolViolation for an answer that does not fit the offer."""

    def __init__(self, offer: Offer) -> None:
        self.closing: Pull = offer.closing
        self._snapshot = offer.snapshot
        self._wanted: list[int] | None = None
        self.offset = 0

    @property
    def message(self) -> SnapshotOffer:
        """What the edge is told."""
        snapshot = self._snapshot
        names = b"".join(part.name for part in snapshot.parts)
        sizes = tuple(part.size_bytes for part in snapshot.parts)
        return SnapshotOffer(snapshot.upto, snapshot.digest, names, sizes)

    def asked(self, parts: Parts) -> None:
        """The edge says what it lacks."""
        count = len(self._snapshot.parts)
        wanted = list(parts.wanted)
        if self._wanted is not None or len(set(wanted)) != len(wanted):
            raise ProtocolViolation("parts are asked for once")
        if not all(1 <= number <= count for number in wanted):
            raise ProtocolViolation(f"parts {wanted} of {count}")
        self._wanted, self.offset = wanted, parts.offset

    @property
    def is_asked(self) -> bool:
        """Whether the edge has said what it lacks. Until then it may be getting parts from near."""
        return self._wanted is not None

    @property
    def next(self) -> tuple[int, Part] | None:
        """The part to send now, with its number; None when the edge has them all."""
        if not self._wanted:
            return None
        return self._wanted[0], self._snapshot.parts[self._wanted[0] - 1]

    def stored(self) -> None:
        """The edge has that one."""
        assert self._wanted, "a part that was asked for"
        self._wanted, self.offset = self._wanted[1:], 0


class Gathering:
    """The edge's half: `staged` are parts that are here already, `partial` is the head of a batch.

    Raises CorruptFrame, FrameTooLarge, ProtocolViolation.
    """

    def __init__(self, offer: SnapshotOffer, staged: Iterable[bytes], partial: Partial | None) -> None:
        self._parts = parts_of(offer)
        here = set(staged)
        self._wanted = [number for number, part in enumerate(self._parts, 1) if part.name not in here]
        self._head = bytearray()
        for number in self._wanted:
            if partial and _batch_of(self._parts[number - 1]) == (partial.batch, partial.total):
                self._wanted.remove(number)
                self._wanted.insert(0, number)
                self._head += partial.received
                break

    @property
    def names(self) -> tuple[bytes, ...]:
        """All parts of the snapshot."""
        return tuple(part.name for part in self._parts)

    @property
    def message(self) -> Parts:
        """What the hub is told."""
        return Parts(tuple(self._wanted), len(self._head))

    @property
    def partial(self) -> Partial | None:
        """The head that is here of the part that comes next."""
        if not self._head:
            return None
        return Partial(*_batch_of(self._parts[self._wanted[0] - 1]), bytes(self._head))

    def asking(self, bytes_max: int) -> Ask | None:
        """What to ask whoever is near for; None: all is here."""
        if not self._wanted:
            return None
        part, offset = self._parts[self._wanted[0] - 1], len(self._head)
        return Ask(part, offset, min(bytes_max, part.size_bytes - offset))

    def brought(self, piece: bytes) -> StorePart | Keep | Discard:
        """The piece that was asked for has come from near, to be believed once it is what the hub named."""
        part, offset = self._parts[self._wanted[0] - 1], len(self._head)
        self._head += piece
        if len(self._head) < part.size_bytes:
            return StorePart(*_batch_of(part), offset, piece)
        sealed = bytes(self._head)
        self._head.clear()
        if name_of(sealed) != part.name:
            return Discard()
        self.kept()
        return Keep(part.name, sealed)

    def begun(self, first: Batch) -> bytes:
        """The name of the part that begins to come."""
        if not self._wanted or first.part != self._wanted[0]:
            raise ProtocolViolation(f"part {first.part} comes, {self._wanted[:1]} was asked for")
        return self._parts[first.part - 1].name

    def kept(self) -> None:
        """The part that was coming is on disk."""
        self._wanted = self._wanted[1:]


def _batch_of(part: Part) -> tuple[bytes, int]:
    """A part as a batch: its name and length."""
    return part.name[:BATCH_ID_BYTES], part.size_bytes
