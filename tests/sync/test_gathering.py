"""An edge behind a relay gets parts of a snapshot from near, and from its hub what does not come so."""

from functools import partial

from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync import snapshot
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.hub_session import GATHERING_MS_MAX
from anabranch_sync.ids import Cursor, document_id
from anabranch_sync.messages import SnapshotOffer
from anabranch_sync.offering import overheard
from anabranch_sync.snapshot import Part
from anabranch_sync.stream import Stream
from anabranch_sync.transfer import SILENCE_MS_MAX
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sync.pair import Pair, new_hub, new_replica

ROUTER, LIMITS = document_id("acme/prod/router"), document_id("acme/prod/limits")


class Near:
    """A relay: it has what the hub has, `left` bytes of it, or bytes of another kind."""

    def __init__(self, hub: MemoryHub, *, left: int = 2**31, damaged: bool = False) -> None:
        self.left = left
        self.names: set[bytes] = set()
        self._hub = hub
        self._damaged = damaged

    def __call__(self, name: bytes, offset: int, bytes_max: int) -> bytes:
        self.names.add(name)
        piece = part_of(self._hub, name)[offset : offset + min(bytes_max, self.left)]
        self.left -= len(piece)
        return bytes(len(piece)) if self._damaged else piece


def part_of(hub: MemoryHub, name: bytes) -> bytes:
    sealed = hub.part(name)
    assert sealed is not None, "a part that was offered"
    return sealed


def large_hub(items: int = 30_000) -> MemoryHub:
    hub = new_hub()
    hub.offers, hub.cut_bytes = lambda: True, snapshot.SLICE_BYTES_MAX
    hub.write(ROUTER, {"a": list(range(items))})
    hub.write(LIMITS, {"b": list(range(40_000, 40_000 + items))})
    return hub


def test_what_a_relay_has_does_not_come_from_the_hub() -> None:
    hub = large_hub()
    replica, near = new_replica(hub), Near(hub)

    pair = Pair(replica, hub, near=near).run()

    assert replica.confirmed == hub.documents
    assert pair.edge.settled
    assert pair.brought_bytes == sum(len(part_of(hub, name)) for name in near.names) > 100_000
    assert pair.sent_bytes["down"] < 1_000


def test_what_a_relay_has_of_a_part_is_gone_on_with_from_the_hub() -> None:
    hub = large_hub()
    replica = new_replica(hub)
    alone = Pair(new_replica(hub), hub).run()

    pair = Pair(replica, hub, near=Near(hub, left=20_000)).run()

    assert replica.confirmed == hub.documents
    assert pair.brought_bytes == 20_000
    assert pair.sent_bytes["down"] < alone.sent_bytes["down"] - 15_000


def test_a_break_loses_nothing_of_what_came_from_near() -> None:
    # given
    hub = large_hub()
    replica, near = new_replica(hub), Near(hub, left=20_000)
    Pair(replica, hub, near=near, lose=lambda direction, number: direction == "up" and number > 1).run()
    held = replica.standing().partial
    assert held is not None
    assert len(held.received) == 20_000

    # when
    near.left = 2**31
    pair = Pair(replica, hub, near=near).run()

    # then
    assert replica.confirmed == hub.documents
    assert 20_000 + pair.brought_bytes == sum(len(part_of(hub, name)) for name in near.names)


def test_a_damaged_part_of_a_relay_is_not_believed_and_all_the_rest_comes_from_the_hub() -> None:
    hub = large_hub()
    replica, near = new_replica(hub), Near(hub, damaged=True)

    pair = Pair(replica, hub, near=near).run()

    assert pair.closed is None
    assert pair.edge.settled
    assert replica.confirmed == hub.documents
    assert len(near.names) == 1


def test_a_head_on_disk_that_is_not_of_its_part_is_dropped_and_the_next_stream_gets_all_of_it() -> None:
    # given
    hub = large_hub()
    replica, near = new_replica(hub), Near(hub, left=0)
    Pair(new_replica(hub), hub, near=near).run()
    (name,) = near.names
    replica.store_part(name[:8], len(part_of(hub, name)), 0, bytes(5_000))

    # when
    first = Pair(replica, hub).run()
    second = Pair(replica, hub).run()

    # then
    assert first.closed is not None
    assert first.closed.reason == "corrupt frame: batch does not match its hash"
    assert second.edge.settled
    assert replica.confirmed == hub.documents


@given(
    answers=st.lists(st.sampled_from(["all", "some", "none", "damaged", "too much"]), max_size=12),
    losses=st.lists(st.tuples(st.sampled_from(["up", "down"]), st.integers(1, 8)), max_size=6),
)
@settings(max_examples=40)
def test_whatever_a_relay_answers_and_a_link_loses_an_edge_comes_to_hold_what_its_hub_has(
    answers: list[str], losses: list[tuple[str, int]]
) -> None:
    # given
    hub = large_hub(8_000)
    replica, left = new_replica(hub), iter(answers)

    def near(name: bytes, offset: int, bytes_max: int) -> bytes:
        piece = part_of(hub, name)[offset : offset + bytes_max]
        match next(left, "all"):
            case "some":
                return piece[: len(piece) // 2]
            case "none":
                return b""
            case "damaged":
                return bytes(len(piece))
            case "too much":
                return part_of(hub, name)[offset:] + b"more"
        return piece

    # when
    for direction, first in losses:
        Pair(replica, hub, near=near, lose=partial(beyond, direction, first)).run()
        assert replica.confirmed in ({}, hub.documents)
    # A head that is damaged ends a stream, and goes with it.
    pairs = (Pair(replica, hub, near=near).run() for _ in range(len(answers) + 1))

    # then
    assert any(pair.edge.settled for pair in pairs)
    assert replica.confirmed == hub.documents


def beyond(direction: str, first: int, way: str, number: int) -> bool:
    return way == direction and number > first


def test_the_hub_waits_longer_for_an_edge_that_gets_parts_from_near() -> None:
    hub = large_hub()
    pair = Pair(new_replica(hub), hub)
    while pair.frames["down"] < 2:  # the Welcome and the offer
        pair.step()

    assert pair.far.wake_ms == pair.now_ms + GATHERING_MS_MAX > pair.now_ms + SILENCE_MS_MAX
    assert pair.edge.wake_ms == pair.now_ms + SILENCE_MS_MAX
    assert pair.run().edge.settled


def test_only_an_offer_that_could_be_one_is_overheard() -> None:
    stream = Stream()
    offer = SnapshotOffer(Cursor(1, 9), ScopeDigest(), b"a" * 32 + b"b" * 32, (10, 20))
    raw = stream.frame(offer)

    assert overheard(raw) == (Part(b"a" * 32, 10), Part(b"b" * 32, 20))
    assert overheard(raw[:-1]) == overheard(b"") == overheard(b"\x05" + raw[1:]) == ()
    assert overheard(stream.frame(SnapshotOffer(Cursor(1, 9), ScopeDigest(), b"a" * 31, (10,)))) == ()
