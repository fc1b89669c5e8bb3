"""What does a program on the edge wait for: reads, durable writes, the start of the command?"""

import asyncio
import shutil
import statistics
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Sequence

from anabranch_hub.demo.catalogue import CatalogueDocument
from anabranch_hub.demo.processes import program

from benchmarks import edits
from benchmarks.cold_start import Figures
from benchmarks.fleet import Edge, Fleet, run_program
from benchmarks.sizes import Sizes

PREFIX = "acme"
SEED = 7


async def reads(fleet: Fleet, edge: Edge, sizes: Sizes) -> Figures:
    """Warm reads of one field through the SDK, while the agent is connected."""
    took = await run_program(
        "reads", str(edge.replica), PREFIX, str(sizes.reads), str(sizes.read_documents), str(SEED)
    )
    fleet.say(f"reads: p50 {took['p50_us']:.1f} us, p99 {took['p99_us']:.1f} us")
    return {"read_p50_us": took["p50_us"], "read_p99_us": took["p99_us"]}


async def commits(fleet: Fleet, made: Sequence[CatalogueDocument], edge: Edge, sizes: Sizes) -> Figures:
    """Durable field edits offline, in turn with SQLite's own commits on the same disk.

    On a copy of a stopped edge's replica, which no agent ever serves.
    """
    copy = fleet.folder / "commits.db"
    shutil.copy(edge.replica, copy)
    rounds, each = str(sizes.commit_rounds), str(sizes.commits_per_round)
    # One round more than is measured: what is loaded at the first writes is not a commit's.
    pending = edits.spread(made, (sizes.commit_rounds + 1) * sizes.commits_per_round, edits.COMMITS)
    file = edits.write(fleet.folder / "commits.json", pending)
    took = await run_program("commits", str(copy), str(file), rounds, each)
    fleet.say(f"commits: {took['ratio']:.2f} x a plain SQLite commit of {took['plain_s'] * 1e3:.2f} ms")
    return {
        "edge_commits_per_second": 1 / took["ours_s"],
        "disk_commits_per_second": 1 / took["plain_s"],
        "edge_commit_ratio": took["ratio"],
        "edge_commit_cpu_ms": took["ours_cpu_s"] * 1e3,
        "disk_commit_cpu_ms": took["plain_cpu_s"] * 1e3,
    }


async def starts(fleet: Fleet, sizes: Sizes) -> Figures:
    """The command's start, in turn with that of Python itself."""
    ours, plain = [], []
    for _ in range(sizes.starts):
        ours.append(await _start_ms(program("anabranch"), "version"))
        plain.append(await _start_ms(sys.executable, "-c", "pass"))
    fleet.say(f"start: {statistics.median(ours):.0f} ms, Python alone {statistics.median(plain):.0f} ms")
    return {"start_version_ms": statistics.median(ours), "start_python_ms": statistics.median(plain)}


async def _start_ms(*words: str) -> float:
    began_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*words, stdout=DEVNULL, stderr=DEVNULL)
    await process.wait()
    return (time.perf_counter() - began_s) * 1000
