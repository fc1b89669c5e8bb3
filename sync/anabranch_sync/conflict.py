"""Conflicts: concurrent writes that disagreed, with everything needed to say who won and why."""

from dataclasses import dataclass
from enum import StrEnum

from anabranch_sync.ids import DocumentId
from anabranch_sync.policy import Policy, Rule
from anabranch_sync.register import Slot, Stamp, Value


class Kind(StrEnum):
    """What disagreed."""

    VALUE = "value"
    DELETE_UPDATE = "delete/update"
    # A scalar where another wrote children, or children below a place where another put a scalar.
    PREFIX = "prefix"
    # Edits of one text or list that touch. They are merged all the same, for somebody to look at.
    OVERLAP = "overlap"
    # What an edit inserts into a text or list that is gone: a piece of a value, for somebody to place.
    FRAGMENT = "fragment"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the writes. Its stamps' positions lead to author, dot and base in the change log."""

    slot: Slot
    value: Value
    stamps: tuple[Stamp, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A decided conflict at one slot: the winner first, then every loser."""

    document: DocumentId
    slot: Slot
    kind: Kind
    policy: Policy
    policy_version: str
    candidates: tuple[Candidate, ...]

    @property
    def winner(self) -> Candidate:
        """The write whose value stands."""
        return self.candidates[0]

    @property
    def losers(self) -> tuple[Candidate, ...]:
        """The writes whose values are kept in the ledger only."""
        return self.candidates[1:]

    @property
    def waiting(self) -> bool:
        """Whether an operator is to choose: policy `manual` only keeps what stood."""
        return self.policy.rule is Rule.MANUAL
