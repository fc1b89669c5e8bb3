"""What the hub's store tells a session: where an incarnation stands, and what became of a push."""

from dataclasses import dataclass

from anabranch_sync.ids import HubSeq, Incarnation, LocalSeq
from anabranch_sync.scope import Scope
from anabranch_sync.standing import Partial


@dataclass(frozen=True, slots=True)
class Opening:
    """One incarnation, found or just leased. `upload` is a push broken off inside."""

    epoch: int
    incarnation: Incarnation
    push_mark: LocalSeq
    chain: bytes
    hub_seq: HubSeq
    scope: Scope
    upload: Partial | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A push is committed: the incarnation's push mark and chain, and the tenant's position after it."""

    push_mark: LocalSeq
    chain: bytes
    hub_seq: HubSeq
