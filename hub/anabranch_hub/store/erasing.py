"""Erasing values from the transparency log, where a law or a contract asks for it."""

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.ids import check_author
from anabranch_sync.value import Json

from anabranch_hub.store.auditing import Act, append, hub_ms
from anabranch_hub.store.pool import Pool


async def erase(pool: Pool, tenant: str, leaf: int, author: str) -> int:
    """Erase the values behind a leaf, and log that it was done. Returns how many there were."""
    check_author(author)
    async with pool.transaction(tenant) as session:
        rows = await session.rows("erase_openings", leaf=leaf)
        if rows:
            commitments = sorted(row["commitment"].hex() for row in rows)
            data: dict[str, Json] = {"leaf": leaf, "commitments": [*commitments], "author": author}
            await append(
                session, tenant, [Act(Event(EventKind.VALUE_ERASED, f"leaf {leaf}", data))], hub_ms()
            )
        return len(rows)
