"""Programs that use the SDK, each in a process of its own as a customer's would be.

::

    python -m benchmarks.program edits REPLICA PREFIX COUNT DOCUMENTS SEED    field edits over many documents
    python -m benchmarks.program overwrite REPLICA PREFIX COUNT FIELDS        the same fields again and again
    python -m benchmarks.program live WRITER READER PREFIX COUNT              write on one, read on the other
    python -m benchmarks.program reads REPLICA PREFIX COUNT DOCUMENTS SEED    warm reads, in microseconds
    python -m benchmarks.program commits REPLICA PREFIX ROUNDS EACH SEED      our commits and SQLite's in turn
"""

import json
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import anabranch
from anabranch import Client
from anabranch_sync.ids import DocumentId
from anabranch_sync.path import render_pointer
from anabranch_sync.value import Json

# A live edit that takes longer never comes.
LIVE_S_MAX = 30.0
LIVE_PAUSE_S = 0.0002
# Between two live edits, so that each one's bytes are its own and nothing is batched.
LIVE_APART_S = 0.1
# About what one of our commits writes for a field: the row SQLite's own commit is compared with.
PLAIN_ROW_BYTES = 200

Field: TypeAlias = tuple[DocumentId, str, Json]


def main(words: Sequence[str]) -> object:
    """Run one program; what to print."""
    verb, *arguments = words
    match verb, arguments:
        case "edits", [replica, prefix, count, documents, seed]:
            return edits(Path(replica), prefix, int(count), int(documents), int(seed))
        case "overwrite", [replica, prefix, count, fields]:
            return overwrite(Path(replica), prefix, int(count), int(fields))
        case "live", [writer, reader, prefix, count]:
            return live(Path(writer), Path(reader), prefix, int(count))
        case "reads", [replica, prefix, count, documents, seed]:
            return reads(Path(replica), prefix, int(count), int(documents), int(seed))
        case "commits", [replica, prefix, rounds, each, seed]:
            return commits(Path(replica), prefix, int(rounds), int(each), int(seed))
    raise SystemExit(__doc__)


def edits(replica: Path, prefix: str, count: int, documents: int, seed: int) -> object:
    """`count` changes of one field each, spread over the first `documents` documents."""
    with anabranch.open(replica) as client:
        began_s = time.monotonic()
        for address, pointer, value in _edits(client, prefix, count, documents, seed):
            client.set(address.namespace, pointer, value, key=address.key)
        return {"edits": count, "seconds": time.monotonic() - began_s}


def overwrite(replica: Path, prefix: str, count: int, fields: int) -> object:
    """`count` changes of the first `fields` numbers, in turn."""
    with anabranch.open(replica) as client:
        places = list(islice(_numbers(client, prefix), fields))
        for value in range(count):
            address, pointer, _ = places[value % fields]
            client.set(address.namespace, pointer, value, key=address.key)
        return {"edits": count}


def live(writer: Path, reader: Path, prefix: str, count: int) -> object:
    """Milliseconds from before the write on one edge until the other edge's reader has it."""
    took_ms = []
    with anabranch.open(writer) as client, anabranch.open(reader) as other:
        fields = _numbers(client, prefix)
        for value in range(1_000, 1_000 + count):
            address, pointer, _ = next(fields)
            time.sleep(LIVE_APART_S)
            began_ns = time.monotonic_ns()
            client.set(address.namespace, pointer, value, key=address.key)
            while other.get(address.namespace, pointer, key=address.key).value != value:
                if time.monotonic_ns() - began_ns > LIVE_S_MAX * 1e9:
                    raise SystemExit(f"live edit {value} of {address} did not come")
                time.sleep(LIVE_PAUSE_S)
            took_ms.append((time.monotonic_ns() - began_ns) / 1e6)
    return {"ms": took_ms}


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


def commits(replica: Path, prefix: str, rounds: int, each: int, seed: int) -> object:
    """Seconds for a commit: ours, and SQLite's with the same pragmas on the same disk, in turn."""
    ours, plain = [], []
    with anabranch.open(replica) as client:
        pending = _edits(client, prefix, (rounds + 1) * each, sys.maxsize, seed)
        database = _plain_database(replica.with_suffix(".plain"))

        def our_commit() -> None:
            address, pointer, value = next(pending)
            client.set(address.namespace, pointer, value, key=address.key)

        def plain_commit() -> None:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO rows (body) VALUES (?)", (bytes(PLAIN_ROW_BYTES),))
            database.execute("COMMIT")

        _seconds_each(our_commit, each)  # what is loaded at the first writes is not a commit's
        for _ in range(rounds):
            ours.append(_seconds_each(our_commit, each))
            plain.append(_seconds_each(plain_commit, each))
        database.close()
    ratios = [one / other for one, other in zip(ours, plain, strict=True)]
    return {
        "ours_s": statistics.median(ours),
        "plain_s": statistics.median(plain),
        "ratio": statistics.median(ratios),
    }


def _seconds_each(commit: Callable[[], None], count: int) -> float:
    """The median of `count` commits."""
    took_s = []
    for _ in range(count):
        began_s = time.perf_counter()
        commit()
        took_s.append(time.perf_counter() - began_s)
    return statistics.median(took_s)


def _plain_database(path: Path) -> sqlite3.Connection:
    """As `anabranch.replica.file` opens a replica."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous=EXTRA")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    return database


def _edits(client: Client, prefix: str, count: int, documents: int, seed: int) -> Iterator[Field]:
    """Fields with new values as a person would give them: limits, switches, and texts seen elsewhere."""
    chance = random.Random(seed)
    fields = [
        (each.document, pointer, value)
        for each in client.list(prefix)[:documents]
        for pointer, value in _leaves(client, each.document)
    ]
    by_document: dict[DocumentId, list[tuple[str, Json]]] = {}
    texts: dict[str, list[Json]] = {}
    for address, pointer, value in fields:
        by_document.setdefault(address, []).append((pointer, value))
        texts.setdefault(pointer, []).append(value)
    addresses = list(by_document)
    for number in range(count):
        address = addresses[number % len(addresses)]
        place = chance.randrange(len(by_document[address]))
        pointer, value = by_document[address][place]
        value = _changed(value, texts[pointer], number, chance)
        by_document[address][place] = pointer, value
        yield address, pointer, value


def _changed(value: Json, texts: Sequence[Json], number: int, chance: random.Random) -> Json:
    """Another value of the same kind; `number` makes sure that it is another one."""
    match value:
        case bool():
            return not value
        case int():
            return chance.randrange(1, 1_000) * 1_000 + number % 1_000
        case str():
            return f"{chance.choice(texts)} {number}"
        case list():
            return [*value, f"added {number}"]
        case _:
            return number


def _numbers(client: Client, prefix: str) -> Iterator[Field]:
    """The numeric fields, one of each document, over and over."""
    fields = []
    for each in client.list(prefix):
        for pointer, value in _leaves(client, each.document):
            if type(value) is int:
                fields.append((each.document, pointer, value))
                break
    while True:
        yield from fields


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
