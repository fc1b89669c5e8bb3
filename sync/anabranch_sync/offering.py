"""The two halves of a snapshot on its way: what the hub still has to send, what the edge still lacks."""

from collections.abc import Iterable

from anabranch_sync.errors import CorruptFrame, FrameTooLarge, ProtocolViolation
from anabranch_sync.messages import BATCH_BYTES_MAX, Batch, Parts, SnapshotOffer
from anabranch_sync.pull import Pull
from anabranch_sync.pull_body import split_names
from anabranch_sync.snapshot import PARTS_MAX, Offer, Part
from anabranch_sync.standing import Partial
from anabranch_sync.transfer import BATCH_ID_BYTES


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
        try:
            self.names = split_names(offer.names)
        except ValueError as error:
            raise CorruptFrame(str(error)) from error
        if len(self.names) != len(offer.sizes) or len(self.names) > PARTS_MAX:
            raise CorruptFrame(f"{len(self.names)} parts of {len(offer.sizes)} sizes, limit {PARTS_MAX}")
        if any(size > BATCH_BYTES_MAX for size in offer.sizes):
            raise FrameTooLarge("part", max(offer.sizes), BATCH_BYTES_MAX)
        here = set(staged)
        self._sizes = offer.sizes
        self._wanted = [number for number, name in enumerate(self.names, 1) if name not in here]
        self._offset = 0
        for number in self._wanted:
            if partial and self._heads(number) == (partial.batch, partial.total):
                self._wanted.remove(number)
                self._wanted.insert(0, number)
                self._offset = len(partial.received)
                break

    @property
    def message(self) -> Parts:
        """What the hub is told."""
        return Parts(tuple(self._wanted), self._offset)

    def begun(self, first: Batch) -> bytes:
        """The name of the part that begins to come."""
        if not self._wanted or first.part != self._wanted[0]:
            raise ProtocolViolation(f"part {first.part} comes, {self._wanted[:1]} was asked for")
        return self.names[first.part - 1]

    def kept(self) -> None:
        """The part that was coming is on disk."""
        self._wanted = self._wanted[1:]

    def _heads(self, number: int) -> tuple[bytes, int]:
        return self.names[number - 1][:BATCH_ID_BYTES], self._sizes[number - 1]
