"""``python -m benchmarks.links --json``: what does a bad link cost, and a link on which nothing happens?

One run, a real hub and real agents over TLS, on links that break after so many bytes: how much of what
was sent had to be sent again, how little is sent when nothing is new, what an edge that was away for
long catches up with.
"""

import asyncio
import base64
import random
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from anabranch_hub.demo.catalogue import CatalogueDocument

from benchmarks import edits, proving
from benchmarks.answering import benchmark
from benchmarks.counting import Carried
from benchmarks.fleet import Edge, Fleet, carried_until_quiet, run_program
from benchmarks.quiet_links import idle_days
from benchmarks.workload import documents

SEED = 20_264
# Mean bytes between two breaks, and over how many cold starts the rarer ones are taken.
BREAKS = {15_000: 1, 50_000: 2, 200_000: 5, 1_000_000: 8}
CUT_EVERY_BYTES = 65_536
# A link that breaks every 15 kB breaks some hundred times, and each time the agent waits before it dials.
BROKEN_S_MAX = 600.0
# Of one document: many of them make a payload, as in a real scope.
DOCUMENT_BYTES = 8_000

Figures = dict[str, object]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; `TINY` only shows that every figure comes out."""

    payload_bytes: int
    documents: int
    overwrites: int
    overwritten_fields: int
    compared_documents: int
    held_s: float
    polls: int


FULL = Sizes(1_000_000, 1_000, 10_000, 20, 5_000, 250.0, 6)
TINY = Sizes(60_000, 20, 40, 4, 200, 3.0, 1)


async def run(sizes: Sizes, folder: Path) -> Figures:
    """Every figure. Raises PhaseStuck, DemoFailed."""
    async with AsyncExitStack() as stack:
        fleet = await Fleet.start(stack, folder)
        fleet.say("a hub with its own Postgres and OpenBao serves")
        idle = asyncio.create_task(idle_days(fleet, held_s=sizes.held_s, polls=sizes.polls))
        try:
            figures = proving.measure(sizes.compared_documents)
            figures |= await breaking(fleet, sizes)
            figures |= await cut_in_cold_start(fleet, sizes)
            figures |= await catching_up(fleet, sizes)
            figures |= await idle
        finally:
            idle.cancel()
    return figures


async def breaking(fleet: Fleet, sizes: Sizes) -> Figures:
    """A cold start of random bytes, which nothing compresses, over links that break at random."""
    tenant = "random"
    await fleet.tenant(tenant, list(_random_documents(tenant, sizes.payload_bytes)))
    hub_seq = await fleet.position(tenant)
    overhead, with_tls, breaks = {}, {}, {}
    for mean_bytes, rounds in BREAKS.items():
        draw = _exponential(random.Random(SEED), mean_bytes)
        total, count, name = Carried(), 0, str(mean_bytes)
        for number in range(rounds if sizes is FULL else 1):
            carried, broken = await _cold_start(fleet, tenant, f"mean-{name}-{number}", hub_seq, draw)
            total, count = total + carried, count + broken
        payload_bytes = sizes.payload_bytes * (rounds if sizes is FULL else 1)
        overhead[name] = total.both / payload_bytes
        with_tls[name] = total.both_tls / payload_bytes
        breaks[name] = count
        fleet.say(f"breaks every {name} bytes: {count} of them, {overhead[name]:.3f} x")
    return {
        "payload_bytes": sizes.payload_bytes,
        "overhead_mean_break": overhead,
        "overhead_mean_break_tls": with_tls,
        "breaks": breaks,
    }


async def cut_in_cold_start(fleet: Fleet, sizes: Sizes) -> Figures:
    """The workload over a whole link and over one that is cut every 64 KiB; the ratio of their bytes.

    The random documents, which nothing compresses, are measured beside it.
    """
    tenant = "workload"
    await fleet.tenant(tenant, list(documents(tenant, sizes.documents)))
    hub_seq = await fleet.position(tenant)
    whole, _ = await _cold_start(fleet, tenant, "whole", hub_seq, None)
    cut, _ = await _cold_start(fleet, tenant, "cut", hub_seq, lambda: CUT_EVERY_BYTES)
    position = await fleet.position("random")
    random_whole, _ = await _cold_start(fleet, "random", "whole", position, None)
    random_cut, count = await _cold_start(fleet, "random", "cut", position, lambda: CUT_EVERY_BYTES)
    overhead = random_cut.both / random_whole.both
    fleet.say(f"cut every {CUT_EVERY_BYTES} bytes: {count} times, {overhead:.3f} x")
    return {
        "overhead_cut_64k": overhead,
        "overhead_cut_64k_tls": random_cut.both_tls / random_whole.both_tls,
        "overhead_cut_64k_workload": cut.both / whole.both,
        "cuts_64k": count,
    }


async def catching_up(fleet: Fleet, sizes: Sizes) -> Figures:
    """One edge is away while another overwrites a few fields again and again."""
    tenant = "away"
    made = list(documents(tenant, sizes.overwritten_fields * 3))
    await fleet.tenant(tenant, made)
    hub_seq = await fleet.position(tenant)
    writer, away = await fleet.enrol(tenant, "writer"), await fleet.enrol(tenant, "away")
    for edge in (writer, away):
        await edge.start()
        await edge.until_settled(hub_seq)
    await away.stop()
    pending = edits.overwrites(made, sizes.overwrites, sizes.overwritten_fields)
    await run_program("edits", str(writer.replica), str(edits.write(fleet.folder / "away.json", pending)))
    hub_seq += sizes.overwrites
    await writer.until_settled(hub_seq)
    carried = await _carried_by(away, hub_seq)
    for edge in (writer, away):
        await edge.stop()
    fleet.say(f"catch-up after {sizes.overwrites} overwrites: {carried.both} bytes")
    return {"catch_up": carried.both, "catch_up_tls": carried.both_tls}


async def _cold_start(
    fleet: Fleet, tenant: str, name: str, hub_seq: int, draw: Callable[[], float] | None
) -> tuple[Carried, int]:
    """What a new edge's link carries until it has everything, and how often it broke."""
    edge = await fleet.enrol(tenant, name)
    edge.link.break_after(draw)
    carried = await _carried_by(edge, hub_seq)
    await edge.stop()
    return carried, edge.link.breaks


async def _carried_by(edge: Edge, hub_seq: int) -> Carried:
    before = edge.link.carried
    await edge.start()
    await edge.until_settled(hub_seq, BROKEN_S_MAX)
    (carried,) = await carried_until_quiet([edge], [before])
    return carried


def _exponential(chance: random.Random, mean_bytes: int) -> Callable[[], float]:
    return lambda: chance.expovariate(1 / mean_bytes)


def _random_documents(tenant: str, payload_bytes: int) -> Sequence[CatalogueDocument]:
    """Documents that hold so many random bytes, in base64, of which compression leaves the bytes."""
    chance = random.Random(SEED)
    made: list[CatalogueDocument] = []
    while payload_bytes > 0:
        size = min(DOCUMENT_BYTES, payload_bytes)
        payload_bytes -= size
        blob = base64.b64encode(chance.randbytes(size)).decode()
        made.append(CatalogueDocument(f"{tenant}/prod/blobs", f"b{len(made)}", {"blob": blob}))
    return made


if __name__ == "__main__":
    sys.exit(benchmark("links", __doc__, run, FULL, TINY))
