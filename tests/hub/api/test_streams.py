"""Which streams a hub keeps, and what it says when it cannot serve one."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from anabranch.agent import Progress, Waiting
from anabranch.errors import HubDenied, HubError, HubUnreachable
from anabranch.replica import Link
from anabranch_hub.api.exchange import Clock, Interruption
from anabranch_hub.api.grpc_service import serve_grpc
from anabranch_hub.api.streams import STREAMS_PER_EDGE_MAX
from anabranch_hub.secrets.authority import Authority
from anabranch_hub.store import Store
from anabranch_sync.messages import SlowDown, Welcome
from anabranch_sync.opening import Opening

from tests.hub.api.fleet import COMES_S_MAX, ROUTER, Fleet, Hub, comes, facts_of, identity_of, write
from tests.hub.api.stranger import stranger

pytestmark = pytest.mark.anyio

TEN_YEARS_MS = 3_653 * 86_400_000


def incarnation(replica: Path) -> int:
    return facts_of(replica).continuity.incarnation


async def test_a_newer_stream_of_the_same_incarnation_ends_the_older(fleet: Fleet) -> None:
    # given
    one = await fleet.enrol("one")
    async with stranger(identity_of(one)) as older, stranger(identity_of(one)) as newer:
        assert isinstance(await older.greets(incarnation(one)), Welcome)
        # when
        assert isinstance(await newer.greets(incarnation(one)), Welcome)
        # then
        with pytest.raises(HubUnreachable, match="newer stream"):
            await older.listens()


async def test_a_stream_ends_also_where_its_cancellation_is_lost(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that waits as psycopg's pool does, and gets what it waits for as the edge is revoked
    one = identity_of(await fleet.enrol("one"))
    open_replica = fleet.hub.store.open_replica

    async def opened(*arguments: Any) -> Opening:
        opening = await open_replica(*arguments)
        connected = asyncio.get_running_loop().create_future()

        def come_together() -> None:
            connected.set_result(None)
            fleet.hub.server.streams.end(fleet.tenant, "one", Interruption("revoked", "it was revoked"))

        asyncio.get_running_loop().call_soon(come_together)
        await asyncio.wait_for(connected, 60)
        return opening

    monkeypatch.setattr(fleet.hub.store, "open_replica", opened)
    # when, then
    async with stranger(one) as stream, asyncio.timeout(COMES_S_MAX):
        await stream.greets(0)
        with pytest.raises(HubDenied, match="it was revoked"):
            await stream.listens()


async def test_ghosts_of_an_edge_give_way_and_never_lock_it_out(fleet: Fleet) -> None:
    # given
    one = identity_of(await fleet.enrol("one"))
    async with AsyncExitStack() as stack:
        streams = []
        # when: a new incarnation each time, so that none supersedes another by its name
        for _ in range(STREAMS_PER_EDGE_MAX + 1):
            streams.append(await stack.enter_async_context(stranger(one)))
            assert isinstance(await streams[-1].greets(0), Welcome)
        # then
        with pytest.raises(HubUnreachable, match="newer stream"):
            await streams[0].listens()


async def test_a_stream_ends_with_the_certificate_of_its_edge(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    one = await fleet.enrol("one")
    own, now_ms = incarnation(one), Clock.now_ms
    async with stranger(identity_of(one)) as edge:
        assert isinstance(await edge.greets(own), Welcome)
        # when
        monkeypatch.setattr(Clock, "now_ms", lambda clock: now_ms(clock) + TEN_YEARS_MS)
        await edge.pushes(own, ROUTER)
        # then
        with pytest.raises(HubError, match="certificate has ended"):
            await edge.listens()
    assert await fleet.hub.store.read(fleet.tenant, ROUTER) is None


async def test_a_hub_without_its_store_asks_edges_to_come_back(
    fleet: Fleet, postgres_dsn: str, authority: Authority
) -> None:
    # given
    store = await Store.connect(postgres_dsn)
    server = await serve_grpc(store, authority, host="127.0.0.1", port=0, enrolment_port=0)
    hub = Hub(store, authority, server)
    one = await fleet.enrol("one", address=hub.address)
    waits: list[Waiting] = []

    def hear(step: Progress) -> None:
        if isinstance(step, Waiting):
            waits.append(step)

    fleet.start(one, progress=hear)
    await comes(lambda: facts_of(one).heard.link is Link.UP)
    # when
    await store.close()
    write(one, {"n": 1})
    # then: on a busy machine a link may seem to break before what the hub said is read
    await comes(lambda: any(each.reason == "the hub is busy" and each.delay_ms >= 2_000 for each in waits))
    assert facts_of(one).outbox == 1
    await fleet.stop()
    await server.stop()


async def test_a_hub_that_stops_says_when_to_come_back(
    fleet: Fleet, store: Store, authority: Authority
) -> None:
    # given
    server = await serve_grpc(store, authority, host="127.0.0.1", port=0, enrolment_port=0)
    one = await fleet.enrol("one", address=f"127.0.0.1:{server.port}")
    async with stranger(identity_of(one)) as edge:
        assert isinstance(await edge.greets(incarnation(one)), Welcome)
        pull = await edge.hears()
        # when
        await server.stop()
        # then
        assert pull is not None
        assert isinstance(await edge.hears(), SlowDown)
