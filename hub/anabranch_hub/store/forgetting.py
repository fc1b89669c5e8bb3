"""Collected tombstones, forgotten: the table of them would grow for ever.

A collected tombstone is of use against a change whose author had not seen it. It is forgotten once nobody
who counts can bring one any more. A replica writes with what it has seen, never with less: so when it has
said that all it wrote is at the hub, or shown it by a change, nothing it writes later is older than that.
That is known of each replica (`forgettable_until`), and those of a quarter are kept in any case.

Who does not count may still come: a retired edge, a disk that was put back. What they bring is not guessed
about. Each document keeps how far its tombstones are forgotten, and a change to it whose author had seen
less is refused, whole, with the reason: its author looks at the document and writes again. One who had seen
nothing at all brings back nothing, and is merged.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.collection import without
from anabranch_sync.columns import decode_document, encode_document
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.ids import HubSeq
from anabranch_sync.value import Json

from anabranch_hub.store import auditing
from anabranch_hub.store.pool import Pool, Session

# As long as bodies of changes are kept: until then an edge that was retired too early loses nothing by it.
FORGET_AFTER_DAYS = 90
# In one transaction: a fraction of a second's work, while deciders of the tenant wait for its end.
_DOCUMENTS_EACH = 200


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Tombstones that were forgotten, up to a position."""

    upto: HubSeq
    tombstones: int


async def forget(pool: Pool, tenant: str, *, author: str, dry_run: bool) -> Forgotten:
    """Forget the collected tombstones of which nobody who counts can bring a change. Safe to repeat."""
    async with pool.session(tenant) as session:
        row = await session.one("forgettable_until", days=FORGET_AFTER_DAYS)
    start, upto = row["forgotten_seq"], row["until"]
    tombstones, after = 0, ""
    while start < upto and (page := await _page(pool, tenant, after)):
        after = page[-1]["id"]
        going = await asyncio.to_thread(_going, page, upto)
        if going and not dry_run:
            going = await _drop(pool, tenant, list(going), upto, author)
        tombstones += sum(len(each.registers) for each in going.values())
    if start < upto and not dry_run:
        async with pool.session(tenant) as session:
            await session.run("forgotten", upto=upto)
    return Forgotten(max(start, upto), tombstones)


def forgettable(tombstones: Document, upto: HubSeq) -> Document:
    """Those of the collected tombstones of a document that everybody who counts has seen."""
    return Document({slot: each for slot, each in tombstones.registers.items() if each.hub_seq <= upto})


async def _page(pool: Pool, tenant: str, after: str) -> list[dict[str, Any]]:
    async with pool.session(tenant) as session:
        return await session.rows("tombstones_to_forget", after=after, limit=_DOCUMENTS_EACH)


def _going(rows: Sequence[Mapping[str, Any]], upto: HubSeq) -> dict[str, Document]:
    found = ((row["id"], forgettable(decode_document(row["state"]), upto)) for row in rows)
    return {each: gone for each, gone in found if gone.registers}


async def _drop(
    pool: Pool, tenant: str, ids: Collection[str], upto: HubSeq, author: str
) -> dict[str, Document]:
    """Forget of these documents, as they stand under the tenant's lock; returns what was forgotten."""
    async with pool.transaction(tenant) as session:
        await session.run("lock_tenant")
        rows = await session.rows("collected_tombstones", ids=list(ids))
        going = _going(rows, upto)
        left = {
            row["id"]: without(decode_document(row["state"]), going.get(row["id"], EMPTY).registers)
            for row in rows
        }
        empty = [each for each, document in left.items() if not document.registers]
        rest = {each: encode_document(document) for each, document in left.items() if document.registers}
        await session.run(
            "forget_documents", id=list(going), hub_seq=[document.hub_seq for document in going.values()]
        )
        await session.run("leave_tombstones", id=list(rest), state=list(rest.values()))
        await session.run("drop_collected", ids=empty)
        if going:
            await log_gone(session, EventKind.TOMBSTONES_FORGOTTEN, tenant, going, upto, author)
        return going


async def log_gone(
    session: Session, kind: EventKind, tenant: str, gone: Mapping[str, Document], upto: HubSeq, author: str
) -> None:
    """A leaf of the log on tombstones that went; `author` is empty where the hub does it by itself."""
    count = sum(len(each.registers) for each in gone.values())
    data: dict[str, Json] = {"position": upto, "tombstones": count, "documents": len(gone)}
    if author:
        data["author"] = author
    await auditing.append(session, tenant, [auditing.Act(Event(kind, tenant, data))], auditing.hub_ms())
