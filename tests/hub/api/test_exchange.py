"""Exchanges between real edges, a real hub, a real Postgres and a real OpenBao."""

import asyncio
import shutil
from pathlib import Path

import pytest
from anabranch.agent import run_agent
from anabranch.errors import HubDenied
from anabranch.identity import identity_folder
from anabranch.replica import Link, Replica
from anabranch_hub.simulation.log_key import LogKey
from anabranch_hub.store import Edit, StoredCheckpoint
from anabranch_sync.ids import document_id
from anabranch_sync.merkle import TreeHead
from psycopg import AsyncConnection

from tests.hub.api.fleet import ROUTER, Fleet, comes, facts_of, read, write

pytestmark = pytest.mark.anyio


async def test_what_one_edge_writes_another_reads(fleet: Fleet) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    write(one, {"model": "small", "limit": 10})
    # when
    pushed = await run_agent(one, once=True)
    pulled = await run_agent(two, once=True)
    # then
    assert (pushed.changes_pushed, pulled.documents_pulled) == (1, 1)
    assert read(two) == {"model": "small", "limit": 10}
    await fleet.comes_together(one, two)


async def test_edits_of_different_fields_made_offline_all_stand(fleet: Fleet) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    write(one, {"a": 1, "b": 1})
    for each in (one, two):
        await run_agent(each, once=True)
    # when
    write(one, {"a": 2, "b": 1})
    write(two, {"a": 1, "b": 2})
    for each in (one, two, one):
        await run_agent(each, once=True)
    # then
    assert read(one) == read(two) == {"a": 2, "b": 2}
    assert await fleet.hub.store.merges(fleet.tenant) == []


async def test_a_field_edited_on_both_sides_is_one_conflict_which_the_loser_hears_of(fleet: Fleet) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    for each in (one, two):
        write(each, {"model": each.stem})
    # when
    outcomes = [await run_agent(each, once=True) for each in (one, two, one)]
    # then
    assert sum(outcome.conflicts for outcome in outcomes) == 2  # one row, and both took part
    assert len(await fleet.hub.store.merges(fleet.tenant)) == 1
    await fleet.comes_together(one, two)


async def test_connected_edges_hear_of_changes_at_once(fleet: Fleet) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    fleet.start(one, two)
    await comes(lambda: len(fleet.hub.server.streams.names()) >= 2)
    # when
    write(one, {"model": "live"})
    # then
    await comes(lambda: read(two) == {"model": "live"})
    # when
    hub_write = [Edit(ROUTER, {"model": "from the hub"})]
    await fleet.hub.store.write(fleet.tenant, hub_write, author="ops", message="")
    # then
    await comes(lambda: read(one) == read(two) == {"model": "from the hub"})


async def test_an_edge_that_stays_connected_is_shown_how_the_log_goes_on(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an edge that is connected since before anything was signed
    monkeypatch.setattr("anabranch_sync.hub_session.PRESENT_EVERY_MS", 0)
    store, key = fleet.hub.store, LogKey(fleet.tenant)
    one = await fleet.enrol("one")
    fleet.start(one)
    await comes(lambda: bool(fleet.hub.server.streams.names()))
    for number in range(3):
        # when the log is signed, and then something is decided
        head = (await store.log(fleet.tenant)).frontier.head
        signed = StoredCheckpoint(head, str(key.verifier), key.signed(head).note)
        await store.save_checkpoint(fleet.tenant, signed)
        await store.write(fleet.tenant, [Edit(ROUTER, {"n": number})], author="ops", message="")
        # then
        await comes(lambda head=head: _tree_seen(one) == head)  # type: ignore[misc]


def _tree_seen(replica: Path) -> TreeHead | None:
    with Replica.open(replica) as opened:
        seen = opened.log_state().seen
    return None if seen is None else seen.witnessed.tree


async def test_an_edge_outside_the_scope_of_a_document_never_sees_it(fleet: Fleet) -> None:
    # given
    inside = await fleet.enrol("inside", prefixes=("acme/prod",))
    outside = await fleet.enrol("outside", prefixes=("acme/staging",))
    write(inside, {"secret": "of prod"})
    # when
    await run_agent(inside, once=True)
    pulled = await run_agent(outside, once=True)
    # then
    assert pulled.documents_pulled == 0
    assert read(outside) is None


async def test_a_copied_replica_goes_on_under_a_new_incarnation_and_nothing_is_lost(fleet: Fleet) -> None:
    # given
    original = await fleet.enrol("one")
    write(original, {"n": 0})
    await run_agent(original, once=True)
    clone = original.with_name("clone.db")
    shutil.copy(original, clone)
    shutil.copytree(identity_folder(original), identity_folder(clone))
    # when
    write(original, {"n": 1})
    write(clone, {"by the clone": True}, document_id("acme/prod/other"))
    await run_agent(original, once=True)
    await run_agent(clone, once=True)
    await run_agent(original, once=True)
    # then
    incarnations = {facts_of(each).continuity.incarnation for each in (original, clone)}
    assert len(incarnations) == 2
    assert read(original) == read(clone) == {"n": 1}
    assert read(original, document_id("acme/prod/other")) == {"by the clone": True}
    await fleet.comes_together(original, clone)


async def test_a_revoked_edge_is_cut_off_at_once_and_not_let_in_again(fleet: Fleet) -> None:
    # given
    one = await fleet.enrol("one")
    fleet.start(one)
    await comes(lambda: facts_of(one).heard.link is Link.UP)
    # when
    await fleet.hub.store.revoke(fleet.tenant, "one")
    # then
    await comes(lambda: facts_of(one).heard.link is not Link.UP)
    await fleet.stop(one)
    write(one, {"n": 1})
    with pytest.raises(HubDenied, match="revoked"):
        await run_agent(one, once=True)
    assert read(one) == {"n": 1}


async def test_a_stream_whose_edge_is_revoked_ends_while_it_waits_for_the_store(fleet: Fleet) -> None:
    # given: the ledger is locked, so that a pull has to wait
    one = await fleet.enrol("one")
    fleet.start(one)
    await comes(lambda: facts_of(one).heard.link is Link.UP)
    names = fleet.hub.server.streams.names
    store, tenant = fleet.hub.store, fleet.tenant
    async with await AsyncConnection.connect(store._pool.dsn) as connection:
        await connection.execute(f'LOCK TABLE "tenant_{tenant}".merges'.encode())
        await store.write(tenant, [Edit(ROUTER, {"n": 1})], author="op", message="")
        await asyncio.sleep(0.2)
        # when
        await store.revoke(tenant, "one")
        # then
        await comes(lambda: all(each.tenant != tenant for each in names()))
