"""The demonstration: real processes, a real catalogue, links that break; and at the end, proof.

::

    hub (own Postgres, own OpenBao) <- five links, each cut at random -> five agents, each with its replica
    1 cold start    2 everyone offline, everyone writes    3 a kill -9 after an ok    4 links back
    5 the operator restores a losing value    6 an old disk, a clone, a power cut, a hub from its backup
    7 proof    8 an auditor verifies the log

What is proved: all replicas and the hub have the same digest, every write that was answered with ok
stands, or is in the ledger beside what won over it, and the log of all that, verified from a file
with no hub, cannot be bent unseen.
"""

import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from anabranch_sync.value import Json, same

from anabranch_hub.demo.catalogue import CatalogueDocument, documents
from anabranch_hub.demo.link import Carried, CutAround
from anabranch_hub.demo.mishaps import Mishaps, befall, copy_device
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
from anabranch_hub.demo.processes import acknowledged_then_killed, command, program, start_agent
from anabranch_hub.demo.proof import examples, is_kept
from anabranch_hub.demo.report import Audit, EdgeReport, Report, Restored, example, print_report
from anabranch_hub.demo.stage import CUT_MEAN_BYTES, TENANT, Acknowledged, Device, Stage

LEDGER_ROWS_MAX = 1_000


async def run(
    *,
    edges: int,
    documents: int,
    seed: int | None,
    data_dir: Path | None,
    power_rig: Sequence[str],
    as_json: bool,
) -> bool:
    """Run it and print the report; True when everything was shown that it is to show.

    Raises DemoFailed when a process does not do its part. Whatever happens, nothing is left running.
    """
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    async with AsyncExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anabranch-demo-")))
        report = await _Demo(Stage(stack, data_dir, seed), power_rig).run(edges, documents)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n")
    else:
        print_report(report)
    return report.is_proved


class _Demo:
    """One run on a stage."""

    def __init__(self, stage: Stage, power_rig: Sequence[str]) -> None:
        self._stage = stage
        self._power_rig = power_rig

    async def run(self, edges: int, count: int) -> Report:
        catalogue = list(documents(TENANT, count))
        self._stage.say(f"seed {self._stage.seed}: repeat this run with --seed {self._stage.seed}")
        self._stage.say("starting a hub with its own Postgres and OpenBao")
        self._stage.stack.push_async_callback(self._stage.stop_hub)
        await self._stage.start_hub()
        await self._fill(catalogue, writers=edges + 1)
        self._stage.say(
            f"enrolling {edges} edges, each behind a link that breaks every {CUT_MEAN_BYTES // 1000} kB"
        )
        await asyncio.gather(*(self._stage.enrol(f"edge-{number}", number) for number in range(1, edges + 1)))
        self._stage.edges.sort(key=lambda edge: edge.name)
        await self._stage.settled(f"cold start of {edges} edges: {len(catalogue) + 3} documents each")
        restored = self._stage.edges[-1]
        old_disk = self._stage.folder / f"{restored.name}-weeks-ago.db"
        async with self._stage.stopped(restored):
            copy_device(restored.replica, old_disk)
        acknowledged = await self._offline(catalogue)
        for edge in self._stage.edges:
            # What is left to exchange is small: cut sooner, or nothing would be broken off.
            edge.link.set_cuts(CutAround(CUT_MEAN_BYTES // 3, self._stage.seed + 1000))
            await edge.link.open()
        await self._stage.settled("links back, flaky as before: exchanging")
        ledger = await self._stage.hub("merges", "list", "--tenant", TENANT, "--limit", str(LEDGER_ROWS_MAX))
        brought_back = await self._restore(ledger)
        mishaps, more = await befall(self._stage, restored, old_disk, self._power_rig)
        acknowledged += more
        lost = await self._lost(acknowledged, ledger)
        return await self._report(acknowledged, ledger, lost, brought_back, mishaps, await self._audit())

    # The phases.

    async def _fill(self, catalogue: list[CatalogueDocument], *, writers: int) -> None:
        self._stage.say(f"importing {len(catalogue)} documents: models and prices of genai-prices")
        await self._stage.hub("tenant", "create", TENANT)
        for key, schema in ((SCHEMA_KEY, SCHEMA), (SHARED_KEY, SHARED_SCHEMA)):
            stdin = json.dumps(schema)
            await self._stage.hub("set", TENANT, "system/schemas", "", "-", "--key", key, stdin=stdin)
        content: dict[str, Json] = {f"{each.namespace}/{each.key}": each.content for each in catalogue}
        content[f"{SHARED_NAMESPACE}/config"] = shared_content(writers)
        await self._stage.hub("import", TENANT, "-", stdin=json.dumps(content))

    async def _offline(self, catalogue: list[CatalogueDocument]) -> list[Acknowledged]:
        """Cut every link for good, let everyone write, and kill one edge after an ok."""
        for edge in self._stage.edges:
            edge.link.refuse()
        edits = planned(catalogue, [edge.name for edge in self._stage.edges], self._stage.seed)
        self._stage.say(f"all links down: {len(edits)} edits offline, on every edge and at the hub")
        writers = (*(edge.name for edge in self._stage.edges), OPERATOR)
        done = await asyncio.gather(
            *(self._stage.write_all([edit for edit in edits if edit.writer == writer]) for writer in writers)
        )
        victim = self._stage.edges[0]
        last = Edit(victim.name, f"{TENANT}/prod/site/{victim.name}", "config", "/calibrated", True)
        self._stage.say(f"{victim.name}: kill -9 of writer and agent the moment the write is acknowledged")
        printed = await acknowledged_then_killed(victim.agent, *self._stage.words(last))
        victim.edits += 1
        victim.agent = await start_agent(victim.replica)
        return [each for writer in done for each in writer] + [Acknowledged(last, str(printed["dot"]))]

    # The proof.

    async def _lost(
        self, acknowledged: list[Acknowledged], ledger: list[dict[str, Any]]
    ) -> list[Acknowledged]:
        """Acknowledged writes that neither stand nor are in the ledger: there must be none."""
        self._stage.say("proving it: digests, and every acknowledged write")
        exported = await self._stage.edge(self._stage.edges[-1], "export")
        counted = ASKED_BEFORE + sum(each.edit.adds for each in acknowledged)
        lost = [each for each in acknowledged if not is_kept(each.edit, exported, ledger, counted)]
        for each in lost:
            self._stage.say(f"LOST: {each.dot} {each.edit}")
        return lost

    async def _restore(self, ledger: list[dict[str, Any]]) -> Restored:
        """Bring one losing value back, as an operator does, and see it arrive on every edge."""
        row = next(each for each in ledger if each["policy"] == "latest")
        side = example(row)
        loser = side["losers"][0]
        self._stage.say(f"merge {row['id']} was wrong: the operator restores what {loser['author']} wrote")
        await self._stage.hub("merges", "restore", TENANT, str(row["id"]), "--candidate", "1")
        await self._stage.settled("the restored value is a change like any other: exchanging")
        place = (row["namespace"], row["path"], "--key", row["key"])
        readings = [await self._stage.edge(edge, "get", *place) for edge in self._stage.edges]
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
        self._stage.say("the log: exporting it, and verifying the file with no hub")
        file = self._stage.folder / f"{TENANT}-log.jsonl"
        # In this order: an export waits until all that the log has is signed.
        await self._stage.hub("audit", "export", TENANT, "--output", str(file))
        checkpoint = await self._stage.hub("audit", "checkpoint", TENANT)
        nowhere = str(self._stage.folder / "no-replica.db")
        words = ("audit", "verify", str(file), "--key", str(checkpoint["key"]), "--replica", nowhere)
        proved = await command(program("anabranch"), *words)
        self._stage.say("the log: tampering with a copy in every way a superuser of Postgres can")
        drill = await self._stage.hub("audit", "drill", TENANT)
        return Audit(
            leaves=int(checkpoint["leaves"]),
            verified=int(proved["leaves"]),
            tampering_detected=bool(drill["tampering_detected"]),
            tamperings=len(drill["tamperings"]),
        )

    async def _report(
        self,
        acknowledged: list[Acknowledged],
        ledger: list[dict[str, Any]],
        lost: list[Acknowledged],
        restored: Restored,
        mishaps: Mishaps,
        audit: Audit,
    ) -> Report:
        hub = await self._stage.hub("digest", TENANT)
        fleet = [await self._edge_report(edge) for edge in self._stage.edges]
        policies = Counter(str(row["policy"]) for row in ledger)
        return Report(
            converged=not lost and all(edge.digest == hub["digest"] for edge in fleet),
            documents=int(hub["documents"]),
            edges=sum(not edge.is_clone for edge in self._stage.edges),
            edits=len(acknowledged),
            edits_together=sum(bool(each.edit.line or each.edit.adds) for each in acknowledged),
            conflicts=len(ledger),
            lost_acknowledged_writes=len(lost),
            bytes_up=sum(edge.bytes_up for edge in fleet),
            bytes_down=sum(edge.bytes_down for edge in fleet),
            cuts=sum(edge.cuts for edge in fleet),
            seconds=round(self._stage.seconds, 1),
            hub_digest=str(hub["digest"]),
            conflicts_by_policy=dict(policies),
            examples=examples(ledger),
            fleet=fleet,
            restored=restored,
            mishaps=mishaps,
            audit=audit,
        )

    async def _edge_report(self, edge: Device) -> EdgeReport:
        status = await self._stage.status(edge)
        carried = Carried() if edge.is_clone else edge.link.carried
        return EdgeReport(
            edge.name,
            edge.edits,
            carried.bytes_up,
            carried.bytes_down,
            carried.cuts,
            int(status["conflicts"]),
            str(status["digest"]),
        )
