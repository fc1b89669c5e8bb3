"""What the hub remembers of courier files: for each edge the last one, which the next answer answers."""

from dataclasses import dataclass

from anabranch_sync.ids import Incarnation

from anabranch_hub.store.pool import Pool


@dataclass(frozen=True, slots=True)
class Parcel:
    """An edge's export: its name, when it says it was made, its first frame.

    `lease` is the incarnation that the edge is to go on under, 0 where that is its own.
    """

    export: bytes
    made_ms: int
    hello: bytes
    lease: Incarnation = 0


async def parcel(pool: Pool, tenant: str, edge: str) -> Parcel | None:
    """The last one of the edge, or None."""
    async with pool.session(tenant) as session:
        row = await session.row("parcel", edge=edge)
    return None if row is None else Parcel(row["export"], row["made_ms"], row["hello"], row["lease"])


async def put_parcel(pool: Pool, tenant: str, edge: str, taken: Parcel) -> None:
    """Remember `taken` in place of the one before; safe to repeat."""
    async with pool.transaction(tenant) as session:
        await session.run(
            "put_parcel",
            edge=edge,
            export=taken.export,
            made_ms=taken.made_ms,
            hello=taken.hello,
            lease=taken.lease,
        )
