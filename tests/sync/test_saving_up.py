"""What is new at the hub waits for company on a metered link, as long as its priority lets it."""

from unittest.mock import patch

from anabranch_hub.simulation.memory import MemoryHub, MemoryReplica
from anabranch_sync.circumstances import Circumstances, LinkClass
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId
from anabranch_sync.priority import BULK_WAIT_MS, CONFIGURATION_WAIT_MS
from anabranch_sync.transfer import SILENCE_MS_MAX

from tests.sync.pair import NOW_MS, Pair, new_hub, new_replica

METERED = Circumstances(LinkClass.METERED)
PLAIN = DocumentId("acme/plain", "a")
SWITCH = DocumentId("acme/switches", "line")
BULK = DocumentId("acme/bulk", "a")


def _schema(namespace: str, priority: int) -> Object:
    return {"namespaces": [namespace], "schema": {"x-anabranch-priority": priority}}


def _metered() -> tuple[MemoryHub, MemoryReplica, Pair]:
    hub = new_hub()
    hub.write(DocumentId("system/schemas", "switches"), _schema("acme/switches", 0))
    hub.write(DocumentId("system/schemas", "bulk"), _schema("acme/bulk", 2))
    replica = new_replica(hub)
    return hub, replica, Pair(replica, hub, circumstances=METERED).run()


def test_many_changes_come_by_one_pull_after_the_patience_of_the_most_pressing() -> None:
    # given
    hub, replica, pair = _metered()
    before = pair.frames["down"]
    # when
    hub.write(BULK, {"n": 0})
    pair.notified()
    for number in range(10):
        hub.write(PLAIN, {"n": number})
        pair.notified()
    # then
    assert pair.frames["down"] == before
    assert pair.far.wake_ms == NOW_MS + CONFIGURATION_WAIT_MS
    # when the time has come
    pair.now_ms += CONFIGURATION_WAIT_MS
    pair._at_hub(pair.far.woken(pair.now_ms))
    # then the edge has as long for its answer as ever
    assert pair.far.wake_ms == pair.now_ms + SILENCE_MS_MAX
    pair.run()
    assert pair.frames["down"] == before + 1
    assert (replica.read(PLAIN), replica.read(BULK)) == ({"n": 9}, {"n": 0})
    assert replica.standing().cursor.hub_seq == hub.hub_seq


def test_bulk_waits_for_an_hour_or_for_something_that_presses() -> None:
    # given
    hub, replica, pair = _metered()
    hub.write(BULK, {"n": 1})
    pair.notified()
    assert pair.far.wake_ms == NOW_MS + BULK_WAIT_MS
    # when
    hub.write(SWITCH, {"on": False})
    pair.notified()
    # then
    assert (replica.read(SWITCH), replica.read(BULK)) == ({"on": False}, {"n": 1})


def test_who_pushes_is_answered_at_once_with_all_that_waited() -> None:
    # given
    hub, replica, pair = _metered()
    hub.write(BULK, {"n": 1})
    pair.notified()
    # when
    replica.commit(PLAIN, {"mine": True}, now_ms=NOW_MS)
    pair.offered()
    # then
    assert not replica.state.outbox
    assert replica.read(BULK) == {"n": 1}


def test_a_new_stream_brings_at_once_whatever_waited() -> None:
    # given
    hub, replica, pair = _metered()
    hub.write(BULK, {"n": 1})
    pair.notified()
    # when
    again = Pair(replica, hub, circumstances=METERED).run()
    # then
    assert again.edge.settled
    assert replica.read(BULK) == {"n": 1}


def test_a_snapshot_that_is_gone_while_it_is_fetched_is_made_up_for_at_once() -> None:
    # given
    hub = new_hub()
    hub.write(PLAIN, {"n": 1})
    replica, kept, gone = new_replica(hub), hub.part, iter((True,))
    # when
    with patch.object(hub, "part", side_effect=lambda name: None if next(gone, False) else kept(name)):
        pair = Pair(replica, hub, circumstances=METERED).run()
    # then
    assert pair.edge.settled
    assert replica.read(PLAIN) == {"n": 1}


def test_a_free_link_waits_for_nothing() -> None:
    hub, replica, _ = _metered()
    pair = Pair(replica, hub, circumstances=Circumstances(LinkClass.FREE)).run()

    hub.write(BULK, {"n": 1})
    pair.notified()

    assert replica.read(BULK) == {"n": 1}
