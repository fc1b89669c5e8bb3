"""What a courier file shows of the hub's log."""

from anabranch_hub.simulation.memory import MemoryReplica
from anabranch_sync.change import CHAIN_START
from anabranch_sync.courier import admitted, export_name, presented
from anabranch_sync.edge_effects import Send
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.ids import START, Cursor, DocumentId
from anabranch_sync.messages import Welcome
from anabranch_sync.parcel import EXPORT_BYTES, Letter
from anabranch_sync.stream import Stream

from tests.sync.pair import NOW_MS, Pair, new_hub, new_replica

DRAWN = bytes(range(EXPORT_BYTES))
WELCOME = Welcome(1, 1, 9, 1, 0, CHAIN_START, 0, checkpoint=b"later", consistency=b"proof", log_key=b"key")


def exported(replica: MemoryReplica) -> bytes:
    """The name of an export made now."""
    (hello,) = EdgeSession(replica.standing()).start(NOW_MS)
    assert isinstance(hello, Send)
    return export_name(DRAWN, presented(hello.frame))


def shown(replica: MemoryReplica, export: bytes) -> Welcome:
    """What the replica takes of the answer to an export."""
    frames = (Stream().frame(WELCOME),)
    upto = Cursor(WELCOME.epoch, WELCOME.hub_seq)
    letter = Letter(True, "acme", "one", bytes(EXPORT_BYTES), export, NOW_MS, 1, 1, START, upto, frames)
    (frame,) = admitted(letter, replica.standing(), {export})
    welcome = Stream().message(frame)
    assert isinstance(welcome, Welcome)
    return welcome


def test_an_answer_shows_how_the_log_goes_on_from_where_the_export_stood() -> None:
    replica = new_replica(new_hub())

    welcome = shown(replica, exported(replica))

    assert (welcome.checkpoint, welcome.consistency, welcome.log_key) == (b"later", b"proof", b"key")


def test_an_answer_from_before_a_stream_proves_nothing_of_the_log_and_accuses_nobody() -> None:
    # given an export, and after it a stream on which more of the log was seen
    hub = new_hub()
    hub.write(DocumentId("acme/plain", "a"), {"n": 1})
    replica = new_replica(hub)
    export = exported(replica)
    Pair(replica, hub).run()
    # when
    welcome = shown(replica, export)
    # then
    assert (welcome.checkpoint, welcome.consistency, welcome.log_key) == (b"", b"", b"")
    assert welcome.hub_seq == WELCOME.hub_seq
