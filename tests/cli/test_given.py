import io
import sys
from pathlib import Path

import pytest
from anabranch_cli.failure import UnusableInput
from anabranch_cli.given import VALUE_BYTES_MAX, given_json, given_value
from anabranch_sync.errors import InvalidValue
from anabranch_sync.value import Json, same


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("600", 600),
        ("-1", -1),
        ("1.0", 1.0),
        ("1e3", 1000.0),
        ("true", True),
        ("null", None),
        ('"gpt"', "gpt"),
        ('{"a": [1, {}]}', {"a": [1, {}]}),
        ('"@here"', "@here"),
        ('"-"', "-"),
    ],
)
def test_a_value_that_is_json_is_that_value(given: str, value: Json) -> None:
    assert same(given_value(given, as_text=False), value)


@pytest.mark.parametrize(
    "given", ["gpt-4o", "eu-west-1", "a b", "é", "@", "/var/run", "nano", "truely", "~x"]
)
def test_a_word_that_does_not_look_like_json_is_a_string(given: str) -> None:
    assert given_value(given, as_text=False) == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        "{",
        '{"a":1',
        "[1,]",
        "1.10.2",
        "10.0.0.1",
        "+5",
        "-x",
        ".5",
        "True",
        "None",
        "TRUE",
        "01",
        '"open',
        "2026-11-23",
    ],
)
def test_a_slip_in_json_is_never_stored_as_text(given: str) -> None:
    with pytest.raises(InvalidValue, match="--string"):
        given_value(given, as_text=False)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("NaN", "not a finite number"),
        ("Infinity", "not a finite number"),
        ("-Infinity", "not a finite number"),
        ("1e400", "not a finite number"),
        ("18446744073709551616", "beyond 64 bits"),
        ("9" * 5000, "limit 64 bits"),
        ('{"a": 1, "a": 2}', "duplicate key"),
        ('"\\ud800"', "lone surrogate"),
        ("bytes\udcff", "lone surrogate"),
        ("[" * 65 + "]" * 65, "limit 64"),
        ("[" * 100_000, "flatten it"),
    ],
)
def test_a_value_that_cannot_be_kept_exactly_is_refused_with_its_reason(given: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        given_value(given, as_text=False)


@pytest.mark.parametrize("given", ["1.10", "NaN", "", "{", "true", "gpt-4o"])
def test_with_string_the_text_is_stored_as_it_is(given: str) -> None:
    assert given_value(given, as_text=True) == given


def test_a_file_is_json_unless_it_is_taken_as_text(tmp_path: Path) -> None:
    # given
    prompt = tmp_path / "prompt.txt"
    prompt.write_bytes(b"Hello,\n  world\n")
    content = tmp_path / "content.json"
    content.write_bytes(b'\xef\xbb\xbf{"a": 1}\n')

    # then
    assert given_value(f"@{content}", as_text=False) == {"a": 1}
    assert given_value(f"@{prompt}", as_text=True) == "Hello,\n  world\n"
    with pytest.raises(InvalidValue, match="--string"):
        given_value(f"@{prompt}", as_text=False)


def test_standard_input_is_read_for_a_hyphen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[1, 2]")))
    assert given_value("-", as_text=False) == [1, 2]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    # given
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (VALUE_BYTES_MAX + 1))
    latin = tmp_path / "latin.json"
    latin.write_bytes(b'"\xe9"')

    # then
    for path, reason in (
        (tmp_path / "absent", "No such file"),
        (tmp_path, "Is a directory"),
        (large, str(VALUE_BYTES_MAX)),
        (latin, "not UTF-8 at byte 1"),
    ):
        with pytest.raises(UnusableInput, match=reason) as caught:
            given_json(str(path), VALUE_BYTES_MAX)
        assert str(path) in str(caught.value)
