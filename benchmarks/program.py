"""Programs that use the SDK, each in a process of its own as a customer's would be.

::

    python -m benchmarks.program edits REPLICA EDITS                          a commit for each edit of a file
    python -m benchmarks.program live WRITER READER EDITS                     write on one, read on the other
    python -m benchmarks.program values REPLICA EDITS                         what each edited field holds
    python -m benchmarks.program reads REPLICA PREFIX COUNT DOCUMENTS SEED    warm reads, in microseconds
    python -m benchmarks.program commits REPLICA EDITS ROUNDS EACH            our commits and SQLite's in turn
"""

import json
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import anabranch
from anabranch import Client
from anabranch_sync.ids import DocumentId
from anabranch_sync.path import render_pointer
from anabranch_sync.value import Json

from benchmarks import edits

# A live edit that takes longer never comes.
LIVE_S_MAX = 30.0
LIVE_PAUSE_S = 0.0002
# Between two live edits, so that each one's bytes are its own and nothing is batched.
LIVE_APART_S = 0.1
# About what one of our commits writes for a field: the row SQLite's own commit is compared with.
PLAIN_ROW_BYTES = 200


def main(words: Sequence[str]) -> object:
    """Run one program; what to print."""
    verb, *arguments = words
    match verb, arguments:
        case "edits", [replica, file]:
            return edit(Path(replica), Path(file))
        case "live", [writer, reader, file]:
            return live(Path(writer), Path(reader), Path(file))
        case "values", [replica, file]:
            return values(Path(replica), Path(file))
        case "reads", [replica, prefix, count, documents, seed]:
            return reads(Path(replica), prefix, int(count), int(documents), int(seed))
        case "commits", [replica, file, rounds, each]:
            return commits(Path(replica), Path(file), int(rounds), int(each))
    raise SystemExit(__doc__)


def edit(replica: Path, file: Path) -> object:
    """Write each edit, durably, one after the other."""
    pending = edits.read(file)
    with anabranch.open(replica) as client:
        began_s = time.monotonic()
        for each in pending:
            client.set(each.namespace, each.pointer, each.value, key=each.key)
        return {"edits": len(pending), "seconds": time.monotonic() - began_s}


def live(writer: Path, reader: Path, file: Path) -> object:
    """Milliseconds from before the write on one edge until the other edge's reader has it."""
    took_ms = []
    with anabranch.open(writer) as client, anabranch.open(reader) as other:
        for each in edits.read(file):
            time.sleep(LIVE_APART_S)
            began_ns = time.monotonic_ns()
            client.set(each.namespace, each.pointer, each.value, key=each.key)
            while other.get(each.namespace, each.pointer, key=each.key).value != each.value:
                if time.monotonic_ns() - began_ns > LIVE_S_MAX * 1e9:
                    raise SystemExit(f"live edit {each} did not come")
                time.sleep(LIVE_PAUSE_S)
            took_ms.append((time.monotonic_ns() - began_ns) / 1e6)
    return {"ms": took_ms}


def values(replica: Path, file: Path) -> object:
    """What each field holds that the edits name."""
    with anabranch.open(replica) as client:
        return {
            "values": [
                client.get(each.namespace, each.pointer, key=each.key).value for each in edits.read(file)
            ]
        }


def reads(replica: Path, prefix: str, count: int, documents: int, seed: int) -> object:
    """Microseconds of reads of one field each, all documents read before."""
    chance = random.Random(seed)
    took_ns = []
    with anabranch.open(replica) as client:
        fields = [
            (each.document.namespace, pointer, each.document.key)
            for each in client.list(prefix)[:documents]
            for pointer, value in _leaves(client, each.document)
            if not isinstance(value, list)
        ]
        places = [chance.choice(fields) for _ in range(count)]
        for namespace, pointer, key in places:
            began_ns = time.perf_counter_ns()
            client.get(namespace, pointer, key=key)
            took_ns.append(time.perf_counter_ns() - began_ns)
    cuts = statistics.quantiles(took_ns, n=100)
    return {"p50_us": cuts[49] / 1000, "p99_us": cuts[98] / 1000, "fields": len(fields)}


def commits(replica: Path, file: Path, rounds: int, each: int) -> object:
    """Seconds for a commit, and of the processor: ours, and SQLite's with the same pragmas on the same disk,
    in turn."""
    ours: list[tuple[float, float]] = []
    plain: list[tuple[float, float]] = []
    with anabranch.open(replica) as client:
        pending = iter(edits.read(file))
        database = _plain_database(replica.with_suffix(".plain"))

        def our_commit() -> None:
            edit = next(pending)
            client.set(edit.namespace, edit.pointer, edit.value, key=edit.key)

        def plain_commit() -> None:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO rows (body) VALUES (?)", (bytes(PLAIN_ROW_BYTES),))
            database.execute("COMMIT")

        _seconds_each(our_commit, each)  # what is loaded at the first writes is not a commit's
        for _ in range(rounds):
            ours.append(_seconds_each(our_commit, each))
            plain.append(_seconds_each(plain_commit, each))
        database.close()
    ratios = [one[0] / other[0] for one, other in zip(ours, plain, strict=True)]
    ours_s, ours_cpu_s = (statistics.median(column) for column in zip(*ours, strict=True))
    plain_s, plain_cpu_s = (statistics.median(column) for column in zip(*plain, strict=True))
    return {
        "ours_s": ours_s,
        "ours_cpu_s": ours_cpu_s,
        "plain_s": plain_s,
        "plain_cpu_s": plain_cpu_s,
        "ratio": statistics.median(ratios),
    }


def _seconds_each(commit: Callable[[], None], count: int) -> tuple[float, float]:
    """The median of `count` commits, and the processor time of one."""
    took_s = []
    began_cpu_s = time.process_time()
    for _ in range(count):
        began_s = time.perf_counter()
        commit()
        took_s.append(time.perf_counter() - began_s)
    return statistics.median(took_s), (time.process_time() - began_cpu_s) / count


def _plain_database(path: Path) -> sqlite3.Connection:
    """As `anabranch.replica.file` opens a replica."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous=EXTRA")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    return database


def _leaves(client: Client, document: DocumentId) -> Iterator[tuple[str, Json]]:
    """Pointer and value of every leaf."""
    waiting: list[tuple[tuple[str, ...], Json]] = [
        ((), client.get(document.namespace, key=document.key).value)
    ]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [((*path, key), inner) for key, inner in sorted(value.items())]
        elif path:
            yield render_pointer(path), value


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
