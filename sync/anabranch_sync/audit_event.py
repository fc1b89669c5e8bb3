"""The leaves of the log: CloudEvents 1.0, as the exact bytes that are hashed.

::

    {"data":{...},"datacontenttype":"application/json","id":"1234","source":"anabranch/tenant/acme",
     "specversion":"1.0","subject":"acme/prod/router/config","time":"2026-11-29T15:00:00.000Z",
     "type":"io.anabranch.change.decided"}

The event's `id` is the leaf's index and its `source` the log, so a leaf that was moved, or put in
from another tenant's log, says so itself. Bytes are canonical: keys sorted, no spaces, UTF-8.

A leaf is for ever, a value may have to be erased. So `data` names values by commitments only:
``sha256(salt || canonical JSON of the value)``, in hex, with 32 random bytes of salt, without which
nobody finds a value by trying. The *opening* (salt and value) is kept beside the log; once it is
erased the leaf says that there was a value, and nothing about it. One commitment may stand for many
values: it is of any JSON.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from anabranch_sync.checkpoint import origin_of
from anabranch_sync.errors import BadLeaf
from anabranch_sync.value import Json, render_json

SALT_BYTES = 32

_TYPE_PREFIX = "io.anabranch."


class EventKind(StrEnum):
    """What is audited."""

    CHANGE_DECIDED = "change.decided"
    CONFLICT_DECIDED = "conflict.decided"
    LEDGER_REVIEWED = "ledger.reviewed"
    EDGE_INVITED = "edge.invited"
    # It used its invitation, and has the scope that was promised there.
    EDGE_REDEEMED = "edge.redeemed"
    EDGE_ENROLLED = "edge.enrolled"
    EDGE_RENEWED = "edge.renewed"
    # It replicates and may write something else from then on.
    EDGE_RESCOPED = "edge.rescoped"
    # It asks for less of its scope than it was granted, or for another part.
    EDGE_SUBSCRIBED = "edge.subscribed"
    EDGE_REVOKED = "edge.revoked"
    # Everything is to leave its disk; and it says that it has.
    EDGE_WIPE_ORDERED = "edge.wipe"
    EDGE_WIPED = "edge.wiped"
    # What its link may carry: set, or taken away.
    EDGE_BUDGET_SET = "edge.budget"
    # It no longer holds tombstones back; and it came again, so it does.
    EDGE_RETIRED = "edge.retired"
    EDGE_RETURNED = "edge.returned"
    OPERATOR_INVITED = "operator.invited"
    OPERATOR_ENROLLED = "operator.enrolled"
    OPERATOR_REVOKED = "operator.revoked"
    # Its tables came from a backup: another epoch began, and edges offer what was decided behind it.
    HUB_RESTORED = "hub.restored"
    TENANT_CREATED = "tenant.created"
    # The first leaf of a tenant that is older than logs.
    LOG_STARTED = "log.started"
    VERSIONS_FOLDED = "versions.folded"
    RETENTION_SET = "retention.set"
    CHANGES_TRIMMED = "changes.trimmed"
    TOMBSTONES_COLLECTED = "tombstones.collected"
    TOMBSTONES_FORGOTTEN = "tombstones.forgotten"
    VALUE_ERASED = "value.erased"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done. `subject` is what it was done to: a document, an edge, a ledger row."""

    kind: EventKind
    subject: str
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Leaf:
    """An event read back from the log. Its kind may be one that is not known here."""

    index: int
    kind: str
    subject: str
    time: str
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ValueOpening:
    """What stands behind a commitment. Giving it away shows the value; losing it hides it for ever."""

    salt: bytes
    value: Json

    @property
    def commitment(self) -> str:
        """What the leaf says instead of the value."""
        return commitment_of(self.salt, render_json(self.value))


def commitment_of(salt: bytes, rendered: str) -> str:
    """The commitment to a value, given as `render_json` writes it."""
    return hashlib.sha256(salt + rendered.encode()).hexdigest()


def leaf_bytes(event: Event, tenant: str, index: int, time_ms: int) -> bytes:
    """The bytes of leaf `index` of the tenant's log."""
    return render_json(
        {
            "specversion": "1.0",
            "id": str(index),
            "source": origin_of(tenant),
            "type": _TYPE_PREFIX + event.kind,
            "time": _rfc_3339(time_ms),
            "subject": event.subject,
            "datacontenttype": "application/json",
            "data": dict(event.data),
        }
    ).encode()


def read_leaf(raw: bytes, tenant: str, index: int) -> Leaf:
    """What leaf `index` of the tenant's log says. Raises BadLeaf when it is another log's or place's."""
    try:
        event: Any = json.loads(raw)
        number, source, kind = event["id"], event["source"], event["type"]
        leaf = Leaf(index, kind.removeprefix(_TYPE_PREFIX), event["subject"], event["time"], event["data"])
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise BadLeaf(index, f"its bytes are no event ({type(error).__name__})") from error
    if source != origin_of(tenant):
        raise BadLeaf(index, f"it was written for the log {_short(source)}, not {origin_of(tenant)}")
    if number != str(index):
        raise BadLeaf(index, f"the leaf in this place was written as leaf {_short(number)}")
    if type(leaf.subject) is not str or type(leaf.time) is not str or type(leaf.data) is not dict:
        raise BadLeaf(index, "its bytes are no event (a field has another type)")
    return leaf


def check_openings(leaf: Leaf, openings: Iterable[ValueOpening]) -> None:
    """Raise BadLeaf unless the leaf commits to each of these values with its salt."""
    said = {opening.commitment for opening in openings}
    if said and not said.issubset(_texts(leaf.data)):
        raise BadLeaf(leaf.index, "a value that is shown for it is not the one it commits to")


def _texts(data: object) -> Iterator[str]:
    """Every text in `data`, the commitments among them: no other text is a hash of 256 bits by chance."""
    waiting = [data]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


@lru_cache(maxsize=1)  # the leaves of a batch share their time
def _rfc_3339(time_ms: int) -> str:
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"


def _short(value: object) -> str:
    """`value` for a message, however it came there."""
    shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:76]}..."
