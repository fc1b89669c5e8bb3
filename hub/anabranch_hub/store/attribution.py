"""Whose bytes were they? What a stream carries is shared out to the documents of its pulls and pushes.

The bytes between two acknowledgements, handshakes and all, go to the documents that travelled meanwhile, in
proportion to the size of their paths and values: an estimate, as they were compressed together. Whatever has
no documents, and the parts of snapshots, have names of their own in parentheses, which no namespace has.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgpack
from anabranch_sync.change import Entry
from anabranch_sync.document import Document
from anabranch_sync.pull import Pull
from anabranch_sync.register import json_of
from anabranch_sync.snapshot import Offer

EXCHANGE, SNAPSHOT, OTHERS = "(exchange)", "(snapshot)", "(others)"

# What one acknowledgement may name; the largest are what somebody looks for.
SHARES_MAX = 20
# Rows of one edge and day: beyond them what is new is summed up as OTHERS. A row takes some 100 bytes.
ROWS_OF_DAY_MAX = 200
# A season to look back on: at most 2 MB an edge.
DAYS_KEPT = 90


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A document, or one of the names in parentheses, with an empty key."""

    namespace: str
    key: str


@dataclass(frozen=True, slots=True)
class Share:
    """Bytes of frames that went for one place."""

    place: Place
    bytes_up: int
    bytes_down: int


class Attribution:
    """What one stream has carried and for whom, since this was last taken."""

    def __init__(self) -> None:
        self._up: Counter[Place] = Counter()
        self._down: Counter[Place] = Counter()
        self._taken = (0, 0)

    def pushed(self, entries: Sequence[Entry]) -> None:
        """These changes came in."""
        for entry in entries:
            documents = entry.change.documents
            for document in documents:
                self._up[Place(document.namespace, document.key)] += len(entry.body) // len(documents)

    def pulled(self, pull: Pull | Offer | None) -> None:
        """This goes out."""
        if isinstance(pull, Offer):
            self._down[Place(SNAPSHOT, "")] += 1
        elif pull is not None:
            for document, state in pull.documents.items():
                self._down[Place(document.namespace, document.key)] += _size_bytes(state)

    def take(self, bytes_up: int, bytes_down: int) -> tuple[Share, ...]:
        """Share out what the stream, which has carried so much in all, carried since the last time."""
        up = shared(bytes_up - self._taken[0], self._up)
        down = shared(bytes_down - self._taken[1], self._down)
        self._taken = (bytes_up, bytes_down)
        self._up.clear()
        self._down.clear()
        largest = sorted(up.keys() | down.keys(), key=lambda each: (-up[each] - down[each], each))
        others = Place(OTHERS, "")
        for each in largest[SHARES_MAX:]:
            up[others] += up.pop(each, 0)
            down[others] += down.pop(each, 0)
        return tuple(Share(each, up[each], down[each]) for each in sorted(up.keys() | down.keys()))


def _size_bytes(document: Document) -> int:
    """About what the document takes: encoding it for this took a quarter as long as encoding the pull."""
    values = [(slot.path, json_of(register.value)) for slot, register in document.registers.items()]
    return len(msgpack.packb(values))


def shared(size_bytes: int, weights: Mapping[Place, int]) -> Counter[Place]:
    """So many bytes in proportion to `weights`, none lost: what does not divide goes to the heaviest."""
    total = sum(weights.values())
    if not total:
        return Counter({Place(EXCHANGE, ""): size_bytes})
    parts = Counter({place: size_bytes * weight // total for place, weight in weights.items()})
    parts[max(weights, key=lambda place: (weights[place], place))] += size_bytes - sum(parts.values())
    return parts
