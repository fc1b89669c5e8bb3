"""The export of a log: a sound one verifies, and whatever was done to one, the first bad leaf is named.

`honest` is what was signed. A tamperer has the database, and so all leaves, hashes and old
checkpoints, but no key.
"""

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest
from anabranch_hub.simulation.log_key import LogKey
from anabranch_sync.audit_event import ValueOpening
from anabranch_sync.audit_file import (
    LINE_BYTES_MAX,
    ExportHead,
    LoggedLeaf,
    checkpoint_line,
    exported,
    head_line,
    leaf_line,
    verify_export,
)
from anabranch_sync.errors import BadLeaf, EvidenceError, MalformedEvidence, UntrustedSignature
from anabranch_sync.merkle import TreeHead, frontier_at, leaf_hash
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.logs import log_of, log_with, logged

HONEST = log_with(20)
KEY = HONEST.key.verifier


def bad_leaf(lines: list[bytes], seen: TreeHead | None = None) -> BadLeaf:
    """What the verifier says of an export that it must not believe."""
    with pytest.raises(BadLeaf) as caught:
        verify_export(lines, KEY, seen)
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1023, 1024, 1025, 2500])
def test_an_export_proves_the_whole_log(size: int) -> None:
    log = log_with(size)

    proved = verify_export(log.lines(), log.key.verifier)

    assert proved.tenant == "acme"
    assert proved.checkpoint.tree == log.signed(size).tree
    assert (proved.openings, proved.checkpoints, proved.witnessed) == (size, 1, False)


@given(st.integers(0, 40), st.sets(st.integers(0, 40)), st.integers(0, 40))
def test_checkpoints_in_between_and_what_was_seen_before_are_confirmed(
    size: int, sizes: set[int], seen_size: int
) -> None:
    log = log_with(size)
    earlier = sorted(each for each in sizes if each <= size)
    seen = log_with(seen_size).signed(seen_size).tree

    proved = verify_export(log.lines(checkpoints=earlier), log.key.verifier, seen)

    assert proved.checkpoints == 1 + len(earlier)
    assert proved.witnessed == (seen_size <= size)


def test_without_a_key_the_export_shows_whose_key_it_is() -> None:
    assert verify_export(HONEST.lines()).key == KEY


def test_erased_openings_leave_the_tree_verifiable() -> None:
    erased = log_of([replace(leaf, openings=()) for leaf in HONEST.leaves])

    assert erased.signed(20).tree == HONEST.signed(20).tree
    assert verify_export(erased.lines(), KEY).openings == 0


# What a database superuser can do.


def test_an_edited_leaf_is_named_exactly_by_the_hash_the_log_stored() -> None:
    lines = HONEST.lines()
    lines[1 + 7] = leaf_line(replace(HONEST.leaves[7], raw=HONEST.leaves[7].raw.replace(b"prod", b"test")))

    assert bad_leaf(lines).index == 7
    assert "its bytes hash to" in bad_leaf(lines).reason


def test_a_leaf_edited_and_hashed_anew_lies_after_the_last_checkpoint_that_holds() -> None:
    # given leaf 7 replaced, with all hashes computed anew, and checkpoints signed at 4, 6, 9 and 15 leaves
    bent = [*HONEST.leaves[:7], logged("acme", 7, "bent"), *HONEST.leaves[8:]]
    head = ExportHead("acme", KEY, HONEST.signed(20).note)
    notes = [(size, HONEST.signed(size).note) for size in (4, 6, 9, 15)]

    error = bad_leaf(list(exported(head, bent, notes)))

    assert (error.index, error.last) == (6, 8)
    assert "signed at 9 leaves" in error.reason


def test_without_earlier_checkpoints_a_leaf_hashed_anew_is_somewhere_in_the_log() -> None:
    bent = [*HONEST.leaves[:7], logged("acme", 7, "bent"), *HONEST.leaves[8:]]
    head = ExportHead("acme", KEY, HONEST.signed(20).note)

    error = bad_leaf(list(exported(head, bent)))

    assert (error.index, error.last) == (0, 19)


def test_what_an_edge_has_seen_narrows_down_where_the_log_was_bent() -> None:
    bent = [*HONEST.leaves[:7], logged("acme", 7, "bent"), *HONEST.leaves[8:]]
    head = ExportHead("acme", KEY, HONEST.signed(20).note)

    before = bad_leaf(list(exported(head, bent)), HONEST.signed(7).tree)
    after = bad_leaf(list(exported(head, bent)), HONEST.signed(8).tree)

    assert (before.index, before.last) == (7, 19)
    assert (after.index, after.last) == (0, 7)


def test_a_deleted_leaf_is_named() -> None:
    lines = HONEST.lines()
    del lines[1 + 7]

    assert bad_leaf(lines).index == 7
    assert "was written as leaf '8'" in bad_leaf(lines).reason


def test_reordered_leaves_are_named() -> None:
    lines = HONEST.lines()
    lines[1 + 7], lines[1 + 8] = lines[1 + 8], lines[1 + 7]

    assert bad_leaf(lines).index == 7


def test_a_truncated_log_is_named_at_the_first_missing_leaf() -> None:
    error = bad_leaf(HONEST.lines()[: 1 + 13])

    assert error.index == 13
    assert "ends after 13 of 20 leaves" in error.reason


def test_a_leaf_that_no_checkpoint_covers_is_named() -> None:
    lines = [*HONEST.lines(), leaf_line(logged("acme", 20))]

    assert bad_leaf(lines).index == 20


def test_the_leaves_of_another_tenant_are_named_at_the_first() -> None:
    other = log_with(20, "globex")
    lines = [HONEST.lines()[0], *other.lines()[1:]]

    assert bad_leaf(lines).index == 0
    assert "globex" in bad_leaf(lines).reason


def test_an_old_dump_with_its_own_checkpoint_shows_against_what_was_seen_since() -> None:
    # given an export that is sound in itself, of a log that was restored and went on otherwise
    forked = log_of([*HONEST.leaves[:12], *(logged("acme", index, "again") for index in range(12, 20))])
    assert not verify_export(forked.lines(), KEY).witnessed

    error = bad_leaf(forked.lines(), HONEST.signed(15).tree)

    assert (error.index, error.last) == (0, 14)
    assert "the log was rewritten: the tree of 15 leaves that was seen before" in error.reason


def test_a_value_that_is_not_the_one_that_was_logged_is_named() -> None:
    lines = HONEST.lines()
    opening = ValueOpening(HONEST.leaves[7].openings[0].salt, {"limit": 8})
    lines[1 + 7] = leaf_line(replace(HONEST.leaves[7], openings=(opening,)))

    assert bad_leaf(lines).index == 7
    assert "not the one it commits to" in bad_leaf(lines).reason


def test_a_commitment_that_its_opening_does_not_lead_to_is_named() -> None:
    lines = HONEST.lines()
    lines[1 + 7] = lines[1 + 7].replace(b'{"limit":7}', b'{"limit":7.0}')

    assert bad_leaf(lines).index == 7


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"leaf":7}',
        b'{"leaf":"\\ud800"}',
        b'{"leaf":"{}"}',
        b"[" * 100_000,
        b'{"leaf":"' + b"x" * LINE_BYTES_MAX + b'"}',
    ],
)
def test_a_line_that_is_no_leaf_is_the_first_bad_leaf(line: bytes) -> None:
    lines = HONEST.lines()
    lines[1 + 7] = line

    assert bad_leaf(lines).index == 7
    assert len(str(bad_leaf(lines))) < 300


@pytest.mark.parametrize(
    "openings",
    ["null", "7", "[7]", '[{"salt":"00"}]', '[{"salt":"zz","value":1,"commitment":""}]', '[{"salt":7}]'],
)
def test_openings_that_cannot_be_read_are_the_leaf_s(openings: str) -> None:
    lines = HONEST.lines()
    parsed = json.loads(lines[1 + 7]) | {"openings": json.loads(openings)}
    lines[1 + 7] = json.dumps(parsed).encode()

    assert bad_leaf(lines).index == 7


# The head, the key and the checkpoints.


def test_an_export_signed_by_another_key_is_refused_even_if_it_calls_itself_the_same() -> None:
    stranger = log_of(HONEST.leaves, key=LogKey(seed="a stranger"))

    with pytest.raises(UntrustedSignature, match="the file names the key"):
        verify_export(stranger.lines(), KEY)


def test_a_head_whose_checkpoint_another_key_signed_is_refused() -> None:
    stranger = log_of(HONEST.leaves, key=LogKey(seed="a stranger"))
    head = head_line(ExportHead("acme", KEY, stranger.signed(20).note))

    with pytest.raises(UntrustedSignature):
        verify_export([head, *HONEST.lines()[1:]], KEY)


def test_an_earlier_checkpoint_in_the_wrong_place_or_unsigned_is_refused() -> None:
    lines = HONEST.lines()
    stranger = log_of(HONEST.leaves, key=LogKey(seed="a stranger"))

    with pytest.raises(MalformedEvidence, match="line 8 is malformed: a checkpoint of 9 leaves after 6"):
        verify_export([*lines[:7], checkpoint_line(HONEST.signed(9).note), *lines[7:]], KEY)
    with pytest.raises(UntrustedSignature):
        verify_export([*lines[:7], checkpoint_line(stranger.signed(6).note), *lines[7:]], KEY)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        HONEST.lines()[0].replace(b"audit/1", b"audit/2"),
        HONEST.lines()[0].replace(b'"tenant":"acme"', b'"tenant":"globex"'),
        HONEST.lines()[0].replace(b'"tenant":"acme"', b'"tenant":"A C M E"'),
        HONEST.lines()[0].replace(b'"origin":"anabranch/tenant/acme"', b'"origin":"elsewhere"'),
        HONEST.lines()[0].replace(b"\xe2\x80\x94", b"-"),
        HONEST.lines()[0].replace(b'"checkpoint":"', b'"checkpoint":"\\ud800'),
        HONEST.lines()[0].replace(b'"key":"', b'"key":"x'),
        HONEST.lines()[1],
    ],
)
def test_a_file_that_does_not_begin_as_an_export_is_no_export(line: bytes) -> None:
    with pytest.raises(MalformedEvidence):
        verify_export([line, *HONEST.lines()[1:]], KEY)


def test_an_empty_file_is_no_export() -> None:
    with pytest.raises(MalformedEvidence, match="its first line is not the head"):
        verify_export([], KEY)


@given(st.data())
def test_no_byte_of_an_export_can_be_changed_so_that_it_proves_something_else(data: st.DataObject) -> None:
    lines = HONEST.lines(checkpoints=[5, 9])
    place = data.draw(st.integers(0, len(lines) - 1))
    line = bytearray(lines[place])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] = data.draw(st.integers(0, 255))
    lines[place] = bytes(line)

    try:
        proved = verify_export(lines, KEY)
    except EvidenceError:
        return
    assert proved.checkpoint == HONEST.signed(20).checkpoint


def test_a_long_export_is_verified_in_little_memory() -> None:
    # given 10,000 leaves, 8 MB as lines
    log = log_with(2)
    frontier = frontier_at(0, {})
    for start in range(0, 10_000, 500):
        raws = [logged("acme", index).raw for index in range(start, start + 500)]
        frontier, _ = frontier.appended(map(leaf_hash, raws))
    head = ExportHead("acme", KEY, log.key.signed(frontier.head).note)

    def leaves() -> Iterator[LoggedLeaf]:
        yield from (logged("acme", index) for index in range(10_000))

    tracemalloc.start()
    proved = verify_export(exported(head, leaves()), KEY)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert proved.openings == 10_000
    assert peak_bytes < 1_000_000
