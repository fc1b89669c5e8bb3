"""``python -m benchmarks.merge --json``: what does a merge cost, and what does its proof?

One run, real Postgres and OpenBao: changes decided with and without a conflict, the bytes that each
version and each conflict leave behind, and a transparency log of 100,000 leaves written, proved and
verified as an auditor does it.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import psycopg
from anabranch_hub.demo.catalogue import CatalogueDocument, documents
from anabranch_hub.operations.whereabouts import postgres_dsn
from anabranch_hub.store import Store
from anabranch_sync.change import Change, Op
from anabranch_sync.clock import stamped
from anabranch_sync.document import EMPTY, Document, written
from anabranch_sync.ids import Cursor, DocumentId, document_id
from anabranch_sync.merge import decide
from anabranch_sync.policy import LATEST, NO_POLICIES

from benchmarks import log
from benchmarks.answering import answered, rounded
from benchmarks.fleet import Fleet
from benchmarks.hub_decisions import AUTHOR, FIELD, Writer

TENANT = "merging"
# What grows with every version and every conflict; `documents` is rewritten in place.
TABLES = {"versions": "versions", "changes": "changes", "merges": "merges", "audit": "audit_%"}
# Weights in the catalogue are up to 100: an equal value would be an agreement.
NEW_WEIGHT = 1_000

Figures = dict[str, object]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; `TINY` only shows that every figure comes out."""

    documents: int
    rounds: int
    core_rounds: int
    leaves: int
    proofs: int


FULL = Sizes(documents=500, rounds=7, core_rounds=5, leaves=100_000, proofs=200)
TINY = Sizes(documents=10, rounds=2, core_rounds=1, leaves=300, proofs=5)


async def run(sizes: Sizes, folder: Path) -> Figures:
    """Every figure."""
    content = list(islice(filter(_has_field, documents(TENANT)), sizes.documents))
    figures = core(content, sizes) | log.measure(sizes.leaves, sizes.proofs)
    async with AsyncExitStack() as stack:
        fleet = await Fleet.start(stack, folder)
        fleet.say("a hub with its own Postgres and OpenBao serves")
        await fleet.tenant(TENANT, content)
        figures |= await deciding(fleet, [_address(each) for each in content], sizes)
    return figures


def core(content: Sequence[CatalogueDocument], sizes: Sizes) -> Figures:
    """The merge alone, in memory: one change of one field of one document, seen or concurrent."""
    standing = {_address(each): _imported(each) for each in content}
    alone, against = [], []
    for number in range(sizes.core_rounds):
        alone.append(_core_round(standing, number, base=1))
        against.append(_core_round(standing, number, base=0))
    return {
        "core_us_per_write": statistics.median(alone),
        "core_us_per_write_with_conflict": statistics.median(against),
    }


async def deciding(fleet: Fleet, places: Sequence[DocumentId], sizes: Sizes) -> Figures:
    """Two edges write the same fields in turn; only the second has not seen the first."""
    store = await Store.connect(postgres_dsn(fleet.hub_dir))
    try:
        first = await Writer.enrolled(store, TENANT, "first")
        second = await Writer.enrolled(store, TENANT, "second")
        alone_s, against_s = [], []
        grown: list[Mapping[str, int]] = []
        for _ in range(sizes.rounds):
            for writer in (first, second):
                await writer.see()
            before = _stored_bytes(fleet)
            alone_s.append(await first.push(places))
            between = _stored_bytes(fleet)
            against_s.append(await second.push(places))
            after = _stored_bytes(fleet)
            grown.append({name: between[name] - before[name] for name in TABLES})
            grown.append({name: after[name] - between[name] for name in TABLES})
        rows = await store.merges(TENANT, limit=1)
    finally:
        await store.close()
    count = len(places)
    assert rows, "the second edge's writes were concurrent with the first's"
    assert rows[0].id == sizes.rounds * count, "and every one of them is in the ledger"
    alone_us, against_us = (statistics.median(each) / count * 1e6 for each in (alone_s, against_s))
    fleet.say(f"deciding: {alone_us:.0f} us a change, {against_us:.0f} us with a conflict")
    plain, conflicting = _each(grown[::2], count), _each(grown[1::2], count)
    return {
        "decided_per_second": 1e6 / alone_us,
        "decided_per_second_with_conflict": 1e6 / against_us,
        "us_per_decided_write": alone_us,
        "us_per_decided_write_with_conflict": against_us,
        "bytes_per_version": sum(plain.values()),
        "bytes_per_version_by_table": plain,
        "bytes_per_version_with_conflict": sum(conflicting.values()),
    }


def main() -> int:
    """Run the benchmark; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.merge", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.add_argument("--tiny", action="store_true", help="a few of everything: shows that it works")
    arguments = parser.parse_args()
    figures = answered(partial(run, TINY if arguments.tiny else FULL))
    if figures is None:
        return 1
    if arguments.json:
        sys.stdout.write(json.dumps(rounded(figures), indent=2) + "\n")
    else:
        for name, value in figures.items():
            sys.stdout.write(f"{name:40} {rounded(value)}\n")
    return 0


def _core_round(standing: Mapping[DocumentId, Document], number: int, *, base: int) -> float:
    """Microseconds a decision of one change of each document."""
    changes = [
        Change(stamped(number + 2), Cursor(1, base), AUTHOR, "", (Op(place, FIELD, NEW_WEIGHT + number),))
        for place in standing
    ]
    conflicts = 0
    began_s = time.perf_counter()
    for change in changes:
        conflicts += len(decide(standing, change, 2, 2, change.timestamp, NO_POLICIES).conflicts)
    took_s = time.perf_counter() - began_s
    assert conflicts == (0 if base else len(standing)), "each concurrent write is a conflict, no other is"
    return took_s / len(standing) * 1e6


def _imported(each: CatalogueDocument) -> Document:
    """A document as one change of another replica left it at position 1."""
    place = _address(each)
    leaves = written({}, each.content, lambda _: LATEST)
    change = Change(stamped(1), Cursor(1, 0), AUTHOR, "", tuple(Op(place, *leaf) for leaf in leaves))
    return decide({place: EMPTY}, change, 1, 1, change.timestamp, NO_POLICIES).documents[place]


def _has_field(each: CatalogueDocument) -> bool:
    """Whether the field that is written stands there: else a concurrent write would meet nothing."""
    routing = each.content.get("routing")
    return isinstance(routing, dict) and "weight" in routing


def _address(each: CatalogueDocument) -> DocumentId:
    return document_id(each.namespace, each.key)


def _stored_bytes(fleet: Fleet) -> dict[str, int]:
    """What each table of the tenant takes on disk, with its indexes and what it keeps out of line."""
    query = (
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind = 'r' AND c.relname LIKE %s"
    )
    with psycopg.connect(postgres_dsn(fleet.hub_dir)) as connection:
        found = {}
        for name, pattern in TABLES.items():
            row = connection.execute(query, (f"tenant_{TENANT}", pattern)).fetchone()
            found[name] = int(row[0]) if row else 0
        return found


def _each(grown: Sequence[Mapping[str, int]], count: int) -> dict[str, float]:
    """Bytes a change by table, over all rounds: tables grow by whole pages."""
    return {name: sum(each[name] for each in grown) / (count * len(grown)) for name in TABLES}


if __name__ == "__main__":
    sys.exit(main())
