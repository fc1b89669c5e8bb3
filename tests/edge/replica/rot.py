"""Bit rot: ``python -m tests.edge.replica.rot --flips 2000 --json``.

A replica's file, or its WAL, has one bit flipped where a seed says; then it is opened and all its documents
are read and listed. Each must be what it was, or refused as damaged; or a loss must be told.
"""

import argparse
import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anabranch.errors import ReplicaError
from anabranch.replica import Replica, Visible
from anabranch_sync.ids import DocumentId

from tests.edge.replica.power import STEPS_EACH, scratch
from tests.edge.replica.sqlite_store import create
from tests.edge.replica.workload import DOCUMENTS, OTHERS, working

# Replicas whose work is all in the WAL, in part, and not at all.
KINDS = 3
READ = (*DOCUMENTS, OTHERS)


@dataclass(slots=True)
class Tally:
    """What came of the flips. `wrong` names each that was served as if it were right."""

    flips: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """All flips."""
        return sum(self.flips.values())


@dataclass(frozen=True, slots=True)
class Truth:
    """What a replica's files are, and what is read from them while they are whole."""

    files: dict[str, bytes]
    served: tuple[Visible | None, ...]
    listed: tuple[tuple[DocumentId, int], ...]


def truth(seed: int) -> Truth:
    """A replica after some work: with all of it in the WAL, with some, or closed and without one."""
    with scratch() as folder:
        path = folder / "replica.db"
        create(path).close()
        with working(path, seed) as work:
            for _ in range(STEPS_EACH):
                work.step()
            if seed % 3:
                work.open_again()
            if seed % 3 != 2:
                work.write()
            served, listed = _read(work.replica), _listed(work.replica)
            if seed % 3 == 2:
                work.replica.close()
            names = ("replica.db", "replica.db-wal", "replica.db.lock")
            files = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
        return Truth(files, served, listed)


def flip(files: dict[str, bytes], name: str, bit: int) -> dict[str, bytes]:
    """The same files but for one bit."""
    damaged = bytearray(files[name])
    damaged[bit // 8] ^= 1 << bit % 8
    return {**files, name: bytes(damaged)}


def judge(folder: Path, was: Truth, where: str, tally: Tally) -> None:
    """Open what stands in `folder` and compare all that it serves."""
    try:
        with Replica.open(folder / "replica.db") as replica:
            if replica.loss is not None:  # SQLite took the flip for the end of its log, and it was told
                tally.outcomes["told a loss"] += 1
                return
            outcome = "served"
            for document, right in zip(READ, was.served, strict=True):
                try:
                    seen = replica.read(document)
                except ReplicaError:
                    outcome = "refused a document"
                    continue
                if seen != right:
                    tally.wrong.append(f"{where}: {document} is {_short(seen)}, was {_short(right)}")
                    outcome = "wrong"
            try:
                if _listed(replica) != was.listed:
                    tally.wrong.append(f"{where}: the list is another")
                    outcome = "wrong"
            except ReplicaError:
                outcome = "refused a document" if outcome == "served" else outcome
    except ReplicaError:
        outcome = "refused to open"
    except Exception as error:  # noqa: BLE001  (a defect, told with what replays it)
        tally.wrong.append(f"{where}: {type(error).__name__}: {error}")
        outcome = "crashed"
    tally.outcomes[outcome] += 1


def run(flips: int, *, seed: int = 1, seconds_max: float | None = None) -> Tally:
    """Flip so many bits, each in files that are whole but for it."""
    tally = Tally()
    began_s = time.monotonic()
    chance = random.Random(f"flips of {seed}")
    truths = [truth(seed + at) for at in range(KINDS)]
    with scratch() as folder:
        while tally.total < flips and (seconds_max is None or time.monotonic() - began_s < seconds_max):
            which = tally.total % KINDS
            was = truths[which]
            name = chance.choice([each for each in was.files if not each.endswith(".lock")])
            bit = chance.randrange(len(was.files[name]) * 8)
            for old in folder.iterdir():
                old.unlink() if old.is_file() else shutil.rmtree(old)
            for each, content in flip(was.files, name, bit).items():
                (folder / each).write_bytes(content)
            tally.flips[name] += 1
            judge(folder, was, f"seed {seed + which} {name} bit {bit}", tally)
    tally.seconds = time.monotonic() - began_s
    return tally


def _read(replica: Replica) -> tuple[Visible | None, ...]:
    return tuple(replica.read(document) for document in READ)


def _listed(replica: Replica) -> tuple[tuple[DocumentId, int], ...]:
    return tuple((each.document, each.version) for each in replica.documents())


def _short(seen: Visible | None) -> str:
    return "absent" if seen is None else f"version {seen.version}, {str(seen.content)[:40]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Flip, tell, and exit with 1 if anything wrong was served."""
    parser = argparse.ArgumentParser(prog="python -m tests.edge.replica.rot", description=__doc__)
    parser.add_argument("--flips", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    tally = run(given.flips, seed=given.seed)
    told = {
        "flips": tally.total,
        "by_file": dict(tally.flips),
        "outcomes": dict(tally.outcomes),
        "wrong": len(tally.wrong),
        "places": tally.wrong[:30],
        "seconds": round(tally.seconds, 1),
    }
    if given.json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for name, value in told.items():
            sys.stdout.write(f"{name}: {value}\n")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
