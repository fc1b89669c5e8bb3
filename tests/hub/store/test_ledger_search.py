"""Rows of the ledger are found by whatever a person knows of them, however many there are."""

from collections.abc import Callable

import psycopg
import pytest
from anabranch_hub.store import LedgerRow, Matching, Store
from anabranch_hub.store.ledger import conditions
from anabranch_hub.store.queries import statement
from anabranch_sync.path import Path
from anabranch_sync.register import DELETED
from anabranch_sync.value import INT_MAX

from tests.hub.store.ledger_rows import FIRST_DECIDED_MS, generate
from tests.hub.store.replica import ROUTER, enrolled, place

pytestmark = pytest.mark.anyio

FEW, MANY = 3_000, 20_000


@pytest.fixture(scope="module")
async def few(store: Store, postgres_dsn: str) -> str:
    await store.create_tenant("few-rows")
    generate(postgres_dsn, "few-rows", FEW)
    return "few-rows"


@pytest.fixture(scope="module")
async def many(store: Store, postgres_dsn: str) -> str:
    await store.create_tenant("many-rows")
    generate(postgres_dsn, "many-rows", MANY)
    return "many-rows"


def _edges(row: LedgerRow) -> set[str]:
    return {write.edge for candidate in row.candidates for write in candidate.writes}


def _authors(row: LedgerRow) -> set[str]:
    return {write.author for candidate in row.candidates for write in candidate.writes}


MIDDLE_MS = FIRST_DECIDED_MS + 1_500_000
FILTERS: list[tuple[Matching, Callable[[LedgerRow], bool]]] = [
    (Matching(), lambda row: True),
    (Matching(prefix="acme/prod"), lambda row: row.document.namespace.startswith("acme/prod/")),
    (Matching(prefix="acme/prod/service-3"), lambda row: row.document.namespace == "acme/prod/service-3"),
    (
        Matching(prefix="acme/prod/service-3/config"),
        lambda row: row.document.namespace == "acme/prod/service-3",
    ),
    (Matching(kind="prefix"), lambda row: row.kind == "prefix"),
    (Matching(rule="union"), lambda row: row.policy == "union:id"),
    (Matching(edge="shop-7"), lambda row: "shop-7" in _edges(row)),
    (Matching(edge=""), lambda row: "" in _edges(row)),
    (Matching(author="author-8"), lambda row: "author-8" in _authors(row)),
    (Matching(path=("limits", "field-4")), lambda row: row.path == ("limits", "field-4")),
    (Matching(path=("limits",)), lambda row: row.path[0] == "limits"),
    (Matching(path=("limit",)), lambda row: False),
    (Matching(since_ms=MIDDLE_MS), lambda row: row.decided_ms >= MIDDLE_MS),
    (Matching(until_ms=MIDDLE_MS), lambda row: row.decided_ms < MIDDLE_MS),
    (Matching(reviewed=True), lambda row: bool(row.reviewed_by)),
    (Matching(reviewed=False), lambda row: not row.reviewed_by),
    (Matching(waiting=True), lambda row: row.waiting),
    (
        Matching(prefix="acme/dev", rule="min", edge="shop-1", reviewed=True, until_ms=MIDDLE_MS),
        lambda row: (
            row.document.namespace.startswith("acme/dev/")
            and (row.policy, bool(row.reviewed_by)) == ("min", True)
            and "shop-1" in _edges(row)
            and row.decided_ms < MIDDLE_MS
        ),
    ),
]


@pytest.mark.parametrize(("matching", "fits"), FILTERS, ids=[repr(each) for each, _ in FILTERS])
async def test_a_filter_finds_all_that_fit_and_nothing_else_page_by_page(
    store: Store, few: str, matching: Matching, fits: Callable[[LedgerRow], bool]
) -> None:
    # given
    rows = [row for before in (None, 2_001, 1_001) for row in await store.merges(few, before=before)]
    assert [row.id for row in rows] == list(range(FEW, 0, -1))

    # when
    found: list[LedgerRow] = []
    while page := await store.merges(few, matching, before=found[-1].id if found else None, limit=700):
        found += page

    # then
    assert [row.id for row in found] == [row.id for row in rows if fits(row)]
    assert (await store.merge_stats(few, matching, limit=1)).rows == len(found)


@pytest.mark.parametrize(
    "matching",
    [
        Matching(prefix="acme/prod/service-3"),
        Matching(kind="prefix"),
        Matching(kind="none of these"),
        Matching(rule="manual"),
        Matching(edge="shop-7"),
        Matching(author="nobody"),
        Matching(path=("limits", "field-4")),
        Matching(path=("nowhere",)),
        Matching(since_ms=FIRST_DECIDED_MS + (MANY - 10) * 1_000),
        Matching(until_ms=FIRST_DECIDED_MS),
        Matching(reviewed=False),
        Matching(waiting=True),
    ],
    ids=repr,
)
async def test_no_filter_reads_the_whole_ledger(many: str, postgres_dsn: str, matching: Matching) -> None:
    names, parameters = conditions(matching)
    listing = statement("merges", many, names)
    with psycopg.connect(postgres_dsn) as connection:
        plan = connection.execute(
            b"EXPLAIN " + listing, {"before": INT_MAX, "limit": 50, **parameters}
        ).fetchall()
    assert not [line for (line,) in plan if "Seq Scan" in line], plan


async def test_rows_are_counted_by_what_they_have_in_common(store: Store, few: str) -> None:
    stats = await store.merge_stats(few, limit=2)

    assert (stats.rows, stats.unreviewed, stats.waiting) == (FEW, FEW // 20, FEW // 500)
    assert stats.oldest_unreviewed == (20, FIRST_DECIDED_MS + 19_000)
    assert stats.by["policy"] == [("latest", 998), ("min", 998)]
    assert stats.by["kind"] == [("value", 2_700), ("delete/update", 297)]
    assert stats.by["edge"] == [("", FEW), ("shop-0", 10)]
    assert stats.by["author"] == [("olga", FEW), ("author-0", 75)]
    assert stats.by["namespace"][0] == ("acme/dev/service-0", 5)
    assert stats.by["place"][0] == ("acme/dev/service-0/config /limits/field-0", 5)


async def test_a_filter_counts_only_what_fits(store: Store, few: str) -> None:
    stats = await store.merge_stats(few, Matching(edge="shop-7", reviewed=False), limit=5)
    assert (stats.rows, stats.oldest_unreviewed) == (0, None)
    assert all(counts == [] for counts in stats.by.values())


async def test_no_character_of_a_value_or_a_name_keeps_a_row_from_being_found(
    store: Store, tenant: str
) -> None:
    # given: characters that Postgres cannot unpack, or that pointers and JSON escape
    path: Path = ("a\0b", "c/d~e", "\\u0000\\", "x" * 3_000)
    one, two = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    for edge, value in ((one, "\0 and \\u0000 and \\\0"), (two, DELETED)):
        edge.record([(ROUTER, place(*path), value)], author=f"{edge.edge} \\ é")

    # when
    await one.push()
    await two.push()

    # then
    [row] = await store.merges(tenant, Matching(edge="e1", author="e2 \\ é", path=path))
    assert row.path == path
    assert {candidate.value for candidate in row.candidates} == {"\0 and \\u0000 and \\\0", DELETED}
    [below] = await store.merges(tenant, Matching(path=path[:2]))
    assert below == row


async def test_a_row_tells_when_each_write_came_to_the_hub(store: Store, tenant: str) -> None:
    one, two = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    for edge in (one, two):
        edge.record([(ROUTER, place("a"), edge.edge)])
        await edge.push()

    [row] = await store.merges(tenant)

    received = {write.edge: write.received_ms for each in row.candidates for write in each.writes}
    assert 0 < received["e1"] <= received["e2"] == row.decided_ms
