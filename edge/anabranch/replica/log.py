"""The hub's transparency log as this replica has seen it. Each function is one transaction's work."""

from dataclasses import dataclass

from anabranch_sync.checkpoint import origin_of, unpack_checkpoint
from anabranch_sync.errors import EvidenceError
from anabranch_sync.ids import HubSeq
from anabranch_sync.signed_note import VerifierKey
from anabranch_sync.witness import Witnessed

from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL
from anabranch.replica.rows import Rot

# Each is some 300 bytes, and the first few say it all; a hub of ill will must not fill the disk.
REFUSALS_MAX = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest checkpoint, when it was shown, and where the hub stood then."""

    witnessed: Witnessed
    pinned_ms: int
    seen_ms: int
    hub_seq: HubSeq
    epoch: int


@dataclass(frozen=True, slots=True)
class Break:
    """A log that began anew with an epoch, as the hub was restored: the checkpoints on both sides, packed."""

    epoch: int
    reason: str
    seen: bytes
    shown: bytes
    noted_ms: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A log that was refused: why, what was shown (packed, perhaps malformed), when and how often."""

    reason: str
    checkpoint: bytes
    first_ms: int
    last_ms: int
    times: int


@dataclass(frozen=True, slots=True)
class LogState:
    """All that is known here of the hub's log; `refusals` and `breaks` are in their order."""

    origin: str
    seen: Seen | None
    refusals: tuple[Refusal, ...]
    breaks: tuple[Break, ...]


def log_state(connection: Connection, rot: Rot) -> LogState:
    """What is known of the log. Raises ReplicaCorrupt."""
    refusals = connection.execute(SQL["log_refusals"]).fetchall()
    breaks = connection.execute(SQL["log_breaks"]).fetchall()
    return LogState(
        _origin(connection),
        seen(connection, rot),
        tuple(Refusal(*row) for row in refusals),
        tuple(Break(*row) for row in breaks),
    )


def seen(connection: Connection, rot: Rot) -> Seen | None:
    """The newest checkpoint seen; None before the first. Raises ReplicaCorrupt."""
    row = connection.execute(SQL["log"]).fetchone()
    if row is None:
        return None
    public_key, packed, pinned_ms, seen_ms, hub_seq, epoch = row
    origin = _origin(connection)
    try:
        checkpoint = unpack_checkpoint(origin, packed)
        key = VerifierKey(origin, public_key)
        # A flipped bit here would make an honest hub look like a liar.
        checkpoint.check(key)
    except EvidenceError as error:
        raise rot.at("the log's checkpoint") from error
    return Seen(Witnessed(key, checkpoint), pinned_ms, seen_ms, hub_seq, epoch)


def witness(
    connection: Connection, witnessed: Witnessed, hub_seq: HubSeq, now_ms: int, epoch: int, broken: str
) -> None:
    """Keep a checkpoint that was verified; the first one pins its key.

    `broken`: how it does not go on from the one before, which is kept as evidence.
    """
    row = {
        "public_key": witnessed.key.public,
        "checkpoint": witnessed.checkpoint.packed,
        "now_ms": now_ms,
        "hub_seq": hub_seq,
        "epoch": epoch,
        "reason": broken,
    }
    if broken:
        connection.execute(SQL["log_break"], row)
    connection.execute(SQL["witness"], row)


def distrust(connection: Connection, reason: str, checkpoint: bytes, now_ms: int) -> None:
    """Keep what was refused, and why; the same again only counts."""
    row = {"reason": reason, "checkpoint": checkpoint, "now_ms": now_ms, "limit": REFUSALS_MAX}
    connection.execute(SQL["distrust"], row)


def forget(connection: Connection) -> None:
    """Know nothing of the log any more: the next checkpoint is the first."""
    connection.execute(SQL["forget_log"])
    connection.execute(SQL["forget_refusals"])


def _origin(connection: Connection) -> str:
    tenant, *_ = connection.execute(SQL["identity"]).fetchone()
    return origin_of(tenant)
