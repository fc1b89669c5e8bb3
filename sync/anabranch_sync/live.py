"""Head and live: what has merged, and what readers are served.

The **head** of a document is all that has merged. **Live** is its last valid content. They are one until
two changes that are each valid merge into an invalid whole, or an old replica's change meets a newer
schema: then the head is *quarantined*, readers go on with live, and the next change that makes the head
valid releases it. The hub judges each document a change touches, when it touches it, by the schema in
force at that moment; what stands is not judged again when a schema changes.

An edge follows the hub's word where nothing of its own is pending. Where its outbox has something to
add it judges the merged whole itself, as the hub will.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from anabranch_sync.errors import Invalid
from anabranch_sync.ids import DocumentId
from anabranch_sync.policy import Policies
from anabranch_sync.value import Object
from anabranch_sync.violation import Violation, added


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What readers are served of a document whose head is invalid, and why its head is.

    `live` is None, and `live_version` 0, where the document has never been valid.
    """

    live: Object | None
    live_version: int
    violations: tuple[Violation, ...]


class Served(StrEnum):
    """Which content of a document an edge's readers see."""

    HEAD = "head"  # what is confirmed with the outbox merged into it
    LIVE = "live"  # the hub's last valid one
    CONFIRMED = "confirmed"  # without the outbox


def judged(
    document: DocumentId,
    content: Object | None,
    before: tuple[Object | None, int],
    standing: Quarantined | None,
    policies: Policies,
) -> Quarantined | None:
    """What becomes of a document whose head is now `content`; None: it is valid, so head is live.

    `before` is the head it replaces and its version, `standing` what the document was quarantined with.
    """
    violations = policies.violations(document, content)
    if not violations:
        return None
    live, live_version = before if standing is None else (standing.live, standing.live_version)
    return Quarantined(live, 0 if live is None else live_version, violations)


def served(
    document: DocumentId,
    head: Callable[[], Object | None],
    policies: Policies,
    *,
    pending: bool,
    quarantined: bool,
) -> Served:
    """What an edge's readers see: `head` gives the merged content, `quarantined` is the hub's word."""
    if not pending:
        return Served.LIVE if quarantined else Served.HEAD
    if not policies.judges(document) or not policies.violations(document, head()):
        return Served.HEAD
    return Served.LIVE if quarantined else Served.CONFIRMED


def check_written(
    document: DocumentId, before: Callable[[], Object | None], after: Object | None, policies: Policies
) -> None:
    """Refuse a write that breaks a rule which the head it was made over, `before`, does not break already.

    Raises Invalid. Whoever repairs a document in steps is not held up by what is still broken.
    """
    found = policies.violations(document, after)
    if found and (new := added(policies.violations(document, before()), found)):
        raise Invalid(str(document), policies.version(document), new)
