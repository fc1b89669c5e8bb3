"""What operators do with the ledger: search it, have a row explained, accept it, bring a candidate back.

`OwnLedger` does it on the hub's store, in the name of one operator. Who works from afar has the same
through gRPC.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from anabranch_sync.case import Case, Claim, Hand, Look
from anabranch_sync.conflict import Kind
from anabranch_sync.document import Object, check_content, digest
from anabranch_sync.ids import check_message, check_tenant
from anabranch_sync.policy import parse_policy
from anabranch_sync.register import DELETED
from anabranch_sync.value import same

from anabranch_hub.errors import (
    CandidateUnknown,
    DocumentGone,
    FragmentOnly,
    LedgerRowUnknown,
    VersionMismatch,
)
from anabranch_hub.store import (
    Edit,
    LedgerRow,
    LedgerStats,
    Matching,
    Pair,
    Review,
    Store,
    Stored,
    Write,
    Written,
)
from anabranch_hub.store.ledger import restored_value
from anabranch_hub.store.reviews import with_candidate

# A restoration reads the document and writes it back unless another write came between; a document that
# so many writers change at once has no use for one more.
ATTEMPTS_MAX = 10
# Rows that are accepted in one transaction, each with its leaf in the log: some 0.2 s.
ACCEPTED_MAX = 1_000
# The first of the losing values.
CANDIDATE_DEFAULT = 1


@dataclass(frozen=True, slots=True)
class Restoration:
    """What bringing back candidate `candidate` of row `merge` changes, or has changed.

    `written` None: nothing was written, as nothing differs, or only this was asked for.
    """

    merge: int
    candidate: int
    pair: Pair
    written: Written | None

    @property
    def is_standing(self) -> bool:
        """Whether the candidate stands already."""
        before, after = (
            None if each is None else each.content for each in (self.pair.before, self.pair.after)
        )
        return same(before, after)


class Ledger(Protocol):
    """The ledgers that one operator may look at.

    Methods raise LedgerRowUnknown, TenantUnknown, InvalidInput, and what the way there raises.
    """

    async def tenants(self) -> list[str]:
        """Whose ledgers there are."""
        ...

    async def merges(
        self, tenant: str, matching: Matching, *, before: int | None, limit: int
    ) -> list[LedgerRow]:
        """Rows, the latest first; `before` is the last id of the page before."""
        ...

    async def merge(self, tenant: str, number: int) -> LedgerRow:
        """One row with its reviews."""
        ...

    async def merge_stats(self, tenant: str, matching: Matching, *, limit: int) -> LedgerStats:
        """The rows counted."""
        ...

    async def accept(self, tenant: str, numbers: Sequence[int], note: str) -> list[int]:
        """Find up to ACCEPTED_MAX rows right, all or none; returns those that this changes."""
        ...

    async def restore(
        self, tenant: str, number: int, candidate: int, message: str, *, recreate: bool, is_trial: bool
    ) -> Restoration:
        """Bring a candidate back as a new change, or only tell what would change.

        Raises CandidateUnknown, FragmentOnly; DocumentGone unless `recreate`.
        """
        ...


class OwnLedger:
    """The ledgers in the hub's own store, for one operator."""

    def __init__(self, store: Store, operator: str) -> None:
        self._store = store
        self._operator = operator

    async def tenants(self) -> list[str]:
        return [each.name for each in await self._store.tenants()]

    async def merges(
        self, tenant: str, matching: Matching, *, before: int | None, limit: int
    ) -> list[LedgerRow]:
        return await self._store.merges(check_tenant(tenant), matching, before=before, limit=limit)

    async def merge(self, tenant: str, number: int) -> LedgerRow:
        found = await self._store.merge(check_tenant(tenant), number)
        if found is None:
            raise LedgerRowUnknown(tenant, number)
        return found

    async def merge_stats(self, tenant: str, matching: Matching, *, limit: int) -> LedgerStats:
        return await self._store.merge_stats(check_tenant(tenant), matching, limit=limit)

    async def accept(self, tenant: str, numbers: Sequence[int], note: str) -> list[int]:
        assert len(numbers) <= ACCEPTED_MAX, "callers accept a page at a time"
        return await self._store.accept(check_tenant(tenant), numbers, reviewer=self._operator, note=note)

    async def restore(
        self, tenant: str, number: int, candidate: int, message: str, *, recreate: bool, is_trial: bool
    ) -> Restoration:
        check_message(message)
        row = await self.merge(tenant, number)
        if not 0 <= candidate < len(row.candidates):
            raise CandidateUnknown(number, candidate, len(row.candidates))
        if candidate and row.kind == Kind.FRAGMENT:
            raise FragmentOnly(number, candidate)
        for attempts_left in reversed(range(ATTEMPTS_MAX)):
            before = _head(await self._store.read(tenant, row.document))
            content = _restored(row, candidate, before, recreate=recreate)
            version = 0 if before is None or before.content is None else before.version
            after = Stored(row.document, content, version + 1, 0, digest(row.document, content))
            restoration = Restoration(number, candidate, Pair(row.document, before, after), None)
            if is_trial and content is not None:
                await self._store.check(tenant, {row.document: content})
            if is_trial or restoration.is_standing:
                return restoration
            try:
                written = await self._store.write(
                    tenant,
                    [Edit(row.document, content, version)],
                    author=self._operator,
                    message=message or f"restore candidate {candidate} of ledger row {number}",
                    restores=number,
                )
            except VersionMismatch:
                if not attempts_left:
                    raise
            else:
                return Restoration(number, candidate, restoration.pair, written)
        raise AssertionError("the last attempt returns or raises")


def case_of(row: LedgerRow) -> Case:
    """The row as `explanation.sentence` takes it."""
    return Case(
        row.document,
        row.kind,
        row.policy,
        row.policy_version,
        tuple(
            Claim(each.path, each.element, each.value, tuple(_hand(write) for write in each.writes))
            for each in row.candidates
        ),
        row.waiting,
        tuple(_look(row, each) for each in row.reviews),
        row.quarantined,
    )


def _restored(row: LedgerRow, number: int, stored: Stored | None, *, recreate: bool) -> Object | None:
    """The document as it is to be; None: gone, as it is. Raises DocumentGone, InvalidInput."""
    candidate = row.candidates[number]
    content = None if stored is None else stored.content
    if content is None:
        if candidate.value is DELETED:
            return None
        if not recreate:
            raise DocumentGone(str(row.document), row.id)
    restored = with_candidate(content or {}, candidate, parse_policy(row.policy))
    return check_content(row.document, restored)


def _head(stored: Stored | None) -> Stored | None:
    """The document with all that has merged: a restoration may be what repairs it."""
    return None if stored is None else replace(stored, content=stored.head, quarantine=None)


def _hand(write: Write) -> Hand:
    return Hand(write.author, write.edge, write.timestamp, write.skew_ms)


def _look(row: LedgerRow, review: Review) -> Look:
    restored = restored_value(review.what, review.candidate, row.candidates)
    return Look(review.reviewer, review.reviewed_ms, review.note, restored)
