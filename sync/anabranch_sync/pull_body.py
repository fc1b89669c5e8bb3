"""The bytes of a pull (`pull.Pull`), before they are sealed and cut into chunks."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

from anabranch_sync.change import check_facts, unpacked_address
from anabranch_sync.changed import is_changed, pack_changed, unpack_changed, wanted_by_changed
from anabranch_sync.columns import pack_documents, unpack_documents
from anabranch_sync.digest import MARK_BYTES, ScopeDigest
from anabranch_sync.document import DIGEST_BYTES, Document
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import START, Cursor, DocumentId
from anabranch_sync.live import Quarantined
from anabranch_sync.messages import BATCH_BYTES_MAX, LIVE_PROTOCOL
from anabranch_sync.notice_body import packed_notice, unpacked_notice
from anabranch_sync.outbox import PUSH_CHANGES_MAX
from anabranch_sync.packing import RAW_BYTES_MAX, Packed, pack, unpack
from anabranch_sync.pull import Notice, Outcome, Pull, Result, Run
from anabranch_sync.revision import NOTHING_KNOWN, Contents
from anabranch_sync.tables import MALFORMED, Row, completed, trimmed
from anabranch_sync.value import check, ordered
from anabranch_sync.violation import Violation

# The head of a list in msgpack, and the codec in front of a sealed body.
_HEADS_BYTES = 16

# The last fields of most pulls, which are then left out.
_NOTHING_MORE: tuple[object, ...] = ([], [], None, [], [], False, 0, [], [], b"", [])
# Where a brief pull has the cursor after which it is, the number of documents, and their digest.
_AFTER, _COUNT, _SUM = slice(0, 2), 3, 4
_NOTICES = 8
# The sha256 of a part of a snapshot.
_NAME_BYTES = 32


def encode_pull(pull: Pull, before: Contents | None = None, bytes_max: int = RAW_BYTES_MAX) -> bytes:
    """The body of `pull`, from LIVE_PROTOCOL on relative to the documents `before`.

    Equal pulls have equal bytes. Of its notices, which have all values whole, the newest travel that
    `bytes_max` has room for: a replica that cannot be told of all its conflicts must not be told nothing.
    """
    row = [
        pull.after.epoch,
        pull.after.hub_seq,
        pull.upto.hub_seq - pull.after.hub_seq,
        pull.digest.count,
        pull.digest.sum.to_bytes(DIGEST_BYTES, "big"),
        [number for run in pull.runs for number in (run.first_local, run.first_hub_seq, run.count)],
        list(pull.versions),
        _packed_documents(pull, before),
        [],
        [[result.local_seq, str(result.outcome), result.reason] for result in pull.results],
        pull.whole,
        pull.upto.epoch - pull.after.epoch,
        pack_quarantined(pull.quarantined),
        [[document.namespace, document.key] for document in sorted(pull.replaced)],
        b"".join(pull.parts),
        [[index, run.absorbed] for index, run in enumerate(pull.runs) if run.absorbed],
    ]
    if pull.notices:
        row[_NOTICES] = _packed_notices(pull.notices, bytes_max - _HEADS_BYTES - len(msgpack.packb(row)))
    body: bytes = msgpack.packb(trimmed(row, _NOTHING_MORE))
    return body


def packed_pull(pull: Pull, protocol: int) -> Packed:
    """The bytes of `pull` for a replica that speaks `protocol`; those that were made already, if any were."""
    if pull.packed is not None:
        return pull.packed
    before = pull.before if protocol >= LIVE_PROTOCOL else None
    packed = pack(encode_pull(pull, before))
    if len(packed.sealed) <= BATCH_BYTES_MAX:
        return packed
    return pack(encode_pull(pull, before, BATCH_BYTES_MAX))


def brief(body: bytes) -> bytes:
    """A pull's body for who knows where the one before it led: no cursor, and of the digest its mark alone.

    Raises CorruptFrame.
    """
    row = unpack(body)
    row[_AFTER], row[_COUNT], row[_SUM] = [0, 0], 0, row[_SUM][-MARK_BYTES:]
    packed: bytes = msgpack.packb(row)
    return packed


def wanted_by_pull(body: bytes) -> tuple[DocumentId, ...]:
    """The documents that one has to know as they are at its beginning to read it. Raises CorruptFrame."""
    raw = unpack(body)
    try:
        documents = completed(raw, 16, _NOTHING_MORE)[7]
        return wanted_by_changed(documents) if is_changed(documents) else ()
    except MALFORMED as error:
        raise CorruptFrame(f"malformed pull: {error}") from error


def decode_pull(body: bytes, before: Contents = NOTHING_KNOWN, after: Cursor = START) -> Pull:
    """The pull of `encode_pull`'s bytes, or `brief`'s; `before` are the documents that it wants.

    `after` is where one goes on that does not say it. Raises CorruptFrame, ContentsDiffer, FrameTooLarge.
    """
    raw = unpack(body)
    try:
        epoch, hub_seq, step, count, total, *rest = completed(raw, 16, _NOTHING_MORE)
        mark = total if type(total) is bytes and len(total) == MARK_BYTES else b""
        if mark:
            epoch, hub_seq = after.epoch, after.hub_seq
        runs, versions, documents, notices, results, whole, epochs, quarantined, replaced, parts, absorbed = (
            rest
        )
        after, upto = Cursor(epoch, hub_seq), Cursor(epoch + epochs, hub_seq + step)
        for cursor in (after, upto):
            check_facts(0, cursor, "", "", 0)
        numbers = [_natural(number) for number in runs]
        return Pull(
            after,
            upto,
            ScopeDigest() if mark else ScopeDigest(_natural(count), int.from_bytes(total, "big")),
            _unpacked_documents(documents, before),
            _unpacked_runs(numbers, absorbed),
            tuple(Result(_natural(seq), Outcome(outcome), str(reason)) for seq, outcome, reason in results),
            tuple(unpacked_notice(notice) for notice in notices),
            tuple(_natural(version) for version in versions),
            whole is True,
            unpack_quarantined(quarantined),
            frozenset(unpacked_address(namespace, key) for namespace, key in replaced),
            split_names(parts),
            mark,
        )
    except MALFORMED as error:
        raise CorruptFrame(f"malformed pull: {error}") from error


def _packed_notices(notices: Sequence[Notice], bytes_max: int) -> Row:
    """The newest of them that take no more bytes, oldest first."""
    rows: Row = []
    for notice in reversed(notices):
        row = packed_notice(notice)
        bytes_max -= len(msgpack.packb(row))
        if bytes_max < 0:
            break
        rows.append(row)
    return rows[::-1]


def _packed_documents(pull: Pull, before: Contents | None) -> Row | None:
    if not pull.documents:
        return None
    return pack_documents(pull.documents) if before is None else pack_changed(pull.documents, before)


def _unpacked_documents(packed: Any, before: Contents) -> dict[DocumentId, Document]:
    if packed is None:
        return {}
    return unpack_changed(packed, before) if is_changed(packed) else unpack_documents(packed)


def _unpacked_runs(numbers: list[int], raw: Any) -> tuple[Run, ...]:
    """The runs of a pull; of some, how many their first changes have absorbed. Raises one of MALFORMED."""
    absorbed = {_natural(index): _natural(count) for index, count in raw}
    runs = []
    for start in range(0, len(numbers), 3):
        first_local, first_hub_seq, count = numbers[start : start + 3]
        runs.append(Run(first_local, first_hub_seq, count, absorbed.pop(start // 3, 0)))
    if absorbed or any(
        run.absorbed and not run.absorbed < min(run.first_local, PUSH_CHANGES_MAX) for run in runs
    ):
        raise ValueError("what is absorbed lies before a run, and came with it")
    return tuple(runs)


def split_names(joined: Any) -> tuple[bytes, ...]:
    """The names of parts, one after the other. Raises ValueError."""
    if type(joined) is not bytes or len(joined) % _NAME_BYTES:
        raise ValueError("names of parts are of 32 bytes each")
    return tuple(joined[start : start + _NAME_BYTES] for start in range(0, len(joined), _NAME_BYTES))


def pack_quarantined(quarantined: Mapping[DocumentId, Quarantined]) -> list[object]:
    """Quarantined documents as a msgpack-able table."""
    return [_packed_quarantined(*each) for each in sorted(quarantined.items(), key=lambda each: each[0])]


def unpack_quarantined(raw: Any) -> dict[DocumentId, Quarantined]:
    """The documents of `pack_quarantined`'s table. Raises one of MALFORMED."""
    found = dict(_unpacked_quarantined(each) for each in raw)
    if type(raw) is not list or len(found) != len(raw):
        raise ValueError("quarantined documents are a list, each once")
    return found


def _packed_quarantined(document: DocumentId, quarantined: Quarantined) -> list[object]:
    return [
        document.namespace,
        document.key,
        quarantined.live_version,
        ordered(quarantined.live),
        [[each.place, each.rule, each.reason, each.passes] for each in quarantined.violations],
    ]


def _unpacked_quarantined(raw: Any) -> tuple[DocumentId, Quarantined]:
    namespace, key, live_version, packed, violations = raw
    live = check(packed)
    if not violations or not (live is None or isinstance(live, dict)):
        raise ValueError("a quarantined document has violations, and is an object or nothing")
    reasons = tuple(Violation(*(_text(part) for part in each)) for each in violations)
    return unpacked_address(namespace, key), Quarantined(live, _natural(live_version), reasons)


def _text(text: Any) -> str:
    if type(text) is not str:
        raise ValueError(f"{text!r} is not a text")
    return text


def _natural(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError(f"{number!r} is not a natural number")
    return number
