"""Power cuts: ``python -m tests.edge.replica.power --cuts 20000 --json``.

A replica works as a seed says, on a disk that is recorded. The power is cut after each operation of the disk,
in each way a drive may lose what was not synced; what then opens must be what was acknowledged last, or that
and the transaction under way, whole. Some cuts are double: the recovery is recorded as well and cut after
each operation of its own.
"""

import argparse
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from anabranch.errors import ReplicaError
from anabranch.replica import Replica
from anabranch.replica.creation import creating
from anabranch.replica.schema import MIGRATIONS, prepare

from tests.edge.replica.disk import HONEST, Disk, Loss, put
from tests.edge.replica.rigged_sqlite import MEMORY, Recorder, rigged_sqlite
from tests.edge.replica.sqlite_store import create
from tests.edge.replica.workload import View, view, working

STEPS_EACH = 40
# A recovery has some ten operations; each double cut costs as much as twenty single ones.
DOUBLE_EACH = 400


@dataclass(frozen=True, slots=True)
class Recording:
    """What was done to the disk from `files` on, and what the replica showed at which of its steps.

    `shown[k]` is how it stood when the disk had done `done[k]` steps, acknowledged; the transaction that
    leads to `shown[k + 1]` began after that.
    """

    recorder: Recorder
    files: dict[str, bytes]
    shown: Sequence[View]
    done: Sequence[int]

    def allowed(self, at: int) -> tuple[View, ...]:
        """What may be there after a cut at step `at`: the last acknowledged, or the one under way."""
        last = max(index for index, done in enumerate(self.done) if done <= at)
        return tuple(self.shown[last : last + (1 if self.done[last] == at else 2)])


@dataclass(slots=True)
class Tally:
    """What came of the cuts. `bad` names each by what replays it."""

    cuts: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    seconds: float = 0.0
    operations: int = 0
    transactions: int = 0
    bytes_written: int = 0

    @property
    def total(self) -> int:
        """All cuts."""
        return sum(self.cuts.values())


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, if the machine has such."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def recorded(
    seed: int, *, steps: int = STEPS_EACH, checkpoint_pages: int | None = None, synchronous: str = "EXTRA"
) -> Recording:
    """Let a replica work, and record it. By itself the seed says how often the WAL is written back."""
    with scratch() as folder:
        path = folder / "replica.db"
        create(path).close()
        files = {path.name: path.read_bytes()}
        recorder = Recorder()
        pages = checkpoint_pages or random.Random(seed).choice((4, 30, 1_000))
        with rigged_sqlite(recorder, checkpoint_pages=pages, synchronous=synchronous):
            with working(path, seed) as work:
                shown, done = [view(work.replica)], [len(recorder.steps)]
                for _ in range(steps):
                    work.step()
                    shown.append(view(work.replica))
                    done.append(len(recorder.steps))
            shown.append(shown[-1])
            done.append(len(recorder.steps))
        return Recording(recorder, files, shown, done)


def recorded_migration(version: int, seed: int) -> Recording:
    """Record how a file of an earlier schema that holds changes is brought to this one."""
    with scratch() as folder:
        path = folder / "replica.db"
        create(path).close()
        with working(path, seed) as work:
            for _ in range(STEPS_EACH):
                work.step()
        old = folder / "old.db"
        with (
            mock.patch("anabranch.replica.schema.MIGRATIONS", MIGRATIONS[:version]),
            mock.patch("anabranch.replica.schema.SCHEMA_VERSION", version),
            creating(old) as (_, connection),
        ):
            prepare(connection, old)
        _copy(path, old)
        files = {path.name: old.read_bytes()}
        path.write_bytes(files[path.name])
        recorder = Recorder()
        with rigged_sqlite(recorder), Replica.open(path) as replica:
            shown = view(replica)
            assert replica.verify() == [], "an old file is whole after its migration"
        return Recording(recorder, files, [shown, shown], [0, len(recorder.steps)])


def _copy(source: Path, target: Path) -> None:
    """Fill every table of an older schema from a newer one, as far as it has those columns."""
    connection = sqlite3.connect(target)
    connection.execute("ATTACH ? AS newer", (str(source),))
    tables = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        if not table.startswith(("sqlite_", "_")):
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}")
    connection.commit()
    connection.close()


def cut_everywhere(
    recording: Recording,
    seed: int,
    tally: Tally,
    *,
    losses: Sequence[Loss] = HONEST,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Cut after every operation, in each way."""
    chance = random.Random(f"cuts of {seed}")
    disk = Disk(recording.recorder.steps, recording.files)
    while disk.done < recording.done[0]:
        disk.advance()
    with scratch() as folder:
        while disk.done < len(recording.recorder.steps) and not enough():
            disk.advance()
            allowed = recording.allowed(disk.done)
            for loss in losses:
                put(disk.image(loss, chance), folder)
                tally.cuts[loss] += 1
                wrong = _opened(folder, allowed)
                if wrong:
                    tally.bad.append(f"seed {seed} at {disk.done} {loss}: {wrong}")
            if disk.done % DOUBLE_EACH == seed % DOUBLE_EACH:
                _cut_recovery(disk.image(Loss.TORN, chance), allowed, chance, tally, f"{seed} at {disk.done}")


def _cut_recovery(
    image: dict[str, bytes], allowed: tuple[View, ...], chance: random.Random, tally: Tally, where: str
) -> None:
    """Open what a cut left, and cut the power again after each operation of that."""
    recorder = Recorder()
    with scratch() as folder, rigged_sqlite(recorder):
        put(image, folder)
        if wrong := _opened(folder, allowed):
            tally.bad.append(f"seed {where}, before a second cut: {wrong}")
            return
    again = Disk(recorder.steps, image)
    with scratch() as folder:
        while again.done < len(recorder.steps):
            again.advance()
            for loss in HONEST:
                put(again.image(loss, chance), folder)
                tally.cuts["double"] += 1
                if wrong := _opened(folder, allowed):
                    tally.bad.append(f"seed {where}, second cut at {again.done} {loss}: {wrong}")


def _opened(folder: Path, allowed: Sequence[View]) -> str:
    """What is wrong with the replica in `folder`; "" if nothing is."""
    try:
        with Replica.open(folder / "replica.db") as replica:
            seen = view(replica)
            if seen not in allowed:
                return _difference(seen, allowed)
            damaged = replica.verify()
            return f"damaged: {damaged[0]}" if damaged else ""
    except ReplicaError as error:
        return f"{type(error).__name__}: {error.reason}"


def _difference(seen: View, allowed: Sequence[View]) -> str:
    acknowledged = allowed[0].standing
    return (
        f"change {seen.standing.last_local} at {seen.standing.cursor}, acknowledged were "
        f"{acknowledged.last_local} at {acknowledged.cursor}; {len(allowed)} states were allowed"
    )


def run(cuts: int, *, first_seed: int = 1, seconds_max: float | None = None) -> Tally:
    """Cut until there are so many, or the time is over."""
    tally = Tally()
    began_s = time.monotonic()

    def enough() -> bool:
        spent_s = time.monotonic() - began_s
        return tally.total >= cuts or (seconds_max is not None and spent_s >= seconds_max)

    seed = first_seed
    while not enough():
        recording = recorded(seed)
        tally.operations += len(recording.recorder.steps)
        tally.transactions += len(recording.shown)
        tally.bytes_written += recording.recorder.bytes_written
        cut_everywhere(recording, seed, tally, enough=enough)
        seed += 1
    tally.seconds = time.monotonic() - began_s
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Cut, tell, and exit with 1 if anything acknowledged was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.edge.replica.power", description=__doc__)
    parser.add_argument("--cuts", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first workload")
    parser.add_argument("--seconds", type=float, help="stop after so long, however many cuts that are")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    tally = run(given.cuts, first_seed=given.seed, seconds_max=given.seconds)
    told = {
        "cuts": tally.total,
        "by_kind": {str(kind): count for kind, count in tally.cuts.items()},
        "losses": len(tally.bad),
        "bad": tally.bad[:20],
        "seconds": round(tally.seconds, 1),
        "cuts_per_second": round(tally.total / tally.seconds, 1),
        "disk_operations": tally.operations,
        "transactions": tally.transactions,
        "bytes_written_per_transaction": tally.bytes_written // max(1, tally.transactions),
    }
    if given.json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for name, value in told.items():
            sys.stdout.write(f"{name}: {value}\n")
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())
