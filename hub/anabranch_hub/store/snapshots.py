"""Snapshots of scopes: cut once for all replicas of a scope, and kept for whichever hub process sends them.

Documents are read in pages of one moment, so neither the reading nor the cutting ever holds a whole scope.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from anabranch_sync.columns import decode_document
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import DIGEST_BYTES
from anabranch_sync.ids import Cursor, HubSeq
from anabranch_sync.plan import link_bytes
from anabranch_sync.scope import Scope
from anabranch_sync.snapshot import Cutter, Part, Slice, Snapshot, name_of, seal_slice

from anabranch_hub.store.pool import CONNECTIONS_MAX, Pool, Session
from anabranch_hub.store.quarantining import stored_aside
from anabranch_hub.store.records import address
from anabranch_hub.store.scope_digests import ScopeDigests
from anabranch_hub.store.scope_filter import reading

# The one that edges fetch now, and the one before, of which some have half.
_OF_SCOPE_MAX = 2
_SNAPSHOTS_MAX = 256
# Of one tenant; the parts of several scopes are often the same, and then kept once.
_BYTES_MAX = 512 * 1024 * 1024
# Cutting 1 GB takes some minutes.
_MAKING_S_MAX = 3_600
# Of one process: each holds a connection for as long, and needs another now and then for its parts.
_MAKING_MAX = CONNECTIONS_MAX // 2
# The largest document takes half a megabyte.
_DOCUMENTS_EACH = 100
# A snapshot is fresh while what changed since, which follows as a delta, is less than a tenth of it.
_FRESH_ONE_OF = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """A snapshot of `scope` that serves a replica at `after`: no older than `not_before`."""

    tenant: str
    scope: Scope
    epoch: int
    not_before: HubSeq

    @property
    def prefixes(self) -> list[str]:
        """What names the scope."""
        return list(self.scope.prefixes)


class Snapshots:
    """What one hub process knows of them: which are being made."""

    def __init__(self, pool: Pool, digests: ScopeDigests) -> None:
        self._pool = pool
        self._digests = digests
        self._making: WeakValueDictionary[tuple[str, tuple[str, ...]], asyncio.Lock] = WeakValueDictionary()
        self._places = asyncio.Semaphore(_MAKING_MAX)

    async def kept(self, session: Session, wanted: Wanted) -> Snapshot | None:
        """One that is there and still fresh."""
        row = await session.row(
            "usable_snapshot",
            prefixes=wanted.prefixes,
            epoch=wanted.epoch,
            not_before=wanted.not_before,
        )
        if row is None:
            return None
        snapshot = _snapshot(row)
        within = reading(wanted.scope)
        since = await session.one("changed_bytes", after=snapshot.upto.hub_seq, **within)
        if link_bytes(since["bytes"]) * _FRESH_ONE_OF > snapshot.size_bytes:
            return None
        return snapshot

    async def snapshot(self, wanted: Wanted) -> Snapshot:
        """One that is there and still fresh, or a new one."""
        key = wanted.tenant, wanted.scope.prefixes
        lock = self._making.setdefault(key, asyncio.Lock())
        async with lock:
            async with self._pool.session(wanted.tenant) as session:
                kept = await self.kept(session, wanted)
                if kept is not None:
                    await session.run("use_snapshot", hub_seq=kept.upto.hub_seq, prefixes=wanted.prefixes)
                    return kept
            async with self._places:
                return await self._made(wanted)

    async def part(self, tenant: str, name: bytes) -> bytes | None:
        """The bytes of a part, if they are still there and what their name says.

        Else no snapshot names it any more, so that the next one is cut anew.
        """
        async with self._pool.session(tenant) as session:
            row = await session.row("snapshot_part", part=name)
            if row is not None and name_of(bytes(row["body"])) == name:
                return bytes(row["body"])
            await session.run("drop_damaged_snapshots", part=name)
            return None

    async def part_of(self, tenant: str, scope: Scope, name: bytes) -> bytes | None:
        """The bytes of a part, as `part`, if a snapshot of the scope names it."""
        async with self._pool.session(tenant) as session:
            row = await session.one("is_offered", prefixes=list(scope.prefixes), part=name)
        return await self.part(tenant, name) if row["offered"] else None

    async def _made(self, wanted: Wanted) -> Snapshot:
        parts: list[Part] = []
        cutter = Cutter()
        within = reading(wanted.scope)
        async with self._pool.undoing(wanted.tenant) as session:
            await session.begin(snapshot=True)
            position = await session.one("position")
            upto = Cursor(position["epoch"], position["hub_seq"])
            digest = await self._digests.at(session, wanted.tenant, wanted.scope, upto)
            after = ""
            while True:
                rows = await session.rows("documents_to_cut", after=after, **within, limit=_DOCUMENTS_EACH)
                sealed = await asyncio.to_thread(_sealed, cutter, rows)
                parts += await self._put(wanted.tenant, sealed)
                if not rows:
                    break
                after = rows[-1]["id"]
        snapshot = Snapshot(upto, digest, tuple(parts))
        await self._keep(wanted, snapshot)
        return snapshot

    async def _put(self, tenant: str, sealed: Sequence[bytes]) -> list[Part]:
        parts = [Part(name_of(body), len(body)) for body in sealed]
        if parts:
            async with self._pool.session(tenant) as session:
                for part, body in zip(parts, sealed, strict=True):
                    await session.run("put_snapshot_part", part=part.name, body=body)
        return parts

    async def _keep(self, wanted: Wanted, snapshot: Snapshot) -> None:
        """Let others find it, and let go of what has been here too long."""
        async with self._pool.transaction(wanted.tenant) as session:
            await session.run(
                "put_snapshot",
                prefixes=wanted.prefixes,
                epoch=snapshot.upto.epoch,
                hub_seq=snapshot.upto.hub_seq,
                digest_count=snapshot.digest.count,
                digest_sum=snapshot.digest.sum.to_bytes(DIGEST_BYTES, "big"),
                names=[part.name for part in snapshot.parts],
                sizes=[part.size_bytes for part in snapshot.parts],
            )
            await session.run(
                "drop_snapshots", of_scope=_OF_SCOPE_MAX, count=_SNAPSHOTS_MAX, bytes=_BYTES_MAX
            )
            await session.run("drop_snapshot_parts", making_s=_MAKING_S_MAX)


def _sealed(cutter: Cutter, rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """The parts that these documents complete; without any, the last one."""
    cuts: list[Slice | None] = [] if rows else [cutter.rest()]
    for row in rows:
        quarantined = stored_aside(row).quarantined if row["violations"] is not None else None
        state = row["state"]
        cuts.append(cutter.add(address(row["id"]), decode_document(state), len(state), quarantined))
    return [seal_slice(cut) for cut in cuts if cut is not None]


def _snapshot(row: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        Cursor(row["epoch"], row["hub_seq"]),
        ScopeDigest(row["digest_count"], int.from_bytes(row["digest_sum"], "big")),
        tuple(Part(bytes(name), size) for name, size in zip(row["names"], row["sizes"], strict=True)),
    )
