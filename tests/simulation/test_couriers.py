"""Courier files beside streams, over the stores of lives."""

from dataclasses import replace

from anabranch_hub.courier.answering import answered
from anabranch_hub.simulation.courier import CarriedStore, at_once, exported
from anabranch_hub.store.parcels import Parcel
from anabranch_sync.courier import messages_of
from anabranch_sync.ids import DocumentId
from anabranch_sync.messages import Batch, Hello
from anabranch_sync.packing import seal, unseal
from anabranch_sync.pull import Pull
from anabranch_sync.pull_body import decode_pull, encode_pull, wanted_by_pull
from anabranch_sync.stream import Stream
from anabranch_sync.transfer import batch_id

from tests.sync.pair import NOW_MS, Pair, new_hub, new_replica

PLAIN = DocumentId("acme/plain", "a")


def test_an_answer_does_not_go_on_with_a_pull_that_is_relative_to_documents() -> None:
    # given a replica that has a head of such a pull, from a stream that broke
    hub = new_hub()
    hub.write(PLAIN, {"n": 1, "text": "what stands " * 20})
    replica = new_replica(hub)
    Pair(replica, hub).run()
    hub.write(PLAIN, {"n": 2, "text": "what stands " * 20 + "now"})
    incarnation, cursor = replica.state.incarnation, replica.state.cursor
    drawn = hub.draw(incarnation, cursor, always=False)
    assert isinstance(drawn, Pull)
    body = encode_pull(drawn, drawn.before)
    assert wanted_by_pull(body)
    sealed = seal(body)
    hub.spool(incarnation, batch_id(sealed), sealed)
    # when
    (letter,) = exported(replica, "one", bytes(16), NOW_MS, 1_000_000)
    hello, *_ = messages_of(letter)
    assert isinstance(hello, Hello)
    resuming = Stream().frame(replace(hello, partial=batch_id(sealed), partial_bytes=9))
    parcel = Parcel(letter.export, NOW_MS, resuming)
    (answer,) = at_once(answered(CarriedStore(hub), "acme", "one", parcel, NOW_MS, 1_000_000))
    # then
    _, batch = messages_of(answer)
    assert isinstance(batch, Batch)
    assert batch.offset == 0
    assert decode_pull(unseal(batch.piece)).documents.keys() == {PLAIN}
