"""Commands on the bytes that the link carries: `link show`, `link set`, `traffic`."""

import time
from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal
from anabranch_cli.options import Size

from anabranch.cli.arguments import METERED, POLL
from anabranch.cli.invocation import Invocation, command, common_options

if TYPE_CHECKING:
    from anabranch.replica import LinkMode
    from anabranch.replica.traffic import Traffic


@click.group("link", params=common_options(with_variables=False))
def link() -> None:
    """What the link to the hub carries, and what it may.

    \b
    anabranch link show
    anabranch link set --metered --budget-day 2MB --budget-month 40MB
    """


@command("show")
def show(invocation: Invocation) -> None:
    """Tell how the agent keeps in touch, what was carried today and this month, and what is left.

    Bytes are those of all exchanges, with an estimate of what TLS and HTTP/2 add.
    """
    with invocation.open() as client:
        now, mode = client.replica.traffic(int(time.time() * 1000)), client.replica.link_mode()
    _tell(invocation, now, mode)


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
@POLL
@METERED
def set_link(
    invocation: Invocation,
    budget_day: int | None,
    budget_month: int | None,
    poll_ms: int | None,
    metered: bool | None,
) -> None:
    """Say how the agent keeps in touch and how much it carries; what is not given stays as it is.

    How it keeps in touch holds from its next start on. A budget counts both ways together.

    The hub's operator may have set limits too (`anabranch-hub edge budget`): of each the smaller holds.
    Where a budget is used up, the agent goes on with urgent changes only: it asks once an hour whether
    the hub has one. Sync is never held back, but counts.

    \b
    anabranch link set --budget-day 2MB --budget-month 40MB
    anabranch link set --budget-day none
    anabranch link set --poll 1h --metered
    """
    from anabranch_sync.budget import Budget

    from anabranch.replica import LinkMode

    if all(each is None for each in (budget_day, budget_month, poll_ms, metered)):
        raise click.UsageError("give a budget, --poll, --metered or --free", click.get_current_context())
    now_ms = int(time.time() * 1000)
    with invocation.open() as client:
        own, before = client.replica.traffic(now_ms).own, client.replica.link_mode()
        budget = Budget(
            own.day_bytes if budget_day is None else budget_day,
            own.month_bytes if budget_month is None else budget_month,
        )
        mode = LinkMode(
            before.poll_ms if poll_ms is None else poll_ms, before.metered if metered is None else metered
        )
        if budget != own:
            client.replica.set_budget(budget)
        if mode != before:
            client.replica.set_link_mode(mode)
        now = client.replica.traffic(now_ms)
        waits = mode != before and client.replica.agent_running()
    _tell(invocation, now, mode)
    if waits:
        terminal.say("anabranch: an agent is running, and keeps in touch so from its next start on")


def mode_told(mode: "LinkMode") -> str:
    """How the agent keeps in touch."""
    poll = f"looks in each {terminal.duration(mode.poll_ms / 1000)}" if mode.poll_ms else "holds a connection"
    return poll + (", metered: changes are saved up" if mode.metered else "")


def told(now: "Traffic") -> str:
    """What is left, in a line; empty without a budget."""
    from anabranch_sync.budget import ends, left_bytes, resumes

    left = left_bytes(now.budget, now.spent)
    if left is None:
        return ""
    if not left:
        until = resumes(now.budget, now.spent, now.today)
        return f"used up, only urgent changes go until {until}{_set_by(now)}"
    words = f"{terminal.size(left)} left{_set_by(now)}"
    end = ends(now.budget, now.spent, now.today)
    return words if end is None else f"{words}; at this rate the month's budget ends on {end}"


def _set_by(now: "Traffic") -> str:
    """Whose limits hold, where it is not this machine's alone."""
    if now.budget == now.own:
        return ""
    return " (set by the hub's operator)" if now.budget == now.ordered else " (the hub's operator's in part)"


def _tell(invocation: Invocation, now: "Traffic", mode: "LinkMode") -> None:
    from anabranch_sync.budget import ends, forecast_bytes, left_bytes, resumes

    end = ends(now.budget, now.spent, now.today)
    if invocation.json:
        terminal.write_json(
            {
                "poll_s": mode.poll_ms // 1000 or None,
                "metered": mode.metered,
                "day": now.today.isoformat(),
                "day_bytes": now.spent.day_bytes,
                "month_bytes": now.spent.month_bytes,
                "month_bytes_up": now.month_bytes_up,
                "month_bytes_down": now.month_bytes_down,
                "month_forecast_bytes": forecast_bytes(now.spent, now.today),
                "month_budget_ends": None if end is None else end.isoformat(),
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
        ("agent", mode_told(mode)),
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
link.add_command(set_link)

COMMANDS = {"link": link, "traffic": traffic}
