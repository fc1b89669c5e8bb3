"""The ledger's values as messages of `operator.proto`, and back. What comes from a peer is checked here."""

from anabranch_protos.operator.v1 import operator_pb2 as pb
from anabranch_sync.clock import WALL_MS_MAX
from anabranch_sync.document import DIGEST_BYTES, Object
from anabranch_sync.errors import InvalidValue
from anabranch_sync.ids import Cursor, DocumentId, Dot
from anabranch_sync.register import DELETED, Value, json_of
from anabranch_sync.value import INT_MAX, parse_json, render_json

from anabranch_hub.operations.ledger import Restoration
from anabranch_hub.store import (
    LedgerRow,
    LedgerStats,
    Matching,
    Pair,
    RecordedCandidate,
    Review,
    Reviewed,
    Stored,
    Write,
    Written,
)


def packed_matching(matching: Matching) -> pb.Matching:
    """Which rows, for the wire."""
    return pb.Matching(
        prefix=matching.prefix,
        kind=matching.kind,
        rule=matching.rule,
        edge=matching.edge,
        author=matching.author,
        path=None if matching.path is None else pb.Path(keys=matching.path),
        since_ms=matching.since_ms,
        until_ms=matching.until_ms,
        reviewed=matching.reviewed,
        waiting=matching.waiting,
    )


def unpacked_matching(packed: pb.Matching) -> Matching:
    """Which rows a peer asks for. Raises InvalidValue for what no row can have."""
    for name in ("prefix", "kind", "rule", "edge", "author"):
        if "\0" in getattr(packed, name):
            raise InvalidValue(f"/matching/{name}", "U+0000 is in no name")
    for name in ("since_ms", "until_ms"):
        if not 0 <= getattr(packed, name) <= WALL_MS_MAX:
            raise InvalidValue(f"/matching/{name}", f"{getattr(packed, name)} is no time since 1970")
    return Matching(
        packed.prefix if packed.HasField("prefix") else None,
        packed.kind if packed.HasField("kind") else None,
        packed.rule if packed.HasField("rule") else None,
        packed.edge if packed.HasField("edge") else None,
        packed.author if packed.HasField("author") else None,
        tuple(packed.path.keys) if packed.HasField("path") else None,
        packed.since_ms if packed.HasField("since_ms") else None,
        packed.until_ms if packed.HasField("until_ms") else None,
        packed.reviewed if packed.HasField("reviewed") else None,
        packed.waiting,
    )


def checked_id(place: str, number: int) -> int:
    """A row's number that a peer sent. Raises InvalidValue."""
    if number > INT_MAX:
        raise InvalidValue(place, f"{number} is beyond the last possible row {INT_MAX}")
    return number


def packed_row(row: LedgerRow) -> pb.Row:
    """A row, for the wire."""
    return pb.Row(
        id=row.id,
        hub_seq=row.hub_seq,
        decided_ms=row.decided_ms,
        namespace=row.document.namespace,
        key=row.document.key,
        path=row.path,
        element=row.element,
        kind=row.kind,
        policy=row.policy,
        policy_version=row.policy_version,
        candidates=[_packed_candidate(each) for each in row.candidates],
        waiting=row.waiting,
        review=row.review,
        reviewed_by=row.reviewed_by,
        reviewed_ms=row.reviewed_ms,
        reviewed_seq=row.reviewed_seq,
        reviews=[_packed_review(each) for each in row.reviews],
        quarantined=row.quarantined,
    )


def unpacked_row(packed: pb.Row) -> LedgerRow:
    """The row that a hub answered. Raises InvalidValue."""
    return LedgerRow(
        packed.id,
        packed.hub_seq,
        packed.decided_ms,
        DocumentId(packed.namespace, packed.key),
        tuple(packed.path),
        packed.element if packed.HasField("element") else None,
        packed.kind,
        packed.policy,
        packed.policy_version,
        tuple(_unpacked_candidate(each) for each in packed.candidates),
        packed.waiting,
        packed.review,
        packed.reviewed_by,
        packed.reviewed_ms,
        packed.reviewed_seq,
        tuple(_unpacked_review(each) for each in packed.reviews),
        packed.quarantined,
    )


def packed_stats(stats: LedgerStats) -> pb.StatsReply:
    """Counts, for the wire."""
    number, decided_ms = stats.oldest_unreviewed or (0, 0)
    return pb.StatsReply(
        rows=stats.rows,
        unreviewed=stats.unreviewed,
        waiting=stats.waiting,
        oldest_unreviewed=number,
        oldest_unreviewed_ms=decided_ms,
        by=[
            pb.Counts(what=what, counts=[pb.Count(name=name, rows=rows) for name, rows in counts])
            for what, counts in stats.by.items()
        ],
    )


def unpacked_stats(packed: pb.StatsReply) -> LedgerStats:
    """The counts that a hub answered."""
    oldest = (packed.oldest_unreviewed, packed.oldest_unreviewed_ms)
    return LedgerStats(
        packed.rows,
        packed.unreviewed,
        packed.waiting,
        oldest if packed.oldest_unreviewed else None,
        {each.what: [(count.name, count.rows) for count in each.counts] for each in packed.by},
    )


def packed_restoration(restoration: Restoration) -> pb.RestoreReply:
    """What a restoration changes, for the wire."""
    pair, written = restoration.pair, restoration.written
    return pb.RestoreReply(
        namespace=pair.document.namespace,
        key=pair.document.key,
        before=_packed_document(pair.before),
        after=_packed_document(pair.after),
        written=None
        if written is None
        else pb.Written(
            hub_seq=written.hub_seq,
            version=written.versions[0],
            quarantined=bool(written.quarantined),
        ),
    )


def unpacked_restoration(packed: pb.RestoreReply, merge: int, candidate: int) -> Restoration:
    """What a hub answered that a restoration changes. Raises InvalidValue."""
    document = DocumentId(packed.namespace, packed.key)
    before, after = (
        _unpacked_document(document, getattr(packed, name)) if packed.HasField(name) else None
        for name in ("before", "after")
    )
    written = None
    if packed.HasField("written"):
        quarantined = (document,) if packed.written.quarantined else ()
        written = Written(packed.written.hub_seq, (packed.written.version,), quarantined)
    return Restoration(merge, candidate, Pair(document, before, after), written)


def _packed_candidate(candidate: RecordedCandidate) -> pb.Candidate:
    is_deleted = candidate.value is DELETED
    return pb.Candidate(
        path=candidate.path,
        element=candidate.element,
        value=None if is_deleted else render_json(json_of(candidate.value)),
        writes=[_packed_write(each) for each in candidate.writes],
    )


def _unpacked_candidate(packed: pb.Candidate) -> RecordedCandidate:
    value: Value = parse_json(packed.value) if packed.HasField("value") else DELETED
    element = packed.element if packed.HasField("element") else None
    return RecordedCandidate(
        tuple(packed.path), element, value, tuple(_unpacked_write(each) for each in packed.writes)
    )


def _packed_write(write: Write) -> pb.Write:
    return pb.Write(
        hub_seq=write.hub_seq,
        timestamp=write.timestamp,
        incarnation=write.dot.incarnation,
        local_seq=write.dot.local_seq,
        base_epoch=write.base.epoch,
        base_seq=write.base.hub_seq,
        author=write.author,
        edge=write.edge,
        skew_ms=write.skew_ms,
        received_ms=write.received_ms,
        absorbed=write.absorbed,
    )


def _unpacked_write(packed: pb.Write) -> Write:
    return Write(
        packed.hub_seq,
        packed.timestamp,
        Dot(packed.incarnation, packed.local_seq),
        Cursor(packed.base_epoch, packed.base_seq),
        packed.author,
        packed.edge,
        packed.skew_ms,
        packed.received_ms,
        packed.absorbed,
    )


def _packed_review(review: Review) -> pb.Review:
    return pb.Review(
        what=review.what,
        candidate=review.candidate,
        reviewer=review.reviewer,
        note=review.note,
        reviewed_ms=review.reviewed_ms,
        hub_seq=review.hub_seq,
    )


def _unpacked_review(packed: pb.Review) -> Review:
    return Review(
        Reviewed(packed.what),
        packed.candidate if packed.HasField("candidate") else None,
        packed.reviewer,
        packed.note,
        packed.reviewed_ms,
        packed.hub_seq,
    )


def _packed_document(stored: Stored | None) -> pb.Document | None:
    if stored is None:
        return None
    content = None if stored.content is None else render_json(stored.content)
    digest = stored.digest.to_bytes(DIGEST_BYTES, "big")
    return pb.Document(content=content, version=stored.version, hub_seq=stored.hub_seq, digest=digest)


def _unpacked_document(document: DocumentId, packed: pb.Document) -> Stored:
    content: Object | None = None
    if packed.HasField("content"):
        parsed = parse_json(packed.content)
        if not isinstance(parsed, dict):
            raise InvalidValue("", "a document is an object")
        content = parsed
    digest = int.from_bytes(packed.digest, "big")
    return Stored(document, content, packed.version, packed.hub_seq, digest)
