"""Nothing is decided without its leaves, and what cannot be logged is not done."""

import json
from datetime import date

import psycopg
import pytest
from anabranch_hub.errors import LogUnwritable
from anabranch_hub.store import Edit, Store
from anabranch_hub.store.auditing import Act, LogEnd, appended, sealed
from anabranch_sync.audit_event import Event, EventKind, Leaf, ValueOpening, check_openings, read_leaf
from anabranch_sync.ids import document_id
from anabranch_sync.merkle import Frontier, leaf_hash
from anabranch_sync.value import Json

from tests.hub.store.conftest import Query
from tests.hub.store.replica import FAR_MS, ROUTER, enrolled, place

pytestmark = pytest.mark.anyio

NOVEMBER_MS, DECEMBER_MS = 1_764_547_199_999, 1_764_547_200_000


async def test_the_first_leaf_says_who_made_the_tenant(store: Store, tenant: str, query: Query) -> None:
    [leaf, *_] = _leaves(query, tenant)

    assert (leaf.kind, leaf.subject) == (EventKind.TENANT_CREATED, tenant)


async def test_who_let_an_edge_in_and_shut_it_out_is_in_the_log(
    store: Store, tenant: str, query: Query
) -> None:
    await enrolled(store, tenant, "shop", ("acme/prod",))
    await store.renewed(tenant, "shop", "serial-2", FAR_MS)
    await store.revoke(tenant, "shop", author="grace")

    _, *leaves = _leaves(query, tenant)
    assert {leaf.subject for leaf in leaves} == {"shop"}
    assert [(leaf.kind, leaf.data.get("author")) for leaf in leaves] == [
        ("edge.invited", "operator"),
        ("edge.redeemed", None),
        ("edge.enrolled", None),
        ("edge.renewed", None),
        ("edge.revoked", "grace"),
    ]
    assert [leaf.data.get("scope") for leaf in leaves[:3]] == [["acme/prod"]] * 3
    assert [leaf.data.get("certificate") for leaf in leaves[2:4]] == ["serial-shop", "serial-2"]


async def test_each_change_and_each_ledger_row_has_its_leaf_in_the_order_of_positions(
    store: Store, tenant: str, query: Query
) -> None:
    # given two edges that write one place without knowing of each other, and one that leaves its scope
    one, other = await enrolled(store, tenant, "one"), await enrolled(store, tenant, "other")
    one.put(ROUTER, {"limit": 1})
    other.put(ROUTER, {"limit": 2})
    other.record([(document_id("elsewhere/a"), place("x"), 1)])
    before = len(_leaves(query, tenant))

    # when
    await one.push()
    await other.push()

    # then
    leaves = _leaves(query, tenant)[before:]
    assert [leaf.kind for leaf in leaves] == [
        "change.decided",
        "change.decided",
        "conflict.decided",
        "change.decided",
    ]
    assert [leaf.data["position"] for leaf in leaves] == [1, 2, 2, 3]
    assert [leaf.data.get("outcome") for leaf in leaves] == ["merged", "merged", None, "refused"]
    assert [leaf.data["merge"] for leaf in leaves if leaf.kind == "conflict.decided"] == [1]
    assert (leaves[0].data["author"], leaves[0].data["edge"]) == ("ada", "one")


async def test_a_leaf_holds_no_value_but_commits_to_it(store: Store, tenant: str, query: Query) -> None:
    edit = Edit(ROUTER, {"secret": "hunter2"})

    await store.write(tenant, [edit], author="op", message="the word is hunter2")

    # then the bytes that were hashed do not hold it, nor a hash of it without its salt
    raw = _events(query)[-1]
    assert b"hunter2" not in raw
    [(content_id,)] = query("SELECT encode(content_id, 'hex') FROM changes")
    assert str(content_id).encode() not in raw
    # and what they commit to is kept beside
    leaf = _leaves(query, tenant)[-1]
    [opening] = _openings(query, leaf.index)
    check_openings(leaf, [opening])
    assert isinstance(opening.value, dict)
    assert opening.value["ops"] == [{"document": str(ROUTER), "path": "/secret", "value": "hunter2"}]
    assert opening.value["message"] == "the word is hunter2"


async def test_the_frontier_is_that_of_all_leaves(store: Store, tenant: str, query: Query) -> None:
    for number in range(7):
        await store.write(tenant, [Edit(ROUTER, {"n": number})], author="op", message="")

    frontier, completed = Frontier().appended(map(leaf_hash, _events(query)))
    assert query("SELECT log_size, log_frontier FROM tenant_state") == [
        (frontier.size, b"".join(frontier.hashes))
    ]
    stored = b"".join(bytes(row[0]) for row in query("SELECT hashes FROM audit_leaves ORDER BY leaf"))  # type: ignore[call-overload]
    assert stored == b"".join(each for _, each in completed)


async def test_a_tenant_older_than_logs_says_where_its_log_begins(
    store: Store, tenant: str, query: Query, postgres_dsn: str
) -> None:
    # given tables as a migration leaves them
    await store.write(tenant, [Edit(ROUTER, {"n": 1})], author="op", message="")
    _execute(postgres_dsn, tenant, "TRUNCATE audit_leaves, audit_openings")
    _execute(postgres_dsn, tenant, "UPDATE tenant_state SET log_size = 0, log_frontier = ''")

    # when
    await store.write(tenant, [Edit(ROUTER, {"n": 2})], author="op", message="")

    # then
    first, second = _leaves(query, tenant)
    assert (first.kind, first.data) == (EventKind.LOG_STARTED, {"position": 1})
    assert (second.kind, second.data["position"]) == (EventKind.CHANGE_DECIDED, 2)


@pytest.mark.tampers
@pytest.mark.parametrize(
    "obstacle",
    [
        pytest.param("DROP TABLE {partition}", id="its partition was dropped"),
        pytest.param("DROP TABLE audit_leaves", id="its table was dropped"),
        pytest.param("ALTER TABLE audit_leaves ADD CHECK (false) NOT VALID", id="no row passes"),
        pytest.param("DROP TABLE audit_openings", id="its openings were dropped"),
    ],
)
async def test_what_cannot_be_logged_is_not_done_and_an_edge_keeps_it(
    store: Store, tenant: str, query: Query, postgres_dsn: str, obstacle: str
) -> None:
    # given
    edge = await enrolled(store, tenant, "one")
    edge.put(ROUTER, {"n": 1})
    [(partition,)] = query("SELECT tableoid::regclass::text FROM audit_leaves LIMIT 1")
    _execute(postgres_dsn, tenant, obstacle.format(partition=partition))

    # when
    with pytest.raises(LogUnwritable, match="nothing was changed: mend"):
        await edge.push()
    with pytest.raises(LogUnwritable):
        await store.write(tenant, [Edit(ROUTER, {"n": 2})], author="op", message="")

    # then nothing of it was done: no document, no version, no change, no mark
    assert query("SELECT count(*) FROM documents") == [(0,)]
    assert query("SELECT count(*) FROM versions") == [(0,)]
    assert query("SELECT count(*) FROM changes") == [(0,)]
    assert query("SELECT hub_seq FROM tenant_state") == [(0,)]
    assert query("SELECT max(push_mark) FROM replicas") == [(0,)]
    assert len(edge.outbox) == 1


async def test_leaves_lie_in_the_month_they_were_written_in() -> None:
    # given a log whose last leaf is of November
    end = LogEnd(0, Frontier(1, (bytes(32),)), date(2025, 11, 1))
    acts = [Act(Event(EventKind.EDGE_REVOKED, "e", {}))]

    # then
    assert not appended("acme", end, acts, NOVEMBER_MS).is_new_month
    december = appended("acme", end, acts, DECEMBER_MS)
    assert (december.is_new_month, december.end.month) == (True, date(2025, 12, 1))
    # and a clock that goes back opens no month again
    back = appended("acme", december.end, acts, NOVEMBER_MS)
    assert (back.is_new_month, back.end.month) == (False, date(2025, 12, 1))


async def test_a_new_month_gets_its_partition(
    store: Store, tenant: str, query: Query, postgres_dsn: str
) -> None:
    # given that no leaf was written for a long time
    _execute(postgres_dsn, tenant, "UPDATE tenant_state SET log_month = '2020-01-01'")
    [(partition,)] = query("SELECT tableoid::regclass::text FROM audit_leaves LIMIT 1")
    _execute(postgres_dsn, tenant, f"ALTER TABLE {partition} RENAME TO audit_leaves_before")
    _execute(
        postgres_dsn,
        tenant,
        "ALTER TABLE audit_leaves DETACH PARTITION audit_leaves_before;"
        "UPDATE audit_leaves_before SET month = '2020-01-01';"
        "ALTER TABLE audit_leaves ATTACH PARTITION audit_leaves_before"
        " FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')",
    )

    # when
    await store.write(tenant, [Edit(ROUTER, {"n": 1})], author="op", message="")

    # then
    months = query("SELECT DISTINCT month = date_trunc('month', now() AT TIME ZONE 'UTC') FROM audit_leaves")
    assert sorted(months) == [(False,), (True,)]
    assert len(_leaves(query, tenant)) == 2


async def test_salts_differ_for_equal_values() -> None:
    assert sealed("same").commitment != sealed("same").commitment


def _events(query: Query) -> list[bytes]:
    return [bytes(row[0]) for row in query("SELECT event FROM audit_leaves ORDER BY leaf")]  # type: ignore[call-overload]


def _leaves(query: Query, tenant: str) -> list[Leaf]:
    return [read_leaf(event, tenant, index) for index, event in enumerate(_events(query))]


def _openings(query: Query, leaf: int) -> list[ValueOpening]:
    rows = query(f"SELECT encode(salt, 'hex'), value::text FROM audit_openings WHERE leaf = {leaf}")
    values: list[tuple[str, Json]] = [(str(salt), json.loads(str(value))) for salt, value in rows]
    return [ValueOpening(bytes.fromhex(salt), value) for salt, value in values]


def _execute(dsn: str, tenant: str, text: str) -> None:
    """As a superuser would."""
    with psycopg.connect(dsn) as connection:
        connection.execute(f'SET search_path TO "tenant_{tenant}"; {text}'.encode())
