"""The same questions to every peer, each within its time; what does not come to its end is said so."""

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import edits
from benchmarks.counting import Carried
from benchmarks.losers import losers
from benchmarks.peers.driver import Peer, PeerEdge, PeerFailed, PeerFleet
from benchmarks.sizes import Sizes
from benchmarks.workload import documents

TENANT = "acme"
LOOK_S = 0.05
# Less than this in one look is keepalive, not content.
KEEPALIVE_BYTES = 500
# After its last edit came, an answer or a collection may follow before a link is quiet; keepalives never are.
SETTLING_S_MAX = 15.0

Figures = Mapping[str, float]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Work:
    """The files that every driver reads."""

    names: Path
    documents: Path
    offline: Path
    one_field: Path
    live: Sequence[Path]
    ten: Sequence[Path]

    @classmethod
    def laid(cls, folder: Path, sizes: Sizes) -> "Work":
        """The workload, as files."""
        made = list(documents(TENANT, sizes.documents))
        content = folder / "documents.json"
        content.write_text(json.dumps({f"{each.namespace}/{each.key}": each.content for each in made}))
        offline = edits.spread(made[: sizes.offline_documents], sizes.offline_edits, edits.OFFLINE)
        fleet = made[: sizes.fleet_documents]
        names = folder / "names.json"
        names.write_text(json.dumps([f"{each.namespace}/{each.key}" for each in made]))
        return cls(
            names,
            content,
            edits.write(folder / "offline.json", offline),
            edits.write(folder / "one-field.json", edits.overwrites(made, sizes.overwrites, 1)),
            [
                edits.write(folder / f"live-{nth}.json", [each])
                for nth, each in enumerate(edits.overwrites(made[1:], sizes.live_edits, sizes.live_edits))
            ],
            [
                edits.write(
                    folder / f"edge-{nth}.json",
                    edits.spread(fleet, sizes.fleet_edits, edits.FIRST_OF_TEN + nth),
                )
                for nth in range(sizes.fleet_edges)
            ],
        )


@dataclass(slots=True)
class Answers:
    """What a peer has answered; `missing` says of a question why it has no figure."""

    figures: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


async def ask(peer: Peer, work: Work, sizes: Sizes, folder: Path, say: Say) -> Answers:
    """Every figure that this peer gives."""
    answers = Answers()
    async with AsyncExitStack() as stack:
        running = _Running(stack, peer, work, sizes, folder)
        for name, (question, limit_s) in running.questions.items():
            if answers.missing:
                answers.missing[name] = "not asked after that"
                continue
            try:
                figures = await asyncio.wait_for(question(), limit_s)
            except TimeoutError:
                answers.missing[name] = f"not in {limit_s:.0f} s"
            except (PeerFailed, OSError) as error:
                answers.missing[name] = str(error)
            else:
                answers.figures |= figures
                told = ", ".join(
                    f"{key.removeprefix(name + '_')} {value:,.4g}" for key, value in figures.items()
                )
                say(f"{peer.name}: {name.replace('_', ' ')}: {told}")
                continue
            say(f"{peer.name}: {name.replace('_', ' ')}: {answers.missing[name]}")
    return answers


class _Running:
    """A peer while it is asked. An edge that did not come to an end of one question is asked no other."""

    def __init__(self, stack: AsyncExitStack, peer: Peer, work: Work, sizes: Sizes, folder: Path) -> None:
        self._stack = stack
        self._peer = peer
        self._work = work
        self._sizes = sizes
        self._folder = folder
        # In this order, and how many seconds each may take.
        self.questions = {
            "cold_start": (self._cold_start, 480.0),
            "live_edit": (self._live_edit, 60.0),
            "idle_minute": (self._idle_minute, 90.0),
            "offline_edits": (self._offline_edits, 120.0),
            "one_field": (self._one_field, 120.0),
            "ten_edges": (self._ten_edges, 300.0),
        }

    async def _cold_start(self) -> Figures:
        """One edge brings the documents, two new ones fetch them; bytes of the first of these."""
        self._fleet = await PeerFleet.start(self._stack, self._peer, self._folder, self._work.names)
        seeder = await self._fleet.edge()
        await seeder.ask("load", file=str(self._work.documents))
        await seeder.ask("connect")
        await self._quiet([seeder])
        took_s, peak_bytes = [], []
        self._edges = []
        for _ in range(2):
            edge = await self._fleet.edge()
            began_s = time.monotonic()
            await edge.ask("connect")
            await edge.ask("until_held")
            took_s.append(time.monotonic() - began_s)
            await self._quiet([edge])
            peak_bytes.append(edge.resident_peak_bytes)
            await edge.ask("until_documents", file=str(self._work.documents))
            self._edges.append(edge)
        await seeder.ask("disconnect")
        first = self._edges[0]
        stored = {"replica_bytes": first.stored_bytes} if first.stored_bytes else {}
        return {
            "cold_start_bytes_down": first.link.carried.down,
            "cold_start_bytes_up": first.link.carried.up,
            "cold_start_link_seconds": statistics.median(took_s),
            "edge_peak_resident_bytes": max(peak_bytes),
            **stored,
        }

    async def _live_edit(self) -> Figures:
        writer, reader = self._edges
        before = _carried(self._edges)
        took_s = []
        for file in self._work.live:
            waiting = asyncio.create_task(reader.until(file))
            await asyncio.sleep(0.1)
            began_s = time.monotonic()
            await writer.ask("edit", file=str(file))
            await waiting
            took_s.append(time.monotonic() - began_s)
        await self._quiet(self._edges)
        carried = _carried(self._edges) - before
        return {
            "live_edit_bytes": carried.both / len(took_s),
            "live_edit_ms": statistics.median(took_s) * 1000,
        }

    async def _idle_minute(self) -> Figures:
        _, reader = self._edges
        before = reader.link.carried
        await asyncio.sleep(self._sizes.peers_idle_s)
        return {
            "idle_minute_bytes": (reader.link.carried - before).both * 60 / max(1.0, self._sizes.peers_idle_s)
        }

    async def _offline_edits(self) -> Figures:
        return await self._brought_home("offline_edits", self._work.offline)

    async def _one_field(self) -> Figures:
        return await self._brought_home("one_field", self._work.one_field)

    async def _brought_home(self, name: str, file: Path) -> Figures:
        """The writer is offline, edits, and connects; until the reader has everything."""
        writer, reader = self._edges
        await writer.ask("disconnect")
        await writer.ask("edit", file=str(file))
        own, all_links = writer.link.carried, _carried(self._edges)
        waiting = asyncio.create_task(reader.until(file))
        began_s = time.monotonic()
        await writer.ask("connect")
        await waiting
        took_s = time.monotonic() - began_s
        await self._quiet(self._edges)
        return {
            f"{name}_bytes_writer": (writer.link.carried - own).both,
            f"{name}_bytes_all_links": (_carried(self._edges) - all_links).both,
            f"{name}_second_edge_seconds": took_s,
        }

    async def _ten_edges(self) -> Figures:
        """All edit offline and come back at once; until no content moves and all hold the same."""
        files = self._work.ten
        while len(self._edges) < len(files):
            edge = await self._fleet.edge()
            await edge.ask("connect")
            await edge.ask("until_held")
            self._edges.append(edge)
        edges = self._edges[: len(files)]
        await self._quiet(edges)
        await asyncio.gather(*(edge.ask("disconnect") for edge in edges))
        await asyncio.gather(
            *(edge.ask("edit", file=str(file)) for edge, file in zip(edges, files, strict=True))
        )
        before = _carried(edges)
        began_s = time.monotonic()
        await asyncio.gather(*(edge.ask("connect") for edge in edges))
        while True:
            moved_s = await self._still(edges)
            held = await asyncio.gather(
                *(edge.ask("fields", files=[str(file) for file in files]) for edge in edges)
            )
            if all(each["values"] == held[0]["values"] for each in held):
                break
        carried = _carried(edges) - before
        gone = losers(files, held[0]["values"], held[0]["others"])
        return {
            "ten_edges_bytes": carried.both,
            "ten_edges_seconds": moved_s - began_s,
            "ten_edges_lost": gone.lost,
            "ten_edges_found": gone.found,
            "ten_edges_innocent": gone.innocent,
        }

    async def _quiet(self, edges: Sequence[PeerEdge]) -> None:
        """Until nothing passes any more, or only what never stops."""
        try:
            async with asyncio.timeout(SETTLING_S_MAX):
                for edge in edges:
                    await edge.link.quiet(self._sizes.peers_quiet_s)
        except TimeoutError:
            await self._still(edges)

    async def _still(self, edges: Sequence[PeerEdge]) -> float:
        """Until no content has passed for a while; the moment when the last did (time.monotonic)."""
        moved_s, seen = time.monotonic(), _carried(edges).both
        while time.monotonic() - moved_s < self._sizes.peers_quiet_s:
            await asyncio.sleep(LOOK_S)
            now = _carried(edges).both
            if now - seen >= KEEPALIVE_BYTES:
                moved_s = time.monotonic()
            seen = now
        return moved_s


def _carried(edges: Sequence[PeerEdge]) -> Carried:
    return sum((each.link.carried for each in edges), Carried())
