"""What is read of a document: a value with its version, source, age and state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from anabranch_sync.ids import DocumentId
from anabranch_sync.value import Json
from anabranch_sync.violation import Violation

from anabranch.replica import Heard, Link

# How long a write is waited for: an exchange takes three round trips; on a link with 2 s each, and an agent
# that just backed off, as much.
WAIT_S = 30.0

# An agent hears from its hub at least every 4 minutes (pings on metered links are no further apart);
# a minute more forgives a slow link before a reading is called stale.
FRESH_S = 300.0
# NTP slews by less than this between two readings; a clock further behind has been set back.
_CLOCK_BACK_S = 1.0


class State(StrEnum):
    """How a reading stands to the hub."""

    FRESH = "FRESH"  # the link is up and the hub had nothing newer within FRESH_S
    STALE = "STALE"  # nobody said the link is down, but the hub was not heard within FRESH_S
    OFFLINE = "OFFLINE"  # the agent says the link is down, or one of the two says no
    NEVER_SYNCED = "NEVER_SYNCED"  # nothing has ever come from the hub


@dataclass(frozen=True, slots=True)
class Reading:
    """The value at the JSON Pointer `path` of a document. It never waited for the network.

    `pending`: some of it is not confirmed by the hub yet. `age_s`: seconds, to one, since the hub
    last had nothing newer; None when it never was heard, or this machine's clock has gone back since.
    `quarantined`: what has merged since is invalid, for `violations`, and this is the last valid version.
    """

    document: DocumentId
    path: str
    value: Json
    version: int
    pending: bool
    source: str
    age_s: float | None
    state: State
    quarantined: bool = False
    violations: tuple[Violation, ...] = ()


def age_s(heard: Heard, now_s: float) -> float | None:
    """Seconds since the hub had nothing newer; None when that cannot be known."""
    if heard.heard_ms is None:
        return None
    age = now_s - heard.heard_ms / 1000
    if age < -_CLOCK_BACK_S:
        return None
    return max(0.0, age)


def state_of(heard: Heard, age: float | None) -> State:
    """The state of everything read now."""
    if heard.applied_ms is None:
        return State.NEVER_SYNCED
    if heard.link in (Link.DOWN, Link.DENIED, Link.DISTRUSTED):
        return State.OFFLINE
    return State.FRESH if age is not None and age <= FRESH_S else State.STALE
