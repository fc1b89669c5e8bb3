"""References: how a person names a state of the past.

::

    17                      version 17 of a document
    @204                    everything as it stood at position 204 of the tenant's order
    2026-11-29T15:30:00Z    everything as it stood then (ISO 8601; without an offset it is UTC)
    2h, 7d, 90s, 30min      everything as it stood so long ago
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from anabranch_sync.errors import InvalidReference
from anabranch_sync.ids import HubSeq
from anabranch_sync.value import INT_MAX

FORMS = "a version (17), a position (@204), a time (2026-11-29T15:30:00Z) or an age (2h, 7d)"

_AGE = re.compile(r"(\d{1,9})(s|min|h|d|w)")
_UNIT_MS = {"s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
# Longer digits are not worth converting: nothing counts that far.
_DIGITS_MAX = 19


@dataclass(frozen=True, slots=True)
class AtVersion:
    """The n-th state of one document; there is no 0th."""

    version: int

    def __str__(self) -> str:
        return f"version {self.version}"


@dataclass(frozen=True, slots=True)
class AtPosition:
    """What stood once the change at this position was decided."""

    hub_seq: HubSeq

    def __str__(self) -> str:
        return f"position {self.hub_seq}"


@dataclass(frozen=True, slots=True)
class AtTime:
    """What stood at this time, milliseconds since 1970."""

    wall_ms: int

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.wall_ms // 1000, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


Reference: TypeAlias = AtVersion | AtPosition | AtTime
# What names a state of many documents at once.
Moment: TypeAlias = AtPosition | AtTime


def parse_reference(text: str, now_ms: int) -> Reference:
    """The reference that `text` is; ages count back from `now_ms`. Raises InvalidReference."""
    if text.isascii() and text.isdigit():
        return AtVersion(_number(text, text, at_least=1))
    if text.startswith("@"):
        digits = text[1:]
        if not (digits.isascii() and digits.isdigit()):
            raise InvalidReference(text, "a position is written as in @204")
        return AtPosition(_number(text, digits, at_least=0))
    if age := _AGE.fullmatch(text):
        then_ms = now_ms - int(age[1]) * _UNIT_MS[age[2]]
        if then_ms < 0:
            raise InvalidReference(text, "that was before 1970")
        return AtTime(then_ms)
    return AtTime(_time_ms(text))


def parse_moment(text: str, now_ms: int) -> Moment:
    """The reference that `text` is, where it must hold for many documents. Raises InvalidReference."""
    reference = parse_reference(text, now_ms)
    if isinstance(reference, AtVersion):
        raise InvalidReference(text, "versions count one document: name a position (@204) or a time (2h)")
    return reference


def _number(text: str, digits: str, *, at_least: int) -> int:
    number = int(digits) if len(digits) <= _DIGITS_MAX else INT_MAX + 1
    if not at_least <= number <= INT_MAX:
        raise InvalidReference(text, f"numbers go from {at_least} to {INT_MAX}")
    return number


def _time_ms(text: str) -> int:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidReference(text, f"use {FORMS}") from error
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    try:
        milliseconds = int(parsed.astimezone(UTC).timestamp() * 1000)  # years 1 to 9999 of UTC
    except (OverflowError, ValueError) as error:
        raise InvalidReference(text, "that year is out of reach") from error
    if milliseconds < 0:
        raise InvalidReference(text, "that was before 1970")
    return milliseconds
