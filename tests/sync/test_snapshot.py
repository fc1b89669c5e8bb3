"""Whatever documents there are, cut into parts and taken out of them they are the same documents."""

from unittest.mock import patch

import pytest
from anabranch_sync import snapshot
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Document
from anabranch_sync.errors import CorruptFrame, ProtocolViolation, WireError
from anabranch_sync.ids import Cursor, DocumentId, document_id
from anabranch_sync.live import Quarantined
from anabranch_sync.messages import Batch, Parts, SnapshotOffer
from anabranch_sync.offering import Gathering, Offering
from anabranch_sync.plan import SNAPSHOT_BYTES_MIN, Means, Plan, Prices, cheapest
from anabranch_sync.pull import Pull
from anabranch_sync.register import Register, Slot, Stamp
from anabranch_sync.snapshot import Cutter, Offer, Part, Slice, Snapshot, name_of, open_slice, seal_slice
from anabranch_sync.standing import Partial
from anabranch_sync.violation import Violation
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.pair import Pair, new_hub, new_replica
from tests.sync.strategies import document_ids, documents

UPTO = Cursor(1, 9)
ROUTER, LIMITS = document_id("acme/prod/router"), document_id("acme/prod/limits")


def cut(held: dict[DocumentId, Document], aside: dict[DocumentId, Quarantined]) -> list[Slice]:
    cutter = Cutter()
    slices = [cutter.add(each, held[each], 1, aside.get(each)) for each in sorted(held)]
    return [each for each in [*slices, cutter.rest()] if each is not None]


@given(
    held=st.dictionaries(document_ids, documents(), max_size=8),
    least=st.integers(1, 4),
    most=st.integers(4, 6),
    data=st.data(),
)
def test_documents_cut_into_parts_and_swapped_in_are_the_documents(
    held: dict[DocumentId, Document], least: int, most: int, data: st.DataObject
) -> None:
    violation = Violation("/a", "type", "no", "yes")
    some = data.draw(st.sets(st.sampled_from(sorted(held)))) if held else set()
    aside = {each: Quarantined({"a": 1}, 1, (violation,)) for each in some}
    with (
        patch.object(snapshot, "SLICE_BYTES_MIN", least),
        patch.object(snapshot, "SLICE_BYTES_MAX", most),
        patch.object(snapshot, "_CUTS_ONE_OF", 2),
    ):
        parts = [seal_slice(each) for each in cut(held, aside)]
        again = [seal_slice(each) for each in cut(dict(reversed(held.items())), aside)]

    opened = [open_slice(part) for part in parts]

    assert again == parts
    assert {key: state for each in opened for key, state in each.documents.items()} == held
    assert {key: why for each in opened for key, why in each.quarantined.items()} == aside
    assert all(len(each.documents) <= most for each in opened)


def test_a_change_makes_new_parts_near_it_and_no_others() -> None:
    held = {document_id(f"acme/prod/d{n}"): document(n) for n in range(400)}
    with patch.object(snapshot, "SLICE_BYTES_MIN", 8), patch.object(snapshot, "_CUTS_ONE_OF", 8):
        before = {name_of(seal_slice(each)) for each in cut(held, {})}
        held[document_id("acme/prod/d200")] = document(7_000)
        held[document_id("acme/prod/d200x")] = document(1)
        after = {name_of(seal_slice(each)) for each in cut(held, {})}

    assert len(before) > 10
    assert len(after - before) <= 2


@given(part=st.binary(max_size=60))
def test_no_bytes_are_believed_to_be_a_part(part: bytes) -> None:
    with pytest.raises(WireError):
        open_slice(part)


def test_the_edge_asks_first_for_the_part_of_which_it_has_a_head() -> None:
    names = [name_of(bytes([number])) for number in range(3)]
    offer = SnapshotOffer(UPTO, ScopeDigest(), b"".join(names), (10, 20, 30))
    partial = Partial(names[2][:8], 30, b"0123456")

    gathering = Gathering(offer, [names[0]], partial)

    assert gathering.message == Parts((3, 2), 7)
    assert gathering.begun(Batch(b"", 0, 0, b"x", part=3)) == names[2]
    gathering.kept()
    with pytest.raises(ProtocolViolation):
        gathering.begun(Batch(b"", 0, 0, b"x", part=3))


@pytest.mark.parametrize(("names", "sizes"), [(b"x" * 31, (1,)), (b"x" * 64, (1,)), (b"", (1,))])
def test_an_offer_whose_names_are_not_its_parts_is_not_believed(names: bytes, sizes: tuple[int, ...]) -> None:
    with pytest.raises(CorruptFrame):
        Gathering(SnapshotOffer(UPTO, ScopeDigest(), names, sizes), [], None)


@pytest.mark.parametrize("wanted", [(0,), (3,), (1, 1)])
def test_the_hub_refuses_to_send_parts_that_it_did_not_offer(wanted: tuple[int, ...]) -> None:
    parts = Part(b"a" * 32, 1), Part(b"b" * 32, 1)
    closing = Pull(UPTO, UPTO, ScopeDigest(), {}, whole=True)
    offering = Offering(Offer(Snapshot(UPTO, ScopeDigest(), parts), closing))

    with pytest.raises(ProtocolViolation):
        offering.asked(Parts(wanted))


def test_a_broken_download_goes_on_inside_its_part_and_keeps_those_before() -> None:
    hub = new_hub()
    hub.offers, hub.cut_bytes = lambda: True, snapshot.SLICE_BYTES_MAX
    hub.write(ROUTER, {"a": list(range(30_000))})
    hub.write(LIMITS, {"b": list(range(40_000, 80_000))})
    replica = new_replica(hub)
    whole = Pair(new_replica(hub), hub).run().sent_bytes["down"]
    sent = []

    for _ in range(12):
        pair = Pair(replica, hub, lose=lambda direction, number: direction == "down" and number > 5)
        sent.append(pair.run().sent_bytes["down"])
        if replica.standing().cursor.hub_seq == hub.hub_seq:
            break

    assert replica.confirmed == hub.documents
    assert len(sent) > 3
    assert sent[-1] < whole / 2


def test_a_newer_offer_takes_over_what_has_not_changed() -> None:
    hub = new_hub()
    hub.offers, hub.cut_bytes = lambda: True, snapshot.SLICE_BYTES_MAX
    hub.write(LIMITS, {"b": list(range(40_000, 80_000))})
    hub.write(ROUTER, {"a": 1})
    replica = new_replica(hub)
    Pair(
        replica, hub, lose=lambda direction, number: direction == "up" and bool(replica.standing().staged)
    ).run()
    assert replica.standing().staged
    hub.write(ROUTER, {"a": 2})

    pair = Pair(replica, hub).run()

    assert pair.edge.settled
    assert replica.confirmed == hub.documents
    assert pair.sent_bytes["down"] < 2_000


def test_an_older_edge_gets_a_whole_pull() -> None:
    hub = new_hub()
    hub.offers = lambda: True
    hub.write(ROUTER, {"a": 1})
    replica = new_replica(hub)

    with patch("anabranch_sync.greeting.PROTOCOL_MAX", 1):
        pair = Pair(replica, hub).run()

    assert pair.far.protocol == 1
    assert replica.confirmed == hub.documents


LARGE = 10 * SNAPSHOT_BYTES_MIN


@pytest.mark.parametrize(
    ("prices", "plan"),
    [
        (Prices(0, 10), Plan(Means.NOTHING, 0)),
        (Prices(100, 90), Plan(Means.DELTA, 100)),
        (Prices(LARGE, LARGE + 1), Plan(Means.DELTA, LARGE)),
        (Prices(LARGE, LARGE), Plan(Means.SNAPSHOT, LARGE)),
        (Prices(LARGE, None), Plan(Means.DELTA, LARGE)),
        (Prices(None, 90), Plan(Means.SNAPSHOT, 90)),
    ],
)
def test_the_cheapest_way_is_gone(prices: Prices, plan: Plan) -> None:
    assert cheapest(prices) == plan


def test_behind_a_relay_a_small_scope_is_a_snapshot_too_and_a_small_delta_still_none() -> None:
    assert cheapest(Prices(2_000, 2_000), relayed=True).means is Means.SNAPSHOT
    assert cheapest(Prices(2_000, 2_001), relayed=True).means is Means.DELTA
    assert cheapest(Prices(200, 200), relayed=True).means is Means.DELTA


def document(number: int) -> Document:
    return Document({Slot(("n",)): Register(number, (Stamp(number + 1, 1, number + 1),))}, 1)
