"""Edges as witnesses: which logs an edge believes, and what becomes of an exchange with a hub it does not."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from anabranch_hub.simulation.log_key import LogKey
from anabranch_hub.simulation.memory import MemoryHub, MemoryLog, MemoryReplica
from anabranch_sync.errors import CorruptFrame, EvidenceError, LogRefused, UntrustedSignature
from anabranch_sync.hub_session import PRESENT_EVERY_MS
from anabranch_sync.ids import document_id
from anabranch_sync.merkle import TreeHead
from anabranch_sync.witness import (
    Presented,
    Witnessed,
    begun_again,
    mark_of,
    needed,
    presented,
    size_of,
    unpack_presented,
    witnessed,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.logs import Log, log_of, log_with
from tests.sync.pair import Pair, new_hub, new_replica

ORIGIN = "anabranch/tenant/acme"
ROUTER = document_id("acme/prod/router")
LONG = log_with(40)


def seen_of(log: Log, size: int) -> Witnessed:
    """What an edge knows that was shown `log` at `size`."""
    return Witnessed(log.key.verifier, log.signed(size))


def shown(log: Log, size: int, mark: bytes) -> Presented:
    """What an honest hub with `log` shows an edge with this mark."""
    return presented(mark, log.signed(size), log.key.verifier, log.store)


# What is believed.


def test_the_first_checkpoint_pins_the_key() -> None:
    now = witnessed(ORIGIN, None, shown(LONG, 12, b""))

    assert now == seen_of(LONG, 12)


@given(st.integers(0, 40), st.data())
def test_a_log_that_grew_is_believed(newer: int, data: st.DataObject) -> None:
    older = data.draw(st.integers(0, newer))
    before = seen_of(LONG, older)

    now = witnessed(ORIGIN, before, shown(LONG, newer, mark_of(before.tree)))

    assert now == seen_of(LONG, newer)


@given(st.integers(1, 40), st.data())
def test_a_shorter_log_is_refused_however_well_it_is_signed(older: int, data: st.DataObject) -> None:
    shorter = data.draw(st.integers(0, older - 1))
    before = seen_of(LONG, older)

    with pytest.raises(LogRefused, match=f"the log ends after {shorter} of the {older} leaves"):
        witnessed(ORIGIN, before, shown(LONG, shorter, mark_of(before.tree)))


@given(st.integers(1, 30), st.data())
def test_a_forked_log_is_refused_however_well_it_is_signed(older: int, data: st.DataObject) -> None:
    # given a log that was rewritten from a leaf on that the edge had seen
    fork = data.draw(st.integers(0, older - 1))
    newer = data.draw(st.integers(older, 30))
    other = log_of([*LONG.leaves[:fork], *log_with(30, what="again").leaves[fork:]])
    before = seen_of(LONG, older)

    with pytest.raises(EvidenceError):
        witnessed(ORIGIN, before, shown(other, newer, mark_of(before.tree)))


def test_two_logs_of_one_size_are_called_what_they_are() -> None:
    before = seen_of(LONG, 12)
    other = log_with(12, what="again")

    with pytest.raises(LogRefused, match="the log was rewritten: two trees of 12 leaves, both signed"):
        witnessed(ORIGIN, before, shown(other, 12, mark_of(before.tree)))


def test_another_key_is_refused_even_if_it_signs_the_same_log() -> None:
    before = seen_of(LONG, 12)
    stranger = log_of(LONG.leaves, key=LogKey(seed="a stranger"))

    with pytest.raises(UntrustedSignature):
        witnessed(ORIGIN, before, shown(stranger, 20, mark_of(before.tree)))


def test_a_declared_restore_of_the_hub_lets_no_other_key_in() -> None:
    before = seen_of(LONG, 12)
    other = replace(LONG, key=LogKey(seed="a stranger"))
    assert begun_again(before, shown(LONG, 5, b"")) == seen_of(LONG, 5)

    with pytest.raises(UntrustedSignature):
        begun_again(before, shown(other, 5, b""))


def test_a_key_that_a_hub_sends_along_later_changes_nothing() -> None:
    before = seen_of(LONG, 12)
    stranger = log_of(LONG.leaves, key=LogKey(seed="a stranger"))
    offer = replace(shown(stranger, 20, mark_of(before.tree)), public_key=stranger.key.verifier.public)

    with pytest.raises(UntrustedSignature):
        witnessed(ORIGIN, before, offer)


def test_the_log_of_another_tenant_is_refused() -> None:
    with pytest.raises(UntrustedSignature):
        witnessed(ORIGIN, None, shown(log_with(5, "globex"), 5, b""))


@pytest.mark.parametrize("public_key", [b"", bytes(31), bytes(33)])
def test_a_newcomer_is_not_satisfied_without_a_key(public_key: bytes) -> None:
    with pytest.raises(EvidenceError, match="the log's key"):
        witnessed(ORIGIN, None, replace(shown(LONG, 5, b""), public_key=public_key))


@given(st.integers(0, 40), st.integers(1, 40), st.data())
def test_no_bit_of_what_is_presented_can_be_changed(older: int, more: int, data: st.DataObject) -> None:
    newer = min(40, older + more)
    before = seen_of(LONG, older) if older else None
    offer = shown(LONG, newer, mark_of(before.tree if before else None))
    fields = [offer.checkpoint.packed, b"".join(offer.consistency), offer.public_key]
    place = data.draw(st.sampled_from([place for place, field in enumerate(fields) if field]))
    bent = bytearray(fields[place])
    bit = data.draw(st.integers(0, 8 * len(bent) - 1))
    bent[bit // 8] ^= 1 << bit % 8
    fields[place] = bytes(bent)

    if before is not None and older == newer:
        return  # nothing would have been presented
    with pytest.raises(EvidenceError):
        witnessed(ORIGIN, before, unpack_presented(ORIGIN, *fields))


# What a hub presents.


def test_an_edge_that_has_seen_the_newest_tree_is_shown_nothing() -> None:
    tree = LONG.signed(40).tree

    assert needed(mark_of(tree), tree) is None
    assert needed(mark_of(TreeHead(40, bytes(32))), tree) is not None
    assert needed(b"", tree) == ()


def test_a_mark_takes_few_bytes_and_tells_the_size() -> None:
    assert mark_of(None) == b""
    assert size_of(b"") == 0
    assert size_of(mark_of(LONG.signed(40).tree)) == 40
    assert len(mark_of(TreeHead(10**9, bytes(32)))) <= 21


@pytest.mark.parametrize("mark", [b"\x01", bytes(16), b"\xff" * 30, b"\xff" * 9 + b"\x7f" + bytes(16)])
def test_a_malformed_mark_is_not_believed(mark: bytes) -> None:
    with pytest.raises(CorruptFrame):
        size_of(mark)


# In an exchange.


def fleet_of_one() -> tuple[MemoryHub, MemoryReplica]:
    """A hub, and an edge that has seen its log of two leaves."""
    hub = new_hub()
    hub.write(ROUTER, {"a": 1})
    hub.write(ROUTER, {"a": 2})
    replica = new_replica(hub)
    Pair(replica, hub).run()
    return hub, replica


def seen(replica: MemoryReplica) -> Witnessed:
    result = replica.standing().witnessed
    assert result is not None
    return result


def test_an_edge_keeps_the_newest_checkpoint_of_each_exchange() -> None:
    hub, replica = fleet_of_one()
    assert seen(replica).tree == hub.tree.head_at(2)
    hub.write(ROUTER, {"a": 3})

    pair = Pair(replica, hub).run()

    assert pair.edge.settled
    assert seen(replica).tree == hub.tree.head_at(3)


def test_an_exchange_with_nothing_new_grows_by_a_mark_and_no_more() -> None:
    # given the same replica, once without and once with a checkpoint
    hub, replica = fleet_of_one()
    with_mark = Pair(replica, hub).run().sent_bytes
    hub.tree.away = True
    replica._state = replica.disk = replace(replica.disk, witnessed=None)
    without = Pair(replica, hub).run().sent_bytes

    assert with_mark["down"] == without["down"]
    assert with_mark["up"] - without["up"] <= 40


def test_a_checkpoint_costs_little_on_the_wire() -> None:
    hub, replica = fleet_of_one()
    idle = Pair(replica, hub).run().sent_bytes["down"]
    for number in range(998):
        hub.tree.append(b"%d" % number)

    grown = Pair(replica, hub).run().sent_bytes["down"]

    # A signed checkpoint has 102 bytes at this size, a proof at most 32 for each of 11 levels.
    assert grown - idle < 102 + 11 * 32 + 20


def test_a_hub_without_its_key_is_tolerated() -> None:
    hub, replica = fleet_of_one()
    hub.tree.away = True
    hub.write(ROUTER, {"a": 3})

    pair = Pair(replica, hub).run()

    assert pair.edge.settled
    assert seen(replica).tree == hub.tree.head_at(2)


def test_a_stream_that_lasts_shows_how_the_log_goes_on_now_and_then() -> None:
    hub, replica = fleet_of_one()
    pair = Pair(replica, hub).run()
    hub.write(ROUTER, {"a": 3})

    # when a pull is applied soon after the stream began
    pair.notified().leave()
    # then it says nothing of the log
    assert seen(replica).tree == hub.tree.head_at(2)

    # when one is applied later on, and another right after it
    pair.now_ms += PRESENT_EVERY_MS
    hub.write(ROUTER, {"a": 4})
    pair.notified().leave()
    hub.write(ROUTER, {"a": 5})
    pair.notified().leave()
    # then one of them does
    assert seen(replica).tree == hub.tree.head_at(4)

    # when nothing was signed meanwhile
    hub.tree.away = True
    pair.now_ms += PRESENT_EVERY_MS
    hub.write(ROUTER, {"a": 6})
    # then the stream goes on
    assert pair.notified().leave().edge.settled


def test_a_stream_that_began_without_a_checkpoint_pins_the_first_it_is_shown() -> None:
    hub = new_hub()
    hub.write(ROUTER, {"a": 1})
    hub.tree.away = True
    replica = new_replica(hub)
    pair = Pair(replica, hub).run()
    assert replica.standing().witnessed is None

    hub.tree.away = False
    hub.write(ROUTER, {"a": 2})
    pair.now_ms += PRESENT_EVERY_MS
    pair.notified().leave()

    assert seen(replica).tree == hub.tree.head_at(2)


def test_a_log_that_is_bent_while_a_stream_lasts_ends_the_stream() -> None:
    hub, replica = fleet_of_one()
    pair = Pair(replica, hub).run()
    hub.tree = rewritten(hub)
    hub.write(ROUTER, {"a": 3})
    pair.now_ms += PRESENT_EVERY_MS

    pair.notified().leave()

    assert pair.closed is not None
    assert pair.accusations == [pair.closed.reason]
    assert [reason for reason, _ in replica.disk.distrusted] == pair.accusations


def truncated(hub: MemoryHub) -> MemoryLog:
    return MemoryLog(hub.tree.leaves[:1])


def rewritten(hub: MemoryHub) -> MemoryLog:
    return MemoryLog([b"nothing happened", *hub.tree.leaves[1:]])


def rewritten_and_grown(hub: MemoryHub) -> MemoryLog:
    return MemoryLog([b"nothing happened", *hub.tree.leaves[1:], b"more", b"and more"])


def reordered(hub: MemoryHub) -> MemoryLog:
    return MemoryLog(hub.tree.leaves[::-1])


def under_another_key(hub: MemoryHub) -> MemoryLog:
    return MemoryLog([*hub.tree.leaves, b"more"], LogKey(seed="a stranger"))


@pytest.mark.parametrize("bend", [truncated, rewritten, rewritten_and_grown, reordered, under_another_key])
def test_a_hub_with_another_log_is_refused_and_told_and_nothing_of_it_is_applied(
    bend: Callable[[MemoryHub], MemoryLog],
) -> None:
    # given a hub whose log was bent behind its back, with news for the edge, and the edge with its own
    hub, replica = fleet_of_one()
    hub.write(ROUTER, {"a": 3})
    hub.tree = bend(hub)
    written = replica.commit(ROUTER, {"b": 1}, now_ms=1)
    before = replica.disk

    pair = Pair(replica, hub).run()

    assert pair.closed is not None
    assert pair.closed.denied
    assert pair.accusations == [pair.closed.reason]
    ((reason, evidence),) = replica.disk.distrusted
    assert reason == pair.closed.reason
    assert evidence == hub.tree.newest.packed
    assert replica.disk == replace(before, distrusted=replica.disk.distrusted)
    assert replica.outbox == (written,)
    assert len(hub.log) == 3


def test_an_honest_hub_goes_on_where_the_bent_one_was_refused() -> None:
    hub, replica = fleet_of_one()
    honest, hub.tree = hub.tree, rewritten(hub)
    assert Pair(replica, hub).run().closed is not None

    hub.tree = honest
    hub.write(ROUTER, {"a": 3})
    pair = Pair(replica, hub).run()

    assert pair.edge.settled
    assert seen(replica).tree == hub.tree.head_at(3)


def test_a_newcomer_believes_the_log_it_is_shown_first() -> None:
    hub, _ = fleet_of_one()
    hub.tree = rewritten(hub)
    newcomer = new_replica(hub)

    assert Pair(newcomer, hub).run().edge.settled
    assert seen(newcomer).tree == hub.tree.head_at(2)


def test_a_restored_replica_knows_an_older_checkpoint_and_goes_on() -> None:
    hub, replica = fleet_of_one()
    backup = replica.disk
    hub.write(ROUTER, {"a": 3})
    Pair(replica, hub).run()
    restored = MemoryReplica(backup)

    Pair(restored, hub).run()

    assert seen(restored).tree == hub.tree.head_at(3)


def test_a_mark_that_is_none_ends_the_stream_at_the_hub() -> None:
    hub, replica = fleet_of_one()
    bent = replace(seen(replica).checkpoint.checkpoint, tree=TreeHead(2, b"short"))
    known = replace(seen(replica), checkpoint=replace(seen(replica).checkpoint, checkpoint=bent))
    replica._state = replace(replica.disk, witnessed=known)

    pair = Pair(replica, hub).run()

    assert "malformed" in pair.hub_closed or "length" in pair.hub_closed
