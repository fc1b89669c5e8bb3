"""An urgent document is read before the pull ends that was under way when it was decided."""

import random

from anabranch_hub.simulation.memory import MemoryHub, MemoryReplica
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId
from anabranch_sync.pacing import Pacing

from tests.sync.pair import Pair, new_hub, new_replica

SWITCH = DocumentId("acme/switches", "line")
SCHEMA: Object = {"namespaces": ["acme/switches"], "schema": {"x-anabranch-priority": 0}}
# Chunks of 2 KiB: 100 kB are many of them, and more than a window.
SLOW = Pacing(passed_bytes=20_000, breaks=10)


def _ready() -> tuple[MemoryHub, MemoryReplica]:
    """A hub with much that the replica lacks, and the replica with the schema."""
    hub = new_hub()
    hub.write(DocumentId("system/schemas", "switches"), SCHEMA)
    hub.write(SWITCH, {"on": True})
    replica = new_replica(hub)
    Pair(replica, hub).run()
    chance = random.Random(1)
    for number in range(50):
        hub.write(DocumentId("acme/bulk", f"k{number}"), {"text": chance.randbytes(1_000).hex()})
    return hub, replica


def _steps_until_bulk_begins(pair: Pair) -> None:
    while pair.replica.standing().partial is None:
        assert pair.step()


def test_an_urgent_change_is_read_before_the_pull_under_way_ends() -> None:
    # given
    hub, replica = _ready()
    pair = Pair(replica, hub, learned=SLOW)
    _steps_until_bulk_begins(pair)
    # when
    hub.write(SWITCH, {"on": False})
    pair.notice()
    while replica.read(SWITCH) == {"on": True}:
        assert pair.step()
    # then
    assert replica.standing().partial is not None
    assert DocumentId("acme/bulk", "k0") not in replica.confirmed
    pair.run()
    assert (pair.closed, pair.hub_closed) == (None, "")
    assert replica.standing().cursor.hub_seq == hub.hub_seq
    assert replica.read(SWITCH) == {"on": False}
    assert replica.state.ahead == {}


def test_what_is_not_urgent_waits_and_costs_no_frame() -> None:
    # given
    hub, replica = _ready()
    pair = Pair(replica, hub, learned=SLOW)
    _steps_until_bulk_begins(pair)
    before = pair.frames["down"]
    # when
    hub.write(DocumentId("acme/bulk", "later"), {"n": 1})
    pair.notice()
    # then
    assert pair.frames["down"] == before
    pair.run()
    assert replica.read(DocumentId("acme/bulk", "later")) == {"n": 1}


def test_an_urgent_change_larger_than_a_piece_waits_its_turn() -> None:
    # given
    hub, replica = _ready()
    pair = Pair(replica, hub, learned=SLOW)
    _steps_until_bulk_begins(pair)
    before = pair.frames["down"]
    # when
    hub.write(SWITCH, {"on": False, "why": random.Random(2).randbytes(50_000).hex()})
    pair.notice()
    # then
    assert pair.frames["down"] == before
    pair.run()
    assert replica.read(SWITCH) == hub.read(SWITCH)


def test_a_break_after_it_came_does_not_take_it_back() -> None:
    # given
    hub, replica = _ready()
    pair = Pair(replica, hub, learned=SLOW)
    _steps_until_bulk_begins(pair)
    hub.write(SWITCH, {"on": False})
    pair.notice()
    while replica.read(SWITCH) == {"on": True}:
        assert pair.step()
    # when the stream is gone, and the process with it
    replica.crash()
    again = Pair(replica, hub, learned=SLOW)
    # then
    while again.step():
        assert replica.read(SWITCH) == {"on": False}
    assert replica.standing().cursor.hub_seq == hub.hub_seq


def test_what_is_urgent_in_a_long_pull_is_read_before_its_first_piece() -> None:
    # given
    hub, replica = _ready()
    hub.write(SWITCH, {"on": False})
    # when
    pair = Pair(replica, hub, learned=SLOW)
    while replica.read(SWITCH) == {"on": True}:
        assert pair.step()
    # then
    assert replica.standing().partial is None
    assert not replica.confirmed.keys() & {DocumentId("acme/bulk", "k0")}
    pair.run()
    assert (pair.closed, pair.hub_closed) == (None, "")
    assert replica.standing().cursor.hub_seq == hub.hub_seq
    assert replica.state.ahead == {}


def test_a_new_edge_reads_urgent_documents_before_all_else() -> None:
    # given
    hub, _ = _ready()
    replica = new_replica(hub)
    # when
    pair = Pair(replica, hub, learned=SLOW)
    while replica.read(SWITCH) is None:
        assert pair.step()
    # then
    assert not replica.confirmed
    pair.run()
    assert replica.standing().cursor.hub_seq == hub.hub_seq
