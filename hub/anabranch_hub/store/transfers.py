"""Transfers that a break interrupted: heads of pushes that came in, and pulls that are going out."""

from collections.abc import Sequence

from anabranch_sync.errors import FrameTooLarge
from anabranch_sync.ids import Cursor, Incarnation
from anabranch_sync.messages import BATCH_BYTES_MAX
from anabranch_sync.standing import Partial

from anabranch_hub.store.attribution import DAYS_KEPT, OTHERS, ROWS_OF_DAY_MAX, Place, Share
from anabranch_hub.store.pool import Pool, Session


async def store_upload(
    pool: Pool, tenant: str, incarnation: Incarnation, batch: bytes, total: int, offset: int, piece: bytes
) -> None:
    """Make a piece durable where it continues what is there; a repeated piece changes nothing.

    Raises FrameTooLarge.
    """
    if max(total, offset + len(piece)) > BATCH_BYTES_MAX:
        raise FrameTooLarge("upload", max(total, offset + len(piece)), BATCH_BYTES_MAX)
    async with pool.undoing(tenant) as session:
        async with session.pipeline():
            await session.begin()
            await session.run("drop_other_uploads", incarnation=incarnation, batch=batch)
        async with session.committing():
            await session.run(
                "add_piece", incarnation=incarnation, batch=batch, offset=offset, total=total, piece=piece
            )


async def upload(pool: Pool, tenant: str, incarnation: Incarnation) -> Partial | None:
    """What has arrived of a push."""
    async with pool.session(tenant) as session:
        return await arrived(session, incarnation)


async def arrived(session: Session, incarnation: Incarnation) -> Partial | None:
    """What has arrived of a push, within a transaction."""
    row = await session.row("upload", incarnation=incarnation)
    return Partial(row["batch"], row["total"], row["received"]) if row else None


async def spool(pool: Pool, tenant: str, incarnation: Incarnation, batch: bytes, body: bytes) -> None:
    """Keep the bytes of a pull that is going out, in place of the one before."""
    async with pool.session(tenant) as session:
        await session.run("spool", incarnation=incarnation, batch=batch, body=body)


async def spooled(pool: Pool, tenant: str, incarnation: Incarnation, batch: bytes) -> bytes | None:
    """The bytes of a pull, if they are still there."""
    async with pool.session(tenant) as session:
        row = await session.row("spooled", incarnation=incarnation, batch=batch)
        return bytes(row["body"]) if row else None


async def seen(
    pool: Pool, tenant: str, incarnation: Incarnation, cursor: Cursor, shares: Sequence[Share] = ()
) -> None:
    """A replica has applied everything up to `cursor`; its spooled pull is of no use any more.

    `shares` are what was carried meanwhile, and for whom.
    """
    async with pool.session(tenant) as session:
        await session.run(
            "seen",
            incarnation=incarnation,
            epoch=cursor.epoch,
            hub_seq=cursor.hub_seq,
            days_kept=DAYS_KEPT,
            rows_max=ROWS_OF_DAY_MAX,
            others=OTHERS,
            namespaces=[each.place.namespace for each in shares],
            keys=[each.place.key for each in shares],
            bytes_up=[each.bytes_up for each in shares],
            bytes_down=[each.bytes_down for each in shares],
        )


async def traffic(pool: Pool, tenant: str, edge: str, days: int) -> list[Share]:
    """What an edge's link carried today and on the days before, and for whom, the most first."""
    async with pool.session(tenant) as session:
        rows = await session.rows("edge_traffic", edge=edge, days=days)
    return [Share(Place(row["namespace"], row["key"]), row["bytes_up"], row["bytes_down"]) for row in rows]
