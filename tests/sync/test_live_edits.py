"""One edit while everyone is connected: few messages, small ones, and nothing taken for seen that was not."""

from hashlib import sha256
from unittest.mock import patch

import pytest
from anabranch_hub.simulation.memory import MemoryHub, scope_digest
from anabranch_sync import hub_session
from anabranch_sync.context import CONTEXT_BYTES_MAX, Context
from anabranch_sync.document import rebuild
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import document_id
from anabranch_sync.messages import CHUNK_BYTES_FIRST
from anabranch_sync.packing import DEFLATED_BYTES_MAX
from anabranch_sync.pull import Pull
from anabranch_sync.seeing import OWED_PULLS_MAX, UNSEEN_PULLS_MAX, VISIBLE_DELAY_MS
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.pair import NOW_MS, SCOPE, Pair, new_hub, new_replica

ROUTER = document_id("acme/prod/router")
# Nothing makes it shorter.
LONG = "".join(sha256(n.to_bytes(2)).hexdigest() for n in range(2_000))

_ALIKE = st.integers(0, 9).map(lambda number: b"like the one before %d" % number * 9)
_BODIES = st.lists(st.binary(max_size=300) | _ALIKE | _ALIKE.map(lambda body: body * 20))


@given(_BODIES)
def test_what_a_stream_carried_shortens_what_follows_and_changes_nothing(bodies: list[bytes]) -> None:
    said, heard = Context(), Context()
    for body in bodies:
        sealed = said.seal(body)

        assert heard.unseal(sealed) == body
        assert len(sealed) <= len(body) + 1


def test_a_body_like_the_one_before_takes_a_third() -> None:
    said = Context()
    said.seal(b"acme/prod/router/anthropic/claude limits requests_per_minute edge-0 1,000")
    body = b"acme/prod/router/anthropic/haiku limits requests_per_minute edge-0 2,000"

    assert len(said.seal(body)) < len(body) / 3 < len(Context().seal(body))


@pytest.mark.parametrize("length", [DEFLATED_BYTES_MAX, DEFLATED_BYTES_MAX + 1])
def test_a_body_sealed_by_another_stream_is_not_believed(length: int) -> None:
    said, heard = Context(), Context()
    numbers = b"".join(b"%d" % number for number in range(CONTEXT_BYTES_MAX))
    said.seal(numbers)
    sealed = said.seal(numbers[-length:])

    assert len(sealed) < length / 10
    with pytest.raises(CorruptFrame):
        heard.unseal(sealed)


def test_an_edit_takes_a_message_up_one_back_and_one_to_each_reader() -> None:
    hub = new_hub()
    writer, reader = _settled(hub), _settled(hub)
    before = [{**pair.frames} for pair in (writer, reader)]

    _edited(writer, {"a": 1})
    reader.notified()

    assert [_since(*each) for each in zip((writer, reader), before, strict=True)] == [(1, 1), (0, 1)]
    assert writer.edge.settled
    assert reader.edge.settled
    assert rebuild(reader.replica.visible(ROUTER).registers) == {"a": 1}


def test_several_edits_are_acknowledged_together_and_in_time() -> None:
    hub = new_hub()
    reader = _settled(hub)
    before = {**reader.frames}
    for number in range(3):
        hub.write(ROUTER, {"a": number})
        reader.notified()
    assert _since(reader, before) == (0, 3)
    assert reader.edge.wake_ms == NOW_MS + VISIBLE_DELAY_MS

    reader.later(VISIBLE_DELAY_MS)

    assert _since(reader, before) == (1, 3)
    assert reader.edge.wake_ms is None
    assert reader.far.wake_ms is None
    assert reader.seen == [hub.hub_seq - 3, hub.hub_seq]


def test_whoever_leaves_says_what_it_has_seen() -> None:
    hub = new_hub()
    reader = _settled(hub)
    hub.write(ROUTER, {"a": 1})
    reader.notified()

    reader.leave()

    assert reader.seen[-1] == hub.hub_seq


def test_no_more_than_so_many_pulls_are_on_their_way() -> None:
    hub = new_hub()
    reader = _settled(hub)
    before = {**reader.frames}
    for number in range(UNSEEN_PULLS_MAX + 3):
        hub.write(ROUTER, {"a": number})
        reader.notice()
    assert _since(reader, before) == (0, UNSEEN_PULLS_MAX)

    reader.run()

    assert reader.edge.cursor.hub_seq == hub.hub_seq
    up, down = _since(reader, before)
    assert (up, down) == (UNSEEN_PULLS_MAX // OWED_PULLS_MAX, UNSEEN_PULLS_MAX + 1)


def test_nothing_is_sent_behind_a_pull_of_several_pieces_until_it_was_seen() -> None:
    hub = new_hub()
    reader = _settled(hub)
    before = {**reader.frames}
    hub.write(ROUTER, {"text": bytes(range(33, 127)).decode() * 3, **{str(n): hash(n) for n in range(9_000)}})
    reader.notice()
    pieces = reader.frames["down"] - before["down"]
    hub.write(ROUTER, {"a": 1})
    reader.notice()

    assert pieces > 1
    assert reader.frames["down"] - before["down"] == pieces
    assert reader.sent_bytes["down"] > CHUNK_BYTES_FIRST
    reader.run()
    assert rebuild(reader.replica.visible(ROUTER).registers) == {"a": 1}


def test_a_reader_that_differs_is_repaired_while_more_is_on_its_way() -> None:
    hub = new_hub()
    hub.write(document_id("acme/prod/other"), {"b": 1})
    reader = _settled(hub)
    reader.replica._state = reader.replica.disk = type(reader.replica.disk)(
        reader.replica.disk.incarnation, SCOPE, cursor=reader.replica.disk.cursor, confirmed={}
    )
    for number in range(3):
        hub.write(ROUTER, {"a": number})
        reader.notice()

    reader.run()

    assert len(reader.incidents) == 1
    assert reader.edge.settled
    assert scope_digest(reader.replica.confirmed, SCOPE) == scope_digest(hub.documents, SCOPE)


def test_what_was_applied_and_not_said_is_not_sent_again_when_a_snapshot_is_gone_under_way() -> None:
    # given
    hub = new_hub()
    reader = _settled(hub)
    for number in range(2):
        hub.write(ROUTER, {"a": number})
        reader.notified()
    said = reader.seen[-1]

    # when
    hub.write(ROUTER, {"a": 2})
    hub.offers = iter((True, False)).__next__
    with patch.object(MemoryHub, "part", return_value=None):
        reader.notified()

    # then
    assert said < reader.edge.cursor.hub_seq == hub.hub_seq
    assert (reader.closed, reader.edge.settled) == (None, True)


def test_pieces_of_a_pull_that_does_not_follow_go_from_the_disk_and_the_next_stream_goes_on() -> None:
    # given the head of a pull on disk, and a replica that has gone on without it
    hub = new_hub()
    replica = new_replica(hub)
    Pair(replica, hub).run()
    hub.write(ROUTER, {str(n): hash(n) for n in range(9_000)})
    Pair(replica, hub, lose=lambda direction, number: direction == "up" and number > 2).run()
    head = replica.standing().partial
    assert head is not None
    pull = hub.pull(replica.disk.incarnation, replica.disk.cursor, always=False)
    assert isinstance(pull, Pull)
    replica.apply(pull)
    replica.store_part(head.batch, head.total, 0, head.received)

    # when
    first, second = Pair(replica, hub).run(), Pair(replica, hub).run()

    # then
    assert first.closed is not None
    assert "but this replica is at" in first.closed.reason
    assert second.edge.settled


def test_what_the_hub_had_asked_for_in_full_goes_on_in_the_next_stream() -> None:
    # given a push of several pieces that the hub cannot read, and a link that breaks near the end of it all
    def pushed(frames_up: int) -> tuple[MemoryHub, Pair]:
        hub = new_hub()
        hub.write(ROUTER, {"text": "a"})
        replica = new_replica(hub)
        Pair(replica, hub).run()
        replica.commit(ROUTER, {"text": "a" + LONG}, now_ms=NOW_MS)
        with patch.object(hub, "contents", return_value={}):
            return hub, Pair(replica, hub, lose=lambda way, number: way == "up" and number > frames_up).run()

    whole = pushed(1_000)[1]
    hub, broken = pushed(whole.frames["up"] - 3)
    assert broken.replica.outbox

    # when
    with patch.object(hub, "contents", return_value={}):
        again = Pair(broken.replica, hub).run()

    # then
    assert not again.replica.outbox
    assert again.sent_bytes["up"] < whole.sent_bytes["up"] / 4


def test_with_a_hub_of_before_an_edit_goes_as_it_went() -> None:
    hub = new_hub()
    with patch.object(hub_session, "PROTOCOL_MAX", 2):
        writer, reader = _settled(hub), _settled(hub)
    before = [{**pair.frames} for pair in (writer, reader)]

    _edited(writer, {"a": 1})
    reader.notified()

    assert [_since(*each) for each in zip((writer, reader), before, strict=True)] == [(2, 2), (1, 1)]


def _settled(hub: MemoryHub) -> Pair:
    pair = Pair(new_replica(hub), hub).run()
    assert pair.edge.settled
    return pair


def _edited(writer: Pair, content: dict[str, object]) -> None:
    writer.replica.commit(ROUTER, content, now_ms=NOW_MS)  # type: ignore[arg-type]
    writer.offered()


def _since(pair: Pair, before: dict[str, int]) -> tuple[int, int]:
    return pair.frames["up"] - before["up"], pair.frames["down"] - before["down"]
