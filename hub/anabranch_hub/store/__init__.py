"""The hub's store on Postgres. `Store` is its one door; psycopg is imported in this package only."""

from anabranch_hub.store.judging import Broken
from anabranch_hub.store.records import (
    Edge,
    EdgeStatus,
    Edit,
    Enrolment,
    Invitation,
    LedgerRow,
    Moved,
    Origin,
    Pair,
    Quarantine,
    RecordedCandidate,
    Revoked,
    Stored,
    Tenant,
    Version,
    Write,
    Written,
)
from anabranch_hub.store.store import Store

__all__ = [
    "Broken",
    "Edge",
    "EdgeStatus",
    "Edit",
    "Enrolment",
    "Invitation",
    "LedgerRow",
    "Moved",
    "Origin",
    "Pair",
    "Quarantine",
    "RecordedCandidate",
    "Revoked",
    "Store",
    "Stored",
    "Tenant",
    "Version",
    "Write",
    "Written",
]
