"""The outbox: how much goes at once, and whether two histories are one."""

import pytest
from anabranch_sync.change import CHAIN_START, Change, Entry, chained
from anabranch_sync.errors import ProtocolViolation
from anabranch_sync.ids import START, Dot
from anabranch_sync.outbox import (
    PUSH_BYTES_MAX,
    PUSH_CHANGES_MAX,
    Continuity,
    is_continued,
    marked,
    next_push,
)
from anabranch_sync.priority import PRIORITY_DEFAULT, URGENT
from hypothesis import given
from hypothesis import strategies as st

CHANGE = Change(1, START, "", "", ())


def recorded(*bodies: bytes, after: int = 0) -> list[Entry]:
    return [Entry(Dot(5, after + number), CHANGE, body) for number, body in enumerate(bodies, 1)]


def chain_of(*bodies: bytes) -> bytes:
    chain = CHAIN_START
    for body in bodies:
        chain = chained(chain, body)
    return chain


@given(st.lists(st.integers(1, PUSH_BYTES_MAX), max_size=12))
def test_a_push_is_the_longest_head_within_the_limit_and_never_nothing(sizes: list[int]) -> None:
    entries = recorded(*(bytes(size) for size in sizes))

    push = next_push(entries)

    assert list(push) == entries[: len(push)]
    assert bool(push) == bool(entries)
    assert len(push) <= 1 or sum(sizes[: len(push)]) <= PUSH_BYTES_MAX
    assert len(push) == len(entries) or sum(sizes[: len(push) + 1]) > PUSH_BYTES_MAX


def test_a_push_is_bounded_in_changes() -> None:
    entries = recorded(*[b"x"] * (PUSH_CHANGES_MAX + 1))

    assert len(next_push(entries)) == PUSH_CHANGES_MAX


@given(st.lists(st.binary(min_size=1, max_size=2), max_size=5), st.data())
def test_a_hub_that_knows_a_part_of_the_history_is_continued(
    history: list[bytes], data: st.DataObject
) -> None:
    # given a replica that knows of `mark` acknowledged changes, and a hub that has as many or more
    mark = data.draw(st.integers(0, len(history)))
    hub_mark = data.draw(st.integers(mark, len(history)))

    here = Continuity(5, mark, chain_of(*history[:mark]))
    pending = recorded(*history[mark:], after=mark)

    assert is_continued(here, pending, hub_mark, chain_of(*history[:hub_mark]))


@pytest.mark.parametrize(
    ("hub_mark", "hub_chain"),
    [
        (1, chain_of(b"a")),  # the hub lost changes it had acknowledged
        (5, chain_of(b"a", b"b", b"c", b"d", b"e")),  # it knows changes written after this copy was made
        (2, chain_of(b"a", b"x")),  # others under the same numbers
        (3, chain_of(b"a", b"b", b"x")),
        (4, chain_of(b"a", b"b", b"d", b"c")),  # the same in another order
        (2, CHAIN_START),
    ],
)
def test_another_history_is_not_continued(hub_mark: int, hub_chain: bytes) -> None:
    here = Continuity(5, 2, chain_of(b"a", b"b"))

    assert not is_continued(here, recorded(b"c", b"d", after=2), hub_mark, hub_chain)


def test_a_replica_that_wrote_nothing_continues_a_hub_that_knows_nothing_of_it() -> None:
    assert is_continued(Continuity(5, 0, CHAIN_START), [], 0, CHAIN_START)
    assert not is_continued(Continuity(5, 0, CHAIN_START), [], 1, chain_of(b"a"))


def test_which_changes_of_a_push_are_urgent_is_said_by_how_many_are_behind_each() -> None:
    entries = recorded(b"a", b"b", b"c")

    assert [each.priority for each in marked(entries, (0, 2))] == [URGENT, PRIORITY_DEFAULT, URGENT]
    assert marked(entries, ()) is entries


@pytest.mark.parametrize("behind", [3, -1])
def test_a_push_that_calls_a_change_urgent_which_it_has_not_is_not_believed(behind: int) -> None:
    with pytest.raises(ProtocolViolation):
        marked(recorded(b"a", b"b", b"c"), (0, behind))
