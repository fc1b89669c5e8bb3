"""Values: kept exactly, or refused with the place named."""

import json
import math
from enum import IntEnum

import pytest
from anabranch_sync.errors import InvalidValue
from anabranch_sync.value import (
    DEPTH_MAX,
    INT_MAX,
    INT_MIN,
    Json,
    canonical,
    check,
    parse_json,
    rank,
    render_json,
    same,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.strategies import json_values


class Level(IntEnum):
    LOW = 1


def nested(depth: int) -> Json:
    value: Json = 1
    for _ in range(depth):
        value = [value]
    return value


@given(json_values)
def test_what_is_rendered_is_parsed_again_exactly(value: Json) -> None:
    for indent in (None, 2):
        assert canonical(parse_json(render_json(value, indent=indent))) == canonical(value)


@given(json_values)
def test_a_checked_value_is_a_copy_of_equal_content(value: Json) -> None:
    checked = check(value)

    assert same(checked, value)
    assert checked is not value or not isinstance(value, list | dict)


@given(json_values, json_values)
def test_equal_values_and_only_they_have_equal_bytes(one: Json, other: Json) -> None:
    assert same(one, other) == (canonical(one) == canonical(other))
    # json.dumps is another witness of exact types: it writes 1, 1.0 and true in three ways.
    assert same(one, other) == (render_json(one) == render_json(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0, False),
        (0, None),
        (0.0, -0.0),
        ([], {}),
        ("1", 1),
        ([1], [1.0]),
        ("\u00e9", "e\u0301"),
    ],
)
def test_values_that_python_or_people_confuse_differ(one: Json, other: Json) -> None:
    assert not same(one, other)
    assert canonical(one) != canonical(other)


def test_the_order_of_keys_does_not_count_however_deep() -> None:
    one: Json = {"a": [{"x": 1, "y": {"p": 1, "q": 2}}], "b": 2}
    other: Json = {"b": 2, "a": [{"y": {"q": 2, "p": 1}, "x": 1}]}

    assert same(one, other)
    assert canonical(one) == canonical(other)
    assert render_json(one) == render_json(other)


@given(json_values, json_values, json_values)
def test_rank_is_a_total_order(one: Json, two: Json, three: Json) -> None:
    low, middle, high = sorted([one, two, three], key=rank)
    assert rank(low) <= rank(middle) <= rank(high)
    assert rank(low) <= rank(high)


@given(st.integers(INT_MIN, INT_MAX), st.floats(allow_nan=False, allow_infinity=False))
def test_rank_compares_numbers_by_value_across_types(whole: int, fraction: float) -> None:
    assert (rank(whole) < rank(fraction)) == (whole < fraction)


# In the manner of JSONTestSuite: what a strict parser accepts, and as what.
ACCEPTED: list[tuple[str, Json]] = [
    ("null", None), (" \t\r\n true ", True), ("0", 0), ("-0", 0), ("-0.0", -0.0), ("1E2", 100.0),
    ("1.0", 1.0), ("1e-400", 0.0), ("9223372036854775807", INT_MAX), ("-9223372036854775808", INT_MIN),
    ('""', ""), (r'"\u00e9"', "é"), (r'"\ud83d\ude00"', "😀"), (r'"\u0000"', "\x00"), ('"\x7f"', "\x7f"),
    ("[]", []), ("{}", {}), ("[[],[[]]]", [[], [[]]]),
    ('{"":0}', {"": 0}), ('{"a":{"a":1}}', {"a": {"a": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), ACCEPTED)
def test_strict_json_is_accepted_with_exact_types(text: str, value: Json) -> None:
    assert same(parse_json(text), value)
    assert same(parse_json(text.encode()), value)


REFUSED: list[tuple[str, str]] = [
    # not a number
    ("NaN", ""), ("[1,NaN]", "/1"), ('{"a":{"b":Infinity}}', "/a/b"), ("-Infinity", ""),
    ("1e400", ""), ('{"a/b":[-1e400]}', "/a~1b/0"), ("[0.1e999999]", "/0"),
    # beyond 64 bits
    ("18446744073709551616", ""), ("9223372036854775808", ""), ('{"n":-9223372036854775809}', "/n"),
    ('{"n":123456789012345678901234567890}', "/n"),
    # duplicate keys, at any depth, also when spelt differently
    ('{"a":1,"a":1}', "/a"), ('{"a":[{"b":1,"c":2,"b":3}]}', "/a/0/b"), (r'{"a":1,"\u0061":2}', "/a"),
    ('{"a":1,"b":{"~":1,"~":2}}', "/b/~0"), ('{"":1,"":2}', "/"),
    # lone surrogates
    (r'"\ud800"', ""), (r'{"a":"\udfff"}', "/a"), (r'["\ud83d","ok"]', "/0"), (r'"\ude00\ud83d"', ""),
    # malformed
    ("", ""), (" ", ""), ("nul", ""), ("True", ""), ("[1,]", ""), ("[,1]", ""), ("[1 2]", ""), ("[1", ""),
    ('{"a":1,}', ""), ("{a:1}", ""), ("{'a':1}", ""), ('{"a"}', ""), ('{"a":}', ""), ("{1:2}", ""),
    ("01", ""), ("-01", ""), ("+1", ""), (".5", ""), ("1.", ""), ("1.e1", ""), ("-", ""), ("0x1", ""),
    ("1_000", ""), ("\uff11", ""), ("- 1", ""),
    ("1e", ""), ("'a'", ""), ('"a', ""), ('"\n"', ""), ('"\t"', ""),
    (r'"\x41"', ""), (r'"\u12"', ""), (r'"\u{41}"', ""), ('"a" "b"', ""), ("1 2", ""), ("[] []", ""),
    ("// comment\n1", ""), ("/**/1", ""), ("\f1", ""), ("\u00a01", ""), ("1;", ""), ("undefined", ""),
    ("\ufeff1", ""), ("]", ""), ("{", ""), ("\x00", ""), ("nan", ""), ("inf", ""), ("--1", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place"), REFUSED)
def test_what_is_not_strict_json_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_json(text)

    assert refused.value.place == place
    assert "\n" not in str(refused.value)
    str(refused.value).encode()  # can be printed


@pytest.mark.parametrize("key", [r"\ud800", r"a\udc00b"])
def test_a_lone_surrogate_in_a_key_is_refused_and_can_be_printed(key: str) -> None:
    with pytest.raises(InvalidValue, match="lone surrogate") as refused:
        parse_json(f'{{"a":{{"{key}":1}}}}')

    assert refused.value.place.startswith("/a/")
    str(refused.value).encode()


@pytest.mark.parametrize("raw", [b"\xff", b'"\xc3\x28"', b'"\xed\xa0\x80"', b'"\xc0\xaf"', b"\xfe\xff1"])
def test_bytes_that_are_not_utf8_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidValue, match="not UTF-8 at byte"):
        parse_json(raw)


def test_a_byte_order_mark_is_refused() -> None:
    with pytest.raises(InvalidValue, match="not JSON"):
        parse_json(b"\xef\xbb\xbf{}")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_is_refused_beyond_the_limit_and_never_exhausts_the_stack(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    at_limit = opening * DEPTH_MAX + "1" + closing * DEPTH_MAX
    assert canonical(parse_json(at_limit))

    with pytest.raises(InvalidValue, match=r"depth 65, limit 64") as refused:
        parse_json(opening * 65 + "1" + closing * 65)
    assert refused.value.place.count("/") == DEPTH_MAX

    for depth in (1_000, 100_000):
        with pytest.raises(InvalidValue):
            parse_json(opening * depth + "1" + closing * depth)
        with pytest.raises(InvalidValue):
            parse_json(opening * depth)


def test_a_number_of_a_million_digits_is_refused_without_being_computed() -> None:
    with pytest.raises(InvalidValue, match="more than 20 digits") as refused:
        parse_json('{"n":[' + "9" * 1_000_000 + "]}")

    assert refused.value.place == "/n/0"
    assert len(str(refused.value)) < 200


def test_a_fraction_of_a_million_digits_is_a_float() -> None:
    assert parse_json("0." + "3" * 1_000_000) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": math.nan}, "/a"), ([math.inf], "/0"), ({"a": [1, {"b": 2**63}]}, "/a/1/b"),
        (-(2**63) - 1, ""),
        ({"a": {1: 2}}, "/a"), ({"a": {None: 2}}, "/a"), ({"a": {1, 2}}, "/a"), ([b"x"], "/0"),
        (object(), ""), ({"a": Level.LOW}, "/a"), ([1j], "/0"), ({"s": "\udc80"}, "/s"),
        (nested(65), "/0" * 64),
    ],
)  # fmt: skip
def test_python_values_that_are_not_json_are_refused_with_their_place(value: object, place: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        check(value)

    assert refused.value.place == place


def test_a_list_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(InvalidValue, match="depth 65"):
        check(endless)


def test_tuples_become_lists() -> None:
    assert check({"a": (1, (2,))}) == {"a": [1, [2]]}


@given(st.text(max_size=20))
def test_any_text_is_parsed_or_refused_and_nothing_else(text: str) -> None:
    try:
        value = parse_json(text)
    except InvalidValue:
        return
    assert json.loads(text) == value
