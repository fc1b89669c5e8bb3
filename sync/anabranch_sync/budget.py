"""How many bytes a link may carry in a day and in a month, and what that leaves. Days are those of UTC."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

# What gRPC, HTTP/2 and TLS add, measured with certificates of P-256: to each connection, up and down, to each
# frame, and by a ping with its answer.
CONNECTION_BYTES_UP, CONNECTION_BYTES_DOWN = 2_500, 3_500
FRAME_BYTES = 60
PING_BYTES = 110
# A limit that an exchange of nothing would pass is no limit but a switched-off link.
BUDGET_BYTES_MIN = 20_000

_UNITS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class Budget:
    """What the link may carry, both ways together; 0: without limit."""

    day_bytes: int = 0
    month_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """What it has carried on this day and in its month, the day included."""

    day_bytes: int = 0
    month_bytes: int = 0


NO_BUDGET = Budget()


def size_bytes(text: str) -> int | None:
    """The bytes of a limit as a person writes it: 500kB, 2MB, 1GB; None where that is none, or too small."""
    given = re.fullmatch(r"([0-9]{1,9})([kMG]?)B?", text)
    size = int(given[1]) * _UNITS[given[2]] if given else 0
    return size if size >= BUDGET_BYTES_MIN else None


def smaller(own: Budget, ordered: Budget) -> Budget:
    """What holds of the edge's own budget and its operator's: of each limit the smaller."""
    return Budget(
        min(filter(None, (own.day_bytes, ordered.day_bytes)), default=0),
        min(filter(None, (own.month_bytes, ordered.month_bytes)), default=0),
    )


def left_bytes(budget: Budget, spent: Spent) -> int | None:
    """What may still be carried now, 0 at least; None without a limit."""
    limits = ((budget.day_bytes, spent.day_bytes), (budget.month_bytes, spent.month_bytes))
    left = [max(0, limit - used) for limit, used in limits if limit]
    return min(left, default=None)


def resumes(budget: Budget, spent: Spent, today: date) -> date:
    """The first day on which there is something left again: today, tomorrow, or the next month's first."""
    if budget.month_bytes and spent.month_bytes >= budget.month_bytes:
        return today.replace(day=monthrange(today.year, today.month)[1]) + timedelta(days=1)
    if budget.day_bytes and spent.day_bytes >= budget.day_bytes:
        return today + timedelta(days=1)
    return today


def resumes_ms(budget: Budget, spent: Spent, today: date) -> int:
    """When there is something left again, in ms since 1970; 0: there is now."""
    day = resumes(budget, spent, today)
    return 0 if day == today else int(datetime.combine(day, time(), UTC).timestamp()) * 1000


def ends(budget: Budget, spent: Spent, today: date) -> date | None:
    """The day on which the month's budget is used up at the rate of the month so far; None: in none of it."""
    if not budget.month_bytes or not spent.month_bytes:
        return None
    day = -(-budget.month_bytes * today.day // spent.month_bytes)
    if day > monthrange(today.year, today.month)[1]:
        return None
    return today.replace(day=max(day, today.day))


def forecast_bytes(spent: Spent, today: date) -> int:
    """What the month comes to if it goes on as it went until the end of `today`."""
    return spent.month_bytes * monthrange(today.year, today.month)[1] // today.day
