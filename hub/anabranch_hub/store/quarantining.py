"""Documents in quarantine: their rows, and who is there."""

from collections.abc import Mapping, Sequence
from typing import Any

from anabranch_sync.columns import decode_document
from anabranch_sync.document import rebuild
from anabranch_sync.live import Quarantined
from anabranch_sync.value import render_json
from anabranch_sync.violation import Violation

from anabranch_hub.store.pool import Pool
from anabranch_hub.store.records import Aside, Quarantine, Stored, address, stored_number

# A page: each brings its head beside what is live.
QUARANTINED_MAX = 500


async def quarantined(pool: Pool, tenant: str, *, prefix: str, after: str, limit: int) -> list[Stored]:
    """Documents in quarantine below `prefix`, by address, those after the address `after`."""
    async with pool.session(tenant) as session:
        size = min(limit, QUARANTINED_MAX)
        rows = await session.rows("quarantined", prefix=prefix, after=after, limit=size)
        return [stored(row) for row in rows]


def stored(row: Mapping[str, Any]) -> Stored:
    """A document of a row that brings its head only where that is not live."""
    return Stored(
        address(row["id"]),
        row["content"],
        row["version"],
        row["hub_seq"],
        stored_number(row["digest"]),
        _quarantine(row),
    )


def _quarantine(row: Mapping[str, Any]) -> Quarantine | None:
    if row["violations"] is None:
        return None
    head = rebuild(decode_document(row["head"]).registers)
    assert head is not None, "a deletion is never invalid"
    return Quarantine(head, row["live_version"], _violations(row["violations"]), row["since"])


def stored_aside(row: Mapping[str, Any]) -> Aside:
    """What is live of a quarantined document, and why its head is not."""
    return Aside(Quarantined(row["live"], row["live_version"], _violations(row["violations"])), row["since"])


def recorded_violations(violations: Sequence[Violation]) -> str:
    """Violations as a column."""
    return render_json([[each.place, each.rule, each.reason, each.passes] for each in violations])


def _violations(recorded: Sequence[Sequence[str]]) -> tuple[Violation, ...]:
    return tuple(Violation(place, rule, reason, passes) for place, rule, reason, passes in recorded)
