"""A stream on which nothing goes but what is urgent."""

import random

from anabranch_hub.simulation.memory import MemoryHub, MemoryReplica
from anabranch_sync.document import Document, Object
from anabranch_sync.ids import Cursor, DocumentId
from anabranch_sync.pull import urgent
from anabranch_sync.register import Register, Slot, Stamp

from tests.sync.pair import NOW_MS, Pair, new_hub, new_replica

SWITCH = DocumentId("acme/switches", "line")
PLAIN = DocumentId("acme/plain", "a")
SCHEMA: Object = {
    "namespaces": ["acme/switches"],
    "schema": {"x-anabranch-priority": 0},
    "rules": [{"name": "low below high", "require": ["/low", "<=", "/high"]}],
}
LARGE: Object = {"text": random.Random(1).randbytes(20_000).hex()}


def _ready() -> tuple[MemoryHub, MemoryReplica]:
    hub = new_hub()
    hub.write(DocumentId("system/schemas", "switches"), SCHEMA)
    hub.write(SWITCH, {"on": True})
    replica = new_replica(hub)
    Pair(replica, hub).run()
    return hub, replica


def test_of_the_hubs_documents_only_the_urgent_ones_come() -> None:
    # given much that is not urgent, and little that is
    hub, replica = _ready()
    hub.write(PLAIN, LARGE)
    hub.write(SWITCH, {"on": False})
    before = replica.standing()
    # when
    pair = Pair(replica, hub, urgent_only=True).run()
    # then
    assert pair.edge.settled
    assert not pair.edge.lacks
    assert (replica.read(SWITCH), replica.read(PLAIN)) == ({"on": False}, None)
    assert replica.standing().cursor == before.cursor
    assert replica.standing().digest == before.digest
    assert pair.edge.overtaken.hub_seq == hub.hub_seq
    assert sum(pair.sent_bytes.values()) < 600
    # and all else when it may
    Pair(replica, hub).run()
    assert replica.read(PLAIN) == LARGE


def test_where_nothing_is_urgent_that_is_said_and_nothing_else() -> None:
    hub, replica = _ready()
    hub.write(PLAIN, LARGE)

    pair = Pair(replica, hub, urgent_only=True).run()

    assert pair.edge.settled
    assert sum(pair.sent_bytes.values()) < 500


def test_own_changes_go_up_to_the_last_urgent_one_and_none_after_it() -> None:
    # given
    hub, replica = _ready()
    replica.commit(PLAIN, {"n": 1}, now_ms=NOW_MS)
    replica.commit(SWITCH, {"on": False}, now_ms=NOW_MS)
    replica.commit(DocumentId("acme/plain", "b"), LARGE, now_ms=NOW_MS)
    # when
    pair = Pair(replica, hub, urgent_only=True).run()
    # then
    assert pair.edge.settled
    assert hub.read(SWITCH) == {"on": False}
    assert hub.read(PLAIN) == {"n": 1}
    assert hub.read(DocumentId("acme/plain", "b")) is None
    assert replica.standing().push_mark == replica.standing().last_local - 1


def test_a_document_that_waits_for_an_own_change_is_lacking_and_comes_with_all_else() -> None:
    # given an urgent change that the hub has merged, without a pull that says so
    hub, replica = _ready()
    replica.commit(SWITCH, {"on": False}, now_ms=NOW_MS)
    Pair(replica, hub, urgent_only=True).run()
    hub.write(SWITCH, {"on": True, "by": "ops"})
    # when
    pair = Pair(replica, hub, urgent_only=True).run()
    # then
    assert pair.edge.lacks
    assert replica.read(SWITCH) == {"on": False}
    Pair(replica, hub).run()
    assert replica.read(SWITCH) == hub.read(SWITCH)


def test_what_is_urgent_and_too_large_for_one_frame_comes_by_a_pull() -> None:
    hub, replica = _ready()
    hub.write(SWITCH, {"text": random.Random(1).randbytes(100_000).hex()})

    pair = Pair(replica, hub, urgent_only=True).run()

    assert pair.edge.settled
    assert replica.standing().cursor.hub_seq == hub.hub_seq
    assert replica.read(SWITCH) == hub.read(SWITCH)


def test_a_replica_that_never_exchanged_gets_everything() -> None:
    hub, _ = _ready()
    replica = new_replica(hub)

    pair = Pair(replica, hub, urgent_only=True).run()

    assert pair.edge.settled
    assert replica.read(SWITCH) == {"on": True}


def test_what_becomes_urgent_meanwhile_comes_too() -> None:
    # given
    hub, replica = _ready()
    pair = Pair(replica, hub, urgent_only=True).run()
    # when
    hub.write(PLAIN, LARGE)
    hub.write(SWITCH, {"on": False})
    pair.notified()
    # then
    assert replica.read(SWITCH) == {"on": False}
    assert replica.read(PLAIN) is None


def test_what_is_valid_of_a_document_in_quarantine_comes_with_all_else() -> None:
    # given an urgent change, and another one's over the same document that makes the whole of it invalid
    hub, replica = _ready()
    other = new_replica(hub)
    Pair(other, hub).run()
    other.commit(SWITCH, {"on": True, "low": 3}, now_ms=NOW_MS)
    hub.write(SWITCH, {"on": False, "high": 2})
    hub.write(PLAIN, {"n": 1})
    Pair(other, hub).run()
    assert hub.read(SWITCH) == {"on": False, "high": 2}
    # when
    pair = Pair(replica, hub, urgent_only=True).run()
    # then
    assert pair.edge.settled
    assert replica.read(SWITCH) == hub.read(SWITCH)
    assert replica.read(PLAIN) == {"n": 1}


def test_what_others_added_to_an_own_value_is_news() -> None:
    # given a counter that was folded: the stamp of this replica, whose clock is ahead, is the first
    own, other = Stamp(9, 2, 19), Stamp(5, 3, 49)
    counter = Document({Slot(("n",)): Register(-2, (own, other))})
    # when
    news = urgent({SWITCH: counter}, (), 2, Cursor(1, 41), Cursor(1, 49))
    known = urgent({SWITCH: counter}, (), 2, Cursor(1, 49), Cursor(1, 50))
    # then
    assert news.pull is not None
    assert SWITCH in news.pull.documents
    assert (known.pull, known.is_all) == (None, True)


def test_what_overtakes_the_answer_to_a_restored_hub_is_not_counted_as_here() -> None:
    # given a hub that was restored and has much
    hub, replica = _ready()
    hub.write(PLAIN, LARGE)
    hub = hub.restored(hub.backup())
    # when something urgent is decided while all of it is on its way
    pair = Pair(replica, hub, urgent_only=True)
    while not pair.frames["down"]:
        pair.step()
    pair.step()
    before = pair.frames["down"]
    hub.write(SWITCH, {"on": False})
    pair.notice()
    assert pair.frames["down"] == before + 1
    # then whoever looks in from where the edge says it is still hears of it
    while pair.step():
        assert pair.edge.overtaken <= replica.standing().cursor or replica.read(SWITCH) == {"on": False}
    assert replica.read(SWITCH) == {"on": False}
