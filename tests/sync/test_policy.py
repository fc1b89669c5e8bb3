"""Policies: each is a total order, and a schema says where which one rules."""

from itertools import permutations

import pytest
from anabranch_sync.change import Change, Op
from anabranch_sync.document import Document
from anabranch_sync.errors import InvalidValue, UnknownPolicy
from anabranch_sync.ids import HUB_INCARNATION, Cursor, DocumentId, document_id
from anabranch_sync.merge import decide
from anabranch_sync.path import Path
from anabranch_sync.policy import (
    KEYWORD,
    LATEST,
    PRIORITY_KEYWORD,
    Policies,
    Policy,
    Rule,
    check_schema_document,
    join,
    parse_policy,
    policies_from,
)
from anabranch_sync.priority import PRIORITY_DEFAULT, URGENT
from anabranch_sync.register import DELETED, Register, Slot, Stamp, Value, agreed, equal
from anabranch_sync.value import Json
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.sync.exact import exact_registers
from tests.sync.strategies import policies, stamp_sets, stamps, values

SCHEMA = document_id("system/schemas", "router")
DOCUMENT = document_id("acme/prod/router")
PLACE = Slot(("a",))


def judged(schema: Json, *, namespaces: Json = None) -> Policies:
    content: Json = {"namespaces": ["acme/prod/*"] if namespaces is None else namespaces, "schema": schema}
    return policies_from([(SCHEMA, 7, content)])


def stamped(*written: Value) -> list[Register]:
    return [Register(value, (Stamp(index, index, index),)) for index, value in enumerate(written, 1)]


@given(policies, st.lists(st.tuples(values, stamps), min_size=3, max_size=3, unique_by=lambda each: each[1]))
def test_join_is_commutative_associative_and_idempotent(
    policy: Policy, writes: list[tuple[Value, Stamp]]
) -> None:
    one, two, three = (Register(value, (stamp,)) for value, stamp in writes)

    assert join(policy, one, one) is one
    assert join(policy, one, two) is join(policy, two, one)
    assert join(policy, join(policy, one, two), three) is join(policy, one, join(policy, two, three))


@given(values, stamp_sets, stamp_sets, stamp_sets)
def test_agreement_is_commutative_associative_and_idempotent(
    value: Value, one: tuple[Stamp, ...], two: tuple[Stamp, ...], three: tuple[Stamp, ...]
) -> None:
    first, second, third = (Register(value, each) for each in (one, two, three))

    assert agreed(first, first) == first
    assert agreed(first, second) == agreed(second, first)
    assert agreed(agreed(first, second), third) == agreed(first, agreed(second, third))
    together = agreed(first, second)
    assert set(together.stamps) == {*one, *two}
    assert together.stamp == max(together.stamps)
    assert together.hub_seq == max(stamp.hub_seq for stamp in together.stamps)


# The hub's order decides by itself who was first, which is all that `manual` asks.
@pytest.mark.parametrize("rule", sorted({*Rule} - {Rule.MANUAL}))
@given(written=st.lists(st.tuples(st.sampled_from([0, 1, 1.0, "a", DELETED]), st.integers(1, 9)), max_size=4))
def test_concurrent_writes_have_one_outcome_in_whatever_order_they_come(
    rule: Rule, written: list[tuple[Value, int]]
) -> None:
    # given concurrent writes to one place, the first of them by the hub, some of equal value
    policies = judged({KEYWORD: rule})
    assume(len({timestamp for _, timestamp in written}) == len(written))
    writes = [
        (actor, Change(timestamp, Cursor(1, 0), "", "", (Op(DOCUMENT, PLACE, value),)))
        for actor, (value, timestamp) in enumerate(written, HUB_INCARNATION)
    ]

    # when they are decided in every order
    outcomes = []
    for order in permutations(writes):
        standing: dict[DocumentId, Document] = {}
        for hub_seq, (actor, change) in enumerate(order, 1):
            standing |= decide(standing, change, actor, hub_seq, change.timestamp, policies).documents
        outcomes.append(standing[DOCUMENT].registers[PLACE].value if standing else DELETED)

    # then the same value stands at the end
    assert all(equal(outcome, outcomes[0]) for outcome in outcomes)


TWO_WRITES: list[tuple[Rule, Value, Value, int]] = [
    # the first write has actor 0 (the hub) and an earlier time; the number is the winner's
    (Rule.LATEST, "a", "b", 1), (Rule.HUB, "a", "b", 0), (Rule.EDGE, "a", "b", 1),
    (Rule.MAX, 2, 1, 0), (Rule.MAX, 1, 2, 1), (Rule.MAX, 1, DELETED, 0), (Rule.MAX, 2, 1.5, 0),
    (Rule.MIN, 1, 2, 0), (Rule.MIN, 2, 1, 1), (Rule.MIN, 1, DELETED, 0), (Rule.MIN, None, 0, 0),
    (Rule.MAX, 1, 1.0, 1), (Rule.MAX, "b", 9, 0), (Rule.MAX, "b", "a", 0), (Rule.MIN, 1, 1.0, 1),
    (Rule.UNION, "a", DELETED, 0), (Rule.UNION, DELETED, "a", 1), (Rule.MANUAL, "a", "b", 0),
    (Rule.LATEST, "a", DELETED, 1), (Rule.HUB, DELETED, "b", 0), (Rule.EDGE, "a", DELETED, 1),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "first", "second", "winner"), TWO_WRITES)
def test_each_policy_prefers_what_it_is_named_for(
    rule: Rule, first: Value, second: Value, winner: int
) -> None:
    writes = [Register(first, (Stamp(1, HUB_INCARNATION, 1),)), Register(second, (Stamp(2, 5, 2),))]

    assert join(Policy(rule), writes[0], writes[1]) is writes[winner]
    assert join(Policy(rule), writes[1], writes[0]) is writes[winner]


@pytest.mark.parametrize(("rule", "side", "other"), [(Rule.HUB, 0, 1), (Rule.EDGE, 1, 0)])
def test_a_side_stays_preferred_when_the_other_side_agrees_with_it(rule: Rule, side: int, other: int) -> None:
    # given the preferred side wrote first, and the other side the same a moment later
    both = agreed(Register("a", (Stamp(1, side, 1),)), Register("a", (Stamp(5, other, 2),)))

    # when the other side writes something else, later still
    rival = Register("b", (Stamp(9, 2 if other else 0, 3),))

    # then the preferred side's value stands
    assert join(Policy(rule), both, rival) is both


def test_equal_times_are_decided_by_the_actor() -> None:
    one, other = Register(1, (Stamp(5, 1, 9),)), Register(2, (Stamp(5, 2, 8),))

    assert join(LATEST, one, other) is other


@given(policies)
def test_a_policy_survives_its_text(policy: Policy) -> None:
    assert parse_policy(str(policy)) == policy


@pytest.mark.parametrize(
    "text", ["", "LATEST", "newest", "latest ", "max:id", "union:", "latest:", ":id", "counter:id"]
)
def test_an_unknown_policy_is_refused_and_the_known_ones_named(text: str) -> None:
    with pytest.raises(UnknownPolicy, match=f"use one of {', '.join(Rule)}, union:FIELD"):
        parse_policy(text)


def test_elements_are_told_apart_by_their_key_field_or_whole() -> None:
    by_name = Policy(Rule.UNION, "name")
    whole = Policy(Rule.UNION)

    assert by_name.element({"name": "a", "weight": 1}) == by_name.element({"name": "a", "weight": 2})
    assert by_name.element({"name": "a"}) != by_name.element({"name": "b"})
    assert by_name.element({"name": 1}) != by_name.element({"name": 1.0})
    assert by_name.element({"weight": 1}) != by_name.element({"weight": 2})
    assert by_name.element("a") == whole.element("a")
    assert whole.element({"x": 1, "y": 2}) == whole.element({"y": 2, "x": 1})
    assert whole.element({"name": "a", "weight": 1}) != whole.element({"name": "a", "weight": 2})


ROUTER: Json = {
    KEYWORD: "hub",
    "properties": {
        "limits": {KEYWORD: "max", "properties": {"floor": {KEYWORD: "min"}, "name": {"type": "string"}}},
        "routes": {"additionalProperties": {KEYWORD: "manual", "properties": {"weight": {KEYWORD: "edge"}}}},
        "plain": True,
    },
}


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ((), Rule.HUB), (("limits",), Rule.MAX), (("limits", "floor"), Rule.MIN),
        (("limits", "name"), Rule.MAX),
        (("limits", "x", "y"), Rule.MAX), (("routes",), Rule.HUB), (("routes", "eu"), Rule.MANUAL),
        (("routes", "eu", "weight"), Rule.EDGE), (("routes", "eu", "x"), Rule.MANUAL), (("x",), Rule.HUB),
        (("plain", "x"), Rule.HUB), (("properties", "limits"), Rule.HUB),
    ],
)  # fmt: skip
def test_a_policy_is_inherited_down_the_path_until_another_is_named(path: Path, rule: Rule) -> None:
    assert judged(ROUTER).of(DOCUMENT, path) == Policy(rule)


def test_documents_without_a_schema_take_the_latest() -> None:
    policies = judged(ROUTER)

    assert policies.of(document_id("acme/test/router"), ("limits",)) == LATEST
    assert policies.version(document_id("acme/test/router")) == ""
    assert policies.version(DOCUMENT) == "router@7"


def test_the_longest_pattern_wins_and_then_the_name() -> None:
    def schema(name: str, pattern: str, rule: str) -> tuple[DocumentId, int, Json]:
        return document_id("system/schemas", name), 1, {"namespaces": [pattern], "schema": {KEYWORD: rule}}

    policies = policies_from(
        [
            schema("wide", "acme/*", "max"),
            schema("b", "acme/prod/*", "hub"),
            schema("a", "acme/prod/*", "min"),
        ]
    )

    assert policies.of(DOCUMENT, ()) == Policy(Rule.HUB)
    assert policies.of(document_id("acme/test"), ()) == Policy(Rule.MAX)


def test_many_namespaces_do_not_change_the_answer() -> None:
    policies = judged(ROUTER)

    for number in range(10_050):
        assert policies.of(document_id(f"acme/prod/n{number}"), ()).rule is Rule.HUB
    assert policies.of(DOCUMENT, ()).rule is Rule.HUB


DEEP: Json = {}
for _ in range(70):
    DEEP = {"properties": {"a": DEEP}}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({}, "/namespaces"), ({"namespaces": [], "schema": {}}, "/namespaces"), ([], "/namespaces"),
        (None, "/namespaces"),
        ({"namespaces": [1], "schema": {}}, "/namespaces"),
        ({"namespaces": "acme/*", "schema": {}}, "/namespaces"),
        ({"namespaces": ["*"]}, "/schema"), ({"namespaces": ["*"], "schema": []}, "/schema"),
        ({"namespaces": ["*"], "schema": {KEYWORD: 1}}, f"/{KEYWORD}"),
        ({"namespaces": ["*"], "schema": {"properties": {"a/b": {KEYWORD: True}}}}, f"/a~1b/{KEYWORD}"),
        ({"namespaces": ["*", "acme/../x"], "schema": {}}, "/namespaces/1"),
        ({"namespaces": ["acme/\x1b*"], "schema": {}}, "/namespaces/0"),
        ({"namespaces": ["acme//*"], "schema": {}}, "/namespaces/0"),
        ({"namespaces": ["*"], "schema": {"properties": {"a": {"properties": []}}}}, "/a/properties"),
        ({"namespaces": ["*"], "schema": DEEP}, "/a" * 65),
    ],
)  # fmt: skip
def test_a_malformed_schema_document_is_refused_when_written_and_skipped_when_read(
    content: Json, place: str
) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_schema_document(SCHEMA, content)
    assert refused.value.place == place

    good: Json = {"namespaces": ["acme/*"], "schema": {KEYWORD: "max"}}
    policies = policies_from([(SCHEMA, 1, content), (document_id("system/schemas", "good"), 1, good)])
    assert policies.of(DOCUMENT, ()) == Policy(Rule.MAX)


def test_a_schema_document_with_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UnknownPolicy, match="'newest'"):
        check_schema_document(
            SCHEMA, {"namespaces": ["*"], "schema": {"properties": {"a": {KEYWORD: "newest"}}}}
        )


def test_a_schema_says_how_pressing_its_documents_are() -> None:
    schema: Json = {"namespaces": ["acme/prod/*"], "schema": {PRIORITY_KEYWORD: URGENT}}

    policies = policies_from([(SCHEMA, 1, schema)])

    assert policies.priority(document_id("acme/prod/router")) == URGENT
    assert policies.priority(document_id("acme/test/router")) == PRIORITY_DEFAULT


@pytest.mark.parametrize("priority", [-1, 4, True, "urgent", 1.0])
def test_a_schema_document_with_an_unknown_priority_is_refused(priority: Json) -> None:
    with pytest.raises(InvalidValue, match="a priority is 0"):
        check_schema_document(SCHEMA, {"namespaces": ["*"], "schema": {PRIORITY_KEYWORD: priority}})


def test_a_document_elsewhere_is_no_schema() -> None:
    check_schema_document(DOCUMENT, {"namespaces": 5})


def test_unseen_are_the_stamps_beyond_the_base_of_other_lineages() -> None:
    register = Register(1, (Stamp(9, 3, 4), Stamp(8, 2, 6), Stamp(7, 1, 5)))

    assert register.unseen(4, 1) == (Stamp(8, 2, 6),)
    assert register.unseen(0, 9) == register.stamps
    assert register.unseen(6, 9) == ()


def test_values_of_registers_are_equal_in_type_and_content() -> None:
    one, other, deleted, text = stamped(1, 1.0, DELETED, "deleted")

    assert not equal(one.value, other.value)
    assert equal(deleted.value, DELETED)
    assert not equal(deleted.value, text.value)
    assert not equal(deleted.value, None)
    assert exact_registers({PLACE: one}) != exact_registers({PLACE: Register(True, one.stamps)})
