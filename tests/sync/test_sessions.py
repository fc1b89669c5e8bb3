"""The exchange: the two machines face to face."""

import random
from dataclasses import replace
from unittest.mock import patch

import pytest
from anabranch_hub.simulation.memory import MemoryHub, MemoryReplica, scope_digest
from anabranch_sync import edge_effects, frame, hub_effects, hub_session
from anabranch_sync.change import CHAIN_START, entry
from anabranch_sync.document import rebuild
from anabranch_sync.edge_session import SILENCE_MS_MAX, EdgeSession
from anabranch_sync.frame import FRAME_BYTES_MAX
from anabranch_sync.hub_session import GATHERING_MS_MAX, HubSession
from anabranch_sync.ids import document_id
from anabranch_sync.messages import CHUNK_BYTES_MIN, Batch, Control, Stored, Visible, Welcome, decode_message
from anabranch_sync.outbox import next_push
from anabranch_sync.pacing import NOTHING_LEARNED
from anabranch_sync.packing import seal
from anabranch_sync.pull import Outcome
from anabranch_sync.push_body import encode_entries
from anabranch_sync.stream import Stream

from tests.sync.pair import NOW_MS, SCOPE, Pair, new_hub, new_replica

ROUTER = document_id("acme/prod/router")


def test_what_an_edge_wrote_offline_is_merged_and_visible_after_one_stream() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
    replica.commit(ROUTER, {"a": 2, "b": {}}, now_ms=NOW_MS)

    pair = Pair(replica, hub).run()

    assert pair.edge.settled
    assert replica.outbox == ()
    assert rebuild(hub.documents[ROUTER].registers) == {"a": 2, "b": {}}
    assert scope_digest(replica.confirmed, SCOPE) == scope_digest(hub.documents, SCOPE)


def test_a_live_edit_reaches_the_hub_and_another_edge() -> None:
    hub = new_hub()
    writer, reader = (Pair(new_replica(hub), hub).run() for _ in range(2))

    writer.replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
    writer.offered()
    reader.notified()

    assert rebuild(reader.replica.visible(ROUTER).registers) == {"a": 1}
    assert writer.edge.settled
    assert writer.replica.visible(ROUTER) == reader.replica.visible(ROUTER)


def test_an_edge_without_news_is_settled_by_the_greeting_and_proved_equal_by_a_word() -> None:
    hub = new_hub()
    hub.write(ROUTER, {"a": 1})
    replica = new_replica(hub)
    Pair(replica, hub).run()

    again = Pair(replica, hub).run()

    assert again.edge.settled
    assert again.frames == {"up": 1, "down": 2}


def test_own_writes_do_not_come_back() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    Pair(replica, hub).run()
    replica.commit(ROUTER, {"text": random.Random(1).randbytes(3_000).hex()}, now_ms=NOW_MS)

    pair = Pair(replica, hub).run()

    assert pair.sent_bytes["up"] > 3_000
    assert pair.sent_bytes["down"] < 300


def test_a_change_the_edge_may_not_make_is_refused_with_the_queue_going_on() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    replica.commit(document_id("umbrella/prod/router"), {"a": 1}, now_ms=NOW_MS)
    replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)

    pair = Pair(replica, hub).run()

    assert pair.edge.settled
    assert [result.outcome for result in replica.disk.results] == [Outcome.REFUSED]
    assert rebuild(hub.documents[ROUTER].registers) == {"a": 1}


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("lost", range(1, 12))
def test_any_lost_message_costs_one_reconnection_and_nothing_else(direction: str, lost: int) -> None:
    # Given a push and a pull that take several chunks
    hub = new_hub()
    chance = random.Random(7)
    hub.write(document_id("acme/prod/other"), {"blob": chance.randbytes(40_000).hex()})
    replica = new_replica(hub)
    written = replica.commit(ROUTER, {"blob": chance.randbytes(40_000).hex()}, now_ms=NOW_MS)
    assert written is not None

    # When one message is lost, and the edge comes back once its silence or the gap is noticed
    first = Pair(replica, hub, lose=lambda way, number: way == direction and number == lost).run()
    if first.closed is None:
        first._at_edge(first.edge.woken(NOW_MS + SILENCE_MS_MAX))
    Pair(replica, hub).run()
    again = Pair(replica, hub).run()

    # Then all is as if it had not been
    assert again.edge.settled
    merged = [each.content_id for _, each, outcome in hub.log if outcome is Outcome.MERGED]
    assert merged.count(written.content_id) == 1
    assert scope_digest(replica.confirmed, SCOPE) == scope_digest(hub.documents, SCOPE)


def test_a_broken_pull_goes_on_inside_its_batch() -> None:
    hub = new_hub()
    hub.write(ROUTER, {"blob": random.Random(3).randbytes(100_000).hex()})
    replica = new_replica(hub)
    whole = Pair(new_replica(hub), hub).run().sent_bytes["down"]
    broken = Pair(replica, hub, lose=lambda way, number: way == "down" and number > 3).run()
    partial = replica.disk.partial
    assert partial is not None
    assert len(partial.received) >= CHUNK_BYTES_MIN

    rest = Pair(replica, hub).run()

    assert broken.closed is None
    assert rest.edge.settled
    assert rest.sent_bytes["down"] < whole - len(partial.received) + 1_000


def test_a_broken_push_goes_on_inside_its_batch_even_when_more_was_written_meanwhile() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    replica.commit(ROUTER, {"blob": random.Random(3).randbytes(100_000).hex()}, now_ms=NOW_MS)
    whole = Pair(replica, hub, lose=lambda way, number: way == "up" and number > 3)
    whole.run()
    upload = hub.open_replica(replica.disk.incarnation).upload
    assert upload is not None
    replica.commit(document_id("acme/prod/other"), {"late": True}, now_ms=NOW_MS)

    rest = Pair(replica, hub).run()

    assert rest.edge.settled
    assert rest.sent_bytes["up"] < upload.total - len(upload.received) + 1_000
    assert len(hub.log) == 2


def test_a_push_gets_through_a_link_that_breaks_although_each_stream_brings_news_first() -> None:
    # given changes to fields that both sides know, of which a stream carries a part before it breaks
    hub = new_hub()
    chance = random.Random(5)
    hub.write(ROUTER, {f"field {n}": chance.randbytes(300).hex() for n in range(100)})
    replica = new_replica(hub)
    Pair(replica, hub).run()
    replica.commit(ROUTER, {f"field {n}": chance.randbytes(300).hex() for n in range(100)}, now_ms=NOW_MS)
    learned = NOTHING_LEARNED

    # when somebody else writes before each of them
    for number in range(9):
        hub.write(document_id("acme/prod/other"), {"n": number})
        broken = Pair(replica, hub, lose=lambda way, frame: way == "up" and frame > 4, learned=learned)
        learned = broken.run().edge.broken

    # then it goes on from one to the next
    assert hub.open_replica(replica.disk.incarnation).push_mark == 1


def test_a_lost_acknowledgement_does_not_apply_a_push_twice() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
    Pair(replica, hub, lose=lambda way, number: way == "down" and number > 2).run()
    assert len(hub.log) == 1

    Pair(replica, hub).run()

    assert len(hub.log) == 1
    assert replica.outbox == ()


def test_what_waits_behind_a_push_whose_acknowledgement_was_lost_is_sent_too() -> None:
    # given an outbox of two pushes, of which the hub has decided the first
    hub, replica = _of_two_pushes()
    hub.decide(next_push(replica.outbox), CHAIN_START)

    pair = Pair(replica, hub).run()

    assert pair.edge.settled
    assert replica.outbox == ()
    assert len(hub.log) == 6


def test_a_hub_that_files_brought_more_than_one_push_holds_knows_the_same_history() -> None:
    # given an outbox of two pushes, both of which the hub has decided before the edge hears of one
    hub, replica = _of_two_pushes()
    first = next_push(replica.outbox)
    answer = hub.decide(first, CHAIN_START)
    hub.decide(replica.outbox[len(first) :], answer.chain)

    pair = Pair(replica, hub).run()

    # then nothing is sent again, under another incarnation
    assert pair.closed is None
    assert pair.edge.settled
    assert pair.sent_bytes["up"] < 1_000
    assert replica.outbox == ()
    assert len(hub.log) == 6


def test_a_hub_that_knows_more_than_two_pushes_of_another_history_is_noticed() -> None:
    hub, replica = _of_two_pushes()
    first = next_push(replica.outbox)
    answer = hub.decide(first, CHAIN_START)
    [*others, last] = replica.outbox[len(first) :]
    hub.decide([*others, entry(last.dot, replace(last.change, author="eve"))], answer.chain)

    pair = Pair(replica, hub).run()

    assert pair.closed is not None
    assert pair.closed.renew


def _of_two_pushes() -> tuple[MemoryHub, MemoryReplica]:
    hub = new_hub()
    replica = new_replica(hub)
    chance = random.Random(1)
    for number in range(6):
        text = chance.randbytes(120_000).hex()
        replica.commit(document_id("acme/prod", f"k{number}"), {"text": text}, now_ms=NOW_MS)
    assert 1 < len(next_push(replica.outbox)) < 6
    return hub, replica


def test_a_restored_replica_gets_a_new_incarnation_and_keeps_both_sides_writes() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    backup = replica.disk
    replica.commit(ROUTER, {"before": 1}, now_ms=NOW_MS)
    Pair(replica, hub).run()
    restored = MemoryReplica(backup)
    restored.commit(document_id("acme/prod/other"), {"after": 1}, now_ms=NOW_MS)

    fenced = Pair(restored, hub).run()
    assert fenced.closed is not None
    assert fenced.closed.renew
    renewed = Pair(restored, hub, renew=True).run()

    assert renewed.edge.settled
    assert restored.disk.incarnation != backup.incarnation
    assert scope_digest(restored.confirmed, SCOPE) == scope_digest(hub.documents, SCOPE)
    assert {str(document) for document in hub.documents} == {
        "acme/prod/router/config",
        "acme/prod/other/config",
    }


def test_a_live_clone_is_fenced_before_it_applies_what_its_twin_wrote() -> None:
    hub = new_hub()
    original = Pair(new_replica(hub), hub).run()
    clone = Pair(MemoryReplica(original.replica.disk), hub).run()

    clone.replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
    clone.offered()
    original.notified()

    assert original.closed is not None
    assert original.closed.renew
    assert original.replica.confirmed == {}


def test_documents_that_differ_from_those_of_a_hub_that_knows_no_ranges_are_all_fetched_again() -> None:
    hub = new_hub()
    hub.write(ROUTER, {"a": 1})
    replica = new_replica(hub)
    Pair(replica, hub).run()
    # A bit flips in the replica's store.
    replica._state = replica.disk = type(replica.disk)(
        replica.disk.incarnation, SCOPE, cursor=replica.disk.cursor, confirmed={}
    )
    hub.write(ROUTER, {"a": 1, "b": 2})

    with patch.object(hub_session, "PROTOCOL_MAX", 1):
        noticed = Pair(replica, hub).run()
        repaired = Pair(replica, hub).run()

    assert noticed.closed is not None
    assert "differ" in noticed.closed.reason
    assert repaired.edge.settled
    assert rebuild(replica.visible(ROUTER).registers) == {"a": 1, "b": 2}


def _greeted_edge() -> tuple[EdgeSession, Stream]:
    hub = new_hub()
    edge = EdgeSession(new_replica(hub).standing())
    edge.start(NOW_MS)
    return edge, Stream()


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00" * 10, b"\xff" * 100, bytes(FRAME_BYTES_MAX + 1)],
    ids=["empty", "zeros", "ones", "too large"],
)
def test_bytes_that_are_no_frame_close_the_stream(raw: bytes) -> None:
    edge, _ = _greeted_edge()
    hub = HubSession()

    at_edge = edge.received(raw, NOW_MS)
    at_hub = hub.received(raw, NOW_MS)

    assert isinstance(at_edge[-1], edge_effects.Close)
    assert type(at_hub[-1]).__name__ == "Close"
    assert edge.received(raw, NOW_MS) == []


def test_a_message_at_the_wrong_moment_closes_the_stream() -> None:
    edge, stream = _greeted_edge()

    (close,) = edge.received(stream.frame(Stored(10)), NOW_MS)

    assert isinstance(close, edge_effects.Close)
    assert "Stored" in close.reason


def test_a_cursor_from_the_future_is_not_believed() -> None:
    hub = new_hub()
    hub.write(ROUTER, {"a": 1})
    pair = Pair(new_replica(hub), hub, lose=lambda way, number: way == "up" and number == 2).run()
    frame = Stream()
    frame._sent = 1

    pair._at_hub(pair.far.received(frame.frame(Visible(type(pair.edge.cursor)(1, 99))), NOW_MS))

    assert "hub_seq=99" in pair.hub_closed


def test_a_push_that_ends_with_another_change_than_it_says_is_not_decided() -> None:
    # given an edge that has been greeted, and the change that it has
    hub = new_hub()
    replica = new_replica(hub)
    replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
    pair = Pair(replica, hub, lose=lambda way, number: way == "up" and number >= 2).run()
    stream = Stream()
    stream._sent = 1

    # when
    said = Batch(b"", 0, 0, seal(encode_entries(replica.outbox)), last=2, chain=CHAIN_START)
    pair._at_hub(pair.far.received(stream.frame(said), NOW_MS))

    # then
    assert "ends with another change" in pair.hub_closed
    assert hub.log == []


def test_a_spooled_pull_that_is_not_the_one_begun_is_drawn_anew() -> None:
    # given a pull that broke off, of which the hub has kept something else
    hub = new_hub()
    hub.write(ROUTER, {"blob": random.Random(3).randbytes(100_000).hex()})
    replica = new_replica(hub)
    Pair(replica, hub, lose=lambda way, number: way == "down" and number > 3).run()
    assert replica.disk.partial is not None
    hub.spool(replica.disk.incarnation, replica.disk.partial.batch, random.Random(4).randbytes(100_000))

    # when
    again = Pair(replica, hub).run()

    # then
    assert again.edge.settled
    assert replica.visible(ROUTER) == hub.documents[ROUTER]


def test_an_unknown_protocol_is_refused_in_words_and_not_tried_again() -> None:
    edge, stream = _greeted_edge()

    (close,) = edge.received(stream.frame(Welcome(9, 1, 0, 1, 0, bytes(8), 0)), NOW_MS)

    assert isinstance(close, edge_effects.Close)
    assert close.denied
    assert "update" in close.reason


def test_a_revoked_edge_is_told_and_stays_away() -> None:
    edge, stream = _greeted_edge()

    (close,) = edge.received(stream.frame(Control("revoked", "by ada")), NOW_MS)

    assert isinstance(close, edge_effects.Close)
    assert close.denied


def test_silence_is_noticed_only_while_an_answer_is_due() -> None:
    edge, _ = _greeted_edge()
    hub = new_hub()
    settled = Pair(new_replica(hub), hub).run().edge

    assert edge.woken(NOW_MS + SILENCE_MS_MAX - 1) == []
    assert isinstance(edge.woken(NOW_MS + SILENCE_MS_MAX)[0], edge_effects.Close)
    assert settled.wake_ms is None


def test_silence_counts_from_what_is_asked_and_not_from_the_last_word_before_it() -> None:
    # given two edges that were idle for longer than anybody may be silent
    hub = new_hub()
    writer, reader = (Pair(new_replica(hub), hub).run() for _ in range(2))
    idle_ms = 10 * SILENCE_MS_MAX
    for each in (writer, reader):
        each.later(idle_ms).woken()

    # when one writes, and the other is to hear of it
    writer.replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
    writer._at_edge(writer.edge.offered(writer.now_ms))
    asked = writer.edge.wake_ms
    writer.run()
    reader.notice()

    # then both have as long for their answers as ever
    assert asked == reader.far.wake_ms == NOW_MS + idle_ms + SILENCE_MS_MAX
    assert reader.woken().edge.settled
    assert rebuild(reader.replica.visible(ROUTER).registers) == {"a": 1}
    assert not writer.later(0).woken().hub_closed
    assert reader.closed is writer.closed is None


def test_a_push_that_is_wholly_on_the_other_side_is_stored_before_it_is_decided() -> None:
    # given an edge that pushes a change as one piece
    replica = new_replica(new_hub())
    replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
    edge, stream = EdgeSession(replica.standing()), Stream()
    edge.start(NOW_MS)
    edge.received(stream.frame(Welcome(2, 1, 0, replica.standing().incarnation, 0, CHAIN_START, 0)), NOW_MS)
    (piece,) = edge.loaded(replica.pending(0))
    assert isinstance(piece, edge_effects.Send)
    batch = decode_message(3, frame.decode(piece.frame).body)
    assert isinstance(batch, Batch)

    # when a relay says that it has all of it on disk
    effects = edge.received(stream.frame(Stored(len(batch.piece))), NOW_MS)

    # then that is noted, and nothing more is sent
    assert effects == [edge_effects.NoteStored(1)]


def test_an_offer_of_a_snapshot_that_is_lost_does_not_leave_both_sides_waiting_for_ever() -> None:
    # given
    hub = new_hub()
    hub.write(ROUTER, {"limit": 1})
    hub.offers = lambda: True
    pair = Pair(
        new_replica(hub), hub, lose=lambda direction, number: (direction, number) == ("down", 2)
    ).run()
    # when
    assert pair.edge.wake_ms is None, "the edge does not know that anything is on its way"
    closing = pair.far.woken(NOW_MS + GATHERING_MS_MAX)
    # then
    assert closing == [hub_effects.Close("no answer for 300 s")]
