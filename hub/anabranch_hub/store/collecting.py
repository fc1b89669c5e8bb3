"""Tombstones that everybody has seen, taken out of the documents, where they cost bytes in every snapshot.

A tombstone is of use against a write whose author had not seen it. Once all replicas that count have
acknowledged its position, such a write can only come from one that does not count (a retired edge, a
disk put back to an older image), or from an outbox that is older than its replica's cursor. So nothing
is thrown away: the tombstones move to a place of their own (`collected_tombstones`), which no pull and
no snapshot reads. A write that may not have seen them is decided with them back in their document
(`collection.recalled`): it meets the deletion, and the ledger has its row, as if nothing had been collected.
There they stay until nobody who counts can bring such a write (`forgetting`).

A replica whose cursor lies before the collected position would keep what was deleted, for a delta would
not say so: it gets everything anew (`pulls.begun`). That, and not who is retired, is what makes it safe.

A document of which nothing is left keeps its row, for the count of its versions and its history; it does
not travel.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anabranch_sync.audit_event import EventKind
from anabranch_sync.collection import collectable, without
from anabranch_sync.columns import decode_document, encode_document
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.ids import DocumentId, HubSeq

from anabranch_hub.store.forgetting import forget, log_gone
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import address

# In one transaction: a fraction of a second's work, while deciders of the tenant wait for its end.
_DOCUMENTS_EACH = 200


@dataclass(frozen=True, slots=True)
class Collected:
    """What was collected up to a position: tombstones, and the documents they were in.

    `held_by` are the edges whose replicas have acknowledged no more than that. `forgotten` are collected ones
    that are of no use any more.
    """

    upto: HubSeq
    tombstones: int
    documents: int
    held_by: tuple[str, ...]
    forgotten: int = 0


async def collect(pool: Pool, tenant: str, *, author: str, dry_run: bool) -> Collected:
    """Collect the tombstones that all edges that count have seen. Safe to repeat, and to break off.

    Only documents that changed since the last whole run are read. `author` is empty where the hub does it
    by itself.
    """
    async with pool.session(tenant) as session:
        position = await session.one("collecting_from")
        holding = await session.rows("holding_edges")
    upto = min([position["hub_seq"], *(row["cursor_seq"] for row in holding)])
    tombstones, documents, after = 0, 0, ""
    while upto and (page := await _page(pool, tenant, position["swept_seq"], after)):
        after = page[-1]["id"]
        taken = await asyncio.to_thread(_taken, page, upto)
        if taken and not dry_run:
            taken = await _move(pool, tenant, list(taken), upto, author)
        documents += len(taken)
        tombstones += sum(len(each.registers) for each in taken.values())
    if not dry_run:
        async with pool.session(tenant) as session:
            await session.run("swept", upto=upto)
    held_by = tuple(row["name"] for row in holding if row["cursor_seq"] == upto < position["hub_seq"])
    forgotten = await forget(pool, tenant, author=author, dry_run=dry_run)
    return Collected(upto, tombstones, documents, held_by, forgotten.tombstones)


async def _page(pool: Pool, tenant: str, swept: HubSeq, after: str) -> list[dict[str, Any]]:
    async with pool.session(tenant) as session:
        return await session.rows("documents_to_collect", swept=swept, after=after, limit=_DOCUMENTS_EACH)


def _taken(rows: Sequence[Mapping[str, Any]], upto: HubSeq) -> dict[str, Document]:
    """What goes of these documents, by address."""
    found = ((row["id"], collectable(decode_document(row["state"]), upto)) for row in rows)
    return {each: Document(gone) for each, gone in found if gone}


async def _move(
    pool: Pool, tenant: str, ids: Collection[str], upto: HubSeq, author: str
) -> dict[str, Document]:
    """Move the tombstones of these documents, as they stand under the tenant's lock."""
    async with pool.transaction(tenant) as session:
        await session.run("lock_tenant")
        rows = await session.rows("deciding_documents", ids=list(ids))
        taken = _taken(rows, upto)
        if not taken:  # another process was faster
            return taken
        left = {
            row["id"]: without(decode_document(row["state"]), taken[row["id"]].registers)
            for row in rows
            if row["id"] in taken
        }
        before = await kept(session, list(taken))
        after = {
            each: Document({**before.get(address(each), EMPTY).registers, **gone.registers})
            for each, gone in taken.items()
        }
        await session.run("drop_tombstones", **_columns(left))
        await session.run("keep_tombstones", **_columns(after))
        await session.run("collected", upto=upto)
        await log_gone(session, EventKind.TOMBSTONES_COLLECTED, tenant, taken, upto, author)
        return taken


async def kept(session: Session, ids: Sequence[str]) -> dict[DocumentId, Document]:
    """What was collected of these documents."""
    return by_address(await session.rows("collected_tombstones", ids=ids))


def by_address(rows: Iterable[Mapping[str, Any]]) -> dict[DocumentId, Document]:
    """Stored documents, unpacked."""
    return {address(row["id"]): decode_document(row["state"]) for row in rows}


def _columns(documents: Mapping[str, Document]) -> dict[str, list[Any]]:
    return {"id": list(documents), "state": [encode_document(each) for each in documents.values()]}
