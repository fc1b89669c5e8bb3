"""What a link may carry, and when it goes on."""

from datetime import date

import pytest
from anabranch_sync.budget import Budget, Spent, ends, forecast_bytes, left_bytes, resumes, smaller
from hypothesis import given
from hypothesis import strategies as st

TODAY = date(2026, 11, 10)


def test_without_a_budget_there_is_no_limit() -> None:
    assert left_bytes(Budget(), Spent(10**12, 10**12)) is None
    assert resumes(Budget(), Spent(10**12, 10**12), TODAY) == TODAY


@pytest.mark.parametrize(
    ("own", "ordered"),
    [(Budget(1, 2), Budget(3, 4)), (Budget(1, 4), Budget(3, 2)), (Budget(0, 2), Budget(1, 0))],
)
def test_of_an_edges_limits_and_its_operators_the_smaller_holds(own: Budget, ordered: Budget) -> None:
    assert smaller(own, ordered) == smaller(ordered, own) == Budget(1, 2)


@pytest.mark.parametrize(
    ("budget", "left", "on"),
    [
        (Budget(day_bytes=300), 100, TODAY),
        (Budget(day_bytes=200), 0, date(2026, 11, 11)),
        (Budget(month_bytes=900), 0, date(2026, 12, 1)),
        (Budget(day_bytes=100, month_bytes=900), 0, date(2026, 12, 1)),
        (Budget(day_bytes=300, month_bytes=1_050), 50, TODAY),
    ],
)
def test_the_tighter_of_both_limits_counts(budget: Budget, left: int, on: date) -> None:
    spent = Spent(day_bytes=200, month_bytes=1_000)

    assert (left_bytes(budget, spent), resumes(budget, spent, TODAY)) == (left, on)


def test_the_month_is_forecast_from_its_days_so_far() -> None:
    assert forecast_bytes(Spent(0, 10_000_000), TODAY) == 30_000_000


@given(st.builds(Budget, st.integers(0, 9), st.integers(0, 9)), st.builds(Spent, *2 * [st.integers(0, 9)]))
def test_it_goes_on_later_exactly_where_nothing_is_left(budget: Budget, spent: Spent) -> None:
    assert (left_bytes(budget, spent) == 0) == (resumes(budget, spent, TODAY) > TODAY)


@pytest.mark.parametrize(
    ("month_bytes", "on"),
    [
        (0, None),  # without a limit it never ends
        (30_001, None),
        (30_000, date(2026, 11, 30)),
        (15_000, date(2026, 11, 15)),
        (9_000, TODAY),
    ],
)
def test_the_day_on_which_the_months_budget_ends_is_foretold(month_bytes: int, on: date | None) -> None:
    assert date(2026, 11, 10) == TODAY
    assert ends(Budget(month_bytes=month_bytes), Spent(0, 10_000), TODAY) == on
