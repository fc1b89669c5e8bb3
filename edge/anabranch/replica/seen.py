"""What a reader is shown: a document as it stands, and the link behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from anabranch_sync.document import Object
from anabranch_sync.violation import Violation


@dataclass(frozen=True, slots=True)
class Visible:
    """A document as its readers see it: confirmed, with the outbox merged into it.

    `pending` counts the changes of the outbox that touch it. `content` is shared with other readers:
    copy it before changing anything in it. `quarantined`: that whole is invalid, for `violations`, and
    this is the last valid one.
    """

    content: Object
    version: int
    pending: int
    quarantined: bool = False
    violations: tuple[Violation, ...] = ()


class Link(StrEnum):
    """The agent's last word on its link to the hub."""

    UP = "up"
    DOWN = "down"
    DENIED = "denied"  # the hub answers, and says no to this edge
    DISTRUSTED = "distrusted"  # the hub answers, and this edge refuses its log


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of the link. `heard_ms`: when the hub last confirmed that nothing newer exists."""

    link: Link | None
    heard_ms: int | None
    applied_ms: int | None
    clock_offset_ms: int | None
