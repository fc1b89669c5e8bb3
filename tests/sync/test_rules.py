"""Rules over several fields: what holds, what is said where it does not, and what is no rule."""

import pytest
from anabranch_sync.errors import InvalidValue
from anabranch_sync.rules import CONDITIONS_MAX, LISTED_MAX, RULES_MAX, parse_rules
from anabranch_sync.value import Json
from anabranch_sync.violation import Violation
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.strategies import contents, json_values, numbers

ORDERED: Json = ["/limits/min", "<=", "/limits/max"]


def found(require: Json, content: dict[str, Json], **more: Json) -> Violation | None:
    (rule,) = parse_rules([{"name": "a rule", "require": require, **more}], "/rules")
    return rule.violation(content)


def refused(raw: Json) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        parse_rules(raw, "/rules")
    return caught.value


def test_two_fields_that_disagree_are_told_with_both_ways_out() -> None:
    # when
    violation = found(ORDERED, {"limits": {"min": 300, "max": 200}})
    # then
    assert violation == Violation(
        "/limits/min",
        "a rule",
        "/limits/min is 300 and /limits/max is 200",
        "/limits/min at most 200, or /limits/max at least 300",
    )


def test_a_missing_operand_makes_a_rule_not_apply() -> None:
    assert found(ORDERED, {"limits": {"min": 300}}) is None


def test_a_rule_that_wants_a_field_says_present() -> None:
    # when
    violation = found({"all": [{"present": "/limits/max"}, ORDERED]}, {"limits": {"min": 300}})
    # then
    assert violation is not None
    assert (violation.place, violation.passes) == ("/limits/max", "/limits/max present")


def test_a_rule_applies_where_its_condition_holds() -> None:
    # given
    when: Json = ["/host", "in", ["openai", "anthropic"]]
    require: Json = {"present": "/fallback"}
    # when
    outside = found(require, {"host": "local"}, when=when, message="external models fail")
    inside = found(require, {"host": "openai"}, when=when, message="external models fail")
    # then
    assert outside is None
    assert inside is not None
    assert inside.reason == "/fallback is absent: external models fail"
    assert inside.passes == '/fallback present, as long as /host one of ["openai","anthropic"]'


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (["/n", "==", 1], True),
        (["/n", "==", 1.0], True),
        (["/n", "==", True], False),
        (["/n", "!=", 2], True),
        (["/n", ">", 0], True),
        (["/n", ">=", 2], False),
        (["/s", "<", "b"], True),
        (["/s", "<", 5], False),
        (["/l/1", "==", "y"], True),
        (["x", "in", "/l"], True),
        (["z", "not in", "/l"], True),
        (["/s", "in", {"value": ["a"]}], True),
        (["/s", "==", {"value": "a"}], True),
        ({"absent": "/l/2"}, True),
        ({"not": {"absent": "/n"}}, True),
        ({"any": [["/n", "==", 5], ["/s", "==", "a"]]}, True),
        ({"all": [["/n", "==", 5], ["/gone", "==", 1]]}, False),
    ],
)
def test_conditions_hold_or_not(condition: Json, holds: bool) -> None:
    # given
    content: dict[str, Json] = {"n": 1, "s": "a", "l": ["x", "y"]}
    # when, then
    assert (found(condition, content) is None) is holds


@given(numbers, numbers)
def test_an_order_and_its_contrary_never_both_hold(one: Json, other: Json) -> None:
    # given
    content: dict[str, Json] = {"one": one, "other": other}
    # when
    held = [found(["/one", operator, "/other"], content) is None for operator in ("<", ">=")]
    # then
    assert held.count(True) == 1


@given(contents, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]), json_values)
def test_no_content_is_too_strange_to_be_judged(content: dict[str, Json], operator: str, value: Json) -> None:
    # given
    right: Json = [value] if operator in ("in", "not in") else {"value": value}
    # when
    violation = found({"all": [{"present": "/a"}, {"not": ["/a/b", operator, right]}]}, content)
    # then
    assert violation is None or violation.place.startswith("/a")


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ({}, "/rules"),
        ([1], "/rules/0"),
        ([{"require": ORDERED}], "/rules/0/name"),
        ([{"name": "a"}], "/rules/0"),
        ([{"name": "a", "require": ORDERED, "then": 1}], "/rules/0/then"),
        ([{"name": "a", "require": ORDERED}, {"name": "a", "require": ORDERED}], "/rules/1/name"),
        ([{"name": "a", "require": ["/a", "~", 1]}], "/rules/0/require/1"),
        ([{"name": "a", "require": ["/a", "<"]}], "/rules/0/require"),
        ([{"name": "a", "require": [1, "<", 2]}], "/rules/0/require"),
        ([{"name": "a", "require": ["/a", "in", 1]}], "/rules/0/require/2"),
        ([{"name": "a", "require": ["/a", "in", [1] * (LISTED_MAX + 1)]}], "/rules/0/require/2"),
        ([{"name": "a", "require": {"present": "a"}}], "/rules/0/require/present"),
        ([{"name": "a", "require": {"all": []}}], "/rules/0/require/all"),
        ([{"name": "a", "require": {"xor": [ORDERED]}}], "/rules/0/require/xor"),
        ([{"name": "a", "when": {"any": [["/a~2", "<", 1]]}, "require": ORDERED}], "/rules/0/when/any/0/0"),
        ([{"name": f"r{n}", "require": ORDERED} for n in range(RULES_MAX + 1)], "/rules"),
    ],
)
def test_what_is_no_rule_is_refused_with_its_place(rules: Json, place: str) -> None:
    assert refused(rules).place == place


def test_a_rule_of_too_many_conditions_is_refused() -> None:
    # given
    require: Json = {"all": [ORDERED] * CONDITIONS_MAX}
    # when, then
    assert str(CONDITIONS_MAX) in refused([{"name": "a", "require": require}]).reason
