"""How fast does the hub's store decide, on its real Postgres?"""

import secrets
import statistics
import time
from collections.abc import Sequence
from itertools import islice

from anabranch_hub.demo.catalogue import CatalogueDocument, documents
from anabranch_hub.operations.whereabouts import postgres_dsn
from anabranch_hub.store import Edit, Store
from anabranch_sync.change import CHAIN_START, Change, Entry, Op, chained, entry
from anabranch_sync.clock import tick
from anabranch_sync.ids import Cursor, Dot, document_id
from anabranch_sync.register import Slot

from benchmarks.cold_start import Figures
from benchmarks.fleet import Fleet
from benchmarks.sizes import Sizes

TENANT = "rates"
EDGE = "writer"
PREFIXES = (TENANT,)
AUTHOR = "benchmark"
DOCUMENTS = 200
FAR_MS = 2**50


async def measure(fleet: Fleet, sizes: Sizes) -> Figures:
    """Batches as an edge pushes them, then single writes one after the other."""
    content = list(islice(documents(TENANT), min(DOCUMENTS, sizes.documents)))
    await fleet.tenant(TENANT, content)
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


async def _batches(store: Store, content: Sequence[CatalogueDocument], sizes: Sizes) -> list[float]:
    """Seconds for each batch."""
    token_hash = secrets.token_bytes(32)
    await store.invite(TENANT, EDGE, PREFIXES, token_hash, FAR_MS, AUTHOR)
    await store.redeem(token_hash, time.time_ns() // 1_000_000)
    incarnation = (await store.enrolled(TENANT, EDGE, "benchmark", FAR_MS)).incarnation
    opening = await store.open_replica(TENANT, EDGE, incarnation)
    base = Cursor(opening.epoch, opening.hub_seq)
    took_s = []
    chain, local_seq, timestamp = CHAIN_START, 0, 0
    for _ in range(sizes.hub_batches):
        entries: list[Entry] = []
        for _ in range(sizes.hub_batch_changes):
            local_seq += 1
            timestamp = tick(timestamp, time.time_ns() // 1_000_000)
            where = content[local_seq % len(content)]
            op = Op(document_id(where.namespace, where.key), Slot(("routing", "weight")), local_seq)
            entries.append(entry(Dot(incarnation, local_seq), Change(timestamp, base, AUTHOR, "", (op,))))
        began_s = time.perf_counter()
        answer = await store.decide(TENANT, EDGE, entries, chain)
        took_s.append(time.perf_counter() - began_s)
        for each in entries:
            chain = chained(chain, each.body)
        assert answer.push_mark == local_seq, "everything was decided"
    return took_s


async def _single_writes(store: Store, content: Sequence[CatalogueDocument], sizes: Sizes) -> list[float]:
    took_s = []
    for number in range(sizes.hub_single_writes):
        where = content[number % len(content)]
        edit = Edit(document_id(where.namespace, where.key), {**where.content, "enabled": number})
        began_s = time.perf_counter()
        await store.write(TENANT, [edit], author=AUTHOR, message="")
        took_s.append(time.perf_counter() - began_s)
    return took_s
