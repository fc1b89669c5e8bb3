"""What one edit of a text or list says, read from bytes before the library that applies it sees any.

An edit travels as a Yjs update (v1): who inserts what between which two neighbours, and what is
deleted. pycrdt believes what it is given: seven bytes end its process, nested types do too, a few
hundred cost seconds and hundreds of megabytes. So nothing reaches it but what is here taken apart
under limits, of the few kinds that this system writes, in the one form in which it writes them.

    update    = structs of one client, from clock 0, or of none; deletions
    struct    = left and right neighbour, or one of them, then a string, or items as bytes
    deletions = by client and clock, ascending, never touching each other

Everything else is refused: other clients, gaps, formatting, nested types, maps, empty structs. A struct
without neighbours, which would fit anywhere, is only that of a seed, and never read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from anabranch_sync.errors import CorruptFrame
from anabranch_sync.packing import read_varint, varint

# An edit may replace the largest document's text by another one, and names its neighbours.
UPDATE_BYTES_MAX = 640 * 1024
# Edits are composed of at most 64 insertions (`leaf_text`); a seed is one.
STRUCTS_MAX = 64
# What is deleted may lie in pieces between the insertions of 32 other edits.
DELETIONS_MAX = 32 * STRUCTS_MAX
# The units of one leaf: UTF-16 code units of a text, items of a list.
UNITS_MAX = 512 * 1024
CLIENT_BITS = 32

_LEFT, _RIGHT, _KIND = 0x80, 0x40, 0x3F
_STRING, _ANY, _BUFFER, _NAMED_ROOT = 4, 8, 116, 1
_ROOTS = {_STRING: b"text", _ANY: b"list"}

# A text, or the canonical bytes of each item of a list.
Units: TypeAlias = str | tuple[bytes, ...]
# The units from `start` to `stop` give way to `new`.
Hunk: TypeAlias = tuple[int, int, Units]


class Id(NamedTuple):
    """One unit of a leaf: the n-th that a client inserted."""

    client: int
    clock: int


class Span(NamedTuple):
    """Consecutive units of one client."""

    client: int
    clock: int
    length: int


@dataclass(frozen=True, slots=True)
class Insertion:
    """Content between two neighbours, as its author saw them; None is the start or the end."""

    left: Id | None
    right: Id | None
    content: Units


@dataclass(frozen=True, slots=True)
class Update:
    """What an edit does. Its insertions' clocks follow each other from 0."""

    client: int
    insertions: tuple[Insertion, ...] = ()
    deletions: tuple[Span, ...] = ()

    @property
    def starts(self) -> list[int]:
        """The clock of the first unit of each insertion, and at the end that of the next one."""
        starts = [0]
        for each in self.insertions:
            starts.append(starts[-1] + length(each.content))
        return starts


def length(content: Units) -> int:
    """How many units the wire counts: UTF-16 code units of a string, items of a list."""
    if isinstance(content, str):
        return len(content) + (0 if content.isascii() else sum(each > "\uffff" for each in content))
    return len(content)


def encode_update(update: Update) -> bytes:
    """The bytes of an update; equal updates have equal bytes."""
    body = bytearray()
    if update.insertions:
        body += b"\x01" + varint(len(update.insertions)) + varint(update.client) + b"\x00"
    else:
        body += b"\x00"
    for each in update.insertions:
        body += _encoded(each)
    deletions: dict[int, list[Span]] = {}
    for span in update.deletions:
        deletions.setdefault(span.client, []).append(span)
    body += varint(len(deletions))
    for client, spans in deletions.items():
        body += varint(client) + varint(len(spans))
        for span in spans:
            body += varint(span.clock) + varint(span.length)
    return bytes(body)


@lru_cache(maxsize=4096)
def decode_update(client: int, body: bytes) -> Update:
    """The update of `client` that `encode_update` wrote as `body`. Raises CorruptFrame."""
    if len(body) > UPDATE_BYTES_MAX:
        raise CorruptFrame(f"edit of {len(body)} bytes, limit {UPDATE_BYTES_MAX}")
    update = read_update(client, body)
    if joined(update.deletions) != update.deletions or encode_update(update) != body:
        raise CorruptFrame("edit is not in canonical form")
    return update


def read_update(client: int, body: bytes) -> Update:
    """The update in `body`, its deletions in any order. Raises CorruptFrame."""
    reader = _Reader(body)
    update = Update(client, tuple(reader.insertions(client)), tuple(reader.deletions()))
    if reader.at != len(body):
        raise CorruptFrame("bytes after an edit")
    if not (update.insertions or update.deletions):
        raise CorruptFrame("an edit that does nothing")
    if len({type(each.content) for each in update.insertions}) > 1:
        raise CorruptFrame("an edit of a text and of a list")
    if update.starts[-1] > UNITS_MAX:
        raise CorruptFrame(f"edit of {update.starts[-1]} units, limit {UNITS_MAX}")
    return update


def joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The same units in ascending spans that do not touch each other."""
    result: list[Span] = []
    for span in sorted(spans):
        last = result[-1] if result else None
        if last and last.client == span.client and span.clock <= last.clock + last.length:
            end = max(last.clock + last.length, span.clock + span.length)
            result[-1] = Span(last.client, last.clock, end - last.clock)
        else:
            result.append(span)
    return tuple(result)


def _encoded(insertion: Insertion) -> bytes:
    left, right, content = insertion.left, insertion.right, insertion.content
    kind = _STRING if isinstance(content, str) else _ANY
    body = bytearray([kind | (_LEFT if left else 0) | (_RIGHT if right else 0)])
    for neighbour in (left, right):
        if neighbour is not None:
            body += varint(neighbour.client) + varint(neighbour.clock)
    if left is None and right is None:
        body += bytes([_NAMED_ROOT]) + varint(len(_ROOTS[kind])) + _ROOTS[kind]
    if isinstance(content, str):
        text = content.encode()
        return bytes(body + varint(len(text)) + text)
    body += varint(len(content))
    for item in content:
        body += bytes([_BUFFER]) + varint(len(item)) + item
    return bytes(body)


class _Reader:
    """Takes bytes apart from the front; every number is below its limit or refused."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def insertions(self, client: int) -> list[Insertion]:
        if not self.number("clients", 1):
            return []
        count = self.number("structs", STRUCTS_MAX)
        if self.number("client", 2**CLIENT_BITS - 1) != client or self.number("clock", 0):
            raise CorruptFrame("an edit inserts as its own client, from clock 0")
        return [self.insertion() for _ in range(count)]

    def insertion(self) -> Insertion:
        flags = self.taken(1)[0]
        kind = flags & _KIND
        if kind not in _ROOTS:
            raise CorruptFrame(f"an edit with content of kind {kind}")
        left = self.id() if flags & _LEFT else None
        right = self.id() if flags & _RIGHT else None
        if left is None and right is None:
            raise CorruptFrame("an edit of nothing: what is empty is written whole")
        return Insertion(left, right, self.text() if kind == _STRING else self.items())

    def text(self) -> str:
        try:
            text = self.taken(self.number("bytes", UPDATE_BYTES_MAX)).decode()
        except UnicodeDecodeError as error:
            raise CorruptFrame("an edit's text is not UTF-8") from error
        if not text:
            raise CorruptFrame("an edit inserts nothing")
        return text

    def items(self) -> tuple[bytes, ...]:
        count = self.number("items", UNITS_MAX)
        items = []
        for _ in range(count):
            if self.taken(1)[0] != _BUFFER:
                raise CorruptFrame("an edit's items are bytes")
            items.append(self.taken(self.number("bytes", UPDATE_BYTES_MAX)))
        if not items:
            raise CorruptFrame("an edit inserts nothing")
        return tuple(items)

    def deletions(self) -> list[Span]:
        spans: list[Span] = []
        for _ in range(self.number("clients", DELETIONS_MAX)):
            client = self.number("client", 2**CLIENT_BITS - 1)
            for _ in range(self.number("deletions", DELETIONS_MAX - len(spans))):
                spans.append(Span(client, self.number("clock", UNITS_MAX), self.number("length", UNITS_MAX)))
        if not all(span.length for span in spans):
            raise CorruptFrame("an edit deletes nothing")
        return spans

    def id(self) -> Id:
        return Id(self.number("client", 2**CLIENT_BITS - 1), self.number("clock", UNITS_MAX))

    def number(self, what: str, limit: int) -> int:
        number, self.at = read_varint(self.body, self.at)
        if number > limit:
            raise CorruptFrame(f"an edit's {what}: {number}, limit {limit}")
        return number

    def taken(self, size: int) -> bytes:
        part = self.body[self.at : self.at + size]
        if len(part) != size:
            raise CorruptFrame("an edit ends too soon")
        self.at += size
        return part
