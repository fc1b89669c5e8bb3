"""Bit rot: ``python -m tests.edge.replica.rot --flips 2000 --json``.

A replica's file, or its WAL, has one bit flipped where a seed says; then it is opened and all its documents
are read and listed. Each must be what it was, or refused as damaged; or a loss must be told.

Another replica has nothing but unsent changes, and one bit flipped in the pages that hold them: all of them
must be sent, but those that are set aside and told.
"""

import argparse
import json
import random
import shutil
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anabranch.errors import ReplicaCorrupt, ReplicaError
from anabranch.replica import Replica, Visible
from anabranch_sync.ids import DocumentId

from tests.edge.replica.power import STEPS_EACH, scratch
from tests.edge.replica.sqlite_store import create, write
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
                if seen != right and not _is_told(replica, document):
                    tally.wrong.append(f"{where}: {document} is {_short(seen)}, was {_short(right)}")
                    outcome = "wrong"
            try:
                if _listed(replica) != was.listed and not replica.salvage.changes():
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


@dataclass(frozen=True, slots=True)
class Waiting:
    """A replica whose changes are all unsent: its file, the bits that hold them, and their bodies."""

    file: bytes
    bits: Sequence[int]
    bodies: frozenset[bytes]


def waiting(changes: int = 40) -> Waiting:
    """Small changes, so that many share a page, and some that need pages of their own."""
    with scratch() as folder:
        path = folder / "replica.db"
        bodies = set()
        with create(path) as replica:
            for number in range(changes):
                text = "much to say " * (500 if number % 10 == 9 else 3)
                entry = write(replica, DOCUMENTS[number % len(DOCUMENTS)], {"number": number, "text": text})
                assert entry is not None
                bodies.add(entry.body)
        connection = sqlite3.connect(path)
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        rows = connection.execute("SELECT pageno, name FROM dbstat").fetchall()
        connection.close()
        starts = [page_bytes * (page - 1) for page, name in rows if name.startswith("outbox")]
        bits = [8 * start + bit for start in starts for bit in range(8 * page_bytes)]
        return Waiting(path.read_bytes(), bits, frozenset(bodies))


def judge_waiting(path: Path, was: Waiting, where: str, tally: Tally) -> None:
    """Send all that can be sent from the replica at `path`, and compare."""
    sent: set[bytes] = set()
    try:
        with Replica.open(path) as replica:
            while not _is_sent(replica, sent):
                if not replica.salvage.run() and not replica.standing().must_renew:
                    tally.wrong.append(f"{where}: the queue is blocked")
                    break
            told = sum(not each.merged for each in replica.salvage.changes())
        if sent - was.bodies:
            tally.wrong.append(f"{where}: {len(sent - was.bodies)} changes were sent that nobody wrote")
        missing = len(was.bodies - sent)
        if missing > told:
            tally.wrong.append(f"{where}: {missing} changes are missing, {told} of them told")
        outcome = "set aside" if missing else "sent all"
    except Exception as error:  # noqa: BLE001  (a defect, told with what replays it)
        tally.wrong.append(f"{where}: {type(error).__name__}: {error}")
        outcome = "crashed"
    tally.outcomes[outcome] += 1


def _is_sent(replica: Replica, sent: set[bytes]) -> bool:
    """Whether the outbox could be read to its end, under a new incarnation if need be."""
    try:
        standing = replica.standing()
        if standing.must_renew:
            replica.adopt(standing.incarnation + 1)
        mark = replica.standing().push_mark
        while entries := replica.pending(mark):
            sent.update(each.body for each in entries)
            mark = entries[-1].dot.local_seq
    except ReplicaCorrupt:
        return False
    return True


def run_waiting(flips: int, *, seed: int = 1) -> Tally:
    """Flip so many bits, each in an outbox that is whole but for it."""
    tally = Tally()
    began_s = time.monotonic()
    chance = random.Random(f"flips of an outbox {seed}")
    was = waiting()
    for _ in range(flips):
        bit = chance.choice(was.bits)
        with scratch() as folder:
            path = folder / "replica.db"
            path.write_bytes(flip({"outbox": was.file}, "outbox", bit)["outbox"])
            tally.flips["outbox"] += 1
            judge_waiting(path, was, f"seed {seed} outbox bit {bit}", tally)
    tally.seconds = time.monotonic() - began_s
    return tally


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


def _is_told(replica: Replica, document: DocumentId) -> bool:
    """Whether a change that may have touched the document was set aside."""
    touched = [each.documents for each in replica.salvage.changes()]
    return any(not documents or str(document) in documents for documents in touched)


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
    parser.add_argument("--outbox", action="store_true", help="flip in the pages of unsent changes alone")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    tally = run_waiting(given.flips, seed=given.seed) if given.outbox else run(given.flips, seed=given.seed)
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
