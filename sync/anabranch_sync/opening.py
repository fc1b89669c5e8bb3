"""What a hub's store says of a replica when an exchange begins, and what it answers to a push."""

from dataclasses import dataclass

from anabranch_sync.budget import NO_BUDGET, Budget
from anabranch_sync.epochs import Ended, Epochs
from anabranch_sync.ids import HubSeq, Incarnation, LocalSeq
from anabranch_sync.plan import Plan
from anabranch_sync.scope import Scope
from anabranch_sync.standing import Partial
from anabranch_sync.wiping import WipeOrder
from anabranch_sync.witness import Presented


@dataclass(frozen=True, slots=True)
class Opening:
    """One replica as the hub knows it, read in one transaction.

    `push_mark` and `chain` name the last change of `incarnation` that was decided and the chain up to
    it, `hub_seq` where the tenant stands. `upload` is a push of which only a head has arrived. `log` is
    the newest signed checkpoint, unless it is the one that the edge's mark stands for, or there is none.
    `ended` are the epochs before this one.
    `plan` is how the replica will catch up, as far as that is known. `budget` is what the
    operator lets the edge's link carry. `scope` is what the replica is to hold, `granted` what it may ask for
    where it asks for less.
    """

    epoch: int
    incarnation: Incarnation
    push_mark: LocalSeq
    chain: bytes
    hub_seq: HubSeq
    scope: Scope
    upload: Partial | None = None
    log: Presented | None = None
    ended: tuple[Ended, ...] = ()
    plan: Plan | None = None
    budget: Budget = NO_BUDGET
    granted: Scope | None = None
    wipe: WipeOrder = WipeOrder.KEEP

    @property
    def epochs(self) -> Epochs:
        """What the hub knows of its epochs."""
        return Epochs(self.epoch, self.ended)


@dataclass(frozen=True, slots=True)
class Answer:
    """A push is merged: its effects and this mark were committed together, at `hub_seq` at the latest."""

    push_mark: LocalSeq
    chain: bytes
    hub_seq: HubSeq
