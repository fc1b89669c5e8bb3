"""Rows of the merge ledger as a person and as a program reads them."""

from anabranch_cli import terminal
from anabranch_sync.clock import wall_ms
from anabranch_sync.conflict import Kind
from anabranch_sync.explanation import sentence
from anabranch_sync.path import render_pointer
from anabranch_sync.policy import Rule
from anabranch_sync.register import DELETED, Value, json_of
from anabranch_sync.value import Json

from anabranch_hub.operations.ledger import case_of
from anabranch_hub.store import LedgerRow, LedgerStats, RecordedCandidate, Review, Write

HEADING = ("tenant", "id", "decided", "kind", "policy", "place", "winner", "losers", "review")
# A cell of the table; `merges show` has the whole value.
VALUE_CHARS_MAX = 32
PLACE_CHARS_MAX = 72
# A line of facts below the sentence of `merges explain`.
FACT_CHARS_MAX = 400

_WHY: dict[str, str] = {
    Rule.LATEST: "the later write wins",
    Rule.HUB: "the hub's write wins over an edge's, then the later one",
    Rule.EDGE: "an edge's write wins over the hub's, then the later one",
    Rule.MAX: "the greatest value wins",
    Rule.MIN: "the smallest value wins",
    Rule.UNION: "in a set, adding wins over removing",
    Rule.COUNTER: "increments add up; of what is written whole the later wins",
    Rule.TEXT: "edits are merged; of what is written whole the later wins",
    Rule.LIST: "edits are merged; of what is written whole the later wins",
    Rule.MANUAL: "what stood stays, an operator decides",
}
_HEADINGS = {
    "policy": "by policy",
    "kind": "by kind",
    "namespace": "by namespace",
    "edge": "by edge that took part",
    "author": "by author that took part",
    "place": "most contested places",
}


def table_row(tenant: str, row: LedgerRow) -> tuple[str, ...]:
    """The row below `HEADING`."""
    winner, *losers = row.candidates
    return (
        tenant,
        str(row.id),
        terminal.moment(row.decided_ms),
        row.kind,
        row.policy + (" waiting" if row.waiting else ""),
        terminal.shortened(place(row), PLACE_CHARS_MAX),
        terminal.shortened(shown(winner.value), VALUE_CHARS_MAX),
        terminal.shortened(", ".join(shown(loser.value) for loser in losers), VALUE_CHARS_MAX),
        _state(row),
    )


def lines(row: LedgerRow, *, chars_max: int | None = None) -> list[str]:
    """All facts of the row, a value cut to `chars_max` if that is given."""
    told = [
        f"row {row.id}: {place(row)}",
        f"decided {terminal.moment(row.decided_ms)}, position {row.hub_seq}, kind {row.kind}",
        _reason(row),
        "",
    ]
    won, lost = ("both", "read") if row.kind == Kind.OVERLAP else ("won ", "lost")
    for number, candidate in enumerate(row.candidates):
        value = shown(candidate.value)
        told.append(
            f"{number}  {lost if number else won}  "
            f"{value if chars_max is None else terminal.shortened(value, chars_max)}"
        )
        told += [f"         {_write_line(each)}" for each in candidate.writes]
    if row.waiting:
        told += ["", "waiting: what stood stays until an operator accepts it or restores a losing value"]
    if row.quarantined:
        told += ["", "quarantined: the document was invalid with it, so readers kept the last valid version"]
    if row.reviews:
        told += ["", *(_review_line(each) for each in row.reviews)]
    return told


def explanation(row: LedgerRow) -> str:
    """The row in one sentence."""
    return sentence(case_of(row))


def json_row(tenant: str, row: LedgerRow) -> dict[str, Json]:
    """The row for programs."""
    return {
        "tenant": tenant,
        "id": row.id,
        "hub_seq": row.hub_seq,
        "decided_ms": row.decided_ms,
        "namespace": row.document.namespace,
        "key": row.document.key,
        "path": render_pointer(row.path),
        "element": row.element is not None,
        "kind": row.kind,
        "policy": row.policy,
        "policy_version": row.policy_version,
        "waiting": row.waiting,
        "quarantined": row.quarantined,
        "candidates": [_json_candidate(each) for each in row.candidates],
        "review": row.review,
        "reviewed_by": row.reviewed_by,
        "reviewed_ms": row.reviewed_ms,
        "reviewed_seq": row.reviewed_seq,
    }


def json_reviews(row: LedgerRow) -> list[Json]:
    """What operators did about the row, in order."""
    return [
        {
            "what": str(each.what),
            "candidate": each.candidate,
            "reviewer": each.reviewer,
            "note": each.note,
            "reviewed_ms": each.reviewed_ms,
            "hub_seq": each.hub_seq,
        }
        for each in row.reviews
    ]


def json_stats(tenant: str, stats: LedgerStats) -> dict[str, Json]:
    """The counts for programs."""
    oldest = stats.oldest_unreviewed
    return {
        "tenant": tenant,
        "rows": stats.rows,
        "reviewed": stats.rows - stats.unreviewed,
        "unreviewed": stats.unreviewed,
        "waiting": stats.waiting,
        "oldest_unreviewed": None if oldest is None else {"id": oldest[0], "decided_ms": oldest[1]},
        "by": {
            what: [{"name": name, "rows": rows} for name, rows in counts] for what, counts in stats.by.items()
        },
    }


def stats_lines(tenant: str, stats: LedgerStats) -> list[str]:
    """The counts for a person."""
    reviewed = f"{stats.rows - stats.unreviewed:,} reviewed, {stats.unreviewed:,} not"
    conflicts = terminal.count(stats.rows, "conflict")
    told = [f"{tenant}: {conflicts}, {reviewed}, {stats.waiting:,} waiting for an operator"]
    if stats.oldest_unreviewed is not None:
        number, decided_ms = stats.oldest_unreviewed
        told.append(f"the oldest that nobody reviewed: row {number}, {terminal.moment(decided_ms)}")
    for what, counts in stats.by.items():
        if counts:
            rows = [(f"{rows:,}", name or "(the hub)") for name, rows in counts]
            width = max(len(number) for number, _ in rows)
            told.append(f"{_HEADINGS[what]}:")
            told += [f"  {number.rjust(width)}  {name}" for number, name in rows]
    return told


def place(row: LedgerRow) -> str:
    """Document and path; an element of a set is marked."""
    return f"{row.document} {render_pointer(row.path) or '/'}{'' if row.element is None else '[]'}"


def shown(value: Value) -> str:
    """A value as JSON on one line; a deletion as the word."""
    return "deleted" if value is DELETED else terminal.json_text(json_of(value))


def _state(row: LedgerRow) -> str:
    return f"{row.review} by {row.reviewed_by}" if row.review else "-"


def _reason(row: LedgerRow) -> str:
    source = f" (schema {row.policy_version})" if row.policy_version else " (the default)"
    why = _WHY.get(row.policy.partition(":")[0])
    return f"policy {row.policy}{source}" + (f": {why}" if why else "")


def _write_line(write: Write) -> str:
    origin = f"edge {write.edge}" if write.edge else "the hub"
    written_ms = wall_ms(write.timestamp)
    clock = ""
    if write.skew_ms:
        clock = f" (its clock said {terminal.moment(written_ms + write.skew_ms)} and was not trusted)"
    received = f", received {terminal.moment(write.received_ms)}" if write.received_ms else ""
    absorbed = f", stands for {write.absorbed + 1} changes" if write.absorbed else ""
    return (
        f"by {write.author or 'unknown'} on {origin}, {terminal.moment(written_ms)}{clock}{received}, "
        f"change {write.dot} at position {write.hub_seq}, had seen position {write.base.hub_seq}{absorbed}"
    )


def _review_line(review: Review) -> str:
    if review.what == "accepted":
        deed = "accepted"
    elif review.candidate is None:
        deed = f"replaced by another value, position {review.hub_seq},"
    else:
        deed = f"candidate {review.candidate} restored, position {review.hub_seq},"
    note = f": {review.note}" if review.note else ""
    return f"{deed} by {review.reviewer}, {terminal.moment(review.reviewed_ms)}{note}"


def _json_candidate(candidate: RecordedCandidate) -> dict[str, Json]:
    deleted = candidate.value is DELETED
    return {
        "path": render_pointer(candidate.path),
        "deleted": deleted,
        "value": None if deleted else json_of(candidate.value),
        "writes": [
            {
                "hub_seq": each.hub_seq,
                "wall_ms": wall_ms(each.timestamp),
                "received_ms": each.received_ms,
                "dot": str(each.dot),
                "base": {"epoch": each.base.epoch, "hub_seq": each.base.hub_seq},
                "author": each.author,
                "edge": each.edge,
                "skew_ms": each.skew_ms,
                "stands_for": each.absorbed + 1,
            }
            for each in candidate.writes
        ],
    }
