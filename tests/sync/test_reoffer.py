"""A hub that comes back from a backup, and the edges that knew more, session to session."""

from dataclasses import replace

import pytest
from anabranch_hub.simulation.memory import MemoryHub, MemoryReplica
from anabranch_sync.change import CHANGE_BYTES_MAX, Change, decode, encode
from anabranch_sync.document import Document, rebuild
from anabranch_sync.epochs import ENDED_MAX, Ended, Epochs, packed_ended, unpacked_ended
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.greeting import reoffer_of
from anabranch_sync.ids import Cursor, document_id
from anabranch_sync.messages import Welcome
from anabranch_sync.pull import Outcome
from anabranch_sync.register import Register, Slot, Stamp
from anabranch_sync.reoffer import Reoffer, offers

from tests.sync.pair import NOW_MS, SCOPE, Pair, new_hub, new_replica

ROUTER, LIMITS = document_id("acme/prod/router"), document_id("acme/prod/limits")
POLICY = document_id("global/policy")


def restored(hub: MemoryHub, backup: MemoryHub, *, undeclared: bool = False) -> MemoryHub:
    again = hub.restored(backup)
    if undeclared:
        again.epochs, again.tree = backup.epochs, backup.tree
    return again


def met(replica: MemoryReplica, hub: MemoryHub) -> Pair:
    """Exchange until nothing is on its way, with a new incarnation where the session asks for one."""
    pair = Pair(replica, hub).run()
    if pair.closed is not None and pair.closed.renew:
        pair = Pair(replica, hub, renew=True).run()
    return pair


def test_what_only_edges_have_comes_back_to_the_hub_and_reaches_the_others() -> None:
    # given three edges, one of which has seen all
    hub = new_hub()
    first, second, third = (new_replica(hub) for _ in range(3))
    for each in (first, second, third):
        Pair(each, hub).run()
    backup = hub.backup()
    hub.write(ROUTER, {"a": 1})
    first.commit(LIMITS, {"b": 2}, now_ms=NOW_MS)
    for each in (first, second):
        Pair(each, hub).run()
    # when
    hub = restored(hub, backup)
    for each in (third, second, first, third):
        assert met(each, hub).edge.settled
    # then
    assert rebuild(hub.documents[ROUTER].registers) == {"a": 1}
    assert rebuild(hub.documents[LIMITS].registers) == {"b": 2}
    assert third.read(LIMITS) == {"b": 2}
    assert hub.ledger == []


def test_equal_offers_of_several_edges_are_merged_once() -> None:
    hub = new_hub()
    edges = [new_replica(hub) for _ in range(3)]
    backup = hub.backup()
    hub.write(ROUTER, {"a": 1})
    for each in edges:
        Pair(each, hub).run()

    hub = restored(hub, backup)
    pairs = [Pair(each, hub) for each in edges]  # all have begun before the first offers
    for pair in pairs:
        pair.run()

    merged = [each for _, each, outcome in hub.log if outcome is Outcome.MERGED]
    assert len(merged) == 1
    assert hub.ledger == []


def test_what_waits_in_the_outbox_and_what_was_acknowledged_but_never_seen_again_are_pushed() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    Pair(replica, hub).run()
    backup = hub.backup()
    replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
    # The acknowledgement arrives, the pull that names its position does not.
    Pair(replica, hub, lose=lambda way, number: way == "down" and number > 3).run()
    assert replica.disk.push_mark == 1
    replica.commit(ROUTER, {"a": 1, "b": 2}, now_ms=NOW_MS)

    hub = restored(hub, backup)
    met(replica, hub)

    assert rebuild(hub.documents[ROUTER].registers) == {"a": 1, "b": 2}


def test_a_hub_that_went_back_and_does_not_say_so_exchanges_nothing_with_who_knows() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    backup = hub.backup()
    replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
    Pair(replica, hub).run()
    before = replica.disk
    silent = restored(hub, backup, undeclared=True)

    pair = Pair(replica, silent).run()

    assert pair.closed is not None
    assert pair.closed.retry_after_ms
    assert "the hub lost what it once told" in pair.closed.reason
    assert replica.disk == before
    assert "1 of epoch 1 was applied, the hub is at 0 of 1" in pair.accusations[0]
    assert met(replica, restored(hub, backup)).edge.settled


def test_a_stream_that_outlived_the_restore_brings_nothing_of_the_next_epoch() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    pair = Pair(replica, hub).run()
    backup = hub.backup()
    hub.write(ROUTER, {"a": 1})
    pair.notified()
    before = replica.disk

    pair.hub = restored(hub, backup)
    for number in range(3):
        pair.hub.write(LIMITS, {"b": number})
    pair.notified()

    assert pair.closed is not None
    assert "a pull of epoch 2 in epoch 1" in pair.closed.reason
    assert (replica.confirmed, replica.disk.cursor) == (before.confirmed, before.cursor)
    met(replica, pair.hub)
    assert rebuild(pair.hub.documents[ROUTER].registers) == {"a": 1}


def test_hub_and_edge_both_restored_keep_what_either_has() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    Pair(replica, hub).run()
    hub_backup = hub.backup()
    replica.commit(ROUTER, {"kept": 1}, now_ms=NOW_MS)
    Pair(replica, hub).run()
    image = replica.disk
    replica.commit(ROUTER, {"kept": 1, "lost": 2}, now_ms=NOW_MS)
    Pair(replica, hub).run()

    hub, replica = restored(hub, hub_backup), MemoryReplica(image)
    replica.commit(LIMITS, {"after": 3}, now_ms=NOW_MS)
    met(replica, hub)

    assert rebuild(hub.documents[ROUTER].registers) == {"kept": 1}
    assert rebuild(hub.documents[LIMITS].registers) == {"after": 3}


def test_a_second_restore_cuts_off_what_the_first_had_kept() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    oldest = hub.backup()
    hub.write(ROUTER, {"a": 1})
    Pair(replica, hub).run()
    second = restored(hub, hub.backup())  # nothing was lost then, and the edge was away

    hub = restored(second, oldest)
    met(replica, hub)

    assert rebuild(hub.documents[ROUTER].registers) == {"a": 1}


def test_what_an_edge_may_not_write_is_named_and_not_offered() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    backup = hub.backup()
    hub.write(POLICY, {"limit": 1})
    Pair(replica, hub).run()

    hub = restored(hub, backup)
    met(replica, hub)

    assert POLICY not in hub.documents
    assert [each.withheld for each in replica.disk.reoffered] == [(POLICY,)]
    assert replica.outbox == ()


def test_the_log_may_begin_anew_with_an_epoch_once_and_what_was_seen_is_told() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    backup = hub.backup()
    for number in range(4):
        hub.write(ROUTER, {"a": number})
    Pair(replica, hub).run()

    hub = restored(hub, backup)
    met(replica, hub)

    assert replica.disk.log_breaks == ("the log ends after 0 of the 4 leaves that were seen here before",)
    # and in that epoch never again
    met(replica, hub)
    bent = hub.backup()
    bent.tree = backup.tree
    refused = Pair(replica, bent).run()
    assert refused.closed is not None
    assert refused.closed.denied
    assert len(replica.disk.distrusted) == 1


def test_a_large_write_is_offered_in_changes_that_fit() -> None:
    stamp = Stamp(NOW_MS << 16, 3, 7)
    document = Document({Slot((f"f{number}",)): Register("x" * 200_000, (stamp,)) for number in range(8)}, 1)

    found = offers([(ROUTER, document)], lambda _: Document({}, 0), Reoffer(1, 5, 2), (), SCOPE)

    assert len(found.changes) > 1
    assert sum(len(change.ops) for change in found.changes) == 8
    assert all(len(encode(change)) <= CHANGE_BYTES_MAX for change in found.changes)
    assert all(decode(encode(change)) == change for change in found.changes)


def test_the_bytes_of_an_offer_depend_on_what_is_offered_alone() -> None:
    document = Document({Slot(("a",)): Register(1, (Stamp(NOW_MS << 16, 3, 7),))}, 1)

    def offered(own: tuple[int, ...]) -> Change:
        (change,) = offers(
            [(ROUTER, document)], lambda _: Document({}, 0), Reoffer(1, 5, 2), own, SCOPE
        ).changes
        return change

    assert encode(offered((3,))) == encode(offered((4, 9)))
    assert offered(()).base == Cursor(2, 5)


def test_all_that_was_granted_may_be_offered_also_by_who_asks_for_less() -> None:
    welcome = Welcome(2, 2, 0, 1, 0, b"", 0, ended=packed_ended((Ended(1, 5),)), granted=SCOPE.prefixes)

    assert reoffer_of(1, welcome) == Reoffer(1, 5, 2, SCOPE)


# Epochs.


def test_a_cursor_of_an_earlier_epoch_is_worth_what_every_restore_since_has_kept() -> None:
    epochs = Epochs(40, (Ended(10, 100), Ended(20, 70), Ended(30, 90)))

    assert [epochs.known(epoch) for epoch in (10, 20, 30, 15)] == [70, 70, 90, 0]
    assert epochs.seen(Cursor(10, 60)) == 60
    assert epochs.seen(Cursor(20, 85)) == 70
    assert epochs.seen(Cursor(40, 85)) == 85


def test_epochs_travel_as_numbers_and_only_the_last_ones() -> None:
    many = tuple(Ended(number, number) for number in range(1, ENDED_MAX + 10))

    assert unpacked_ended(packed_ended(many)) == many[-ENDED_MAX:]
    for malformed in ((1,), (1, -1), tuple(range(2 * ENDED_MAX + 2))):
        with pytest.raises(CorruptFrame):
            unpacked_ended(malformed)


def test_a_replica_whose_cursor_was_reset_still_offers() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    backup = hub.backup()
    hub.write(ROUTER, {"a": 1})
    Pair(replica, hub).run()
    replica.reset()
    assert replace(replica.disk, cursor=Cursor(0, 0)) == replica.disk

    hub = restored(hub, backup)
    met(replica, hub)

    assert rebuild(hub.documents[ROUTER].registers) == {"a": 1}
