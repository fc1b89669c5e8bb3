"""Validity: which contents a schema document lets pass, and what it may ask of the judges."""

from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket
from typing import Any

import pytest
from anabranch_sync.errors import InvalidInput, InvalidValue
from anabranch_sync.ids import document_id
from anabranch_sync.policy import check_schema_document, policies_from
from anabranch_sync.validity import (
    LISTED_WORK_MAX,
    NESTED_MAX,
    PATTERNS_MAX,
    SCHEMA_BYTES_MAX,
    SUBSCHEMAS_MAX,
    VIOLATIONS_MAX,
    constraints,
)
from anabranch_sync.value import INT_MAX, Json
from anabranch_sync.violation import TEXT_CHARS_MAX, Violation
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.strategies import contents, scalars

SCHEMA = document_id("system/schemas", "router")
ROUTER = document_id("acme/prod/router")


FIVE = "a number of at least 5"


def found(schema: Json, content: dict[str, Json]) -> tuple[Violation, ...]:
    return constraints({"namespaces": ["acme/*"], "schema": schema}).violations(content)


def refused(schema: Json) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        check_schema_document(SCHEMA, {"namespaces": ["acme/*"], "schema": schema})
    return caught.value


def test_a_violation_says_which_rule_where_and_what_would_pass() -> None:
    # given
    limit: Json = {"type": "integer", "minimum": 1, "maximum": 600}
    # when
    (violation,) = found({"properties": {"limits": {"properties": {"rpm": limit}}}}, {"limits": {"rpm": 900}})
    # then
    assert violation == Violation(
        "/limits/rpm",
        "#/properties/limits/properties/rpm/maximum",
        "900 is greater than the maximum of 600",
        "a whole number from 1 to 600",
    )


@pytest.mark.parametrize(
    ("schema", "value", "passes"),
    [
        ({"enum": ["a", "b"]}, "c", 'one of "a", "b"'),
        ({"const": 5}, 6, "exactly 5"),
        ({"type": ["string", "null"]}, 1, "a string or null"),
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 1}, 1, "a number above 0 below 1"),
        ({"multipleOf": 5}, 3, "a number divisible by 5"),
        ({"type": "string", "minLength": 1, "maxLength": 3}, "", "a string of 1 to 3 characters"),
        ({"pattern": "^a"}, "b", "a string that matches ^a"),
        (
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
            [],
            "a list of at least 1 item, each a string",
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "a string or null"),
        (
            {"oneOf": [{"type": "integer"}, {"minimum": 5}]},
            7,
            "exactly one of: a whole number or a number of at least 5",
        ),
        ({"not": {"const": 1}}, 1, "anything but exactly 1"),
        ({"contains": {"const": 1}}, [2], "a list, 1 or more of them exactly 1"),
        ({"$ref": "#/$defs/name"}, 1, "a string of at most 8 characters"),
        (False, 1, "nothing: leave it out"),
    ],
)
def test_what_would_pass_is_told_in_words(schema: Json, value: Json, passes: str) -> None:
    # given
    whole: Json = {"properties": {"a": schema}, "$defs": {"name": {"type": "string", "maxLength": 8}}}
    # when
    violations = found(whole, {"a": value})
    # then
    assert [(each.place, each.passes) for each in violations] == [("/a", passes)]


def test_what_is_missing_is_named_at_its_own_place() -> None:
    # when
    (violation,) = found({"required": ["model"], "properties": {"model": {"type": "string"}}}, {})
    # then
    assert (violation.place, violation.passes) == ("/model", "a string")


def test_what_is_not_known_is_named_at_its_own_place() -> None:
    # when
    violations = found({"properties": {"a": {}, "b": {}}, "additionalProperties": False}, {"x": 1, "y": 2})
    # then
    assert [(each.place, each.passes) for each in violations] == [("/x", "only a, b"), ("/y", "only a, b")]


def test_a_name_of_any_length_makes_a_message_of_one_line() -> None:
    # when
    (violation,) = found({"properties": {"a": {}}, "additionalProperties": False}, {"x" * 100_000: 1})
    # then
    assert len(violation.place) == 100_001
    assert len(str(violation)) < 5 * TEXT_CHARS_MAX


def test_numbers_compare_by_value_and_true_is_none() -> None:
    # when
    verdicts = [not found({"properties": {"a": {"const": 1}}}, {"a": value}) for value in (1, 1.0, True)]
    # then
    assert verdicts == [True, True, False]


def test_integers_are_compared_exactly_to_the_last_of_64_bits() -> None:
    # when
    verdicts = [
        not found({"properties": {"a": {"maximum": INT_MAX - 1}}}, {"a": value})
        for value in (INT_MAX, INT_MAX - 1, -INT_MAX - 1)
    ]
    # then
    assert verdicts == [False, True, True]


@given(scalars)
def test_a_constant_lets_itself_pass(value: Json) -> None:
    assert found({"properties": {"a": {"const": value}}}, {"a": value}) == ()


@given(contents, contents)
def test_a_verdict_is_the_same_each_time(schema: dict[str, Json], content: dict[str, Json]) -> None:
    # given
    whole: Json = {"properties": {key: {"const": value} for key, value in schema.items()}}
    # when, then
    assert found(whole, content) == found(whole, content)


def test_format_is_an_annotation() -> None:
    assert found({"properties": {"a": {"format": "email", "type": "string"}}}, {"a": "nobody"}) == ()


def test_a_schema_that_only_names_policies_demands_nothing() -> None:
    # when
    schema: Json = {"title": "Router", "properties": {"a": {"x-anabranch-merge": "max", "description": "b"}}}
    # then
    policies = policies_from([(SCHEMA, 1, {"namespaces": ["acme/*"], "schema": schema})])
    # then
    assert not policies.judges(ROUTER)


def test_a_reference_to_a_file_is_refused_and_the_file_not_read(tmp_path: Path) -> None:
    # given: a schema that would let strings pass
    path = tmp_path / "schema.json"
    path.write_text('{"type": "string"}')
    # when
    error = refused({"properties": {"a": {"$ref": path.as_uri()}}})
    # then
    assert error.place == "/schema/properties/a/$ref"


def test_a_reference_to_a_server_is_refused_and_the_server_not_asked() -> None:
    # given
    with socket(AF_INET, SOCK_STREAM) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.2)
        host, port = server.getsockname()
        url = f"http://{host}:{port}/schema.json"
        # when
        refused({"$ref": url})
        refused({"$id": url, "$ref": "other.json"})
        refused({"$schema": url})
        # then
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_reference_that_leads_back_to_itself_is_refused() -> None:
    # given
    turning: Json = {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}
    # when
    errors = [refused({"$ref": "#"}), refused({"items": {"$ref": "#"}}), refused({"$defs": turning})]
    # then
    assert all("refers to itself" in error.reason for error in errors)


def test_sixteen_million_branches_are_counted_and_not_walked() -> None:
    # given: each level refers to the next one twice
    defs: dict[str, Json] = {
        f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}, {"$ref": f"#/$defs/d{level + 1}"}]}
        for level in range(24)
    }
    # when
    error = refused({"$defs": {**defs, "d24": {"type": "object"}}, "$ref": "#/$defs/d0"})
    # then
    assert f"over {SUBSCHEMAS_MAX}" in error.reason


@pytest.mark.parametrize("forward", [True, False])
def test_a_long_chain_of_references_is_refused(forward: bool) -> None:
    # given
    order = range(NESTED_MAX + 1) if forward else reversed(range(NESTED_MAX + 1))
    defs: dict[str, Json] = {f"d{level}": {"$ref": f"#/$defs/d{level + 1}"} for level in order}
    # when
    error = refused({"$defs": {**defs, f"d{NESTED_MAX + 1}": {}}})
    # then
    assert str(NESTED_MAX) in error.reason


@pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
def test_more_patterns_than_may_run_are_refused(keyword: str) -> None:
    # given
    one: Json = {"pattern": "a"} if keyword == "pattern" else {"patternProperties": {"a": {}}}
    many: Json = [one] * (PATTERNS_MAX + 1)
    # when, then
    assert f"over {PATTERNS_MAX} patterns" in refused({"allOf": many}).reason


def test_a_schema_over_its_limit_is_refused() -> None:
    assert str(SCHEMA_BYTES_MAX) in refused({"description": "x" * SCHEMA_BYTES_MAX}).reason


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "((a{1000}){1000}){10}", "("])
def test_a_pattern_without_linear_time_is_refused(pattern: str) -> None:
    # when
    error = refused({"properties": {"a": {"pattern": pattern}}})
    # then
    assert error.place == "/schema/properties/a/pattern"


def test_a_pattern_that_others_take_for_ever_over_is_judged() -> None:
    assert found({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 50_000 + "!"})


def test_a_list_of_20_000_is_checked_for_repetitions() -> None:
    # given
    items: list[Json] = [{"a": number % 19_999} for number in range(20_000)]
    # when
    (violation,) = found({"properties": {"a": {"uniqueItems": True}}}, {"a": items})
    # then
    assert len(violation.reason) == TEXT_CHARS_MAX


def test_a_content_that_is_wrong_everywhere_is_told_of_once() -> None:
    # given
    items: list[Json] = [1] * LISTED_WORK_MAX
    # when
    violations = found({"properties": {"a": {"items": {"type": "string"}}}}, {"a": items})
    # then
    assert len(violations) == 1


def test_violations_are_so_many_at_most() -> None:
    # given
    items: list[Json] = [1] * 1_000
    # when
    violations = found({"properties": {"a": {"items": {"type": "string"}}}}, {"a": items})
    # then
    assert len(violations) == VIOLATIONS_MAX


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"a": {"type": "strin"}}}, "/schema/properties/a/type"),
        ({"minimum": "1"}, "/schema/minimum"),
        ({"$ref": "#/$defs/a"}, "/schema/$ref"),
        ({"$dynamicRef": "#a"}, "/schema/$dynamicRef"),
        ({"properties": {"a": {"$id": "https://example.org/"}}}, "/schema/properties/a/$id"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/schema/$schema"),
    ],
)
def test_a_schema_that_cannot_be_compiled_is_refused_with_its_place(schema: Json, place: str) -> None:
    assert refused(schema).place == place


def test_a_schema_that_cannot_be_compiled_here_judges_nothing_and_is_told_of() -> None:
    # given: a document that a newer release let in
    policies = policies_from([(SCHEMA, 1, {"namespaces": ["acme/*"], "schema": {"type": "future"}})])
    # when, then
    assert policies.violations(ROUTER, {"a": 1}) == ()
    assert [name for name, _ in policies.unusable()] == ["router"]


def test_a_schema_document_is_not_judged_by_a_schema() -> None:
    # given
    policies = policies_from([(SCHEMA, 1, {"namespaces": ["*"], "schema": {"maxProperties": 0}})])
    # when, then
    assert policies.violations(ROUTER, {"a": 1})
    assert policies.violations(SCHEMA, {"a": 1}) == ()


def test_a_deletion_always_passes() -> None:
    # given
    policies = policies_from([(SCHEMA, 1, {"namespaces": ["*"], "schema": {"required": ["a"]}})])
    # when, then
    assert policies.violations(ROUTER, None) == ()


_KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["object", "array", "string", "integer", "number", "null", "boolean"]),
    "const": scalars,
    "enum": st.lists(scalars, min_size=1, max_size=3),
    "minimum": st.integers(-3, 3),
    "exclusiveMaximum": st.integers(-3, 3),
    "maxLength": st.integers(0, 3),
    "minItems": st.integers(0, 3),
    "maxProperties": st.integers(0, 3),
    "pattern": st.sampled_from(["^a", "b+", "(", "(?=a)"]),
    "uniqueItems": st.booleans(),
    "required": st.lists(st.sampled_from(["a", "b"]), unique=True, max_size=2),
    "$ref": st.sampled_from(["#", "#/$defs/a", "#/properties/a", "#/$defs/a/allOf/0", "other.json"]),
    "x-anabranch-merge": st.sampled_from(["max", "union:id", "none such"]),
}


def _combined(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    named = st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=2)
    several = st.lists(inner, min_size=1, max_size=2)
    places: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("properties", "patternProperties", "$defs", "dependentSchemas"), named),
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), several),
        **dict.fromkeys(
            ("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then"), inner
        ),
    }
    return st.fixed_dictionaries({}, optional={**_KEYWORDS, **places})


_schemas = _combined(st.recursive(st.booleans() | st.builds(dict), _combined, max_leaves=6))


@given(_schemas, contents)
def test_a_schema_is_refused_or_judges_whatever_comes(schema: Json, content: dict[str, Json]) -> None:
    # given
    document: Json = {"namespaces": ["acme/*"], "schema": schema}
    # when
    try:
        check_schema_document(SCHEMA, document)
    except InvalidInput:
        return
    violations = policies_from([(SCHEMA, 1, document)]).violations(ROUTER, content)
    # then
    assert all(each.reason and each.passes and each.rule.startswith("#") for each in violations)
