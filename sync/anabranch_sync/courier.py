"""What goes into parcels and what may be taken out of them: the exchange with months between its steps.

::

    edge                                                    hub
     Hello Batch Chunk* (own changes)     -- file -->        decides; remembers the Hello
              <-- file --                 Welcome Batch Chunk*   (merged mark, pull)

The frames are those of the live exchange and each side's session takes them as it would from a stream. What
a stream does by waiting, a file cannot: so each file has all that it needs to be taken by itself, and the
order is found out from what a replica and its hub know anyway, dots, chains and cursors. A file that comes
early is refused and may come again; one that comes late changes nothing.
"""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from anabranch_sync.change import Entry, chained
from anabranch_sync.errors import FileSizeRefused, ParcelDamaged, ParcelEarly, ParcelStray, WireError
from anabranch_sync.ids import START, LocalSeq
from anabranch_sync.messages import CHUNK_BYTES_MAX, PROTOCOL_MIN, Batch, Chunk, Hello, Message, Welcome
from anabranch_sync.outbox import PUSH_BYTES_MAX, PUSH_CHANGES_MAX
from anabranch_sync.packing import seal
from anabranch_sync.parcel import PARCEL_BYTES_MAX, PARCEL_BYTES_MIN, PARCEL_OVERHEAD_BYTES, Letter
from anabranch_sync.push_body import encode_entries
from anabranch_sync.standing import Standing
from anabranch_sync.stream import Stream
from anabranch_sync.transfer import batch_id

# Of files, when nobody says: a stick holds many, and a lost one costs little.
FILE_SIZE_DEFAULT = "16MB"
_SIZE = re.compile(r"([0-9]{1,9})(kb|mb)", re.IGNORECASE)
_UNIT_BYTES = {"kb": 1_000, "mb": 1_000_000}
# Of an export's name: enough to tell two trees of one log apart.
_SEEN_BYTES = 4
# A frame's head, its number, a batch's name and chain, and msgpack's own bytes.
_FRAME_OVERHEAD_BYTES = 128


@dataclass(frozen=True, slots=True)
class Push:
    """Consecutive own changes, sealed. `chain` is that before the first, `last` numbers the last."""

    sealed: bytes
    last: LocalSeq
    chain: bytes


def file_bytes(given: str) -> int:
    """The bytes of a size in words, as 1MB. Raises FileSizeRefused."""
    match = _SIZE.fullmatch(given)
    size_bytes = int(match[1]) * _UNIT_BYTES[match[2].lower()] if match else 0
    if not PARCEL_BYTES_MIN <= size_bytes <= PARCEL_BYTES_MAX:
        raise FileSizeRefused(given, PARCEL_BYTES_MIN, PARCEL_BYTES_MAX)
    return size_bytes


def pushes(entries: Iterable[Entry], chain: bytes, bytes_max: int) -> Iterator[Push]:
    """All of `entries` (consecutive, oldest first), each push small enough for a file of `bytes_max`.

    A change is never cut: one that is larger by itself makes a larger file.
    """
    room = min(PUSH_BYTES_MAX, bytes_max - PARCEL_OVERHEAD_BYTES)
    head: list[Entry] = []
    size_bytes = 0
    for each in entries:
        if head and (size_bytes + len(each.body) > room or len(head) >= PUSH_CHANGES_MAX):
            yield Push(seal(encode_entries(head)), head[-1].dot.local_seq, chain)
            for sent in head:
                chain = chained(chain, sent.body)
            head, size_bytes = [], 0
        head.append(each)
        size_bytes += len(each.body)
    if head:
        yield Push(seal(encode_entries(head)), head[-1].dot.local_seq, chain)


def presented(frame: bytes) -> Hello:
    """The Hello of a session's first frame, as a file carries it.

    Files speak the first protocol, whose messages ask for no answer in between.
    """
    message = Stream().message(frame)
    assert isinstance(message, Hello), "a session begins with its Hello"
    return replace(message, protocol_max=PROTOCOL_MIN)


def export_name(drawn: bytes, hello: Hello) -> bytes:
    """The name of an export that begins with `hello`, from EXPORT_BYTES of chance.

    It also tells what the edge had seen of the log, from where an answer shows how that goes on.
    """
    return drawn[:-_SEEN_BYTES] + _seen(hello.checkpoint)


def letters_from_edge(hello: Hello, changes: Iterable[Push], bytes_max: int) -> list[tuple[bytes, ...]]:
    """The frames of each file: `hello`, and as many pushes as fit. At least one file."""
    files: list[tuple[bytes, ...]] = []
    stream = Stream()
    frames = [stream.frame(hello)]
    for push in changes:
        size_bytes = sum(map(len, frames)) + len(push.sealed) + _FRAME_OVERHEAD_BYTES
        if len(frames) > 1 and size_bytes + PARCEL_OVERHEAD_BYTES > bytes_max:
            files.append(tuple(frames))
            stream = Stream()
            frames = [stream.frame(hello)]
        cut = _cut(push.sealed, 0, len(push.sealed), push.last, push.chain)
        frames += [stream.frame(each) for each in cut]
    return [*files, tuple(frames)]


def letters_from_hub(welcome: Welcome, sealed: bytes, offset: int, bytes_max: int) -> list[tuple[bytes, ...]]:
    """The frames of each file: `welcome`, and a part of the pull `sealed`, from `offset` on."""
    room = bytes_max - PARCEL_OVERHEAD_BYTES - _FRAME_OVERHEAD_BYTES
    files = []
    while True:
        stream = Stream()
        end = min(len(sealed), offset + room)
        messages: list[Message] = [welcome, *_cut(sealed, offset, end, 0, b"")]
        files.append(tuple(stream.frame(each) for each in messages))
        offset = end
        if offset == len(sealed):
            return files


def messages_of(letter: Letter) -> list[Message]:
    """The messages in a letter, first the Hello or Welcome. Raises ParcelDamaged."""
    stream = Stream()
    try:
        messages = [stream.message(frame) for frame in letter.frames]
    except WireError as error:
        raise ParcelDamaged(str(error)) from error
    known = [each for each in messages if each is not None]
    if not known or not isinstance(known[0], Welcome if letter.from_hub else Hello):
        raise ParcelDamaged("it does not begin with who speaks")
    if not all(isinstance(each, Batch | Chunk) for each in known[1:]):
        raise ParcelDamaged("it holds messages that have no place in a file")
    return known


def _seen(mark: bytes) -> bytes:
    return sha256(mark).digest()[:_SEEN_BYTES]


def admitted(letter: Letter, standing: Standing, asked: Container[bytes]) -> Sequence[bytes]:
    """The frames of the hub's letter that a session over `standing` is to take; none where all is known.

    `asked` are exports of this very replica: only an answer to one of them gives it a new incarnation, for
    another copy of it may have asked under the same name. Raises ParcelEarly, ParcelStray, ParcelDamaged.
    """
    welcome, *pieces = messages_of(letter)
    assert isinstance(welcome, Welcome), "messages_of has looked"
    if welcome.incarnation < standing.incarnation or welcome.epoch < standing.epoch:
        return []  # it answers what this replica was under another incarnation, or before the hub's restore
    if welcome.incarnation > standing.incarnation and letter.answers not in asked:
        raise ParcelStray("it gives a new incarnation to another copy of this replica")
    if letter.answers[-_SEEN_BYTES:] != _seen(standing.log_mark):
        # It goes on from what was seen then: from what was seen since, by a stream, it proves nothing.
        welcome = replace(welcome, checkpoint=b"", consistency=b"", log_key=b"")
    is_new = not (letter.upto.epoch == standing.cursor.epoch and letter.upto <= standing.cursor)
    if welcome.incarnation == standing.incarnation and standing.epoch in (START.epoch, welcome.epoch):
        # An older answer: what it says of our changes, and of where the hub stands, is known here already.
        if not is_new and welcome.push_mark <= standing.push_mark:
            return []
        if welcome.push_mark < standing.push_mark:
            welcome = replace(welcome, push_mark=standing.push_mark, chain=standing.chain)
        welcome = replace(welcome, hub_seq=max(welcome.hub_seq, standing.cursor.hub_seq))
    if is_new and pieces:
        _check_place(letter, pieces[0], standing)
    stream = Stream()
    return [stream.frame(each) for each in (welcome, *(pieces if is_new else ()))]


def check_in_order(entries: Sequence[Entry], push_mark: LocalSeq) -> None:
    """Return if the hub, which has all changes up to `push_mark`, may decide these. Raises ParcelEarly."""
    first = entries[0].dot.local_seq
    if first > push_mark + 1:
        raise ParcelEarly(
            f"it begins with change {first}, and the hub has this edge's changes up to {push_mark}"
        )


def is_older(hello: Hello, made_ms: int, than: Hello, than_made_ms: int) -> bool:
    """Whether a file shows the replica as it was before another did that is here already."""
    return (
        hello.incarnation == than.incarnation
        and made_ms < than_made_ms
        and hello.cursor.epoch == than.cursor.epoch
        and hello.cursor < than.cursor
    )


def _check_place(letter: Letter, first: Message, standing: Standing) -> None:
    """Whether the letter's part of a pull goes on from what is here. Raises ParcelEarly, ParcelStray."""
    if letter.after not in (START, standing.cursor):
        raise ParcelStray(
            f"it leads on from position {letter.after.hub_seq}, and this replica is at "
            f"{standing.cursor.hub_seq}: bring the hub a file of now, and its answer back"
        )
    if not isinstance(first, Batch):
        raise ParcelDamaged("a piece without its batch")
    partial = standing.partial
    here = len(partial.received) if partial is not None and partial.batch == first.batch else 0
    if first.offset > here:
        raise ParcelEarly(f"it is part {letter.part} of {letter.parts}, and a part before it is missing here")


def _cut(sealed: bytes, start: int, end: int, last: LocalSeq, chain: bytes) -> Iterator[Batch | Chunk]:
    """The messages that carry these bytes of a batch."""
    whole = start == 0 and end == len(sealed) <= CHUNK_BYTES_MAX
    name, total = (b"", 0) if whole else (batch_id(sealed), len(sealed))
    for offset in range(start, end, CHUNK_BYTES_MAX):
        piece = sealed[offset : min(end, offset + CHUNK_BYTES_MAX)]
        if offset == start:
            yield Batch(name, total, offset, piece, last, chain)
        else:
            yield Chunk(offset, piece)
