"""Snapshots on Postgres: cut once, shared, collected; and what is trimmed is missed by nobody."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest
from anabranch_hub.errors import PositionAhead
from anabranch_hub.store import Edit, Store, catching_up, snapshots
from anabranch_hub.store.pool import CONNECT_S_MAX, CONNECTIONS_MAX
from anabranch_sync import plan, snapshot
from anabranch_sync.ids import START, document_id
from anabranch_sync.packing import seal
from anabranch_sync.plan import Means
from anabranch_sync.pull import Outcome, Pull
from anabranch_sync.pull_body import encode_pull
from anabranch_sync.register import Slot
from anabranch_sync.snapshot import Offer, open_slice

from tests.hub.store.conftest import Query
from tests.hub.store.replica import Replica, enrolled

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def small_limits() -> Iterator[None]:
    """A snapshot is worth it from a few documents on, and has several parts."""
    with (
        patch.object(plan, "SNAPSHOT_BYTES_MIN", 100),
        patch.object(snapshot, "SLICE_BYTES_MIN", 1_000),
        patch.object(snapshot, "SLICE_BYTES_MAX", 2_000),
        patch.object(snapshot, "_CUTS_ONE_OF", 4),
    ):
        yield


async def fill(store: Store, tenant: str, *, count: int = 60, value: int = 0) -> None:
    edits = [Edit(document_id("acme/prod", f"k{n}"), {"n": n, "v": value}) for n in range(count)]
    await store.write(tenant, edits, author="op", message="")


async def caught_up(store: Store, replica: Replica) -> Pull | Offer | None:
    """Let the replica catch up in the way the hub finds best."""
    at = (replica.tenant, replica.edge, replica.incarnation, replica.cursor)
    drawn = await store.draw(*at, always=True, protocol=2)
    if isinstance(drawn, Offer):
        closing = drawn.closing
        for part in drawn.snapshot.parts:
            sealed = await store.part(replica.tenant, part.name)
            assert sealed is not None
            cut = open_slice(sealed)
            closing = replace(
                closing,
                documents={**closing.documents, **cut.documents},
                quarantined={**closing.quarantined, **cut.quarantined},
            )
        replica.apply(closing)
    elif drawn is not None:
        replica.apply(drawn)
    await store.seen(replica.tenant, replica.incarnation, replica.cursor)
    return drawn


async def test_a_new_replica_gets_a_snapshot_that_all_of_its_scope_share(
    store: Store, tenant: str, query: Query
) -> None:
    await fill(store, tenant)
    first, second = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    planned = await store.plan(tenant, "e1", first.incarnation, START)

    offers = await asyncio.gather(caught_up(store, first), caught_up(store, second))

    assert planned.means is Means.SNAPSHOT
    one, other = offers
    assert isinstance(one, Offer)
    assert isinstance(other, Offer)
    assert one.snapshot == other.snapshot
    assert len(one.snapshot.parts) > 1
    assert query("SELECT count(*) FROM snapshots") == [(1,)]
    assert first.contents == second.contents
    known = await store.plan(tenant, "e1", first.incarnation, START)
    assert known.size_bytes == one.snapshot.size_bytes


async def test_a_protocol_that_knows_no_snapshots_gets_a_whole_pull(store: Store, tenant: str) -> None:
    await fill(store, tenant)
    replica = await enrolled(store, tenant, "e1")

    drawn = await store.draw(tenant, "e1", replica.incarnation, START, always=True, protocol=1)

    assert isinstance(drawn, Pull)
    assert drawn.whole


async def test_a_few_changes_are_a_delta_and_many_a_snapshot(store: Store, tenant: str) -> None:
    await fill(store, tenant)
    replica = await enrolled(store, tenant, "e1")
    await caught_up(store, replica)
    await store.write(tenant, [Edit(document_id("acme/prod", "k1"), {"n": 1})], author="op", message="")
    few = await store.plan(tenant, "e1", replica.incarnation, replica.cursor)
    delta = await caught_up(store, replica)
    await fill(store, tenant, value=1)
    many = await store.plan(tenant, "e1", replica.incarnation, replica.cursor)

    drawn = await caught_up(store, replica)

    assert (few.means, many.means) == (Means.DELTA, Means.SNAPSHOT)
    assert isinstance(delta, Pull)
    assert isinstance(drawn, Offer)
    assert len(replica.contents) == 60


async def test_a_scope_beyond_what_one_pull_may_hold_travels_in_parts(store: Store, tenant: str) -> None:
    await fill(store, tenant, count=50)
    replica = await enrolled(store, tenant, "e1")
    await caught_up(store, replica)
    await fill(store, tenant, count=30, value=2)
    with patch.object(catching_up, "DELTA_BYTES_MAX", 500):
        drawn = await caught_up(store, replica)

    assert isinstance(drawn, Offer)


async def test_what_a_repair_replaces_travels_in_parts_too_where_one_pull_cannot_hold_it(
    store: Store, tenant: str
) -> None:
    await fill(store, tenant)
    replica = await enrolled(store, tenant, "e1")
    await caught_up(store, replica)
    named = frozenset(document_id("acme/prod", f"k{n}") for n in range(30))
    at = (tenant, "e1", replica.incarnation, replica.cursor)

    few = await store.draw(*at, replaced=frozenset([*named][:2]), protocol=2)
    with patch.object(catching_up, "DELTA_BYTES_MAX", 500):
        many = await store.draw(*at, replaced=named, protocol=2)

    assert isinstance(few, Pull)
    assert isinstance(many, Offer)
    assert many.snapshot.upto == replica.cursor


async def test_old_snapshots_go_and_with_them_parts_that_no_other_has(
    store: Store, tenant: str, query: Query
) -> None:
    replica = await enrolled(store, tenant, "e1")
    with patch.object(snapshots, "_MAKING_S_MAX", -1):
        for value in range(4):
            await fill(store, tenant, value=value)
            await caught_up(store, replica)

    assert query("SELECT count(*) FROM snapshots") == [(2,)]
    used = "SELECT count(DISTINCT name) FROM snapshots, unnest(names) AS name"
    assert query("SELECT count(*) FROM snapshot_parts") == query(used)


async def test_more_scopes_are_cut_at_once_than_there_are_connections(store: Store, tenant: str) -> None:
    # given
    scopes = [f"acme/s{number}" for number in range(CONNECTIONS_MAX + 2)]
    edits = [Edit(document_id(each, f"k{n}"), {"n": n}) for each in scopes for n in range(20)]
    await store.write(tenant, edits, author="op", message="")
    replicas = [await enrolled(store, tenant, each.replace("/", "-"), (each,)) for each in scopes]
    # when
    async with asyncio.timeout(CONNECT_S_MAX):
        await asyncio.gather(*(caught_up(store, each) for each in replicas))
    # then
    assert [len(each.confirmed) for each in replicas] == [20] * len(scopes)


async def test_parts_that_are_lost_are_cut_again(store: Store, tenant: str, query: Query) -> None:
    await fill(store, tenant)
    replica = await enrolled(store, tenant, "e1")
    offer = await store.draw(tenant, "e1", replica.incarnation, START, always=True, protocol=2)
    assert isinstance(offer, Offer)
    query("DELETE FROM snapshot_parts RETURNING 1")

    lost = await store.part(tenant, offer.snapshot.parts[0].name)

    assert lost is None
    assert isinstance(await caught_up(store, replica), Offer)


async def test_a_replica_away_while_everything_was_trimmed_loses_nothing_it_wrote(
    store: Store, tenant: str, query: Query
) -> None:
    await fill(store, tenant)
    away, twin = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    await caught_up(store, away)
    await caught_up(store, twin)
    mine = document_id("acme/prod", "mine")
    away.put(mine, {"pushed": 1})
    twin.put(mine, {"pushed": 2})
    await away.push()
    await twin.push()  # concurrent: the hub keeps both in its ledger
    away.put(document_id("acme/prod", "later"), {"unsent": 1})
    await fill(store, tenant, value=9)
    told = await store.trim(tenant, 2**50, keep_days=0, author="op", dry_run=True)
    trimmed = await store.trim(tenant, 2**50, keep_days=0, author="op")

    drawn = await caught_up(store, away)
    pushed, chain = away.outbox[:], away.chain
    await away.push()
    again = await store.decide(tenant, "e1", pushed, chain)
    await caught_up(store, away)

    assert told == trimmed
    assert trimmed.changes == 4
    assert query("SELECT count(*) FROM changes WHERE body IS NOT NULL AND hub_seq <= 4") == [(0,)]
    assert isinstance(drawn, Offer)
    assert [run.count for run in drawn.closing.runs] == [1]
    assert len(drawn.closing.notices) == 1
    assert again.push_mark == away.pushed
    assert away.outbox == []
    assert away.read(document_id("acme/prod", "later")) == {"unsent": 1}
    assert (await store.trim(tenant, 2**50, keep_days=0, author="op")).changes == 1


async def test_a_refused_change_stays_whole_and_its_author_still_hears_of_it(
    store: Store, tenant: str, query: Query
) -> None:
    replica = await enrolled(store, tenant, "e1", ("acme/prod",))
    replica.put(document_id("acme/dev", "not-mine"), {"a": 1})
    await replica.push()
    await store.trim(tenant, 2**50, keep_days=0, author="op")

    await caught_up(store, replica)

    assert query("SELECT count(*) FROM changes WHERE body IS NOT NULL") == [(1,)]
    assert [each.outcome for each in replica.results] == [Outcome.REFUSED]


async def test_a_position_that_was_not_decided_yet_is_no_place_to_trim_to(store: Store, tenant: str) -> None:
    with pytest.raises(PositionAhead):
        await store.trim(tenant, 2**50, before=99, author="op")


async def test_ten_thousand_overwrites_while_away_cost_what_twenty_fields_do(
    store: Store, tenant: str
) -> None:
    writer, away = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    document = document_id("acme/prod", "busy")
    writer.record([(document, Slot((f"f{n}",)), 0) for n in range(20)])
    await writer.push()
    await caught_up(store, away)
    for value in range(500):
        writer.record([(document, Slot((f"f{n}",)), value * 20 + n) for n in range(20)])
    await writer.push()

    pull = await store.pull(tenant, "e2", away.incarnation, away.cursor)

    assert pull is not None
    assert len(seal(encode_pull(pull))) < 600
