"""Commands on the bytes that the link carries: `link show`, `link set`, `traffic`."""

import time
from typing import TYPE_CHECKING

import click

from anabranch.cli import terminal
from anabranch.cli.invocation import Invocation, command, common_options

if TYPE_CHECKING:
    from anabranch.replica.traffic import Traffic


class Size(click.ParamType[int]):
    """Bytes, as in 500kB, 2MB or 1GB; `none`: without limit."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes of `value`."""
        from anabranch_sync.budget import size_bytes

        if value == "none":
            return 0
        size = size_bytes(str(value))
        if size is None:
            self.fail(f"{str(value)!r} is no size from 20kB on, as in 500kB, 2MB or none", param, ctx)
        return size


@click.group("link", params=common_options(with_variables=False))
def link() -> None:
    """What the link to the hub carries, and what it may.

    \b
    anabranch link show
    anabranch link set --budget-day 2MB --budget-month 40MB
    """


@command("show")
def show(invocation: Invocation) -> None:
    """Tell what was carried today and this month, and what is left.

    Bytes are those of all exchanges, with an estimate of what TLS and HTTP/2 add.
    """
    with invocation.open() as client:
        now = client.replica.traffic(int(time.time() * 1000))
    _tell(invocation, now)


@command("traffic")
@click.option("--days", type=click.IntRange(1, 400), default=31, show_default=True, help="So many at most.")
def traffic(invocation: Invocation, days: int) -> None:
    """Tell what the link carried, by day (UTC), newest first; days without any are left out.

    Bytes are those of all exchanges, with an estimate of what TLS and HTTP/2 add; 400 days are kept.

    \b
    anabranch traffic
    anabranch traffic --days 7 --json
    """
    with invocation.open() as client:
        found = client.replica.traffic_days(days)
    if invocation.json:
        terminal.write_json(
            [
                {"day": each.day.isoformat(), "bytes_up": each.bytes_up, "bytes_down": each.bytes_down}
                for each in found
            ]
        )
        return
    rows = [
        (each.day.isoformat(), f"{terminal.size(each.bytes_up)} up, {terminal.size(each.bytes_down)} down")
        for each in found
    ]
    for line in terminal.columns(rows):
        terminal.write(line)
    if not found:
        terminal.write("none: the link has carried nothing yet")


@command("set")
@click.option("--budget-day", type=Size(), metavar="SIZE", help="At most so many bytes a day (UTC), or none.")
@click.option("--budget-month", type=Size(), metavar="SIZE", help="At most so many bytes a month, or none.")
def set_budget(invocation: Invocation, budget_day: int | None, budget_month: int | None) -> None:
    """Limit what the agent carries, both ways together; what is not given stays as it is.

    The hub's operator may have set limits too (`anabranch-hub edge budget`): of each the smaller holds.
    Where a budget is used up, the agent goes on with urgent changes only: it asks once an hour whether
    the hub has one. Sync is never held back, but counts.

    \b
    anabranch link set --budget-day 2MB --budget-month 40MB
    anabranch link set --budget-day none
    """
    from anabranch_sync.budget import Budget

    if budget_day is None and budget_month is None:
        raise click.UsageError("give --budget-day, --budget-month or both", click.get_current_context())
    now_ms = int(time.time() * 1000)
    with invocation.open() as client:
        known = client.replica.traffic(now_ms).own
        client.replica.set_budget(
            Budget(
                known.day_bytes if budget_day is None else budget_day,
                known.month_bytes if budget_month is None else budget_month,
            )
        )
        now = client.replica.traffic(now_ms)
    _tell(invocation, now)


def told(now: "Traffic") -> str:
    """What is left, in a line; empty without a budget."""
    from anabranch_sync.budget import forecast_bytes, left_bytes, resumes

    left = left_bytes(now.budget, now.spent)
    if left is None:
        return ""
    if not left:
        until = resumes(now.budget, now.spent, now.today)
        return f"used up, only urgent changes go until {until}{_set_by(now)}"
    words = f"{terminal.size(left)} left{_set_by(now)}"
    forecast = forecast_bytes(now.spent, now.today)
    if now.budget.month_bytes and forecast > now.budget.month_bytes:
        limit = terminal.size(now.budget.month_bytes)
        words += f"; at this rate the month ends at {terminal.size(forecast)} of {limit}"
    return words


def _set_by(now: "Traffic") -> str:
    """Whose limits hold, where it is not this machine's alone."""
    if now.budget == now.own:
        return ""
    return " (set by the hub's operator)" if now.budget == now.ordered else " (the hub's operator's in part)"


def _tell(invocation: Invocation, now: "Traffic") -> None:
    from anabranch_sync.budget import forecast_bytes, left_bytes, resumes

    if invocation.json:
        terminal.write_json(
            {
                "day": now.today.isoformat(),
                "day_bytes": now.spent.day_bytes,
                "month_bytes": now.spent.month_bytes,
                "month_bytes_up": now.month_bytes_up,
                "month_bytes_down": now.month_bytes_down,
                "month_forecast_bytes": forecast_bytes(now.spent, now.today),
                "budget_day_bytes": now.budget.day_bytes or None,
                "budget_month_bytes": now.budget.month_bytes or None,
                "own_day_bytes": now.own.day_bytes or None,
                "own_month_bytes": now.own.month_bytes or None,
                "operator_day_bytes": now.ordered.day_bytes or None,
                "operator_month_bytes": now.ordered.month_bytes or None,
                "left_bytes": left_bytes(now.budget, now.spent),
                "resumes": resumes(now.budget, now.spent, now.today).isoformat(),
            }
        )
        return
    rows = [
        ("today", _of(now.spent.day_bytes, now.budget.day_bytes)),
        ("month", _of(now.spent.month_bytes, now.budget.month_bytes)),
        ("", f"{terminal.size(now.month_bytes_up)} up, {terminal.size(now.month_bytes_down)} down"),
        ("budget", told(now) or "none: anabranch link set --budget-month 40MB sets one"),
    ]
    for line in terminal.columns(rows):
        terminal.write(line)


def _of(spent_bytes: int, limit_bytes: int) -> str:
    return terminal.size(spent_bytes) + (f" of {terminal.size(limit_bytes)}" if limit_bytes else "")


link.add_command(show)
link.add_command(set_budget)

COMMANDS = {"link": link, "traffic": traffic}
