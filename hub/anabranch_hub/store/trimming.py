"""The change log, trimmed: of old changes that were merged only what recognises and explains them stays.

A change's body is read once more after it was decided: to tell the replica that made it what became of
it, if that has not heard yet. Its values stand in the documents, in their versions and in the ledger. So
the bodies may go at any time. What stays is a row of some 250 bytes: the dot and the chain, by which a
push that repeats it is recognised and a clone is fenced; the content id, by which the same change under
another dot is; author, message, time and outcome, which histories and the audit show. The bodies of
refused changes stay whole: they are nowhere else. A replica whose own changes were trimmed before it
heard of them gets a whole pull or a snapshot, with their outcomes in it.
"""

from dataclasses import dataclass

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.ids import HubSeq
from anabranch_sync.value import Json

from anabranch_hub.errors import PositionAhead
from anabranch_hub.store import auditing
from anabranch_hub.store.pool import Pool
from anabranch_hub.store.retention import DAY_MS

# An edge that comes back within a quarter gets what it lacks as a delta, with what became of its own changes.
# One that was away for longer pays a snapshot once; to keep every body for it costs more.
KEEP_DAYS = 90
# In one transaction: a second's work, while deciders of the tenant wait for its end.
_POSITIONS_EACH = 20_000


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What was trimmed, up to a position: bodies of changes, and their bytes."""

    upto: HubSeq
    changes: int
    body_bytes: int


async def trim(
    pool: Pool,
    tenant: str,
    now_ms: int,
    *,
    keep_days: int,
    before: HubSeq | None,
    author: str,
    dry_run: bool,
) -> Trimmed:
    """Trim what is older than so many days, or what was decided before a position. Safe to repeat.

    `author` is empty where the hub does it by itself. Raises PositionAhead.
    """
    async with pool.session(tenant) as session:
        row = await session.one("trimmable_until", wall_ms=max(0, now_ms - keep_days * DAY_MS))
    if before is not None and before > row["hub_seq"] + 1:
        raise PositionAhead(before, standing=row["hub_seq"])
    start, upto = row["trimmed_seq"], row["until"] if before is None else before - 1
    total = Trimmed(max(start, upto), 0, 0)
    while start < upto:
        end = min(upto, start + _POSITIONS_EACH)
        step = await _step(pool, tenant, start, end, author=author, dry_run=dry_run)
        total = Trimmed(total.upto, total.changes + step.changes, total.body_bytes + step.body_bytes)
        start = end
    return total


async def _step(
    pool: Pool, tenant: str, after: HubSeq, upto: HubSeq, *, author: str, dry_run: bool
) -> Trimmed:
    async with pool.transaction(tenant) as session:
        if not dry_run:
            await session.run("lock_tenant")
        row = await session.one("trimmable", after=after, upto=upto)
        step = Trimmed(upto, row["changes"], row["bytes"])
        if dry_run:
            return step
        await session.run("trim_changes", after=after, upto=upto)
        await session.run("trimmed", upto=upto)
        if step.changes:
            data: dict[str, Json] = {"position": upto, "changes": step.changes}
            if author:
                data["author"] = author
            act = auditing.Act(Event(EventKind.CHANGES_TRIMMED, tenant, data))
            await auditing.append(session, tenant, [act], auditing.hub_ms())
        return step
