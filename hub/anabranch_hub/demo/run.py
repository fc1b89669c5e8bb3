"""The demonstration: real processes, a real catalogue, links that break; and at the end, proof.

::

    hub (own Postgres, own OpenBao) <- five links, each cut at random -> five agents, each with its replica
    1 cold start    2 everyone offline, everyone writes    3 a kill -9 after an ok    4 links back
    5 proof         6 the operator restores a losing value        7 an auditor verifies the log

What is proved: all replicas and the hub have the same digest, every write that was answered with ok
stands, or is in the ledger beside what won over it, and the log of all that, verified from a file
with no hub, cannot be bent unseen.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anabranch_sync.path import parse_pointer
from anabranch_sync.value import Json, same

from anabranch_hub.demo.catalogue import CatalogueDocument, documents
from anabranch_hub.demo.link import CutAround, FlakyLink
from anabranch_hub.demo.plan import (
    ASKED_BEFORE,
    OPERATOR,
    SCHEMA,
    SCHEMA_KEY,
    SHARED_KEY,
    SHARED_NAMESPACE,
    SHARED_SCHEMA,
    Edit,
    planned,
    shared_content,
)
from anabranch_hub.demo.processes import (
    DemoFailed,
    acknowledged_then_killed,
    command,
    program,
    start_agent,
    start_hub,
    stop,
    stop_hub,
)
from anabranch_hub.demo.report import Audit, EdgeReport, Report, Restored, example, print_report

TENANT = "acme"
# Far above what a link that breaks every 60 kB needs on a busy machine; a run that takes longer is stuck.
SETTLED_S_MAX = 300.0
POLL_S = 0.5
# The compressed catalogue is several times this, so that every cold start is broken off inside.
CUT_MEAN_BYTES = 60_000
LEDGER_ROWS_MAX = 1_000


@dataclass
class _Edge:
    name: str
    replica: Path
    link: FlakyLink
    agent: Process
    edits: int = 0


@dataclass(frozen=True, slots=True)
class _Acknowledged:
    edit: Edit
    dot: str


async def run(*, edges: int, documents: int, seed: int | None, data_dir: Path | None, as_json: bool) -> bool:
    """Run it and print the report; True when everything was shown that it is to show.

    Raises DemoFailed when a process does not do its part. Whatever happens, nothing is left running.
    """
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anabranch-demo-")))
        demo = _Demo(stack, data_dir, seed, started)
        report = await demo.run(edges, documents)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n")
    else:
        print_report(report)
    return report.is_proved


class _Demo:
    """One run. `stack` ends what it started, in reverse."""

    def __init__(self, stack: AsyncExitStack, folder: Path, seed: int, started: float) -> None:
        self._stack = stack
        self._folder = folder
        self._hub_dir = folder / "hub"
        self._seed = seed
        self._started = started
        self._edges: list[_Edge] = []

    async def run(self, edges: int, count: int) -> Report:
        catalogue = list(documents(TENANT, count))
        self._say(f"seed {self._seed}: repeat this run with --seed {self._seed}")
        self._say("starting a hub with its own Postgres and OpenBao")
        hub = await start_hub(self._hub_dir)
        self._stack.push_async_callback(stop_hub, hub)
        await self._fill(catalogue, writers=edges + 1)
        self._say(
            f"enrolling {edges} edges, each behind a link that breaks every {CUT_MEAN_BYTES // 1000} kB"
        )
        await asyncio.gather(
            *(self._enrol(f"edge-{number}", hub.listen, number) for number in range(1, edges + 1))
        )
        self._edges.sort(key=lambda edge: edge.name)
        await self._settled(f"cold start of {edges} edges: {len(catalogue) + 3} documents each")
        acknowledged = await self._offline(catalogue)
        for edge in self._edges:
            # What is left to exchange is small: cut sooner, or nothing would be broken off.
            edge.link.set_cuts(CutAround(CUT_MEAN_BYTES // 3, self._seed + 1000))
            await edge.link.open()
        await self._settled("links back, flaky as before: exchanging")
        ledger = await self._hub("merges", "list", "--tenant", TENANT, "--limit", str(LEDGER_ROWS_MAX))
        lost = await self._lost(acknowledged, ledger)
        restored = await self._restore(ledger)
        return await self._report(acknowledged, ledger, lost, restored, await self._audit())

    # The phases.

    async def _fill(self, catalogue: list[CatalogueDocument], *, writers: int) -> None:
        self._say(f"importing {len(catalogue)} documents: the model and price catalogue of genai-prices")
        await self._hub("tenant", "create", TENANT)
        for key, schema in ((SCHEMA_KEY, SCHEMA), (SHARED_KEY, SHARED_SCHEMA)):
            stdin = json.dumps(schema)
            await self._hub("set", TENANT, "system/schemas", "", "-", "--key", key, stdin=stdin)
        content: dict[str, Json] = {f"{each.namespace}/{each.key}": each.content for each in catalogue}
        content[f"{SHARED_NAMESPACE}/config"] = shared_content(writers)
        await self._hub("import", TENANT, "-", stdin=json.dumps(content))

    async def _enrol(self, name: str, hub_address: str, number: int) -> None:
        host, _, port = hub_address.rpartition(":")
        link = FlakyLink(host, int(port), cuts=CutAround(CUT_MEAN_BYTES, self._seed + number))
        await self._stack.enter_async_context(link)
        replica = self._folder / f"{name}.db"
        invited = await self._hub("edge", "invite", TENANT, name)
        await command(
            program("anabranch"), "init", "--replica", str(replica), "--hub", f"127.0.0.1:{link.port}",
            "--token", "-", "--author", name, stdin=str(invited["token"]),
        )  # fmt: skip
        agent = await start_agent(replica)
        edge = _Edge(name, replica, link, agent)
        self._edges.append(edge)
        self._stack.push_async_callback(self._stop_agent, edge)

    async def _offline(self, catalogue: list[CatalogueDocument]) -> list[_Acknowledged]:
        """Cut every link for good, let everyone write, and kill one edge after an ok."""
        for edge in self._edges:
            edge.link.refuse()
        edits = planned(catalogue, [edge.name for edge in self._edges], self._seed)
        self._say(f"all links down: {len(edits)} edits offline, on every edge and at the hub")
        writers = (*(edge.name for edge in self._edges), OPERATOR)
        done = await asyncio.gather(
            *(self._write_all([edit for edit in edits if edit.writer == writer]) for writer in writers)
        )
        victim = self._edges[0]
        last = Edit(victim.name, f"{TENANT}/prod/site/{victim.name}", "config", "/calibrated", True)
        self._say(f"{victim.name}: kill -9 of writer and agent the moment the write is acknowledged")
        printed = await acknowledged_then_killed(victim.agent, *self._words(last))
        victim.edits += 1
        victim.agent = await start_agent(victim.replica)
        return [each for writer in done for each in writer] + [_Acknowledged(last, str(printed["dot"]))]

    async def _write_all(self, edits: list[Edit]) -> list[_Acknowledged]:
        """One writer's edits, one after the other, each by a command as a person would type it."""
        acknowledged = []
        for edit in edits:
            printed = await command(*self._words(edit))
            assert printed.get("dot") or edit.writer == OPERATOR, f"{edit} says nothing new"
            acknowledged.append(_Acknowledged(edit, str(printed.get("dot", ""))))
            for edge in self._edges:
                edge.edits += edge.name == edit.writer
        return acknowledged

    def _words(self, edit: Edit) -> tuple[str, ...]:
        value = json.dumps(edit.value)
        place = (edit.namespace, edit.pointer, value, "--key", edit.key)
        if edit.writer == OPERATOR:
            data_dir = ("--data-dir", str(self._hub_dir), "--author", OPERATOR)
            return (program("anabranch-hub"), "set", TENANT, *place, *data_dir)
        replica = next(edge.replica for edge in self._edges if edge.name == edit.writer)
        return (program("anabranch"), "set", *place, "--replica", str(replica))

    async def _settled(self, phase: str) -> None:
        """Wait until every replica is where the hub is, with nothing left to send."""
        self._say(phase)
        deadline = time.monotonic() + SETTLED_S_MAX
        while True:
            hub = await self._hub("digest", TENANT)
            statuses = [await self._status(edge) for edge in self._edges]
            waiting = [
                edge.name
                for edge, status in zip(self._edges, statuses, strict=True)
                if status["digest"] != hub["digest"] or status["outbox"]
            ]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise DemoFailed((phase,), f"{', '.join(waiting)} not settled after {SETTLED_S_MAX:.0f} s")
            await asyncio.sleep(POLL_S)

    # The proof.

    async def _lost(
        self, acknowledged: list[_Acknowledged], ledger: list[dict[str, Any]]
    ) -> list[_Acknowledged]:
        """Acknowledged writes that neither stand nor are in the ledger: there must be none."""
        self._say("proving it: digests, and every acknowledged write")
        exported = await self._edge(self._edges[-1], "export")
        counted = ASKED_BEFORE + sum(each.edit.adds for each in acknowledged)
        lost = [each for each in acknowledged if not _kept(each.edit, exported, ledger, counted)]
        for each in lost:
            self._say(f"LOST: {each.dot} {each.edit}")
        return lost

    async def _restore(self, ledger: list[dict[str, Any]]) -> Restored:
        """Bring one losing value back, as an operator does, and see it arrive on every edge."""
        row = next(each for each in ledger if each["policy"] == "latest")
        side = example(row)
        loser = side["losers"][0]
        self._say(f"merge {row['id']} was wrong, says the operator: restoring what {loser['author']} wrote")
        await self._hub("merges", "restore", TENANT, str(row["id"]), "--candidate", "1")
        await self._settled("the restored value is a change like any other: exchanging")
        place = (row["namespace"], row["path"], "--key", row["key"])
        readings = [await self._edge(edge, "get", *place) for edge in self._edges]
        return Restored(
            row["id"],
            side["document"],
            side["path"],
            side["winner"]["value"],
            loser["value"],
            sum(same(reading["value"], loser["value"]) for reading in readings),
        )

    async def _audit(self) -> Audit:
        """Verify the log as an auditor does, from a file, and see that a bent copy would not pass."""
        self._say("the log: exporting it, and verifying the file with no hub")
        file = self._folder / f"{TENANT}-log.jsonl"
        checkpoint = await self._hub("audit", "checkpoint", TENANT)
        await self._hub("audit", "export", TENANT, "--output", str(file))
        nowhere = str(self._folder / "no-replica.db")
        words = ("audit", "verify", str(file), "--key", str(checkpoint["key"]), "--replica", nowhere)
        proved = await command(program("anabranch"), *words)
        self._say("the log: tampering with a copy in every way a superuser of Postgres can")
        drill = await self._hub("audit", "drill", TENANT)
        return Audit(
            leaves=int(checkpoint["leaves"]),
            verified=int(proved["leaves"]),
            tampering_detected=bool(drill["tampering_detected"]),
            tamperings=len(drill["tamperings"]),
        )

    async def _report(
        self,
        acknowledged: list[_Acknowledged],
        ledger: list[dict[str, Any]],
        lost: list[_Acknowledged],
        restored: Restored,
        audit: Audit,
    ) -> Report:
        hub = await self._hub("digest", TENANT)
        fleet = [await self._edge_report(edge) for edge in self._edges]
        policies = Counter(str(row["policy"]) for row in ledger)
        return Report(
            converged=not lost and all(edge.digest == hub["digest"] for edge in fleet),
            documents=int(hub["documents"]),
            edges=len(fleet),
            edits=len(acknowledged),
            edits_together=sum(bool(each.edit.line or each.edit.adds) for each in acknowledged),
            conflicts=len(ledger),
            lost_acknowledged_writes=len(lost),
            bytes_up=sum(edge.bytes_up for edge in fleet),
            bytes_down=sum(edge.bytes_down for edge in fleet),
            cuts=sum(edge.cuts for edge in fleet),
            seconds=round(time.monotonic() - self._started, 1),
            hub_digest=str(hub["digest"]),
            conflicts_by_policy=dict(policies),
            examples=_examples(ledger),
            fleet=fleet,
            restored=restored,
            audit=audit,
        )

    async def _edge_report(self, edge: _Edge) -> EdgeReport:
        status = await self._status(edge)
        carried = edge.link.carried
        return EdgeReport(
            edge.name,
            edge.edits,
            carried.bytes_up,
            carried.bytes_down,
            carried.cuts,
            int(status["conflicts"]),
            str(status["digest"]),
        )

    # The commands.

    async def _hub(self, *words: str, stdin: str | None = None) -> Any:
        return await command(
            program("anabranch-hub"),
            *words,
            "--data-dir",
            str(self._hub_dir),
            "--author",
            OPERATOR,
            stdin=stdin,
        )

    async def _edge(self, edge: _Edge, *words: str) -> Any:
        return await command(program("anabranch"), *words, "--replica", str(edge.replica))

    async def _status(self, edge: _Edge) -> Any:
        return await self._edge(edge, "status")

    async def _stop_agent(self, edge: _Edge) -> None:
        await stop(edge.agent)

    def _say(self, line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self._started:6.1f} s  {line}\n")
        sys.stderr.flush()


def _kept(edit: Edit, exported: dict[str, Any], ledger: list[dict[str, Any]], counted: int) -> bool:
    """Whether the written value stands, or the ledger has it beside what won.

    Of edits that everyone's are kept together with: whether it is in there. `counted` is what all added.
    """
    stands: Json = exported.get(f"{edit.namespace}/{edit.key}")
    for key in parse_pointer(edit.pointer):
        stands = stands.get(key) if isinstance(stands, dict) else None
    if edit.line:
        return isinstance(stands, str) and edit.line in stands
    if edit.adds:
        return stands == counted
    if same(stands, edit.value):
        return True
    if isinstance(edit.value, list):  # a set: every element stands
        return isinstance(stands, list) and all(any(same(each, one) for one in stands) for each in edit.value)
    return any(
        row["namespace"] == edit.namespace
        and row["key"] == edit.key
        and row["path"] == edit.pointer
        and same(candidate["value"], edit.value)
        and any(write["author"] == edit.writer for write in candidate["writes"])
        for row in ledger
        for candidate in row["candidates"]
    )


def _examples(ledger: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Three rows of different policies, where there are so many."""
    by_policy: dict[str, dict[str, Any]] = {}
    for row in ledger:
        by_policy.setdefault(str(row["policy"]), row)
    return [example(by_policy[policy]) for policy in sorted(by_policy)[:3]]
