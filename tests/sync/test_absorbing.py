"""Values overwritten before anybody could see them do not travel, and everything counts them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from anabranch_hub.simulation.memory import Fenced, MemoryHub, MemoryReplica
from anabranch_sync.absorbing import STREAK_MIN, absorbed
from anabranch_sync.change import CHAIN_START, Change, Entry, Op, chained, entry
from anabranch_sync.document import EMPTY, digest, rebuild
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import START, Cursor, DocumentId, Dot, document_id
from anabranch_sync.outbox import PUSH_CHANGES_MAX
from anabranch_sync.priority import URGENT
from anabranch_sync.pull import Outcome, Pull, Result, Run
from anabranch_sync.pull_body import decode_pull, encode_pull
from anabranch_sync.push_body import decode_entries, encode_entries
from anabranch_sync.register import DELETED, Increment, Operand, Slot
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.pair import NOW_MS, SCOPE, Pair, new_hub, new_replica

Place: TypeAlias = tuple[DocumentId, Slot]

ROUTER = document_id("acme/prod/router")
LIMITS = document_id("acme/prod/limits")

A, B = Slot(("a",)), Slot(("b",))
NOW = NOW_MS << 16

# Two fields of two documents, and of their values some that nothing may absorb.
_places = st.tuples(st.sampled_from([ROUTER, LIMITS]), st.sampled_from([A, B]))
_values: st.SearchStrategy[Operand] = st.sampled_from([*range(8), "text", None, DELETED, [1], {}])
_streaks = st.lists(st.tuples(_places, st.lists(_values, min_size=1, max_size=2 * STREAK_MIN)), max_size=5)
# What another edge wrote meanwhile, some of it later by its clock.
_others = st.lists(st.tuples(_places, st.integers(0, 7), st.integers(0, 40)), max_size=4)


def recorded(values: Sequence[tuple[Place, Operand]], incarnation: int = 1) -> list[Entry]:
    """A change for each value, one after the other."""
    return [
        entry(
            Dot(incarnation, number),
            Change(NOW + number, START, "ada", "", (Op(document, slot, value),)),
        )
        for number, ((document, slot), value) in enumerate(values, 1)
    ]


def overwrites(count: int, *, of: Slot = A) -> list[Entry]:
    return recorded([((ROUTER, of), number) for number in range(count)])


def overwrite(replica: MemoryReplica, values: Iterable[int]) -> None:
    for value in values:
        replica.commit(ROUTER, {"a": value}, now_ms=NOW_MS)


def numbers(push: Sequence[Entry]) -> list[tuple[int, int]]:
    return [(each.first, each.dot.local_seq) for each in push]


def test_the_last_of_a_streak_stands_for_it_as_it_was_recorded() -> None:
    entries = overwrites(1_000)

    [sent] = absorbed(entries, CHAIN_START)

    assert (sent.body, sent.dot, sent.first) == (entries[-1].body, entries[-1].dot, 1)
    assert len(encode_entries([sent])) < 120


def test_a_short_streak_travels_as_it_is() -> None:
    entries = overwrites(STREAK_MIN - 1)

    assert absorbed(entries, CHAIN_START) == entries


@pytest.mark.parametrize(
    "other",
    [
        lambda each: replace(each, priority=URGENT),
        lambda each: _changed(each, author="eve"),
        lambda each: _changed(each, base=Cursor(1, 1)),
        lambda each: _changed(each, message="look at this"),
        lambda each: _changed(each, restores=3),
        lambda each: _changed(each, schemas=("router@1",)),
        lambda each: _changed(each, ops=(*each.change.ops, Op(LIMITS, A, 1))),
        lambda each: _changed(each, ops=(Op(LIMITS, A, 1),)),
        lambda each: _changed(each, ops=(Op(ROUTER, B, 1),)),
        lambda each: _changed(each, ops=(Op(ROUTER, A, Increment(1, 2)),)),
        lambda each: _changed(each, ops=(Op(ROUTER, A, DELETED),)),
        lambda each: _changed(each, ops=(Op(ROUTER, Slot(("a",), b"\x01"), 1),)),
        lambda each: _changed(each, ops=(Op(ROUTER, A, [1]),)),
    ],
)
def test_what_says_more_than_one_value_of_one_field_ends_a_streak(other: Callable[[Entry], Entry]) -> None:
    entries = overwrites(2 * STREAK_MIN + 1)
    entries[STREAK_MIN] = other(entries[STREAK_MIN])

    sent = absorbed(entries, CHAIN_START)

    assert numbers(sent) == [
        (1, STREAK_MIN),
        (STREAK_MIN + 1, STREAK_MIN + 1),
        (STREAK_MIN + 2, 2 * STREAK_MIN + 1),
    ]


@given(_streaks)
def test_what_is_absorbed_leaves_no_gap_and_ends_with_the_same_chain(
    streaks: list[tuple[Place, list[Operand]]],
) -> None:
    entries = recorded([(place, value) for place, values in streaks for value in values])
    chain = CHAIN_START
    for each in entries:
        chain = chained(chain, each.body)

    sent = absorbed(entries, CHAIN_START)

    assert [number for each in sent for number in range(each.first, each.dot.local_seq + 1)] == [
        each.dot.local_seq for each in entries
    ]
    assert absorbed(entries, CHAIN_START) == sent
    if entries:
        assert decode_entries(encode_entries(sent)) == sent
        assert _told(sent) == chain


@given(_streaks, _others)
def test_a_hub_comes_to_the_same_contents_whether_it_gets_every_value_or_the_last(
    streaks: list[tuple[Place, list[Operand]]],
    others: list[tuple[Place, int, int]],
) -> None:
    """By the default policy. What competes with a value that nobody saw is told of fewer conflicts."""
    entries = recorded([(place, value) for place, values in streaks for value in values])
    if not entries:
        return
    in_full, in_short = _decided(entries, others), _decided(absorbed(entries, CHAIN_START), others)

    assert in_short.open_replica(1).push_mark == in_full.open_replica(1).push_mark
    assert in_short.open_replica(1).chain == in_full.open_replica(1).chain
    for document in (ROUTER, LIMITS):
        full, short = (hub.documents.get(document, EMPTY) for hub in (in_full, in_short))
        assert digest(document, rebuild(short.registers)) == digest(document, rebuild(full.registers))
        if not others:
            assert short.version == full.version


def test_a_reader_of_the_edge_sees_the_version_that_the_hub_comes_to() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    overwrite(replica, range(1_000))
    told = replica.visible(ROUTER).version

    pair = Pair(replica, hub).run()

    assert pair.edge.settled
    assert (told, hub.documents[ROUTER].version, replica.visible(ROUTER).version) == (1_000, 1_000, 1_000)
    assert (hub.hub_seq, replica.standing().push_mark, replica.state.outbox) == (1, 1_000, ())
    assert pair.sent_bytes["up"] < 250


def test_a_hub_of_an_earlier_protocol_gets_every_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anabranch_sync.hub_session.PROTOCOL_MAX", 2)
    hub = new_hub()
    replica = new_replica(hub)
    overwrite(replica, range(20))

    Pair(replica, hub).run()

    assert (hub.hub_seq, hub.documents[ROUTER].version) == (20, 20)


def test_a_push_that_did_not_arrive_is_cut_anew_with_what_was_written_since() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    overwrite(replica, range(10))
    Pair(replica, hub, lose=lambda direction, number: direction == "up" and number > 1).run()
    overwrite(replica, range(10, 20))

    Pair(replica, hub).run()

    assert (hub.hub_seq, hub.documents[ROUTER].version) == (1, 20)


def test_what_was_decided_is_not_absorbed_by_what_is_written_later() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    overwrite(replica, range(10))
    # The acknowledgement, and all behind it, is lost.
    Pair(replica, hub, lose=lambda direction, number: direction == "down" and number > 1).run()
    overwrite(replica, range(10, 20))

    Pair(replica, hub).run()

    assert (hub.hub_seq, hub.documents[ROUTER].version) == (2, 20)
    assert [each.stands_for for _, each, _ in hub.log] == [10, 10]


def test_a_streak_that_begins_before_the_mark_is_not_decided() -> None:
    hub = _decided(absorbed(overwrites(10), CHAIN_START), [])

    with pytest.raises(Fenced):
        hub.decide(absorbed(overwrites(12), CHAIN_START), CHAIN_START)


def test_a_restored_copy_that_repeats_what_stood_for_others_changes_nothing() -> None:
    hub = new_hub()
    replica = new_replica(hub)
    overwrite(replica, range(10))
    backup = replica.disk
    Pair(replica, hub).run()
    copy = type(replica)(backup)

    pair = Pair(copy, hub, renew=True).run()

    assert pair.edge.settled
    assert [outcome for _, _, outcome in hub.log] == [Outcome.MERGED, Outcome.DUPLICATE]
    assert (hub.documents[ROUTER].version, hub.ledger) == (10, [])
    assert copy.state.outbox == ()


def test_a_refused_change_is_refused_with_all_for_which_it_stands() -> None:
    run, refused = Run(9, 5, 1, 6), Result(9, Outcome.REFUSED, "outside")
    pull = Pull(Cursor(1, 4), Cursor(1, 5), new_hub().compared(0)[1], {}, (run,), (refused,))

    assert decode_pull(encode_pull(pull)) == pull


@pytest.mark.parametrize("count", [0, 9, PUSH_CHANGES_MAX])
def test_a_pull_that_names_changes_before_the_first_is_not_believed(count: int) -> None:
    digest_of_nothing = new_hub().compared(0)[1]
    run = Run(9, 5, 1, count)
    body = encode_pull(Pull(Cursor(1, 4), Cursor(1, 5), digest_of_nothing, {}, (run,)))

    if count:
        with pytest.raises(CorruptFrame):
            decode_pull(body)
    else:
        assert decode_pull(body).runs == (run,)


def test_a_push_that_stands_for_more_than_a_push_may_hold_is_not_believed() -> None:
    [sent] = absorbed(overwrites(10), CHAIN_START)
    too_many = replace(sent, absorbed=PUSH_CHANGES_MAX, dot=Dot(1, 2 * PUSH_CHANGES_MAX))

    for wrong in (too_many, replace(sent, chain=b"short")):
        with pytest.raises(CorruptFrame):
            decode_entries(encode_entries([wrong]))


def _changed(each: Entry, **facts: Any) -> Entry:
    return entry(each.dot, replace(each.change, **facts))


def _told(sent: Sequence[Entry]) -> bytes:
    chain = CHAIN_START
    for each in sent:
        chain = each.chain_after(chain)
    return chain


def _decided(entries: Sequence[Entry], others: list[tuple[Place, int, int]]) -> MemoryHub:
    """A hub that has decided what others wrote, and then a push."""
    hub = MemoryHub(SCOPE, lambda: NOW_MS)
    hub.open_replica(0)
    other = hub.open_replica(0).incarnation
    chain = CHAIN_START
    for number, ((document, slot), value, later) in enumerate(others, 1):
        change = Change(NOW + later, START, "bob", "", (Op(document, slot, value),))
        each = entry(Dot(other, number), change)
        hub.decide([each], chain)
        chain = chained(chain, each.body)
    hub.decide(entries, CHAIN_START)
    return hub
