"""A tenant whose tables were restored from a backup: another epoch begins.

What was decided between the backup and the loss exists at the edges only. The epoch that ended is kept
with the position up to which its order is known; every edge that was further than that offers what it
has from behind it (`anabranch_sync.reoffer`).
"""

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.epochs import Ended
from anabranch_sync.ids import HubSeq, check_author

from anabranch_hub.errors import PositionAhead
from anabranch_hub.store import auditing
from anabranch_hub.store.news import CHANNEL, restored_payload
from anabranch_hub.store.pool import Pool
from anabranch_hub.store.records import NewEpoch


async def restored(pool: Pool, tenant: str, author: str, known: HubSeq | None, now_ms: int) -> NewEpoch:
    """Begin another epoch; `known` is the backup's position, or where the tenant stands.

    Every stream of the tenant ends, at whatever hub process. Raises PositionAhead.
    """
    check_author(author)
    async with pool.transaction(tenant) as session:
        state = await session.one("lock_tenant")
        position = int(state["hub_seq"])
        if known is not None and known > position:
            raise PositionAhead(known, standing=position)
        ended = Ended(state["epoch"], position if known is None else known)
        await session.run("end_epoch", epoch=ended.epoch, known=ended.known, author=author)
        begun = await session.one("begin_epoch", now_s=now_ms // 1_000)
        await session.run("drop_all_spools")
        data = {"author": author, "epoch": begun["epoch"], "ended": ended.epoch, "known": ended.known}
        act = auditing.Act(Event(EventKind.HUB_RESTORED, tenant, data))
        await auditing.append(session, tenant, [act], now_ms)
        await session.run("notify", channel=CHANNEL, payload=restored_payload(tenant))
        return NewEpoch(begun["epoch"], ended, position)


async def position_of_leaf(pool: Pool, tenant: str, leaf: int) -> HubSeq:
    """Where the tenant stood when a leaf was written; 0 where there is no such leaf."""
    async with pool.session(tenant) as session:
        row = await session.row("position_of_leaf", leaf=leaf)
        return 0 if row is None else int(row["hub_seq"])
