"""Another epoch of a tenant whose tables came from a backup, on the real Postgres."""

import asyncio

import psycopg
import pytest
from anabranch_hub.errors import PositionAhead
from anabranch_hub.store import Edit, NewEpoch, Restored, Store
from anabranch_sync.audit_event import EventKind, read_leaf
from anabranch_sync.epochs import Ended
from anabranch_sync.ids import Cursor, document_id

from tests.hub.store.conftest import Query
from tests.hub.store.replica import NOON_MS, ROUTER, enrolled
from tests.hub.store.test_listening import listening

pytestmark = pytest.mark.anyio

LIMITS = document_id("acme/prod/limits")


async def declared(store: Store, tenant: str, known: int | None = None) -> NewEpoch:
    return await store.restored(tenant, author="olga", known=known, now_ms=NOON_MS)


async def test_another_epoch_begins_greater_than_the_one_before_and_is_logged(
    store: Store, tenant: str, query: Query
) -> None:
    replica = await enrolled(store, tenant, "shop")
    await store.write(tenant, [Edit(ROUTER, {"a": 1})], author="olga", message="")

    first = await declared(store, tenant)
    second = await declared(store, tenant, known=0)

    assert first.epoch < second.epoch
    assert (first.ended.known, first.position, second.ended) == (1, 1, Ended(first.epoch, 0))
    opening = await store.open_replica(tenant, "shop", replica.incarnation)
    assert (opening.epoch, opening.ended) == (second.epoch, (first.ended, second.ended))
    ((raw, leaf),) = query("SELECT event, leaf FROM audit_leaves ORDER BY leaf DESC LIMIT 1")
    assert isinstance(raw, bytes)
    assert isinstance(leaf, int)
    told = read_leaf(raw, tenant, leaf)
    assert told.kind == EventKind.HUB_RESTORED
    assert told.data == {"author": "olga", "epoch": second.epoch, "ended": first.epoch, "known": 0}


async def test_a_position_that_is_not_there_is_refused_and_nothing_begins(store: Store, tenant: str) -> None:
    before = await store.open_replica(tenant, "shop", (await enrolled(store, tenant, "shop")).incarnation)

    with pytest.raises(PositionAhead):
        await declared(store, tenant, known=7)

    after = await store.open_replica(tenant, "shop", before.incarnation)
    assert (after.epoch, after.ended) == (before.epoch, ())


async def test_whoever_wrote_over_what_both_epochs_have_has_seen_it(store: Store, tenant: str) -> None:
    # given two edges that have seen position 1, and the hub restored to it
    replica = await enrolled(store, tenant, "shop")
    other = await enrolled(store, tenant, "till")
    await store.write(tenant, [Edit(ROUTER, {"a": 1}), Edit(LIMITS, {"b": 1})], author="olga", message="")
    for each in (replica, other):
        await each.pull()
    begun = await declared(store, tenant)
    await store.write(tenant, [Edit(LIMITS, {"b": 2})], author="olga", message="")
    # when both documents are written over what was read before
    replica.put(ROUTER, {"a": 3})
    other.put(LIMITS, {"b": 3})
    await replica.push()
    await other.push()
    # then only what was written since is concurrent
    assert replica.outbox[0].change.base == Cursor(begun.ended.epoch, 1)
    (row,) = await store.merges(tenant)
    assert str(row.document) == str(LIMITS)


async def test_who_waits_for_a_restore_to_be_declared_is_decided_with_what_it_says(
    store: Store, tenant: str, postgres_dsn: str
) -> None:
    # given an edge that writes over what it has read, and a restore that waits as it does
    replica = await enrolled(store, tenant, "shop")
    await store.write(tenant, [Edit(ROUTER, {"a": 1})], author="olga", message="")
    await replica.pull()
    replica.put(ROUTER, {"a": 3})
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as busy:
        await busy.execute(f"SELECT FROM tenant_{tenant}.tenant_state FOR UPDATE".encode())
        declaring = asyncio.create_task(declared(store, tenant))
        await until_waiting(postgres_dsn, tenant, 1)
        pushing = asyncio.create_task(replica.push())
        await until_waiting(postgres_dsn, tenant, 2)
    # when the one is declared right before the other is decided
    await declaring
    await pushing
    # then what it had read is known: nothing was concurrent
    assert await store.merges(tenant) == []


async def until_waiting(dsn: str, tenant: str, count: int) -> None:
    """Until so many transactions wait for the tenant's lock."""
    async with asyncio.timeout(30), await psycopg.AsyncConnection.connect(dsn, autocommit=True) as looking:
        text = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        while (await looking.execute(text, (f"%tenant_{tenant}%",))).rowcount < count:
            await asyncio.sleep(0.01)


async def test_a_pull_of_the_epoch_before_is_whole_and_ends_in_this_one(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "shop")
    await store.write(tenant, [Edit(ROUTER, {"a": 1})], author="olga", message="")
    await replica.pull()
    await store.spool(tenant, replica.incarnation, b"batch", b"of the epoch before")

    begun = await declared(store, tenant)

    pull = await store.pull(tenant, "shop", replica.incarnation, replica.cursor, always=True)
    assert pull is not None
    assert pull.whole
    assert pull.upto == Cursor(begun.epoch, 1)
    assert await store.spooled(tenant, replica.incarnation, b"batch") is None


async def test_every_hub_process_hears_of_it(store: Store, tenant: str, postgres_dsn: str) -> None:
    hearing = await listening(store.listen(), postgres_dsn, Restored(tenant))

    await declared(store, tenant)

    assert Restored(tenant) in await hearing
