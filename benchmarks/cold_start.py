"""How many bytes and seconds, how much memory and disk, does a new edge take for all documents?"""

import statistics
import time
from collections.abc import Mapping

from benchmarks.fleet import Edge, Fleet, carried_until_quiet

Figures = Mapping[str, float]


async def measure(fleet: Fleet, edges: list[Edge], hub_seq: int) -> Figures:
    """Start the agents of these new edges one after the other; they run on."""
    seconds, link_seconds, peaks = [], [], []
    carried = []
    for edge in edges:
        before = edge.link.carried
        edge.link.first_byte_s = None
        began_s = time.monotonic()
        await edge.start()
        settled_s = await edge.until_settled(hub_seq)
        carried += await carried_until_quiet([edge], [before])
        seconds.append(settled_s - began_s)
        link_seconds.append(settled_s - edge.link.began_s)
        peaks.append(edge.resident_peak_bytes)
    fleet.say(f"cold start: {carried[0].down} bytes down, {statistics.median(seconds):.2f} s")
    first = edges[0]
    figures = {
        **carried[0].figures("cold_start"),
        "cold_start_seconds": statistics.median(seconds),
        "cold_start_link_seconds": statistics.median(link_seconds),
        "edge_peak_resident_bytes": max(peaks),
        "edge_idle_resident_bytes": first.resident_bytes,
        "edge_idle_private_bytes": first.private_bytes,
    }
    await first.stop()
    return {**figures, "replica_bytes": _on_disk(first)}


def _on_disk(edge: Edge) -> int:
    """The replica's files once its agent has stopped: the database and whatever is left of its log.

    Not its reserve for a full disk (128 KiB, empty) and not its keys.
    """
    names = (edge.replica, edge.replica.with_name(f"{edge.replica.name}-wal"))
    return sum(name.stat().st_size for name in names if name.exists())
