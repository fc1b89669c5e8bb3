"""The hub's store on Postgres. `Store` is its one door; psycopg is imported in this package only.

Behind the door, whose docstrings are the contract; statements are in `sql/`, by name::

    the door            store keeping membership records
    Postgres            pool queries migrations listening news
    deciding            deciding decision decided_columns decided_acts lanes unpacked
    what a replica      pulls catching_up drawing snapshots former_contents
    lacks               scope_filter scope_digests rescoping
    on its way          transfers parcels attribution
    documents           reading history quarantining judging
    the ledger          ledger reviews
    the log             auditing log_reading log_snapshot erasing
    what goes in time   upkeep retention collecting forgetting trimming
    who takes part      edges operators restoring
"""

from anabranch_hub.store.collecting import Collected
from anabranch_hub.store.judging import Broken
from anabranch_hub.store.log_reading import Log, StoredCheckpoint
from anabranch_hub.store.parcels import Parcel
from anabranch_hub.store.records import (
    ALL_ROWS,
    Behind,
    Edge,
    EdgeIncident,
    EdgeStatus,
    Edit,
    Enrolment,
    Folded,
    Invitation,
    LedgerRow,
    LedgerStats,
    Logged,
    Matching,
    Moved,
    NewEpoch,
    Operator,
    OperatorInvitation,
    Origin,
    Pair,
    Placed,
    Proof,
    Quarantine,
    RecordedCandidate,
    Rescoped,
    Restored,
    Retention,
    Review,
    Reviewed,
    Revoked,
    Stored,
    Tenant,
    Told,
    Version,
    Write,
    Written,
)
from anabranch_hub.store.store import Store
from anabranch_hub.store.trimming import KEEP_DAYS, Trimmed

__all__ = [
    "ALL_ROWS",
    "Behind",
    "KEEP_DAYS",
    "Trimmed",
    "Broken",
    "Collected",
    "Edge",
    "EdgeIncident",
    "EdgeStatus",
    "Edit",
    "Folded",
    "Enrolment",
    "Invitation",
    "LedgerRow",
    "LedgerStats",
    "Log",
    "Logged",
    "Matching",
    "Moved",
    "NewEpoch",
    "Operator",
    "OperatorInvitation",
    "Origin",
    "Pair",
    "Parcel",
    "Placed",
    "Proof",
    "Quarantine",
    "RecordedCandidate",
    "Rescoped",
    "Restored",
    "Retention",
    "Review",
    "Reviewed",
    "Revoked",
    "Store",
    "Stored",
    "StoredCheckpoint",
    "Tenant",
    "Told",
    "Version",
    "Write",
    "Written",
]
