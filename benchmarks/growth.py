"""``python -m benchmarks.growth``: what grows with what there is, and what only with what changed?

Documents: the same 1,000 offline edits on 200 documents, where the tenant has 1,000, 10,000 and 100,000
(small ones of four fields, so that so many can be brought in). Edges: how much memory a hub process takes
that holds the exchanges of 1 to 10,000 idle edges, and how long a change is on its way to all of them. The
edges are clients in one process, each with a certificate, a TLS connection and a stream of its own.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TypeAlias

from anabranch_hub.demo.catalogue import CatalogueDocument

from benchmarks import edits
from benchmarks.answering import answered, rounded
from benchmarks.crowd import TENANT, Crowd, raise_open_files
from benchmarks.fleet import Fleet, PhaseStuck, carried_until_quiet, run_program
from benchmarks.history import machine, today

Figures: TypeAlias = dict[str, object]
Sizes: TypeAlias = tuple[int, ...]

RECORDED = Path(__file__).with_name("growth.json")
DOCUMENTS: Sizes = (1_000, 10_000, 100_000)
EDGES: Sizes = (1, 10, 100, 1_000, 10_000)
TINY_DOCUMENTS: Sizes = (20, 60)
TINY_EDGES: Sizes = (1, 4)
EDITED_DOCUMENTS, EDITS = 200, 1_000
# Bringing in 100,000 documents and a first edge's whole fetch of them.
FETCH_S_MAX = 1_200.0


async def run(documents: Sizes, edges: Sizes, folder: Path) -> Figures:
    """Every figure. Raises PhaseStuck, DemoFailed."""
    async with AsyncExitStack() as stack:
        fleet = await Fleet.start(stack, folder)
        fleet.say("a hub with its own Postgres and OpenBao serves")
        exchanges = {str(count): await exchange(fleet, count) for count in documents}
        held = await holding(fleet, edges)
    return {
        "when": f"{today()}, {machine()}",
        "documents": exchanges,
        "edges": held,
        "open_files_max": raise_open_files(),
    }


async def exchange(fleet: Fleet, count: int) -> Figures:
    """The same edits, brought home where there are so many documents."""
    tenant = f"held-{count}"
    began_s = time.monotonic()
    made = list(small_documents(tenant, count))
    await fleet.tenant(tenant, made)
    hub_seq = await fleet.position(tenant)
    imported_s = time.monotonic() - began_s
    edge = await fleet.enrol(tenant, "writer")
    await edge.start()
    await edge.until_settled(hub_seq, FETCH_S_MAX)
    (fetched,) = await carried_until_quiet([edge], [type(edge.link.carried)()])
    await edge.stop()
    pending = edits.spread(made[:EDITED_DOCUMENTS], EDITS, edits.OFFLINE)
    await run_program("edits", str(edge.replica), str(edits.write(fleet.folder / f"{tenant}.json", pending)))
    before, edge.link.first_byte_s = edge.link.carried, None
    await edge.start()
    settled_s = await edge.until_settled(hub_seq + EDITS)
    (carried,) = await carried_until_quiet([edge], [before])
    peak_bytes = edge.resident_peak_bytes
    await edge.stop()
    fleet.say(
        f"{count} documents: {carried.both} bytes, {settled_s - edge.link.began_s:.2f} s for {EDITS} edits"
    )
    return {
        "exchange_bytes": carried.both,
        "exchange_seconds": settled_s - edge.link.began_s,
        "edge_peak_resident_bytes": peak_bytes,
        "replica_bytes": edge.replica.stat().st_size,
        "cold_start_bytes_down": fetched.down,
        "import_seconds": imported_s,
    }


async def holding(fleet: Fleet, counts: Sizes) -> Figures:
    """A hub that holds so many idle edges; as many as this machine lets one process have open."""
    await fleet.tenant(TENANT, list(small_documents(TENANT, 1)))
    figures: Figures = {}
    async with Crowd(fleet) as crowd:
        alone_bytes = fleet.hub_resident_bytes
        for count in counts:
            if count > crowd.edges_max:
                figures[str(count)] = f"not here: a process may have {raise_open_files()} files open"
                continue
            try:
                joined_s = await crowd.grow_to(count)
                resident_bytes = fleet.hub_resident_bytes
                fleet.say(f"{count} edges are connected: hub {resident_bytes / 1e6:.0f} MB")
                reached_s = await crowd.change_reaches_all()
            except PhaseStuck as error:
                # What was measured before it counts.
                figures[str(count)] = f"hub {fleet.hub_resident_bytes / 1e6:.0f} MB; {error}"
                break
            fleet.say(f"{count} edges: a change reached all in {reached_s:.2f} s")
            figures[str(count)] = {
                "hub_resident_bytes": resident_bytes,
                "hub_bytes_per_edge": (resident_bytes - alone_bytes) / count,
                "join_seconds": joined_s,
                "change_everywhere_seconds": reached_s,
                "connected_again": crowd.connected_again,
            }
    return figures


def small_documents(tenant: str, count: int) -> Iterator[CatalogueDocument]:
    """Documents of four fields: a hundred bytes each."""
    for nth in range(count):
        yield CatalogueDocument(
            f"{tenant}/prod/limits/team-{nth % 100}",
            f"user-{nth}",
            {
                "requests_per_minute": 60 + nth % 40,
                "tokens_per_day": 1_000 * nth,
                "enabled": True,
                "tier": "basic",
            },
        )


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a few of everything: shows that it works")
    parser.add_argument("--documents", type=int, help="none of the sizes beyond so many documents")
    parser.add_argument("--edges", type=int, help="none of the sizes beyond so many edges")
    parser.add_argument(
        "--folder", type=Path, help="where databases are laid for the run: the disk to measure"
    )
    parser.add_argument("--record", action="store_true", help="keep the figures in growth.json")
    arguments = parser.parse_args()
    raise_open_files()
    documents, edges = (TINY_DOCUMENTS, TINY_EDGES) if arguments.tiny else (DOCUMENTS, EDGES)
    if arguments.documents is not None:
        documents = tuple(count for count in documents if count <= arguments.documents)
    if arguments.edges is not None:
        edges = tuple(count for count in edges if count <= arguments.edges)
    figures = answered(partial(run, documents, edges), arguments.folder)
    if figures is None:
        return 1
    written = json.dumps(rounded(figures), indent=2) + "\n"
    if arguments.record:
        RECORDED.write_text(written)
    sys.stdout.write(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
