"""What relays keep of snapshots: fetched once for all, and given to those alone whom the hub offered it."""

import asyncio
import random
from pathlib import Path

import pytest
from anabranch.agent import Progress, run_agent
from anabranch.exchange import Pulled
from anabranch.link import PartStream, channel_of
from anabranch.part_cache import Counts, PartCache, parts_folder
from anabranch.replica import Replica
from anabranch_hub.api import grpc_service
from anabranch_hub.api.grpc_service import FETCHES_PER_EDGE_MAX
from anabranch_hub.demo.link import CutEvery, FlakyLink
from anabranch_hub.store import Edit
from anabranch_protos.relaying import BEHIND
from anabranch_protos.sync.v1 import methods
from anabranch_sync.document import Object
from anabranch_sync.ids import START, document_id
from anabranch_sync.plan import SNAPSHOT_BYTES_MIN
from anabranch_sync.scope import scope
from anabranch_sync.snapshot import Offer, Part

from tests.hub.api.fleet import Fleet, comes, identity_of, new_tenant, point_to, read
from tests.hub.api.test_relay import certificate, free_address, go, relay

pytestmark = pytest.mark.anyio


async def fill(fleet: Fleet, *, count: int = 40, chars: int = 2_000, namespace: str = "acme/prod") -> None:
    """Documents that compress badly."""
    chance = random.Random(count)
    edits = [
        Edit(document_id(namespace, f"k{n}"), {"n": n, "text": chance.randbytes(chars // 2).hex()})
        for n in range(count)
    ]
    await fleet.hub.store.write(fleet.tenant, edits, author="op", message="")


async def offered(fleet: Fleet, edge: Path) -> Part:
    """The only part of the snapshot that the hub has for a new replica of this edge."""
    with Replica.open(edge) as replica:
        drawn = await fleet.hub.store.draw(
            fleet.tenant, edge.stem, replica.standing().incarnation, START, protocol=2, relayed=True
        )
    assert isinstance(drawn, Offer)
    (part,) = drawn.snapshot.parts
    return part


def cache_of(replica: Path) -> PartCache:
    return PartCache(parts_folder(replica))


def documents(replica: Path) -> int:
    with Replica.open(replica) as opened:
        return len(opened.every_document())


async def all_sync(*replicas: Path) -> None:
    ended = await asyncio.gather(*(run_agent(each, once=True) for each in replicas))
    assert all(each.settled for each in ended)


async def test_children_that_begin_at_once_two_relays_away_cost_the_uplink_one_snapshot(
    fleet: Fleet,
) -> None:
    # given
    await fill(fleet)
    near, far = await fleet.enrol("near", relay=True), await fleet.enrol("far", relay=True)
    children = [await fleet.enrol(f"child{n}") for n in range(4)]
    near_at, far_at = free_address(), free_address()
    go(far, near_at)
    for child in children:
        go(child, far_at)

    # when
    async with relay(near, near_at), relay(far, far_at):
        await all_sync(*children)
    size = (await offered(fleet, children[0])).size_bytes

    # then
    assert size > 2 * SNAPSHOT_BYTES_MIN
    assert [documents(child) for child in children] == [40] * 4
    assert cache_of(far).holding().counts == Counts(fetched_bytes=size, served_bytes=4 * size)
    assert cache_of(near).holding().counts == Counts(fetched_bytes=size, served_bytes=size)


async def test_a_small_scope_is_kept_too_and_outlives_the_relay(fleet: Fleet) -> None:
    # given
    await fill(fleet, chars=400)
    near, one, two = await fleet.enrol("near", relay=True), await fleet.enrol("one"), await fleet.enrol("two")
    at = free_address()
    go(one, at)
    go(two, at)

    # when
    async with relay(near, at):
        await all_sync(one)
    before = cache_of(near).holding()
    async with relay(near, at):
        await all_sync(two)

    # then
    size = (await offered(fleet, one)).size_bytes
    assert (before.parts, before.incomplete, before.size_bytes) == (1, 0, size)
    assert size < SNAPSHOT_BYTES_MIN
    assert cache_of(near).holding().counts == Counts(fetched_bytes=size, served_bytes=2 * size)
    assert [documents(one), documents(two)] == [40, 40]


async def test_a_part_that_rotted_in_the_cache_is_fetched_again(fleet: Fleet) -> None:
    # given
    await fill(fleet)
    near, one, two = await fleet.enrol("near", relay=True), await fleet.enrol("one"), await fleet.enrol("two")
    at = free_address()
    go(one, at)
    go(two, at)
    async with relay(near, at):
        await all_sync(one)

        # when
        (kept,) = (each for each in parts_folder(near).iterdir() if each.stem != "counts")
        rotten = bytearray(kept.read_bytes())
        rotten[100] ^= 1
        kept.write_bytes(rotten)
        await all_sync(two)

    # then
    assert documents(two) == 40
    assert kept.read_bytes() != rotten
    assert cache_of(near).holding().counts.fetched_bytes == 2 * len(rotten)


@pytest.mark.parametrize("trouble", ["no room", "no folder"])
async def test_a_relay_whose_disk_takes_nothing_passes_parts_on_all_the_same(
    fleet: Fleet, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    await fill(fleet)
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    at = free_address()
    go(one, at)
    if trouble == "no room":
        monkeypatch.setattr("anabranch.part_cache.DISK_FREE_BYTES_MIN", 2**62)
    else:
        parts_folder(near).write_text("in the way")

    # when
    async with relay(near, at):
        await all_sync(one)

    # then
    assert documents(one) == 40
    assert cache_of(near).holding().parts == 0


async def test_a_child_of_a_relay_that_keeps_no_parts_gets_them_from_the_hub(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(fleet)
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    at = free_address()
    go(one, at)

    async with relay(near, at):
        monkeypatch.setattr(methods, "SNAPSHOT", "/anabranch.sync.v1.Sync/OfALaterRelease")
        await all_sync(one)

    assert documents(one) == 40


async def test_a_relay_gives_a_part_to_no_child_that_was_not_offered_it(fleet: Fleet) -> None:
    # given a relay that holds a part of acme/prod, and a child of another scope that knows its name
    await fill(fleet)
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    other = await fleet.enrol("other", prefixes=("acme/lab",))
    at = free_address()
    go(one, at)
    go(other, at)
    async with relay(near, at):
        await all_sync(one)
        part = await offered(fleet, one)

        # when
        fleet.start(other)
        await fleet.comes_together(other)
        async with channel_of(identity_of(other)) as channel:
            stream = PartStream(channel)
            answers = [await stream.piece(each, 0, 1_000) for each in (part, Part(b"no name", 9))]
        # and when it shows the certificate of one that was, as if it were a relay
        two = await fleet.enrol("two")
        go(two, at)
        fleet.start(two)
        await fleet.comes_together(two)
        async with channel_of(identity_of(two)) as channel:
            rightful = await PartStream(channel).piece(part, 0, 1_000)
        async with channel_of(identity_of(other)) as channel:
            stream = PartStream(channel, [(BEHIND, certificate(two))])
            answers.append(await stream.piece(part, 0, 1_000))
        await fleet.stop()

    # then
    assert len(rightful) == 1_000
    assert answers == [b"", b"", b""]


async def test_a_child_that_has_its_snapshot_holds_one_stream_and_gets_the_next_snapshot_on_it(
    fleet: Fleet,
) -> None:
    # given
    await fill(fleet)
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    at = free_address()
    go(one, at)

    # when
    async with relay(near, at) as serving:
        fleet.start(one)
        await fleet.comes_together(one)
        await comes(lambda: [len(streams) for streams in serving._streams.values()] == [1])
        first = cache_of(near).holding().counts.served_bytes
        await fill(fleet, chars=4_000)
        await fleet.comes_together(one)
        await fleet.stop()

    # then
    assert first > 0
    assert cache_of(near).holding().counts.served_bytes > 2 * first


async def test_an_edge_fetches_parts_over_so_many_streams_at_once_and_no_more(fleet: Fleet) -> None:
    await fill(fleet)
    one = await fleet.enrol("one")
    part = await offered(fleet, one)

    async with channel_of(identity_of(one)) as channel:
        streams = [PartStream(channel) for _ in range(FETCHES_PER_EDGE_MAX + 1)]
        pieces = [await stream.piece(part, 0, 10) for stream in streams]
        streams[0].cancel()
        await comes(lambda: again(streams[0], part))

    assert [len(piece) for piece in pieces] == [10] * FETCHES_PER_EDGE_MAX + [0]


async def test_a_stream_for_parts_on_which_nothing_is_asked_ends(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    await fill(fleet)
    one = await fleet.enrol("one")
    part = await offered(fleet, one)
    monkeypatch.setattr(grpc_service, "FETCH_SILENCE_S", 0.1)

    async with channel_of(identity_of(one)) as channel:
        stream = PartStream(channel)
        assert await stream.piece(part, 0, 10)

        # when
        await asyncio.sleep(1)

        # then
        assert not await stream.piece(part, 10, 10)


async def again(stream: PartStream, part: Part) -> bool:
    """Ask anew, as an edge does that was told to come back."""
    came = await stream.piece(part, 0, 10)
    if not came:
        stream.cancel()
    return bool(came)


async def test_the_hub_gives_parts_to_edges_of_their_scope_only(fleet: Fleet) -> None:
    # given
    await fill(fleet)
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    other = await fleet.enrol("other", prefixes=("acme/lab",))
    elsewhere = Fleet(fleet.hub, await new_tenant(fleet.hub.store), fleet.folder / "elsewhere")
    stranger = await elsewhere.enrol("one")
    part = await offered(fleet, one)

    async def answer(caller: Path, *behind: Path) -> int:
        async with channel_of(identity_of(caller)) as channel:
            stream = PartStream(channel, [(BEHIND, certificate(each)) for each in behind])
            return len(await stream.piece(part, 0, 1_000))

    # when, then
    assert [await answer(one), await answer(near, one)] == [1_000, 1_000]
    assert [await answer(other), await answer(near, other), await answer(stranger)] == [0, 0, 0]
    await fleet.hub.store.revoke(fleet.tenant, "one")
    assert [await answer(one), await answer(near, one), await answer(near)] == [0, 0, 1_000]
    await fleet.hub.store.order_wipe(fleet.tenant, "one", at_once=True, author="ops")
    assert [await answer(one), await answer(near, one)] == [0, 0], "it is let in for the order alone"


async def test_who_asks_for_less_than_it_was_granted_gets_the_parts_of_that(fleet: Fleet) -> None:
    # given
    await fill(fleet)
    one = await fleet.enrol("one", prefixes=("acme", "beta"))
    with Replica.open(one) as replica:
        incarnation = replica.standing().incarnation
    await fleet.hub.store.open_replica(fleet.tenant, "one", incarnation, wanted=scope(("acme/prod",)))

    # when
    part = await offered(fleet, one)
    async with channel_of(identity_of(one)) as channel:
        piece = await PartStream(channel).piece(part, 0, 10)

    # then
    assert len(piece) == 10


async def test_an_edge_that_is_shut_out_while_it_fetches_gets_no_further_part(fleet: Fleet) -> None:
    # given
    await fill(fleet)
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    part = await offered(fleet, one)

    # when
    async with channel_of(identity_of(near)) as channel:
        stream = PartStream(channel, [(BEHIND, certificate(one))])
        begun = await stream.piece(part, 0, 10)
        await fleet.hub.store.revoke(fleet.tenant, "near")
        await stream.piece(Part(b"another part", 10), 0, 10)
        later = await stream.piece(part, 10, 10)

    # then
    assert (len(begun), later) == (10, b"")


async def test_children_come_to_their_end_over_an_uplink_that_breaks_again_and_again(fleet: Fleet) -> None:
    # given
    await fill(fleet, count=80, chars=4_000)
    near, one, two = await fleet.enrol("near", relay=True), await fleet.enrol("one"), await fleet.enrol("two")
    at = free_address()
    go(one, at)
    go(two, at)

    # when
    async with FlakyLink("127.0.0.1", fleet.hub.server.port) as uplink:
        point_to(near, f"127.0.0.1:{uplink.port}")
        uplink.set_cuts(CutEvery(60_000))
        async with relay(near, at):
            fleet.start(one, two)
            await fleet.comes_together(one, two)
            cuts = uplink.carried.cuts
            await fleet.stop()
    size = (await offered(fleet, one)).size_bytes

    # then
    assert cuts > 1
    assert size > 2 * 60_000
    assert [documents(one), documents(two)] == [80, 80]
    assert cache_of(near).holding().counts.fetched_bytes <= size


async def test_an_urgent_change_overtakes_what_comes_from_a_relay(fleet: Fleet) -> None:
    # given
    schema: Object = {"namespaces": ["acme/prod/switches"], "schema": {"x-anabranch-priority": 0}}
    switch = document_id("acme/prod/switches")
    await fleet.hub.store.write(
        fleet.tenant,
        [Edit(document_id("system/schemas", "s"), schema), Edit(switch, {"on": True})],
        author="op",
        message="",
    )
    await fill(fleet, count=80, chars=4_000)
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    at = free_address()
    go(one, at)
    async with FlakyLink("127.0.0.1", fleet.hub.server.port, bytes_per_s=40_000) as uplink:
        point_to(near, f"127.0.0.1:{uplink.port}")
        async with relay(near, at):
            told: list[Progress] = []
            fleet.start(one, progress=told.append)
            await comes(lambda: any(isinstance(each, Pulled) for each in told))

            # when
            edits = [Edit(switch, {"on": False})]
            await fleet.hub.store.write(fleet.tenant, edits, author="op", message="")
            await comes(lambda: read(one, switch) == {"on": False})

            # then
            assert cache_of(near).holding().incomplete == 1
            await fleet.comes_together(one)
            await fleet.stop()
    assert documents(one) == 82


async def test_what_a_relay_fetched_for_itself_its_children_need_not(fleet: Fleet) -> None:
    # given
    await fill(fleet, chars=8_000)
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    at = free_address()
    go(one, at)

    # when
    running = asyncio.create_task(run_agent(near, relay=at))
    await fleet.comes_together(near)
    alone = cache_of(near).holding().counts
    await all_sync(one)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    # then
    size = (await offered(fleet, one)).size_bytes
    assert alone == Counts(fetched_bytes=size, served_bytes=size)
    assert cache_of(near).holding().counts == Counts(fetched_bytes=size, served_bytes=2 * size)
