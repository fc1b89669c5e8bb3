"""What the link has carried, by day, and what it may. Each function is one transaction's work."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from anabranch_sync.budget import Budget, Spent, smaller

from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL

# A year and a month, to compare with: 13 KB.
DAYS_KEPT = 400


@dataclass(frozen=True, slots=True)
class Traffic:
    """A link's budgets, and what was carried on `today` and in its month, the transport's share estimated.

    `own` was set here, `ordered` by the hub's operator; what holds is `budget`.
    """

    today: date
    own: Budget
    ordered: Budget
    spent: Spent
    month_bytes_up: int
    month_bytes_down: int

    @property
    def budget(self) -> Budget:
        """What holds: of each limit the smaller."""
        return smaller(self.own, self.ordered)


def spend(connection: Connection, bytes_up: int, bytes_down: int, now_ms: int) -> None:
    """Count bytes that were carried now."""
    today = _day(now_ms)
    connection.execute(SQL["spend"], (today.isoformat(), bytes_up, bytes_down))
    connection.execute(SQL["trim_traffic"], ((today - timedelta(days=DAYS_KEPT)).isoformat(),))


def traffic(connection: Connection, now_ms: int) -> Traffic:
    """What is known of the link. `connection` holds one snapshot."""
    today = _day(now_ms)
    last, first = today.isoformat(), today.replace(day=1).isoformat()
    day = connection.execute(SQL["traffic"], (last, last)).fetchone()
    month = connection.execute(SQL["traffic"], (first, last)).fetchone()
    own_day, own_month, ordered_day, ordered_month = connection.execute(SQL["budget"]).fetchone()
    own, ordered = Budget(own_day, own_month), Budget(ordered_day, ordered_month)
    return Traffic(today, own, ordered, Spent(sum(day), sum(month)), *month)


@dataclass(frozen=True, slots=True)
class Day:
    """What the link carried on one day of UTC, the transport's share estimated."""

    day: date
    bytes_up: int
    bytes_down: int


def days(connection: Connection, days_max: int) -> tuple[Day, ...]:
    """The newest days on which the link carried something, newest first."""
    rows = connection.execute(SQL["traffic_days"], (days_max,))
    return tuple(Day(date.fromisoformat(day), up, down) for day, up, down in rows)


def _day(now_ms: int) -> date:
    return datetime.fromtimestamp(now_ms / 1000, UTC).date()
