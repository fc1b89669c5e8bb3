"""How fast does the hub's store decide, on its real Postgres?"""

import secrets
import statistics
import time
from collections.abc import Sequence

from anabranch_hub.demo.catalogue import CatalogueDocument
from anabranch_hub.operations.garbage import look_rarely
from anabranch_hub.operations.whereabouts import postgres_dsn
from anabranch_hub.store import Edit, Store
from anabranch_sync.change import CHAIN_START, Change, Entry, Op, chained, entry
from anabranch_sync.clock import tick
from anabranch_sync.ids import Cursor, DocumentId, Dot, document_id
from anabranch_sync.register import Slot

from benchmarks.cold_start import Figures
from benchmarks.fleet import Fleet
from benchmarks.sizes import Sizes
from benchmarks.workload import documents

TENANT = "rates"
EDGE = "writer"
AUTHOR = "benchmark"
DOCUMENTS = 200
FIELD = Slot(("routing", "weight"))
FAR_MS = 2**50


async def measure(fleet: Fleet, sizes: Sizes) -> Figures:
    """Batches as an edge pushes them, then single writes one after the other."""
    content = list(documents(TENANT, min(DOCUMENTS, sizes.documents)))
    await fleet.tenant(TENANT, content)
    look_rarely()  # as the hub does
    store = await Store.connect(postgres_dsn(fleet.hub_dir))
    try:
        batch_s = await _batches(store, content, sizes)
        write_s = await _single_writes(store, content, sizes)
    finally:
        await store.close()
    rate = sizes.hub_batch_changes / statistics.median(batch_s)
    p99_ms = statistics.quantiles(write_s, n=100)[98] * 1000
    fleet.say(f"hub: {rate:.0f} changes decided a second in batches, a single write p99 {p99_ms:.1f} ms")
    return {
        "hub_decided_per_second": rate,
        "hub_write_p50_ms": statistics.median(write_s) * 1000,
        "hub_write_p99_ms": p99_ms,
    }


class Writer:
    """An edge as the store knows it: it pushes batches of changes, each of one field of one document."""

    def __init__(self, store: Store, tenant: str, edge: str, incarnation: int, base: Cursor) -> None:
        self.base = base
        self._store = store
        self._tenant = tenant
        self._edge = edge
        self._incarnation = incarnation
        self._chain = CHAIN_START
        self._local_seq = 0
        self._timestamp = 0

    @classmethod
    async def enrolled(cls, store: Store, tenant: str, edge: str) -> "Writer":
        """A new edge whose first incarnation is leased and has seen everything so far."""
        token_hash = secrets.token_bytes(32)
        await store.invite(tenant, edge, (tenant,), token_hash, FAR_MS, AUTHOR)
        await store.redeem(token_hash, time.time_ns() // 1_000_000)
        incarnation = (await store.enrolled(tenant, edge, f"benchmark {edge}", FAR_MS)).incarnation
        opening = await store.open_replica(tenant, edge, incarnation)
        return cls(store, tenant, edge, incarnation, Cursor(opening.epoch, opening.hub_seq))

    async def push(self, places: Sequence[DocumentId]) -> float:
        """Push one change for each place, and wait until all are decided; the seconds that took."""
        first = self._local_seq
        entries = [self._entry(place) for place in places]
        began_s = time.perf_counter()
        answer = await self._store.decide(self._tenant, self._edge, entries, self._chain)
        took_s = time.perf_counter() - began_s
        for each in entries:
            self._chain = chained(self._chain, each.body)
        assert answer.push_mark == first + len(places), "everything was decided"
        return took_s

    async def see(self) -> None:
        """From now on its changes are made by someone who has seen all that is decided."""
        opening = await self._store.open_replica(self._tenant, self._edge, self._incarnation)
        self.base = Cursor(opening.epoch, opening.hub_seq)

    def _entry(self, place: DocumentId) -> Entry:
        self._local_seq += 1
        self._timestamp = tick(self._timestamp, time.time_ns() // 1_000_000)
        # No two edges ever write the same value: equal ones would agree, not conflict.
        value = self._local_seq * 1_000 + self._incarnation
        change = Change(self._timestamp, self.base, AUTHOR, "", (Op(place, FIELD, value),))
        return entry(Dot(self._incarnation, self._local_seq), change)


async def _batches(store: Store, content: Sequence[CatalogueDocument], sizes: Sizes) -> list[float]:
    """Seconds for each batch."""
    writer = await Writer.enrolled(store, TENANT, EDGE)
    places = [document_id(each.namespace, each.key) for each in content]
    batch = [places[number % len(places)] for number in range(sizes.hub_batch_changes)]
    return [await writer.push(batch) for _ in range(sizes.hub_batches)]


async def _single_writes(store: Store, content: Sequence[CatalogueDocument], sizes: Sizes) -> list[float]:
    took_s = []
    for number in range(sizes.hub_single_writes):
        where = content[number % len(content)]
        edit = Edit(document_id(where.namespace, where.key), {**where.content, "enabled": number})
        began_s = time.perf_counter()
        await store.write(TENANT, [edit], author=AUTHOR, message="")
        took_s.append(time.perf_counter() - began_s)
    return took_s
