"""How many bytes a link may carry in a day and in a month, and what that leaves. Days are those of UTC."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

# What gRPC, HTTP/2 and TLS add, measured with certificates of P-256: to each connection, up and down, to each
# frame, and by a ping with its answer.
CONNECTION_BYTES_UP, CONNECTION_BYTES_DOWN = 2_500, 3_500
FRAME_BYTES = 60
PING_BYTES = 110


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


def forecast_bytes(spent: Spent, today: date) -> int:
    """What the month comes to if it goes on as it went until the end of `today`."""
    return spent.month_bytes * monthrange(today.year, today.month)[1] // today.day
