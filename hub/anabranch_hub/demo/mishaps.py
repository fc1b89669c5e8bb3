"""What happens to devices and to hubs, done to the demo's fleet on purpose.

A device comes back with the disk it had weeks ago, another is copied with all its keys and both go on, a
third loses power in the middle of its writes, and the hub loses its disk and comes back from a backup that
is older than what it had acknowledged. All of them write meanwhile, and nothing of it may be missing.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anabranch_hub.demo.plan import Edit
from anabranch_hub.demo.processes import command, start_agent
from anabranch_hub.demo.stage import TENANT, Acknowledged, Device, Stage

# Beside the replica's file, and part of what a copy of the device copies.
_SUFFIXES = ("", "-wal", "-shm", ".identity")


@dataclass(frozen=True, slots=True)
class Mishaps:
    """What was done. `power_cuts` is 0 where no rig was given.

    `hub_went_back` counts the positions that the hub had lost with its disk, `offered_again` the changes that
    the edges brought back to it.
    """

    restored: str
    cloned: str
    power_cuts: int
    acknowledged_before_power_cuts: int
    hub_went_back: int
    offered_again: int


def copy_device(replica: Path, to: Path) -> None:
    """Copy a stopped device's replica and keys; what `to` had before is gone."""
    for suffix in _SUFFIXES:
        source, target = Path(f"{replica}{suffix}"), Path(f"{to}{suffix}")
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copy2(source, target)


def copy_hub(data_dir: Path, to: Path) -> None:
    """Copy a stopped hub's data directory; what `to` had before is gone."""
    if to.exists():
        shutil.rmtree(to)
    shutil.copytree(data_dir, to, symlinks=True)


async def befall(
    stage: Stage, restored: Device, old_disk: Path, power_rig: Sequence[str]
) -> tuple[Mishaps, list[Acknowledged]]:
    """Do all of it, with everyone writing; what was done, and what was acknowledged meanwhile.

    `old_disk` is what `restored` had before it wrote anything. Raises DemoFailed.
    """
    cloned, powered = stage.edges[0], stage.edges[1]
    stage.say("backing the hub up: its data directory, while it is stopped")
    backup, back_to = stage.folder / "hub-backup", await stage.position()
    await stage.stop_hub()
    copy_hub(stage.hub_dir, backup)
    await stage.start_hub()
    for edge in stage.edges:
        edge.link.refuse()
    stage.say(f"links down. {restored.name} comes back with the disk it had before it wrote anything")
    async with stage.stopped(restored):
        copy_device(old_disk, restored.replica)
    stage.say(f"{cloned.name} is copied with its keys: both go on, and both believe to be {cloned.name}")
    await _clone(stage, cloned)
    done: list[Acknowledged] = []
    if power_rig:
        stage.say(f"{powered.name} loses power in the middle of its writes")
        async with stage.stopped(powered):
            written = await _cut_power(power_rig, powered.replica, stage.seed)
        for each in written:
            edit = Edit(powered.name, each["namespace"], each["key"], each["pointer"], each["value"])
            done.append(Acknowledged(edit, str(each["dot"])))
    edits = [
        Edit(edge.name, f"{TENANT}/prod/site/{edge.name}", "config", "/wrote_after", edge.name)
        for edge in stage.edges
    ]
    done += await stage.write_all(edits)
    for edge in stage.edges:
        await edge.link.open()
    await stage.settled("links back: exchanging")
    before = await stage.position()
    stage.say("the hub loses its disk and comes back from its backup")
    await stage.stop_hub()
    copy_hub(backup, stage.hub_dir)
    await stage.start_hub("--restored")
    await stage.settled("edges offer again what the hub has lost: exchanging")
    mishaps = Mishaps(
        restored.name,
        cloned.name,
        int(bool(power_rig)),
        len(done) - len(edits),
        before - back_to,
        await stage.position() - back_to,
    )
    return mishaps, done


async def _clone(stage: Stage, edge: Device) -> None:
    replica = stage.folder / f"{edge.name}-clone.db"
    async with stage.stopped(edge):
        copy_device(edge.replica, replica)
    clone = Device(f"{edge.name}-clone", replica, edge.link, await start_agent(replica), is_clone=True)
    stage.join(clone)


async def _cut_power(rig: Sequence[str], replica: Path, seed: int) -> list[dict[str, Any]]:
    """Let `rig` write to the replica on a disk of its own and cut the power; what it had acknowledged."""
    words = (*rig, str(replica), "--seed", str(seed))
    return list((await command(*words))["acknowledged"])
