"""Leaves: what their bytes are, that they say where they belong, and what they say of values."""

import json

import pytest
from anabranch_sync.audit_event import (
    SALT_BYTES,
    Event,
    EventKind,
    ValueOpening,
    check_openings,
    leaf_bytes,
    read_leaf,
)
from anabranch_sync.errors import BadLeaf
from anabranch_sync.value import Json, same
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.strategies import contents, json_values, one_line

SALT = bytes(range(SALT_BYTES))
NOON_MS = 1_795_953_600_123

events = st.builds(Event, st.sampled_from(EventKind), one_line, contents)


def test_a_leaf_is_a_cloud_event_in_canonical_bytes() -> None:
    event = Event(EventKind.CHANGE_DECIDED, "acme/prod/router/config", {"position": 7, "author": "Ada é"})

    assert leaf_bytes(event, "acme", 1234, NOON_MS).decode() == (
        '{"data":{"author":"Ada é","position":7},"datacontenttype":"application/json","id":"1234",'
        '"source":"anabranch/tenant/acme","specversion":"1.0","subject":"acme/prod/router/config",'
        '"time":"2026-11-29T12:00:00.123Z","type":"io.anabranch.change.decided"}'
    )


@given(events, st.integers(0, 2**63 - 1))
def test_a_leaf_is_read_back_as_it_was_written(event: Event, index: int) -> None:
    leaf = read_leaf(leaf_bytes(event, "acme", index, NOON_MS), "acme", index)

    assert (leaf.index, leaf.kind, leaf.subject) == (index, str(event.kind), event.subject)
    assert same(dict(leaf.data), dict(event.data))


@given(events)
def test_a_leaf_in_another_place_or_log_says_so(event: Event) -> None:
    raw = leaf_bytes(event, "acme", 7, NOON_MS)

    with pytest.raises(BadLeaf, match=r"leaf 8 .* was written as leaf '7'") as caught:
        read_leaf(raw, "acme", 8)
    assert caught.value.index == 8
    with pytest.raises(BadLeaf, match="written for the log 'anabranch/tenant/acme'"):
        read_leaf(raw, "globex", 7)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"id":"0","source":"anabranch/tenant/acme","type":1,"subject":"","time":"","data":{}}',
        b'{"id":"0","source":"anabranch/tenant/acme","type":"t","subject":1,"time":"","data":{}}',
        b'{"id":"0","source":"anabranch/tenant/acme","type":"t","subject":"","time":"","data":[]}',
        b'{"id":0,"source":"anabranch/tenant/acme","type":"t","subject":"","time":"","data":{}}',
        b'{"id":"00","source":"anabranch/tenant/acme","type":"t","subject":"","time":"","data":{}}',
    ],
)
def test_bytes_that_are_no_event_are_a_bad_leaf(raw: bytes) -> None:
    with pytest.raises(BadLeaf) as caught:
        read_leaf(raw, "acme", 0)

    assert caught.value.index == 0
    assert len(str(caught.value)) < 200


@given(json_values, st.lists(json_values, max_size=3))
def test_a_leaf_names_a_value_by_its_commitment_and_an_opening_proves_it(
    value: Json, others: list[Json]
) -> None:
    # given a leaf with a commitment somewhere in its data
    opening = ValueOpening(SALT, value)
    hidden: list[Json] = [{"value": opening.commitment}, *others]
    event = Event(EventKind.CONFLICT_DECIDED, "acme/prod/config", {"candidates": hidden})

    leaf = read_leaf(leaf_bytes(event, "acme", 3, NOON_MS), "acme", 3)

    check_openings(leaf, [opening])


@given(json_values, json_values)
def test_another_value_or_salt_does_not_open_a_commitment(value: Json, other: Json) -> None:
    event = Event(EventKind.VALUE_ERASED, "x", {"value": ValueOpening(SALT, value).commitment})
    leaf = read_leaf(leaf_bytes(event, "acme", 3, NOON_MS), "acme", 3)

    with pytest.raises(BadLeaf, match="leaf 3 is not what was logged: a value"):
        check_openings(leaf, [ValueOpening(bytes(SALT_BYTES), value)])
    if not same(value, other):
        with pytest.raises(BadLeaf):
            check_openings(leaf, [ValueOpening(SALT, other)])


@given(json_values)
def test_an_opening_survives_json(value: Json) -> None:
    opening = ValueOpening(SALT, value)

    assert ValueOpening(SALT, json.loads(json.dumps(value))).commitment == opening.commitment


def test_values_that_differ_in_type_only_have_other_commitments() -> None:
    values: list[Json] = [1, 1.0, True, "1", [1], None, "null", -0.0, 0.0, 0]

    assert len({ValueOpening(SALT, value).commitment for value in values}) == len(values)
