"""What does it cost when many edges come back at once, having edited the same documents?"""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from anabranch_hub.demo.catalogue import CatalogueDocument

from benchmarks import edits
from benchmarks.cold_start import Figures
from benchmarks.fleet import Edge, Fleet, carried_until_quiet, run_program
from benchmarks.losers import losers
from benchmarks.sizes import Sizes
from benchmarks.workload import documents

TENANT = "fleet"
# Commands are processes of half a second of CPU: as many at once as there are cores.
AT_ONCE = 2

T = TypeVar("T")


async def measure(fleet: Fleet, sizes: Sizes) -> Figures:
    """Enrol the edges in a tenant of their own, stop them, edit on each, start them again."""
    count = sizes.fleet_edges
    made = list(documents(TENANT, sizes.documents))
    await fleet.tenant(TENANT, made)
    edges = await _few_at_once(fleet.enrol(TENANT, f"edge-{number}") for number in range(count))
    hub_seq = await fleet.position(TENANT)
    await _started(edges, hub_seq)
    for edge in edges:
        await edge.stop()
    fleet.say(f"{count} edges, each {sizes.fleet_edits} edits offline on the same documents")
    files = list(_edits(fleet, made, sizes))
    await _few_at_once(
        run_program("edits", str(edge.replica), str(file)) for edge, file in zip(edges, files, strict=True)
    )
    before = [edge.link.carried for edge in edges]
    began_s = asyncio.get_running_loop().time()
    await _started(edges, hub_seq + count * sizes.fleet_edits)
    settled_s = asyncio.get_running_loop().time()
    carried = await carried_until_quiet(edges, before)
    ledger = await fleet.ask("merges", "list", "--tenant", TENANT, "--limit", "1000")
    digest = (await fleet.ask("digest", TENANT))["digest"]
    for edge in edges:
        await edge.until(lambda facts: str(facts.digest) == digest, "the hub's digest")
        await edge.stop()
    gone = losers(files, *await _held(edges[0], files, ledger))
    both = sum(each.both for each in carried)
    fleet.say(f"{count} edges: {both} bytes on all links, {len(ledger)} conflicts in the ledger")
    return {
        "ten_edges_bytes_up": sum(each.up for each in carried),
        "ten_edges_bytes_down": sum(each.down for each in carried),
        "ten_edges_bytes_up_tls": sum(each.up_tls for each in carried),
        "ten_edges_bytes_down_tls": sum(each.down_tls for each in carried),
        "ten_edges_seconds": settled_s - began_s,
        "ten_edges_conflicts": len(ledger),
        "ten_edges_lost": gone.lost,
        "ten_edges_found": gone.found,
        "ten_edges_innocent": gone.innocent,
    }


async def _held(
    edge: Edge, files: Sequence[Path], ledger: Sequence[Mapping[str, Any]]
) -> tuple[list[object], list[list[object]]]:
    """What each edited field holds, and what the ledger has beside it."""
    beside: dict[tuple[str, str, str], list[object]] = {}
    for row in ledger:
        place = (row["namespace"], row["key"], row["path"])
        beside.setdefault(place, []).extend(each["value"] for each in row["candidates"])
    values: list[object] = []
    for file in files:
        values += (await run_program("values", str(edge.replica), str(file)))["values"]
    written = [each for file in files for each in edits.read(file)]
    return values, [beside.get((each.namespace, each.key, each.pointer), []) for each in written]


def _edits(fleet: Fleet, made: Sequence[CatalogueDocument], sizes: Sizes) -> Iterator[Path]:
    """A file of edits for each edge, all of the same documents."""
    for number in range(sizes.fleet_edges):
        own = edits.spread(made[: sizes.fleet_documents], sizes.fleet_edits, edits.FIRST_OF_TEN + number)
        yield edits.write(fleet.folder / f"edge-{number}.json", own)


async def _started(edges: list[Edge], hub_seq: int) -> None:
    await asyncio.gather(*(edge.start() for edge in edges))
    await asyncio.gather(*(edge.until_settled(hub_seq) for edge in edges))


async def _few_at_once(work: Iterable[Awaitable[T]]) -> list[T]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(each: Awaitable[T]) -> T:
        async with places:
            return await each

    return await asyncio.gather(*(one(each) for each in work))
