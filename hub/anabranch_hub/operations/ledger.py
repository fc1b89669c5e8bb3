"""What operators do with a row of the ledger: have it explained, bring one of its candidates back."""

from anabranch_sync.explanation import Case, Claim, Hand, Look

from anabranch_hub.store import LedgerRow, Review, Reviewed, Write


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
    )


def _hand(write: Write) -> Hand:
    return Hand(write.author, write.edge, write.timestamp, write.skew_ms)


def _look(row: LedgerRow, review: Review) -> Look:
    restored = None
    if review.what is Reviewed.RESTORED:
        restored = () if review.candidate is None else (row.candidates[review.candidate].value,)
    return Look(review.reviewer, review.reviewed_ms, review.note, restored)
