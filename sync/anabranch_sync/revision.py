"""What both ends have shortens what is said: a batch is relative to the documents as they were before it.

The content of a document at the replica's cursor is known to both: the edge has confirmed it, the hub has it
or finds it in its versions. So a field that was there is named by its number among the leaves (`writes`), and
a text that was changed travels as what became of the one before it: how much of its head and tail stays, and
what stands between. Within a push a later text is relative to the earlier one of the same field.

The contents are checked together, so that one that was thought to be the same on both sides and is not never
makes anything that nobody wrote: the push is asked for again, in full, and a replica that cannot read a pull
gets everything anew.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias, TypeVar, cast

from anabranch_sync.change import Change
from anabranch_sync.document import DIGEST_BYTES, digest, flatten
from anabranch_sync.errors import ContentsDiffer, CorruptFrame, FrameTooLarge
from anabranch_sync.ids import DocumentId, HubSeq
from anabranch_sync.packing import read_varint, varint
from anabranch_sync.path import Path
from anabranch_sync.policy import atomic_lists
from anabranch_sync.register import Slot
from anabranch_sync.value import Object

# By what it begins with, in the place of a value (see `change`).
REVISION = 5
CHECK_BYTES = 4
# A revision takes five bytes besides what is new in it.
TEXT_CHARS_MIN = 8
# Fewer writes name their paths, unless they are of texts: looking for what documents were costs the hub two
# queries, and those edits are made while somebody waits for them.
WRITES_MIN = 8

Contents: TypeAlias = Mapping[DocumentId, Object]
# Where nothing is said by what documents were before.
NOTHING_KNOWN: Contents = {}

V = TypeVar("V")
Write: TypeAlias = tuple[DocumentId, Slot, V]


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
        """The text. Raises CorruptFrame."""
        if before is None or self.head + self.tail > len(before):
            raise CorruptFrame("a revision of nothing, or of less than it keeps")
        return before[: self.head] + self.middle + before[len(before) - self.tail :]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An effect of either session: find what `documents` were at position `after`; report `found`."""

    after: HubSeq
    documents: tuple[DocumentId, ...]


def worth_comparing(writes: Collection[Write[object]]) -> tuple[DocumentId, ...]:
    """The documents of which it is worth to say these writes by what they were."""
    are_many = len(writes) >= WRITES_MIN
    return tuple(dict.fromkeys(each for each, slot, value in writes if are_many or _is_long(slot, value)))


def changed_by(changes: Iterable[Change]) -> tuple[DocumentId, ...]:
    """The documents of which it is worth to say these changes by what they were."""
    return worth_comparing([(op.document, op.slot, op.value) for change in changes for op in change.ops])


def revised(before: str | None, after: str) -> Revised | None:
    """What became of `before`; None where that takes as much as the text itself."""
    if before is None or min(len(before), len(after)) < TEXT_CHARS_MIN:
        return None
    head = _common(before, after)
    shorter = min(len(before), len(after)) - head
    tail = _common(before[len(before) - shorter :][::-1], after[len(after) - shorter :][::-1])
    revision = Revised(head, tail, after[head : len(after) - tail])
    return revision if len(revision.packed) < len(after) else None


def unpacked_revision(packed: bytes) -> Revised:
    """The revision of `Revised.packed`. Raises CorruptFrame."""
    head, start = read_varint(packed, 1)
    tail, start = read_varint(packed, start)
    try:
        return Revised(head, tail, packed[start:].decode())
    except UnicodeDecodeError as error:
        raise CorruptFrame("a revision is no text") from error


def check_of(documents: Sequence[DocumentId], before: Contents) -> bytes:
    """What tells that all of these are known, and as what; of none, nothing. Raises ContentsDiffer."""
    if not documents:
        return b""
    total = blake2b(digest_size=CHECK_BYTES)
    for document in documents:
        if document not in before:
            raise ContentsDiffer
        total.update(digest(document, before[document]).to_bytes(DIGEST_BYTES, "big"))
    return total.digest()


def leaf_paths(content: Object) -> list[Path]:
    """Where a document has leaves, in order: both ends number them alike."""
    return sorted(slot.path for slot in flatten(content, atomic_lists))


def relative(writes: Iterable[Write[V]], before: Contents) -> list[V | Revised]:
    """The values of these writes, texts as what became of those before them."""
    latest = _Latest(before)
    result: list[V | Revised] = []
    for document, slot, value in writes:
        revision = None
        if isinstance(value, str) and slot.element is None:
            revision = revised(latest.text(document, slot), value)
            latest.put(document, slot, value)
        result.append(value if revision is None else revision)
    return result


def absolute(writes: Iterable[Write[V | Revised]], before: Contents, chars_max: int) -> list[Write[V]]:
    """The writes, each text as it is; `chars_max` in all, for a few bytes may stand for a long one.

    Raises CorruptFrame, FrameTooLarge.
    """
    latest = _Latest(before)
    chars = 0
    result: list[Write[V]] = []
    for document, slot, value in writes:
        said = value
        if isinstance(value, Revised):
            text = value.of(latest.text(document, slot))
            chars += len(text)
            if chars > chars_max:
                raise FrameTooLarge("texts", chars, chars_max)
            said = cast("V", text)  # a text is a value, whatever else is one
        if isinstance(said, str) and slot.element is None:
            latest.put(document, slot, said)
        result.append((document, slot, cast("V", said)))
    return result


class _Latest:
    """What stands in each field that is a text, in the course of a batch."""

    def __init__(self, before: Contents) -> None:
        self._before = before
        self._written: dict[tuple[DocumentId, Slot], str] = {}

    def text(self, document: DocumentId, slot: Slot) -> str | None:
        if (document, slot) in self._written:
            return self._written[document, slot]
        value: object = self._before.get(document)
        for key in slot.path:
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        return value if isinstance(value, str) else None

    def put(self, document: DocumentId, slot: Slot, text: str) -> None:
        self._written[document, slot] = text


def _is_long(slot: Slot, value: object) -> bool:
    return slot.element is None and isinstance(value, str) and len(value) >= TEXT_CHARS_MIN


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
