"""A conflict as it is told: to an operator from the ledger, to an edge in a notice.

Values are as they are shown (`register.json_of`): whoever is told has no use for the parts of a
counter or the edits of a text.
"""

from dataclasses import dataclass

from anabranch_sync.clock import Timestamp
from anabranch_sync.ids import DocumentId
from anabranch_sync.path import Path
from anabranch_sync.register import Value


@dataclass(frozen=True, slots=True)
class Hand:
    """Who wrote: `edge` vouched for `author`, and is empty for the hub.

    `skew_ms`: its clock was so far ahead, and `timestamp` is the moment of decision.
    """

    author: str
    edge: str
    timestamp: Timestamp
    skew_ms: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A value that competed, and who wrote it."""

    path: Path
    element: bytes | None
    value: Value
    hands: tuple[Hand, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What an operator did: accepted it (`restored` None), or brought back a value, as a tuple of one.

    An empty tuple is another value than any that competed.
    """

    reviewer: str
    reviewed_ms: int
    note: str
    restored: tuple[Value, ...] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Everything the sentence is made of; the first claim won.

    `quarantined`: the document was invalid as a whole once this was decided.
    """

    document: DocumentId
    kind: str
    policy: str
    policy_version: str
    claims: tuple[Claim, ...]
    waiting: bool = False
    looks: tuple[Look, ...] = ()
    quarantined: bool = False
