"""Cut the power of a replica amid its writes: ``python -m tests.edge.replica.lose_power REPLICA --json``.

The replica's files are laid on a modelled disk (`disk`), where the product's own client writes to it; after
one of the disk's operations the power goes, and what that leaves is laid back in the place of the files. No
process may have the replica open. Printed is what was acknowledged before.
"""

import argparse
import json
import os
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anabranch

from tests.edge.replica.disk import HONEST, Disk
from tests.edge.replica.power import scratch
from tests.edge.replica.rigged_sqlite import Recorder, rigged_sqlite

WRITES = 6
# SQLite's own; an index of shared memory (-shm) never outlives the machine.
_SUFFIXES = ("", "-wal")


def lose_power(replica: Path, seed: int) -> Mapping[str, Any]:
    """Write, cut, lay back."""
    chance = random.Random(seed)
    files = {
        f"{replica.name}{suffix}": Path(f"{replica}{suffix}").read_bytes()
        for suffix in _SUFFIXES
        if Path(f"{replica}{suffix}").exists()
    }
    recorder = Recorder()
    written: list[tuple[int, dict[str, Any]]] = []
    with scratch() as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        # A small log, so that the cut may also fall into its being written back.
        with (
            rigged_sqlite(recorder, checkpoint_pages=chance.choice((4, 1_000))),
            anabranch.open(folder / replica.name) as client,
        ):
            status = client.status()
            namespace = f"{status.tenant}/prod/site/{status.edge}"
            for number in range(WRITES):
                pointer, value = f"/before_the_cut_{number}", f"written {number} of {WRITES}"
                dot = client.set(namespace, pointer, value).dot
                place = {"namespace": namespace, "key": "config", "pointer": pointer, "value": value}
                written.append((len(recorder.steps), {**place, "dot": str(dot)}))
    at = chance.randrange(written[0][0], written[-1][0])
    disk = Disk(recorder.steps, files)
    while disk.done < at:
        disk.advance()
    loss = chance.choice(HONEST)
    _lay(disk.image(loss, chance), replica)
    return {
        "acknowledged": [each for done, each in written if done <= at],
        "under_way": sum(done > at for done, _ in written),
        "operation": at,
        "operations": len(recorder.steps),
        "loss": str(loss),
    }


def _lay(image: Mapping[str, bytes], replica: Path) -> None:
    for suffix in (*_SUFFIXES, "-shm"):
        Path(f"{replica}{suffix}").unlink(missing_ok=True)
    for name, content in image.items():
        path = replica.with_name(name)
        path.touch(mode=0o600)
        with path.open("wb") as file:
            file.write(content)
            os.fsync(file.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Cut once; exit with 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.edge.replica.lose_power", description=__doc__)
    parser.add_argument("replica", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object (there is no other form)")
    given = parser.parse_args(arguments)
    sys.stdout.write(json.dumps(lose_power(given.replica, given.seed)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
