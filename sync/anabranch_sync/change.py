"""Changes: what one author committed at once, across one or several documents.

A change is recorded byte for byte when it is written (`encode`) and replayed byte for byte: its
content id is a hash of those bytes, so two replicas can tell the same change from another one that
reused its dot (a restored backup, a cloned disk). The dot itself is not part of the bytes: a fenced
replica sends the same change again under a new incarnation, and the hub recognises it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgpack

from anabranch_sync.clock import TIMESTAMP_MAX, Timestamp
from anabranch_sync.errors import ChangeTooLarge, CorruptFrame, InvalidInput
from anabranch_sync.ids import (
    Cursor,
    DocumentId,
    Dot,
    LocalSeq,
    check_told,
    document_id,
)
from anabranch_sync.later import later
from anabranch_sync.leaf import ancestry_slot, is_number
from anabranch_sync.packing import unpack
from anabranch_sync.path import Path
from anabranch_sync.priority import PRIORITY_DEFAULT
from anabranch_sync.register import (
    DELETED,
    Ancestry,
    AnyValue,
    Edit,
    Increment,
    Operand,
    Part,
    Slot,
    Tombstone,
)
from anabranch_sync.value import DEPTH_MAX, INT_MAX, Json, canonical, check, ordered

if TYPE_CHECKING:
    from anabranch_sync import leaf_ancestry, leaf_edits
else:
    later(globals(), "anabranch_sync", "leaf_ancestry", "leaf_edits")

# A change must fit one push batch whole, so that it is applied whole: 1 MiB holds four full documents.
CHANGE_BYTES_MAX = 1024 * 1024
# Bounds the work of one decision: flattening the largest document gives about 60,000 leaves.
OPS_MAX = 100_000
CONTENT_ID_BYTES = 16
# Compared between two parties who are not enemies of themselves; 64 bits make an accident impossible.
CHAIN_BYTES = 8
CHAIN_START = bytes(CHAIN_BYTES)

_FORMAT = 1
_SET, _DELETE = 0, 1
# Bytes are no JSON value: those in the place of a value say by their first what else it is.
_PART, _INCREMENT, _EDIT, _ANCESTRY = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Op:
    """One leaf set, added to or deleted."""

    document: DocumentId
    slot: Slot
    value: Operand


@dataclass(frozen=True, slots=True)
class Change:
    """What one author committed at once. `base` is the cursor of what the author had seen.

    `schemas` names the schema documents (``name@version``) in force where it was written, `restores`
    the ledger row whose losing value it brings back (0: none).
    """

    timestamp: Timestamp
    base: Cursor
    author: str
    message: str
    ops: tuple[Op, ...]
    schemas: tuple[str, ...] = ()
    restores: int = 0

    @property
    def documents(self) -> tuple[DocumentId, ...]:
        """The documents it touches, in order of first mention."""
        return tuple(dict.fromkeys(op.document for op in self.ops))


@dataclass(frozen=True, slots=True)
class Entry:
    """A change with its identity, as an outbox keeps it and a push carries it.

    `priority` is how pressing it is on its way; what was recorded says nothing of that. In a push, so many
    changes before it may be `absorbed`, and `chain` is then its author's word on the chain up to it.
    """

    dot: Dot
    change: Change
    body: bytes
    priority: int = PRIORITY_DEFAULT
    absorbed: int = 0
    chain: bytes = b""

    @property
    def content_id(self) -> bytes:
        """The hash of the recorded bytes."""
        return content_id(self.body)

    @property
    def first(self) -> LocalSeq:
        """The number of the first change that it stands for."""
        return self.dot.local_seq - self.absorbed

    @property
    def stands_for(self) -> int:
        """How many changes it stands for, itself included."""
        return self.absorbed + 1

    def chain_after(self, before: bytes) -> bytes:
        """The chain up to it, where `before` is that up to the change before those it stands for."""
        return self.chain if self.absorbed else chained(before, self.body)


def entry(dot: Dot, change: Change, priority: int = PRIORITY_DEFAULT) -> Entry:
    """Record `change` under `dot`. Raises ChangeTooLarge."""
    return Entry(dot, change, encode(change), priority)


def content_id(body: bytes) -> bytes:
    """The hash of a change's recorded bytes, CONTENT_ID_BYTES long."""
    return blake2b(body, digest_size=CONTENT_ID_BYTES).digest()


def chained(chain: bytes, body: bytes) -> bytes:
    """The chain after one more change: equal chains mean equal histories of an incarnation."""
    return blake2b(chain + content_id(body), digest_size=CHAIN_BYTES).digest()


def encode(change: Change) -> bytes:
    """The recorded bytes of `change`; equal changes have equal bytes. Raises ChangeTooLarge."""
    if len(change.ops) > OPS_MAX:
        raise ChangeTooLarge("operations", len(change.ops), OPS_MAX)
    documents = {document: index for index, document in enumerate(change.documents)}
    body: bytes = msgpack.packb(
        [
            _FORMAT,
            change.timestamp,
            change.base.epoch,
            change.base.hub_seq,
            change.author,
            change.message,
            list(change.schemas),
            change.restores,
            [[document.namespace, document.key] for document in documents],
            [_packed_op(op, documents) for op in change.ops],
        ]
    )
    if len(body) > CHANGE_BYTES_MAX:
        raise ChangeTooLarge("bytes", len(body), CHANGE_BYTES_MAX)
    return body


def decode(body: bytes) -> Change:
    """The change of recorded bytes. Raises CorruptFrame for anything that `encode` does not write."""
    if len(body) > CHANGE_BYTES_MAX:
        raise CorruptFrame(f"change of {len(body)} bytes, limit {CHANGE_BYTES_MAX}")
    try:
        change = _unpacked_change(unpack(body))
        again = encode(change)
    except (ValueError, TypeError, IndexError, OverflowError, InvalidInput, RecursionError) as error:
        raise CorruptFrame(f"malformed change: {error}") from error
    if again != body:
        raise CorruptFrame("change is not in canonical form")
    return change


def check_facts(timestamp: int, base: Cursor, author: str, message: str, restores: int) -> None:
    """Refuse facts no writer can have recorded. Raises ValueError, InvalidName."""
    for name, value, limit in (
        ("timestamp", timestamp, TIMESTAMP_MAX),
        ("epoch", base.epoch, INT_MAX),
        ("base", base.hub_seq, INT_MAX),
        ("restores", restores, INT_MAX),
    ):
        if type(value) is not int or not 0 <= value <= limit:
            raise ValueError(f"{name} {value!r} is not an integer from 0 to {limit}")
    if type(author) is not str or type(message) is not str:
        raise ValueError("author or message is not text")
    check_told(author, message)


def unpacked_address(namespace: object, key: object) -> DocumentId:
    """A document's address from the wire, checked. Raises ValueError, InvalidName."""
    if type(namespace) is not str or type(key) is not str:
        raise ValueError("a document's address is not text")
    return document_id(namespace, key)


def unpacked_schemas(names: object) -> tuple[str, ...]:
    """The names of schema documents from the wire. Raises ValueError."""
    if type(names) is not list or not all(type(name) is str for name in names):
        raise ValueError("schemas are not a list of names")
    return tuple(names)


def unpacked_slot(path: Sequence[object], element: object) -> Slot:
    """A slot from the wire, checked. Raises ValueError."""
    if len(path) > DEPTH_MAX or not all(type(key) is str for key in path):
        raise ValueError("path is not a short list of strings")
    if element is not None and (type(element) is not bytes or not path):
        raise ValueError("element is not bytes below a path")
    keys: Path = tuple(str(key) for key in path)
    return Slot(keys, element if type(element) is bytes else None)


def packed_value(value: AnyValue) -> "Json | bytes":
    """A live value as msgpack can have it; equal values have equal bytes."""
    match value:
        case Part(amount):
            return bytes([_PART]) + canonical(amount)
        case Increment(delta, wrote):
            return bytes([_INCREMENT]) + canonical([delta, wrote])
        case Edit(update):
            return bytes([_EDIT]) + update
        case Ancestry(runs):
            return bytes([_ANCESTRY]) + runs
        case Tombstone():
            raise ValueError("a deletion has no value")
        case _:
            return ordered(value)


def unpacked_operand(slot: Slot, packed: Any) -> "Json | Increment | Edit":
    """What an operation says, from the wire, checked. Raises ValueError, InvalidValue, CorruptFrame."""
    value = _unpacked(slot, packed)
    if isinstance(value, Part | Ancestry):
        raise ValueError(f"{slot}: an operation writes no member of a leaf")
    return value


def unpacked_value(slot: Slot, packed: Any) -> "Json | Part | Edit | Ancestry":
    """What a register holds, from the wire, checked. Raises ValueError, InvalidValue, CorruptFrame."""
    value = _unpacked(slot, packed)
    if isinstance(value, Increment):
        raise ValueError(f"{slot}: a register holds no increment")
    return value


def _unpacked(slot: Slot, packed: Any) -> "Json | Part | Increment | Edit | Ancestry":
    if type(packed) is not bytes:
        return unpacked_leaf(slot, packed)
    kind, body = packed[:1], packed[1:]
    if kind == bytes([_PART]) and slot.is_of_member:
        return Part(_number(unpack(body)))
    if kind == bytes([_INCREMENT]) and slot.element is None and slot.path:
        delta, wrote = unpack(body)
        return Increment(_number(delta), _number(wrote))
    if kind == bytes([_EDIT]) and slot.is_of_member:
        return leaf_edits.check_edit(slot, Edit(body))
    if kind == bytes([_ANCESTRY]) and slot == ancestry_slot(slot.path):
        leaf_ancestry.decode_ancestry(body)
        return Ancestry(body)
    raise ValueError(f"{slot}: bytes of an unknown kind")


def _number(value: Any) -> int | float:
    if not is_number(check(value)):
        raise ValueError(f"{value!r} is not a number")
    return value  # type: ignore[no-any-return]


def unpacked_leaf(slot: Slot, value: Json) -> Json:
    """A leaf from the wire, checked: objects are never leaves, but for the empty one. Raises ValueError."""
    if isinstance(value, dict) and value and slot.element is None:
        raise ValueError("an object with members is not a leaf")
    if not slot.path and not isinstance(value, dict):
        raise ValueError("a document is an object: its root has no other value")
    # As deep as in the document it becomes a part of: elements lie in the list at their path.
    return check(value, str(slot), len(slot.path) + (slot.element is not None) + 1)


def _packed_op(op: Op, documents: dict[DocumentId, int]) -> list[object]:
    if op.slot.is_of_member != isinstance(op.value, Edit):
        raise ValueError(f"{op.slot}: edits, and nothing else, are written beside the value at a path")
    head: list[object] = [documents[op.document], list(op.slot.path), op.slot.element]
    return [*head, _DELETE] if op.value is DELETED else [*head, _SET, packed_value(op.value)]


def _unpacked_change(raw: Any) -> Change:
    form, timestamp, epoch, hub_seq, author, message, schemas, restores, addresses, ops = raw
    if form != _FORMAT:
        raise ValueError(f"format {form!r}, known {_FORMAT}")
    base = Cursor(epoch, hub_seq)
    check_facts(timestamp, base, author, message, restores)
    documents = [unpacked_address(namespace, key) for namespace, key in addresses]
    return Change(
        timestamp,
        base,
        author,
        message,
        tuple(_unpacked_op(op, documents) for op in ops),
        unpacked_schemas(schemas),
        restores,
    )


def _unpacked_op(raw: Any, documents: list[DocumentId]) -> Op:
    index, path, element, kind, *value = raw
    if type(index) is not int or index < 0:
        raise ValueError("document index is not a position")
    slot = unpacked_slot(path, element)
    if kind == _DELETE and not value:
        return Op(documents[index], slot, DELETED)
    if kind == _SET and len(value) == 1:
        return Op(documents[index], slot, unpacked_operand(slot, value[0]))
    raise ValueError(f"operation kind {kind!r} with {len(value)} values")
