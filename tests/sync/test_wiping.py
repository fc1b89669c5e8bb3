"""An order to remove everything, between two sessions."""

from anabranch_sync.document import rebuild
from anabranch_sync.edge_session import SILENCE_MS_MAX
from anabranch_sync.ids import document_id
from anabranch_sync.wiping import WIPED, WipeOrder

from tests.sync.pair import NOW_MS, Pair, new_hub, new_replica

ROUTER, LIMITS = document_id("acme/prod/router"), document_id("acme/prod/limits")


def test_what_is_unsent_goes_first_and_nothing_comes() -> None:
    # given
    hub = new_hub()
    hub.write(LIMITS, {"a": 1})
    replica = new_replica(hub)
    for number in range(3):
        replica.commit(ROUTER, {"a": "x" * 20_000, "number": number}, now_ms=NOW_MS)

    # when
    pair = Pair(replica, hub, order=WipeOrder.WHEN_SENT).run()

    # then
    assert pair.is_wiped
    assert pair.hub_knows_of_wipe
    assert pair.hub_closed == WIPED
    content = rebuild(hub.documents[ROUTER].registers)
    assert content is not None
    assert content["number"] == 2
    assert LIMITS not in replica.confirmed


def test_a_stream_that_breaks_before_all_was_sent_wipes_nothing() -> None:
    # given
    hub = new_hub()
    replica = new_replica(hub)
    replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)

    # when the hub's answer to the push is lost
    broken = Pair(
        replica,
        hub,
        order=WipeOrder.WHEN_SENT,
        lose=lambda direction, number: (direction, number) == ("down", 2),
    ).run()

    # then
    assert not broken.is_wiped
    assert Pair(replica, hub, order=WipeOrder.WHEN_SENT).run().is_wiped
    assert rebuild(hub.documents[ROUTER].registers) == {"a": 1}


def test_what_is_written_while_the_order_is_carried_out_is_sent_too() -> None:
    # given an edge that has sent all, and a program that writes
    hub = new_hub()
    replica = new_replica(hub)
    replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
    pair = Pair(replica, hub, order=WipeOrder.WHEN_SENT)
    while not hub.documents:
        pair.step()
    replica.commit(ROUTER, {"a": 2}, now_ms=NOW_MS)

    # when
    pair.run()

    # then
    assert pair.is_wiped
    assert rebuild(hub.documents[ROUTER].registers) == {"a": 2}


def test_at_once_means_that_nothing_is_sent() -> None:
    # given
    hub = new_hub()
    hub.write(LIMITS, {"a": 1})
    replica = new_replica(hub)
    replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)

    # when
    pair = Pair(replica, hub, order=WipeOrder.AT_ONCE).run()

    # then
    assert pair.is_wiped
    assert pair.hub_knows_of_wipe
    assert ROUTER not in hub.documents
    assert pair.frames == {"up": 2, "down": 1}


def test_an_edge_that_does_not_answer_the_order_is_not_waited_for() -> None:
    # given
    hub = new_hub()
    lost = Pair(
        new_replica(hub), hub, order=WipeOrder.AT_ONCE, lose=lambda direction, number: direction == "down"
    ).run()

    # when
    (closed,) = lost.far.woken(NOW_MS + SILENCE_MS_MAX)

    # then
    assert "no answer" in getattr(closed, "reason", "")
    assert not lost.is_wiped
