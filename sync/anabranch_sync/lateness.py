"""Why is this edge behind? One sentence from the facts, the same on the edge and on the hub.

The facts are what each side happens to know; None or empty is what it does not. The first reason in the
order below is the sentence: what shuts an edge out comes before what slows it, and both before what merely
waits. The others follow as facts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from anabranch_sync.clock import SKEW_FLAG_MS

# An agent hears from its hub at least every 4 minutes; a minute more forgives a slow link.
HEARD_MS_MAX = 5 * 60_000
# Less than the largest change and its place in the WAL: the next write may be refused.
DISK_FREE_BYTES_MIN = 1024 * 1024
# A certificate is renewed when a third of its life is left; one that ends within a day was not.
CERTIFICATE_MS_MIN = 24 * 3_600_000


class Reason(StrEnum):
    """What keeps an edge behind, the most important first."""

    REVOKED = "revoked"
    WIPED = "wiped"
    CERTIFICATE = "certificate"
    DENIED = "denied"
    DISTRUSTED = "distrusted"
    NEVER_CAME = "never came"
    AGENT = "agent"
    BUDGET = "budget"
    LINK = "link"
    DISK = "disk"
    CLOCK = "clock"
    UNEQUAL = "unequal"
    DAMAGED = "damaged"
    UNSENT = "unsent"
    BEHIND = "behind"
    REFUSED = "refused"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class EdgeFacts:
    """What one side knows of an edge, in milliseconds of its own clock; None: it does not know."""

    now_ms: int
    revoked: bool = False
    to_be_wiped: bool = False
    wiped_ms: int | None = None
    certificate_until_ms: int | None = None
    denied: bool = False
    distrusted: bool = False
    agent_running: bool | None = None
    heard_ms: int | None = None
    budget_until_ms: int | None = None
    disk_free_bytes: int | None = None
    clock_offset_ms: int | None = None
    unsent: int = 0
    oldest_unsent_ms: int | None = None
    behind: int = 0
    refused: int = 0
    quarantined: int = 0
    proved_ms: int | None = None
    unhealed: int = 0
    damaged_changes: int = 0


@dataclass(frozen=True, slots=True)
class Lateness:
    """The one sentence, its reason (None: the edge is not behind), and all that is true beside."""

    reason: Reason | None
    sentence: str
    facts: tuple[tuple[Reason, str], ...]


def lateness(facts: EdgeFacts) -> Lateness:
    """Why this edge is behind, or that it is not."""
    found = tuple(_reasons(facts))
    if found:
        reason, sentence = found[0]
        return Lateness(reason, sentence, found)
    proved = "" if facts.proved_ms is None else f", proved equal {_ago(facts.now_ms - facts.proved_ms)}"
    return Lateness(None, f"This edge is not behind{proved}.", ())


def _reasons(facts: EdgeFacts) -> Iterator[tuple[Reason, str]]:
    now_ms = facts.now_ms
    if facts.revoked:
        yield Reason.REVOKED, "It was revoked: only a new edge in its place comes in again."
    if facts.wiped_ms is not None:
        ago = _ago(now_ms - facts.wiped_ms)
        yield Reason.WIPED, f"It was wiped {ago}, as ordered: nothing comes of it until it is invited again."
    elif facts.to_be_wiped:
        yield Reason.WIPED, "It is to be wiped at its next contact, and gets nothing new."
    until_ms = facts.certificate_until_ms
    if until_ms is not None and until_ms <= now_ms:
        yield (
            Reason.CERTIFICATE,
            (f"Its certificate ended {_ago(now_ms - until_ms)}: invite it again."),
        )
    elif until_ms is not None and until_ms - now_ms < CERTIFICATE_MS_MIN:
        yield (
            Reason.CERTIFICATE,
            (f"Its certificate ends in {_span(until_ms - now_ms)}: it has to come before."),
        )
    if facts.denied:
        yield Reason.DENIED, "The hub said no to it when it was asked last: ask its operator."
    if facts.distrusted:
        yield Reason.DISTRUSTED, "It refuses the hub's log, and takes nothing until a person has looked."
    if facts.agent_running is False:
        yield Reason.AGENT, "No agent runs on it, so nobody exchanges: start `anabranch agent`."
    if facts.budget_until_ms is not None and facts.budget_until_ms > now_ms:
        until = datetime.fromtimestamp(facts.budget_until_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        yield Reason.BUDGET, f"Its byte budget is used up until {until}: only urgent changes go."
    if facts.heard_ms is None:
        yield Reason.NEVER_CAME, "It has never exchanged with the hub."
    elif now_ms - facts.heard_ms > HEARD_MS_MAX:
        yield Reason.LINK, f"Edge and hub last heard of each other {_ago(now_ms - facts.heard_ms)}."
    if facts.disk_free_bytes is not None and facts.disk_free_bytes < DISK_FREE_BYTES_MIN:
        yield Reason.DISK, f"Its disk has {facts.disk_free_bytes} bytes left: it can take nothing more in."
    offset_ms = facts.clock_offset_ms
    if offset_ms is not None and abs(offset_ms) > SKEW_FLAG_MS:
        side = "behind" if offset_ms > 0 else "ahead"
        yield Reason.CLOCK, f"Its clock is {_span(abs(offset_ms))} {side} of the hub's: set it."
    if facts.unhealed:
        count = f"{facts.unhealed} of its documents {_are(facts.unhealed)}"
        yield Reason.UNEQUAL, f"{count} damaged and asked for again."
    if facts.damaged_changes:
        count = f"{facts.damaged_changes} of its changes"
        yield Reason.DAMAGED, f"{count} rotted on its disk unsent: `anabranch doctor` there lists them."
    if facts.unsent or facts.oldest_unsent_ms:
        oldest_ms = facts.oldest_unsent_ms
        since = f", the oldest for {_span(now_ms - oldest_ms)}" if oldest_ms else ""
        count = f"{facts.unsent} of its changes" if facts.unsent else "Changes of its"
        yield Reason.UNSENT, f"{count} {_are(facts.unsent)} not sent{since}."
    if facts.behind:
        have = "document in its scope has" if facts.behind == 1 else "documents in its scope have"
        yield Reason.BEHIND, f"{facts.behind} {have} changed since it last pulled."
    if facts.refused:
        were = "was refused; it is not" if facts.refused == 1 else "were refused; none of them is"
        yield Reason.REFUSED, f"{facts.refused} of its changes {were} lost."
    if facts.quarantined:
        documents = "document" if facts.quarantined == 1 else "documents"
        said = f"{facts.quarantined} {documents} {_are(facts.quarantined)} quarantined"
        yield Reason.QUARANTINED, f"{said}: readers get what was valid."


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _ago(span_ms: int) -> str:
    return f"{_span(span_ms)} ago"


def _span(span_ms: int) -> str:
    """A duration in its two largest units."""
    seconds = max(0, span_ms) // 1000
    for unit_s, name, next_s, next_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= unit_s:
            rest = seconds % unit_s // next_s
            return f"{seconds // unit_s} {name}" + (f" {rest} {next_name}" if rest else "")
    return f"{seconds} s"
