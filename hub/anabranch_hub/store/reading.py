"""Documents as they stand; `history` reads them as they stood."""

from anabranch_sync.ids import DocumentId

from anabranch_hub.store.pool import Pool
from anabranch_hub.store.quarantining import stored
from anabranch_hub.store.records import Stored

# A page of documents: at 2 KB each about 2 MB.
DOCUMENTS_MAX = 1_000


async def read(pool: Pool, tenant: str, document: DocumentId) -> Stored | None:
    """A document as it stands; None where nobody ever wrote it."""
    async with pool.session(tenant) as session:
        row = await session.row("read", id=str(document))
        return stored(row) if row else None


async def documents(pool: Pool, tenant: str, *, prefix: str, after: str, limit: int) -> list[Stored]:
    """Live documents below `prefix`, by address, those after the address `after`, at most `limit`."""
    async with pool.session(tenant) as session:
        rows = await session.rows("documents", prefix=prefix, after=after, limit=min(limit, DOCUMENTS_MAX))
        return [stored(row) for row in rows]
