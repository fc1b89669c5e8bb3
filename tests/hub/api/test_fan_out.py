"""Two hub processes' worth of services on one Postgres, and a hub that comes and goes."""

from collections.abc import AsyncIterator

import pytest
from anabranch.agent import Waiting
from anabranch.replica import Link
from anabranch_hub.api.grpc_service import serve_grpc
from anabranch_hub.errors import PortInUse
from anabranch_hub.secrets.authority import Authority
from anabranch_hub.store import Store
from anabranch_sync.ids import document_id

from tests.hub.api.fleet import Fleet, Hub, comes, facts_of, point_to, read, write

pytestmark = pytest.mark.anyio


@pytest.fixture
async def second_hub(postgres_dsn: str, authority: Authority) -> AsyncIterator[Hub]:
    """Another hub on the same Postgres, with nothing else in common."""
    store = await Store.connect(postgres_dsn)
    server = await serve_grpc(store, authority, host="127.0.0.1", port=0, enrolment_port=0)
    yield Hub(store, authority, server)
    await server.stop()
    await store.close()


async def test_a_change_decided_by_one_hub_reaches_the_edges_of_the_other_at_once(
    fleet: Fleet, second_hub: Hub
) -> None:
    # given
    here, there = await fleet.enrol("here"), await fleet.enrol("there", address=second_hub.address)
    fleet.start(here, there)
    await comes(lambda: all(facts_of(each).heard.link is Link.UP for each in (here, there)))
    # when, then
    for number in range(3):
        write(here, {"from": "here", "n": number})
        await comes(lambda number=number: read(there) == {"from": "here", "n": number})  # type: ignore[misc]
        write(there, {"from": "there", "n": number})
        await comes(lambda number=number: read(here) == {"from": "there", "n": number})  # type: ignore[misc]


async def test_a_revocation_at_one_hub_ends_the_stream_at_the_other(fleet: Fleet, second_hub: Hub) -> None:
    # given
    there = await fleet.enrol("there", address=second_hub.address)
    fleet.start(there)
    await comes(lambda: facts_of(there).heard.link is Link.UP)
    # when
    await fleet.hub.store.revoke(fleet.tenant, "there")
    # then
    await comes(lambda: not any(each.tenant == fleet.tenant for each in second_hub.server.streams.names()))


async def test_an_edge_goes_on_at_another_hub_where_the_first_one_stopped(
    fleet: Fleet, second_hub: Hub
) -> None:
    # given
    one = await fleet.enrol("one", address=second_hub.address)
    write(one, {"n": 1})
    fleet.start(one)
    await fleet.comes_together(one)
    await second_hub.server.stop()
    write(one, {"n": 2})
    # when
    await fleet.stop(one)
    point_to(one, fleet.hub.address)
    fleet.start(one)
    # then
    await fleet.comes_together(one)


async def test_agents_come_back_by_themselves_after_a_restart_of_the_hub(
    fleet: Fleet, store: Store, authority: Authority
) -> None:
    # given
    first = await serve_grpc(store, authority, host="127.0.0.1", port=0, enrolment_port=0)
    one, two = [await fleet.enrol(name, address=f"127.0.0.1:{first.port}") for name in ("one", "two")]
    waits: list[Waiting] = []
    fleet.start(one, two, progress=lambda step: waits.append(step) if isinstance(step, Waiting) else None)
    write(one, {"n": 1})
    await fleet.comes_together(one, two)
    # when
    await first.stop()
    await comes(lambda: len(waits) >= 2)
    write(one, {"n": 2})
    write(two, {"while": "away"}, document_id("acme/prod/other"))
    again = await serve_grpc(store, authority, host="127.0.0.1", port=first.port, enrolment_port=0)
    # then
    await fleet.comes_together(one, two)
    assert read(two) == {"n": 2}
    assert read(one, document_id("acme/prod/other")) == {"while": "away"}
    await fleet.stop()
    await again.stop()


async def test_a_port_in_use_is_told_and_nothing_keeps_running(hub: Hub) -> None:
    # when, then
    for main, enrolment in ((hub.server.port, 0), (0, hub.server.enrolment_port)):
        with pytest.raises(PortInUse, match="in use"):
            await serve_grpc(hub.store, hub.authority, host="127.0.0.1", port=main, enrolment_port=enrolment)
