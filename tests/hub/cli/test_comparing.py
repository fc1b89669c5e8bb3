"""Colours are for a person at a terminal who wants them; the text says everything without."""

import pytest
from anabranch_cli import terminal
from anabranch_hub.cli import comparing
from anabranch_hub.store import Pair, Stored
from anabranch_sync.ids import document_id

ROUTER = document_id("acme/prod/router")
PAIR = Pair(
    ROUTER,
    Stored(ROUTER, {"limit": 600, "old": "\x1b[2J"}, 1, 1, 1),
    Stored(ROUTER, {"limit": 800}, 2, 2, 2),
)


@pytest.mark.parametrize(
    ("variables", "is_terminal", "coloured"),
    [({}, True, True), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, True, False), ({}, False, False)],
)
def test_a_comparison_is_coloured_where_colours_are_wanted(
    variables: dict[str, str],
    is_terminal: bool,
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # given
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(terminal, "is_terminal", lambda stream: is_terminal)

    # when
    comparing.told(PAIR)

    # then
    out = capsys.readouterr().out
    plain = out
    for colour in ("31", "32", "1", "2"):
        plain = plain.replace(f"\x1b[{colour}m", "")
    assert plain.replace("\x1b[0m", "").splitlines() == [
        "acme/prod/router/config  version 1 -> version 2",
        "~ /limit  600 -> 800",
        '- /old  "\\u001b[2J"',
    ]
    assert ("\x1b[31m600\x1b[0m -> \x1b[32m800\x1b[0m" in out) == coloured
    assert ("\x1b" in out) == coloured
