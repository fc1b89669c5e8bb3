"""`anabranch link`: what the link carries, and what it may."""

import time

import pytest
from anabranch.replica import Replica
from anabranch_sync.budget import Budget

from tests.edge.cli.conftest import Anabranch


def carry(anabranch: Anabranch, bytes_both_ways: int) -> None:
    with Replica.open(anabranch.path) as replica:
        replica.spend(bytes_both_ways // 2, bytes_both_ways // 2, int(time.time() * 1000))


def test_a_link_without_a_budget_is_told_how_to_get_one(anabranch: Anabranch) -> None:
    shown = anabranch("link", "show").out

    assert "none: anabranch link set --budget-month 40MB sets one" in shown
    assert "\n  budget  " not in anabranch("status").out


def test_a_budget_says_what_is_left_and_stays_where_it_is_not_given(anabranch: Anabranch) -> None:
    # given
    carry(anabranch, 500_000)
    # when
    anabranch("link", "set", "--budget-day", "2MB", "--budget-month", "40MB")
    facts = anabranch("link", "set", "--budget-day", "none", "--json").json
    # then
    assert (facts["budget_day_bytes"], facts["budget_month_bytes"]) == (None, 40_000_000)
    assert (facts["month_bytes"], facts["left_bytes"]) == (500_000, 39_500_000)
    assert "39.5 MB left" in anabranch("status").out


def test_status_tells_that_a_budget_is_used_up_and_until_when(anabranch: Anabranch) -> None:
    anabranch("link", "set", "--budget-day", "20kB")
    carry(anabranch, 20_000)

    assert "used up, only urgent changes go until 2" in anabranch("status").out


def test_a_budget_that_would_be_overrun_is_forecast(anabranch: Anabranch) -> None:
    carry(anabranch, 35_000_000)

    shown = anabranch("link", "set", "--budget-month", "36MB").out

    assert "1.0 MB left" in shown
    assert "at this rate the month's budget ends on 2" in shown or time.gmtime().tm_mday > 29


def test_a_size_that_is_none_is_refused_with_what_would_do(anabranch: Anabranch) -> None:
    assert "from 20kB on, as in 500kB, 2MB or none" in anabranch("link", "set", "--budget-day", "2").err
    assert anabranch("link", "set").code == 2


def test_whose_limits_hold_is_told_and_the_own_ones_stay(anabranch: Anabranch) -> None:
    # given
    with Replica.open(anabranch.path) as replica:
        replica.order_budget(Budget(day_bytes=1_000_000))
    # then
    assert "1.0 MB left (set by the hub's operator)" in anabranch("status").out
    # and with limits of its own
    facts = anabranch("link", "set", "--budget-day", "2MB", "--budget-month", "40MB", "--json").json
    assert (facts["budget_day_bytes"], facts["budget_month_bytes"]) == (1_000_000, 40_000_000)
    assert (facts["own_day_bytes"], facts["operator_day_bytes"]) == (2_000_000, 1_000_000)
    assert "(the hub's operator's in part)" in anabranch("link", "show").out


def test_traffic_is_told_by_day_newest_first(anabranch: Anabranch) -> None:
    # given
    assert "nothing yet" in anabranch("traffic").out
    with Replica.open(anabranch.path) as replica:
        replica.spend(1_000, 2_000, 1_800_000_000_000)
        replica.spend(10, 20, 1_800_000_000_000)
        replica.spend(3_000_000, 4, 1_800_086_400_000)
    # then
    assert anabranch("traffic", "--json").json == [
        {"day": "2027-01-16", "bytes_up": 3_000_000, "bytes_down": 4},
        {"day": "2027-01-15", "bytes_up": 1_010, "bytes_down": 2_020},
    ]
    assert "2027-01-16  3.0 MB up, 4 B down" in anabranch("traffic", "--days", "1").out


def test_how_the_agent_keeps_in_touch_is_set_shown_and_undone(anabranch: Anabranch) -> None:
    # given
    assert "holds a connection" in anabranch("link", "show").out
    # when
    facts = anabranch("link", "set", "--poll", "1h", "--metered", "--json").json
    # then
    assert (facts["poll_s"], facts["metered"]) == (3600, True)
    assert "looks in each 1 h, metered: changes are saved up" in anabranch("status").out
    assert anabranch("status", "--json").json["mode"] == {"poll_ms": 3_600_000, "metered": True}
    # when
    anabranch("link", "set", "--poll", "none")
    anabranch("link", "set", "--free")
    # then
    assert anabranch("status", "--json").json["mode"] == {"poll_ms": 0, "metered": False}


@pytest.mark.parametrize(
    ("command", "priority"),
    [
        (("set", "acme/prod/router", "/a", "1"), 1),
        (("set", "acme/prod/router", "/a", "1", "--urgent"), 0),
        (("delete", "acme/prod/router", "/model", "--urgent"), 0),
        (("rollback", "acme/prod/router", "--to", "1", "--urgent"), 0),
        (("patch", "acme/prod/router", "-", "--urgent"), 0),
        (("import", "-", "--urgent"), 0),
        (("import", "-", "--bulk"), 2),
    ],
)
def test_a_change_is_as_pressing_as_its_author_says(
    anabranch: Anabranch, command: tuple[str, ...], priority: int
) -> None:
    # given two states, of which nothing waits any more
    anabranch("set", "acme/prod/router", "/model", '"a"')
    anabranch("set", "acme/prod/router", "/model", '"b"')
    with Replica.open(anabranch.path) as replica:
        replica.acknowledge(2, b"12345678")
    stdin = {
        "patch": '[{"op": "add", "path": "/b", "value": 1}]',
        "import": '{"acme/prod/router/config": {}}',
    }
    # when
    assert anabranch(*command, stdin=stdin.get(command[0], "")).code == 0
    # then
    with Replica.open(anabranch.path) as replica:
        assert replica.most_pressing_unsent() == priority
