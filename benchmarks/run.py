"""All questions in one run, in an order in which none disturbs the next."""

import json
import lzma
import os
import platform
import sqlite3
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks import (
    cold_start,
    frames,
    hub_decisions,
    live_edit,
    local,
    offline_edits,
    proving,
    reconnect,
    ten_edges,
    tls,
)
from benchmarks.answering import rounded
from benchmarks.fleet import Fleet, PhaseStuck
from benchmarks.idle import Idle
from benchmarks.sizes import Sizes
from benchmarks.workload import documents

TENANT = "acme"
BYTES_COUNTED = (
    "TCP payload at a proxy between edge and hub, up = edge to hub; names ending in _tls count everything, "
    "all others leave TLS out (handshake, tickets, record headers and tags), HTTP/2 and gRPC are in both"
)


async def run(sizes: Sizes, folder: Path) -> Mapping[str, object]:
    """Every figure. Raises PhaseStuck, DemoFailed."""
    async with AsyncExitStack() as stack:
        fleet = await Fleet.start(stack, folder)
        fleet.say("a hub with its own Postgres and OpenBao serves")
        figures = await _asked(fleet, sizes)
        figures["run_seconds"] = _now_s(fleet)
    return {
        "bytes_counted": BYTES_COUNTED,
        **{name: rounded(value) for name, value in figures.items()},
        "cpus": os.cpu_count() or 0,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


async def _asked(fleet: Fleet, sizes: Sizes) -> dict[str, object]:
    made = list(documents(TENANT, sizes.documents))
    text = [
        json.dumps({f"{each.namespace}/{each.key}": each.content}, separators=(",", ":")) for each in made
    ]
    figures: dict[str, object] = {
        "documents": len(made),
        "documents_json_bytes": sum(map(len, text)),
        "documents_json_xz_bytes": len(lzma.compress("\n".join(text).encode(), preset=9)),
    }
    await fleet.tenant(TENANT, made)
    hub_seq = await fleet.position(TENANT)
    fleet.say(f"{len(made)} documents imported")
    idle = await Idle.start(fleet)
    edges = [await fleet.enrol(TENANT, f"edge-{number}") for number in range(sizes.cold_starts)]
    figures["tls_handshake_bytes_down"] = (await tls.check_counting(edges[0])).down_tls
    figures |= await cold_start.measure(fleet, edges, hub_seq)
    writer, reader, *others = edges
    for edge in others:
        await edge.stop()
    figures |= await local.commits(fleet, made, writer, sizes)
    figures |= await local.starts(fleet, sizes)
    figures |= await reconnect.measure(fleet, writer)
    figures |= await offline_edits.spread(fleet, made, writer, reader, sizes, hub_seq)
    hub_seq += sizes.offline_edits
    await writer.stop()
    figures |= await offline_edits.one_field(fleet, made, writer, reader, sizes, hub_seq)
    hub_seq += 1
    figures |= await live_edit.measure(fleet, made, writer, reader, sizes)
    hub_seq += sizes.live_edits
    figures |= await local.reads(fleet, reader, sizes)
    hub = await fleet.ask("digest", TENANT)
    if hub["hub_seq"] != hub_seq:
        raise PhaseStuck(f"the hub is at {hub['hub_seq']}, {hub_seq} were written")
    for edge in (writer, reader):
        await edge.until(lambda facts: str(facts.digest) == hub["digest"], "the hub's digest")
        await edge.stop()
    figures |= await ten_edges.measure(fleet, sizes)
    figures |= await hub_decisions.measure(fleet, sizes)
    figures |= frames.measure()
    figures |= proving.measure(sizes.compared_documents)
    figures |= await idle.finish(sizes.idle_s)
    return figures


def _now_s(fleet: Fleet) -> float:
    return time.monotonic() - fleet.started_s
