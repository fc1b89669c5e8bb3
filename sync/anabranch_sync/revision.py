"""A text that was changed travels as what became of the one before it: a word of a prompt costs twenty bytes.

The text before is the one in the document's content at the replica's cursor, which both sides have: the edge
has confirmed it, the hub has it or finds it in its versions. What is sent names how much of its head and
tail stays, and what stands between. Within a push a later text is relative to the earlier one of the same
field. The texts that are made that way are checked together, so that a text that was thought to be the same
on both sides and is not is never taken for one that somebody wrote: the push is asked for again, plain, and a
replica that cannot read a pull gets everything anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias, TypeVar

from anabranch_sync.change import Change
from anabranch_sync.document import Object
from anabranch_sync.errors import CorruptFrame, FrameTooLarge, TextsDiffer
from anabranch_sync.ids import DocumentId, HubSeq
from anabranch_sync.packing import read_varint, varint
from anabranch_sync.register import Slot

# By what it begins with, in the place of a value (see `change`).
REVISION = 5
CHECK_BYTES = 4
# A revision takes five bytes besides what is new in it.
TEXT_CHARS_MIN = 8

Place: TypeAlias = tuple[DocumentId, Slot]
Texts: TypeAlias = Mapping[Place, str]

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Revised:
    """So many characters of the head and of the tail of the text before, and `middle` between them."""

    head: int
    tail: int
    middle: str

    @property
    def packed(self) -> bytes:
        """As it stands in the place of a value."""
        return bytes([REVISION]) + varint(self.head) + varint(self.tail) + self.middle.encode()

    def of(self, before: str | None) -> str:
        """The text. Raises TextsDiffer."""
        if before is None or self.head + self.tail > len(before):
            raise TextsDiffer
        return before[: self.head] + self.middle + before[len(before) - self.tail :]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An effect of either session: find what texts stood at `places` at position `after`; report `found`."""

    after: HubSeq
    places: tuple[Place, ...]


def revised(before: str | None, after: str) -> Revised | None:
    """What became of `before`; None where that takes as much as the text itself."""
    if before is None or min(len(before), len(after)) < TEXT_CHARS_MIN:
        return None
    head = _common(before, after)
    shorter = min(len(before), len(after)) - head
    tail = _common(before[len(before) - shorter :][::-1], after[len(after) - shorter :][::-1])
    revision = Revised(head, tail, after[head : len(after) - tail])
    return revision if len(revision.packed) < len(after) else None


def places_of(changes: Iterable[Change]) -> tuple[Place, ...]:
    """Where these changes write texts that may be worth comparing with those before."""
    return tuple(
        dict.fromkeys(
            (op.document, op.slot)
            for change in changes
            for op in change.ops
            if isinstance(op.value, str) and len(op.value) >= TEXT_CHARS_MIN and op.slot.element is None
        )
    )


def unpacked_revision(packed: bytes) -> Revised:
    """The revision of `Revised.packed`. Raises CorruptFrame."""
    head, start = read_varint(packed, 1)
    tail, start = read_varint(packed, start)
    try:
        return Revised(head, tail, packed[start:].decode())
    except UnicodeDecodeError as error:
        raise CorruptFrame("a revision is no text") from error


def check_of(texts: Iterable[str]) -> bytes:
    """What tells that all of these were made from the right ones."""
    total = blake2b(digest_size=CHECK_BYTES)
    for text in texts:
        total.update(len(text).to_bytes(4, "big") + text.encode())
    return total.digest()


def wanted(leaves: Iterable[tuple[DocumentId, tuple[Slot, object]]]) -> tuple[Place, ...]:
    """Where a text stood before, of those leaves that are relative to one that is not among them."""
    known: set[Place] = set()
    places: dict[Place, None] = {}
    for document, (slot, value) in leaves:
        place = document, slot
        if isinstance(value, Revised) and place not in known:
            places[place] = None
        if isinstance(value, str | Revised):
            known.add(place)
    return tuple(places)


def absolute(
    leaves: Iterable[tuple[DocumentId, tuple[Slot, V | Revised]]],
    before: Texts,
    check: object,
    chars_max: int,
) -> list[tuple[Slot, V | str | Revised]]:
    """The leaves, each text as it is; `chars_max` in all, for a few bytes may stand for a long one.

    Raises TextsDiffer where those before are not the ones meant, FrameTooLarge.
    """
    latest = dict(before)
    made = []
    chars = 0
    result: list[tuple[Slot, V | str | Revised]] = []
    for document, (slot, value) in leaves:
        text: V | str
        if isinstance(value, Revised):
            text = value.of(latest.get((document, slot)))
            made.append(text)
            chars += len(text)
            if chars > chars_max:
                raise FrameTooLarge("texts", chars, chars_max)
        else:
            text = value
        if isinstance(text, str):
            latest[document, slot] = text
        result.append((slot, text))
    if check_of(made) != check:
        raise TextsDiffer
    return result


def plain(leaves: Iterable[tuple[Slot, V | Revised]]) -> list[tuple[Slot, V]]:
    """The leaves, none of which is relative to anything. Raises CorruptFrame."""
    result: list[tuple[Slot, V]] = []
    for slot, value in leaves:
        if isinstance(value, Revised):
            raise CorruptFrame(f"{slot}: a revision of nothing")
        result.append((slot, value))
    return result


def text_at(content: Object | None, slot: Slot) -> str | None:
    """The text of a field; None: there is none."""
    value: object = content
    if slot.element is not None:
        return None
    for key in slot.path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value if isinstance(value, str) else None


def _common(one: str, other: str) -> int:
    """How many characters the two begin with together; by halves, for comparing slices takes no time."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
