"""How a replica catches up: by what changed since it was here, or by a snapshot, whichever costs less.

What a delta costs is known from the sizes of the documents that changed, by index. Only where that is more
than a snapshot could be worth is the whole scope looked at.
"""

from dataclasses import dataclass, replace

from anabranch_sync.ids import Incarnation
from anabranch_sync.messages import LIVE_PROTOCOL
from anabranch_sync.plan import (
    SNAPSHOT_PROTOCOL,
    Means,
    Plan,
    Prices,
    cheapest,
    link_bytes,
    snapshot_bytes_min,
)
from anabranch_sync.pull import Pull, changed_by_pull
from anabranch_sync.snapshot import Offer

from anabranch_hub.store import pulls
from anabranch_hub.store.former_contents import former_contents
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.pulls import Pulling, Question
from anabranch_hub.store.scope_digests import ScopeDigests
from anabranch_hub.store.scope_filter import reading
from anabranch_hub.store.snapshots import Snapshots, Wanted

# Of documents as they are stored. As one pull, with what else is in it, they must stay under
# messages.BATCH_BYTES_MAX, 16 MiB, even where nothing compresses.
DELTA_BYTES_MAX = 12 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CatchingUp:
    """The planner of one hub process."""

    pool: Pool
    digests: ScopeDigests
    snapshots: Snapshots

    async def plan(self, edge: str, incarnation: Incarnation, asked: Question) -> Plan:
        """What `draw` would do now for a replica that knows snapshots. Raises EdgeRevoked, Fenced."""
        async with self.pool.undoing(asked.tenant) as session:
            pulling = await pulls.begun(session, edge, incarnation, asked)
            return await self._plan(session, pulling, asked)

    async def draw(self, edge: str, incarnation: Incarnation, asked: Question) -> Pull | Offer | None:
        """The answer for one replica, as of `Store.draw`. Raises EdgeRevoked, Fenced, ScopeChanged."""
        async with self.pool.undoing(asked.tenant) as session:
            pulling = await pulls.begun(session, edge, incarnation, asked)
            if not await self.is_for_a_snapshot(session, pulling, asked):
                return await self.delta(session, pulling, asked)
        snapshot = await self.snapshots.snapshot(self._wanted(asked.tenant, pulling))
        async with self.pool.session(asked.tenant) as session:
            return Offer(snapshot, await pulls.closing(session, pulling, snapshot))

    async def delta(self, session: Session, pulling: Pulling, asked: Question) -> Pull | None:
        """The pull of a replica that takes no snapshot; None: nothing that concerns it has happened."""
        pull = await pulls.drawn(session, self.digests, pulling, asked)
        if pull is None or asked.protocol < LIVE_PROTOCOL:
            return pull
        before = await former_contents(session, pull.after.hub_seq, changed_by_pull(pull))
        return replace(pull, before=before)

    async def is_for_a_snapshot(self, session: Session, pulling: Pulling, asked: Question) -> bool:
        """Whether a snapshot is what costs this replica less."""
        if asked.protocol < SNAPSHOT_PROTOCOL:
            return False
        if link_bytes(pulling.changed_bytes) < snapshot_bytes_min(relayed=asked.relayed):
            return False
        plan = await self._plan(session, pulling, asked)
        return plan.means is Means.SNAPSHOT

    async def _plan(self, session: Session, pulling: Pulling, asked: Question) -> Plan:
        changed = 0
        if pulling.changed_bytes:  # of the whole tenant; most edges that come back find nothing new at all
            changed = await _changed(session, pulling, 0 if pulling.whole else pulling.start)
        changed += pulling.anew_bytes
        if link_bytes(changed) < snapshot_bytes_min(relayed=asked.relayed):
            return cheapest(Prices(link_bytes(changed), None))
        total = await _changed(session, pulling, 0)
        kept = await self.snapshots.kept(session, self._wanted(asked.tenant, pulling))
        snapshot = kept.size_bytes if kept else link_bytes(total)
        delta = snapshot * changed // total if changed <= DELTA_BYTES_MAX else None
        return cheapest(Prices(delta, snapshot), relayed=asked.relayed)

    @staticmethod
    def _wanted(tenant: str, pulling: Pulling) -> Wanted:
        beyond = pulling.after.hub_seq + 1 if pulling.after.epoch == pulling.upto.epoch else 0
        if pulling.anew_bytes or pulling.entering is not None:  # it lacks something at its own position
            beyond = min(beyond, pulling.after.hub_seq)
        return Wanted(tenant, pulling.scope, pulling.upto.epoch, max(beyond, pulling.not_before))


async def _changed(session: Session, pulling: Pulling, after: int) -> int:
    row = await session.one("changed_bytes", after=after, **reading(pulling.scope))
    return int(row["bytes"])
