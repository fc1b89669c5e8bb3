"""The messages of the exchange.

::

    edge                                             hub
     Hello     who I am, where I stand          ->
               <-  Welcome   where you stand with me, limits
     Batch (first piece) Chunk* (own changes)   ->
               <-  Stored*   bytes safe on disk: resume here
               <-  Merged    decided and committed up to this mark
               <-  Batch Chunk*   (a pull)
     Stored*                                    ->
     Visible   applied up to this cursor        ->
               <-  SnapshotOffer   from protocol 2 on, in place of a large pull
     Parts     which of them are not here yet   ->
               <-  Batch Chunk*    (a part, then the next; last a pull that closes it)
     Stored*                                    ->
               <-  Ahead     between two pieces: an urgent document that overtakes them
     Whole                              <->   from protocol 3 on, a push or pull of a single piece
               <-  Again     this push once more, in full
               <-  SlowDown | Control | Logged | Batch ...

A body is a msgpack list of fields; trailing fields that have their default are left out, so fields
are only ever added at the end. What a newer peer adds is kept in `unknown` and skipped, as are
messages of unknown type. `Equal` and `Range` compare and repair (`repairing`); types 16 and 17 travel alone,
outside any stream (`check_in`). Types 8 and 11 are free: results travel inside a pull, budgets in Hello and
Welcome. Fields named `reserved_` keep their place on the wire: they never had a meaning, and are not read
(docs/decisions/0023).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import msgpack

from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import DIGEST_BYTES
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import Cursor
from anabranch_sync.packing import unpack
from anabranch_sync.value import INT_MAX, INT_MIN

# A stream speaks the greatest protocol that both sides know. Protocol 1 is what is drawn above without
# SnapshotOffer, Parts and Ahead, and without Range and Equal; protocol 2 is without Whole and Again, and says
# each text in full. Whoever speaks them is sent none of these.
PROTOCOL_MIN = 1
PROTOCOL_MAX = 3

# From here on both sides compare digests where nothing else is to be said, and repair by ranges.
REPAIR_PROTOCOL = 2
# And from here on an urgent document may overtake.
AHEAD_PROTOCOL = 2
# And from here on a replica can be given another scope, without all of it coming anew.
RESCOPE_PROTOCOL = 2
# And from here on one edit takes three messages: what fits one piece travels as Whole, Merged brings the pull
# that names the positions, and Visible may answer several pulls, and late (`seeing`).
LIVE_PROTOCOL = 3
# And from here on a change in a push may stand for others before it (`absorbing`).
ABSORBING_PROTOCOL = 3

# A pull or push travels as pieces between these sizes, at first of this one: see `pacing`.
CHUNK_BYTES_MIN = 2 * 1024
CHUNK_BYTES_FIRST = 8 * 1024
CHUNK_BYTES_MAX = 64 * 1024
# What may be on its way without an acknowledgement: one largest chunk and one being written.
WINDOW_BYTES = 2 * CHUNK_BYTES_MAX
# Sealed bytes of one batch; expanded they are bounded by packing.RAW_BYTES_MAX.
BATCH_BYTES_MAX = 16 * 1024 * 1024

# It detects accidents between two ends that have just compared histories whole.
MERGED_CHAIN_BYTES = 4

# A hub that went back waits for an operator to say that it was restored; nothing is lost meanwhile.
WENT_BACK_RETRY_MS = 30_000

DISTRUST = "distrust"
# A capability: the edge wants nothing of this stream but what is urgent, as its budget is used up. A hub that
# does not know it sends everything.
URGENT_ONLY = "urgent-only"


@dataclass(frozen=True, slots=True)
class Hello:
    """The edge opens. `incarnation` 0 asks for a new one; `partial` is a pull broken off inside.

    `byte_budget`, `link_class`, `disk_free_bytes` and `budget_until_ms` are its `Circumstances`, and
    `capabilities` has URGENT_ONLY or nothing. `checkpoint`
    marks the newest tree of the log that the edge has seen (`witness.mark_of`). `passed_bytes` and
    `breaks` are what the edge has learned of its link (`pacing.Pacing`). `subscription` is what the edge asks
    for of the scope that it was granted, `*` for all of it; empty: it says nothing of that. `damaged_changes`
    of its outbox were set aside before they got here; `damaged_documents` are some of those they touch.
    """

    protocol_min: int
    protocol_max: int
    incarnation: int
    cursor: Cursor
    push_mark: int
    chain: bytes
    digest: ScopeDigest
    now_ms: int
    scope: bytes = b""
    partial: bytes = b""
    partial_bytes: int = 0
    oldest_unsent_ms: int = 0
    byte_budget: int = 0
    link_class: str = ""
    disk_free_bytes: int = 0
    capabilities: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    reserved_dictionaries: tuple[int, ...] = ()
    checkpoint: bytes = b""
    passed_bytes: int = 0
    breaks: int = 0
    budget_until_ms: int = 0
    subscription: tuple[str, ...] = ()
    damaged_changes: int = 0
    damaged_documents: tuple[str, ...] = ()
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Welcome:
    """The hub answers: the incarnation's push mark and chain, and an upload to go on with.

    `clock_offset_ms` is the hub's clock minus the edge's. `plan` and `plan_bytes` are how it catches up
    (`plan.Plan`). `scope` is the replica's, where it
    shows that it holds another: the next pull brings what entered, and what is outside goes with it.
    `checkpoint` is the newest one of the log where it is another than the edge's, `consistency` the proof
    between the two, `log_key` for an edge without one.
    `ended` is for an edge of another epoch: those that restores of the hub ended (`epochs.packed_ended`).
    `budget_day_bytes` and `budget_month_bytes` are what the operator lets the edge's link carry; 0: no limit.
    `granted` answers a subscription to less than all: the replica's scope is then what both cover. `wipe` 1:
    the edge is to send what is unsent, and then to remove everything (`wiping`).
    """

    protocol: int
    epoch: int
    hub_seq: int
    incarnation: int
    push_mark: int
    chain: bytes
    clock_offset_ms: int
    upload: bytes = b""
    upload_last: int = 0
    upload_bytes: int = 0
    chunk_bytes_max: int = CHUNK_BYTES_MAX
    window_bytes: int = WINDOW_BYTES
    scope: tuple[str, ...] = ()
    plan: str = ""
    plan_bytes: int = 0
    reserved_priority: int = 0
    reserved_lease: int = 0
    checkpoint: bytes = b""
    consistency: bytes = b""
    log_key: bytes = b""
    ended: tuple[int, ...] = ()
    budget_day_bytes: int = 0
    budget_month_bytes: int = 0
    granted: tuple[str, ...] = ()
    wipe: int = 0
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch begins (or goes on at `offset`), with its first piece.

    `batch` identifies the sealed bytes (their hash), `total` counts them; both are empty where the
    first piece is all of them. A push names the `last` local_seq it holds and the `chain` of the
    incarnation before its first change, and says of the changes that their authors call urgent how many are
    behind each. A part of a snapshot says which of the offer's it is, from 1 on.
    """

    batch: bytes
    total: int
    offset: int
    piece: bytes
    last: int = 0
    chain: bytes = b""
    reserved_priority: int = 1
    part: int = 0
    urgent: tuple[int, ...] = ()
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next piece of the batch under way."""

    offset: int
    piece: bytes
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """Acknowledgement, first level: the batch's bytes up to `offset` are on disk."""

    offset: int
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Merged:
    """Acknowledgement, second level: all changes up to `push_mark` are decided and committed.

    From LIVE_PROTOCOL on the chain is cut to MERGED_CHAIN_BYTES, and `pull` is one that was drawn at once, as
    the piece of a Whole would be.
    """

    push_mark: int
    chain: bytes
    pull: bytes = b""
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Visible:
    """Acknowledgement, third level: the replica has applied everything up to `cursor`."""

    cursor: Cursor
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Come back after this many milliseconds, spread by as many again."""

    retry_after_ms: int
    reserved_priority: int = 0
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """An order of the hub: `fence` (go on under a new incarnation), `revoked`, `refused`, `wipe`.

    From an edge it is a last word: DISTRUST, its log is not the one that was seen; `wiped`, nothing is there.
    """

    order: str
    reason: str = ""
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Range:
    """A step of a range repair (`repairing`). From the edge it asks, or names what is to travel whole.

    `cursor` is where its sender stands. `applied`: the edge has applied what was under way up to there, and
    is not equal. `asked` are ranges, `answers` what the hub has in each; `documents` are addresses, and
    `hashes` of addresses stand for documents that the edge may not have.
    """

    cursor: Cursor
    applied: int = 0
    asked: tuple[str, ...] = ()
    answers: bytes = b""
    documents: tuple[str, ...] = ()
    hashes: bytes = b""
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Equal:
    """The hub stands where the edge does, and the digest in its Hello is the hub's own."""

    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Logged:
    """The log has come to another checkpoint since this stream began. The fields are those of Welcome."""

    checkpoint: bytes
    consistency: bytes = b""
    log_key: bytes = b""
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckIn:
    """Outside any stream: is there anything new for a replica that stands here? See `check_in`.

    `budget_until_ms` as in Hello: an edge whose budget is used up says it here. `scope` is the fingerprint of
    the scope that it holds; empty from those that do not say it.
    """

    incarnation: int
    cursor: Cursor
    push_mark: int
    digest: ScopeDigest
    budget_until_ms: int = 0
    scope: bytes = b""
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedIn:
    """The answer. `equal` 1: nothing is new up to `hub_seq`, and the replica is proved equal; 0: exchange.

    `urgent` 1: an urgent document is among what is new. The budget is that of Welcome: an edge whose budget
    is used up hears here that it may carry more.
    """

    hub_seq: int
    equal: int
    urgent: int = 0
    budget_day_bytes: int = 0
    budget_month_bytes: int = 0
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotOffer:
    """The scope at `upto` is these parts, by name (sha256 of their sealed bytes, one after the other)."""

    upto: Cursor
    digest: ScopeDigest
    names: bytes
    sizes: tuple[int, ...]
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the offer that the edge lacks, from 1 on, in the order in which it wants them.

    Of the first one `offset` bytes are on disk.
    """

    wanted: tuple[int, ...] = ()
    offset: int = 0
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Ahead:
    """Urgent documents that overtake the pull under way: `piece` is a sealed pull of whole states.

    It moves no cursor, is not answered, and losing it loses nothing: the next pull has it too. Where
    nothing else is wanted (URGENT_ONLY) one comes in any case, be it without documents.
    """

    piece: bytes
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Whole:
    """A push or pull of a single piece, sealed by the stream's `context`.

    A push goes on where the changes end that the hub has said in this stream it has, and a pull where the
    one before it ended, which it therefore does not say (`pull_body.brief`). `urgent` as in Batch.
    """

    piece: bytes
    urgent: tuple[int, ...] = ()
    unknown: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """The hub cannot read this push: it is relative to other documents than it has. Say it in full."""

    unknown: tuple[Any, ...] = ()


Message: TypeAlias = (
    Hello
    | Welcome
    | Batch
    | Chunk
    | Stored
    | Merged
    | Visible
    | SlowDown
    | Control
    | Logged
    | CheckIn
    | CheckedIn
    | Range
    | Equal
    | SnapshotOffer
    | Parts
    | Ahead
    | Whole
    | Again
)

_KINDS: dict[type[Message], int] = {
    Hello: 1,
    Welcome: 2,
    Batch: 3,
    Chunk: 4,
    Stored: 5,
    Merged: 6,
    Visible: 7,
    Range: 9,
    SlowDown: 12,
    Control: 13,
    Logged: 14,
    CheckIn: 16,
    CheckedIn: 17,
    Equal: 18,
    SnapshotOffer: 10,
    Parts: 15,
    Ahead: 19,
    Whole: 20,
    Again: 21,
}
_TYPES = {kind: message for message, kind in _KINDS.items()}


def kind_of(message: type[Message]) -> int:
    """The type number of such messages."""
    return _KINDS[message]


def encode_message(message: Message) -> tuple[int, bytes]:
    """The type number and body of `message`."""
    row: list[object] = []
    kept = 0
    for name, default, _ in _FIELDS[type(message)]:
        value = getattr(message, name)
        row.append(_packed(value))
        if value != default:
            kept = len(row)
    if message.unknown:
        row += message.unknown
        kept = len(row)
    body: bytes = msgpack.packb(row[:kept])
    return _KINDS[type(message)], body


def decode_message(kind: int, body: bytes) -> Message | None:
    """The message, or None when its type is of a newer protocol. Raises CorruptFrame."""
    message = _TYPES.get(kind)
    if message is None:
        return None
    row = unpack(body)
    known = _FIELDS[message]
    if type(row) is not list:
        raise CorruptFrame(f"{message.__name__} is not a list of fields")
    values: dict[str, Any] = {}
    for (name, _, parse), value in zip(known, row, strict=False):
        try:
            values[name] = parse(value)
        except (ValueError, TypeError) as error:
            raise CorruptFrame(f"{message.__name__}.{name}: {error}") from error
    try:
        return message(**values, unknown=tuple(row[len(known) :]))
    except TypeError as error:
        raise CorruptFrame(f"{message.__name__} lacks fields") from error


def _packed(value: object) -> object:
    if isinstance(value, Cursor):
        return [value.epoch, value.hub_seq]
    if isinstance(value, ScopeDigest):
        return [value.count, value.sum.to_bytes(DIGEST_BYTES, "big")]
    return value


def _parse_int(value: Any) -> int:
    if type(value) is not int or not INT_MIN <= value <= INT_MAX:
        raise ValueError(f"{value!r} is not an integer of 64 bits")
    return value


def _parse_natural(value: Any) -> int:
    if _parse_int(value) < 0:
        raise ValueError(f"{value} is negative")
    return int(value)


def _parse_clock(value: Any) -> int:
    # How far another clock is ahead of it must fit 64 bits, too.
    if _parse_int(value) < INT_MIN // 2:
        raise ValueError(f"{value} ms is no time of a clock")
    return int(value)


def _parse_bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise ValueError("not bytes")
    return value


def _parse_str(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("not text")
    return value


def _parse_cursor(value: Any) -> Cursor:
    epoch, hub_seq = value
    return Cursor(_parse_natural(epoch), _parse_natural(hub_seq))


def _parse_digest(value: Any) -> ScopeDigest:
    count, total = value
    if len(_parse_bytes(total)) != DIGEST_BYTES:
        raise ValueError("not a digest")
    return ScopeDigest(_parse_natural(count), int.from_bytes(total, "big"))


# A clock may stand before 1970, and before or after another clock.
_SIGNED = {"now_ms": _parse_clock, "clock_offset_ms": _parse_int}

_PARSERS: dict[str, Callable[[Any], Any]] = {
    "<class 'int'>": _parse_natural,
    "<class 'bytes'>": _parse_bytes,
    "<class 'str'>": _parse_str,
    str(Cursor): _parse_cursor,
    str(ScopeDigest): _parse_digest,
    "tuple[str, ...]": lambda value: tuple(_parse_str(item) for item in value),
    "tuple[int, ...]": lambda value: tuple(_parse_int(item) for item in value),
}


def _fields(message: type[Message]) -> tuple[tuple[str, object, Callable[[Any], Any]], ...]:
    """The fields of such messages in their order: name, default, and what reads a value of it."""
    return tuple(
        (each.name, each.default, _SIGNED.get(each.name) or _PARSERS[str(each.type)])
        for each in fields(message)
        if each.name != "unknown"
    )


_FIELDS = {message: _fields(message) for message in _KINDS}
