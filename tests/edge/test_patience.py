"""How long a person who asks for one exchange is left waiting."""

import time

import pytest
from anabranch.patience import CONNECT_ATTEMPTS_MAX, CONNECT_S_MAX, STANDSTILL_S_MAX, Patience


class Steady:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Steady:
    return Steady(monkeypatch)


def test_without_a_connection_it_ends_after_some_seconds_or_some_refusals(steady: Steady) -> None:
    slow, refused = Patience(), Patience()

    assert [refused.refused() for _ in range(CONNECT_ATTEMPTS_MAX)] == [False] * 3 + [True]
    steady.now_s += CONNECT_S_MAX - 1
    assert slow.left_ms == 1_000
    assert not slow.refused()
    steady.now_s += 1

    assert slow.left_ms == 0
    assert slow.refused()
    assert slow.reason == "no connection within 15 s"


def test_with_a_connection_it_begins_anew_with_what_comes_forward_and_not_with_another_connection(
    steady: Steady,
) -> None:
    patience = Patience()
    patience.connected()
    steady.now_s += STANDSTILL_S_MAX - 1
    patience.connected()
    assert patience.left_ms == 1_000

    patience.advanced()
    assert [patience.refused() for _ in range(2 * CONNECT_ATTEMPTS_MAX)] == [False] * 8
    steady.now_s += STANDSTILL_S_MAX

    assert patience.refused()
    assert patience.reason == "nothing came forward for 60 s"
