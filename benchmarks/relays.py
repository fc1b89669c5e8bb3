"""``python -m benchmarks.relays --json``: what does a site cost its link that starts up behind a relay?

One hub and a tree of two relays, each an agent in a process of its own, over TLS. The link between the nearer
relay and the hub is counted while new children of the further one get the whole workload, with both caches
cleared before: one, and then five that begin at once. Beside them is a new edge that calls the hub itself.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from anabranch_hub.demo.processes import command, program

from benchmarks.answering import benchmark
from benchmarks.counting import Carried
from benchmarks.fleet import Edge, Fleet, carried_until_quiet
from benchmarks.workload import documents

TENANT = "site"
CHILDREN = 5
FULL_DOCUMENTS, TINY_DOCUMENTS = 1_000, 40

Figures = dict[str, object]


async def run(count: int, folder: Path) -> Figures:
    """Every figure. Raises PhaseStuck, DemoFailed."""
    async with AsyncExitStack() as stack:
        fleet = await Fleet.start(stack, folder)
        await fleet.tenant(TENANT, list(documents(TENANT, count)))
        hub_seq = await fleet.position(TENANT)
        alone = await fleet.enrol(TENANT, "alone")
        direct = await _carried(alone, [alone], hub_seq)
        near, far = await _relay(fleet, "near", hub_seq), await _relay(fleet, "far", hub_seq, via="near")
        figures = []
        for count_of in (1, CHILDREN):
            children = await _children(fleet, _address(fleet, "far"), f"of-{count_of}", count_of)
            for relay in (near, far):
                await command(program("anabranch"), "relay", "clear", "--replica", str(relay.replica))
            figures.append(await _carried(near, children, hub_seq))
        one, five = figures
        fleet.say(f"five cold starts: {five.both} bytes on the relay's link, one {one.both}")
    return {
        "documents": count,
        "children": CHILDREN,
        **direct.figures("direct"),
        **one.figures("one_child"),
        **five.figures("five_children"),
        "five_children_over_one": five.both / one.both,
        "five_children_over_five_direct": five.both / (CHILDREN * direct.both),
    }


async def _relay(fleet: Fleet, name: str, hub_seq: int, *, via: str = "") -> Edge:
    """A relay that has its own documents already, and serves."""
    edge = await fleet.enrol(TENANT, name, "--relay")
    if via:
        await _go(edge, _address(fleet, via))
    await edge.start("--relay", _address(fleet, name))
    await edge.until_settled(hub_seq)
    return edge


async def _children(fleet: Fleet, at: str, name: str, count: int) -> list[Edge]:
    made = [await fleet.enrol(TENANT, f"{name}-{number}") for number in range(count)]
    for each in made:
        await _go(each, at)
    return made


async def _go(edge: Edge, at: str) -> None:
    await command(program("anabranch"), "relay", "use", at, "--replica", str(edge.replica))


async def _carried(counted: Edge, starting: Sequence[Edge], hub_seq: int) -> Carried:
    """What the link of one edge carries while others start at once and get everything."""
    before = counted.link.carried
    await asyncio.gather(*(each.start() for each in starting))
    await asyncio.gather(*(each.until_settled(hub_seq) for each in starting))
    (carried,) = await carried_until_quiet([counted], [before])
    for each in starting:
        await each.stop()
    return carried


def _address(fleet: Fleet, name: str) -> str:
    """Where the relay of this name listens: a free port, the same in each call."""
    kept = fleet.folder / f"{name}.address"
    if not kept.exists():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            kept.write_text(f"127.0.0.1:{probe.getsockname()[1]}")
    return kept.read_text()


if __name__ == "__main__":
    sys.exit(benchmark("relays", __doc__, run, FULL_DOCUMENTS, TINY_DOCUMENTS))
