import io
import json

import pytest
from anabranch_cli import terminal
from anabranch_sync.value import Json
from hypothesis import given
from hypothesis import strategies as st

_JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON)
def test_json_text_equals_its_value_and_holds_nothing_a_terminal_obeys(value: Json) -> None:
    # when
    text = terminal.json_text(value)

    # then
    assert json.loads(text) == value
    assert all(character == "\n" or character.isprintable() for character in text)


@given(st.text())
def test_a_line_of_text_is_one_printable_line(text: str) -> None:
    assert terminal.one_line(text).isprintable()


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x7f", "\\x7f"),
        ("abc\u202edef", "abc\\u202edef"),
        ("\ud800", "\\ud800"),
        ("Ada é 漢", "Ada é 漢"),
    ],
)
def test_what_a_terminal_might_obey_is_shown_as_an_escape(hostile: str, shown: str) -> None:
    assert terminal.one_line(hostile) == shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_600, "1 h"),
        (3_720, "1 h 2 min"),
        (86_400, "1 d"),
        (12 * 86_400 + 4 * 3_600, "12 d 4 h"),
    ],
)
def test_a_length_of_time_has_its_two_most_telling_units(seconds: float, words: str) -> None:
    assert terminal.duration(seconds) == words


def test_columns_are_aligned_and_the_last_is_not_padded() -> None:
    assert terminal.columns([("a", "1"), ("long name", "22")], heading=("name", "n")) == [
        "name       n",
        "a          1",
        "long name  22",
    ]


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_only_for_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.painted("ok", "green", _Screen()) == "\x1b[32mok\x1b[0m"
    assert terminal.painted("ok", "green", io.StringIO()) == "ok"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.painted("ok", "green", _Screen()) == "ok"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert terminal.painted("ok", "green", _Screen()) == "ok"
