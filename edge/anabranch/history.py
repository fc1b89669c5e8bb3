"""States of the past, as the SDK and the commands ask for them."""

import time
from datetime import datetime
from typing import TypeAlias

from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId, document_id
from anabranch_sync.reference import AtVersion, Moment, Reference, parse_moment, parse_reference

from anabranch.answers import Difference
from anabranch.errors import NotFound
from anabranch.replica import Past, Replica

# 17 or "17": a version; "@204": a position; a datetime or "2026-11-29T15:30:00Z": a time; "2h": an age.
At: TypeAlias = int | str | datetime


def reference(at: At) -> Reference:
    """What `at` names, now. Raises InvalidReference."""
    return parse_reference(_text(at), time.time_ns() // 1_000_000)


def moment(at: At) -> Moment:
    """What `at` names of many documents. Raises InvalidReference."""
    return parse_moment(_text(at), time.time_ns() // 1_000_000)


def past(replica: Replica, document: DocumentId, meant: Reference) -> Past:
    """The document as it stood, deleted or not. Raises NotFound (also StateUnknown), ReplicaCorrupt."""
    stood = replica.read_at(document, meant)
    if stood is None:
        raise NotFound(document, reason=f"at {meant} it was not there yet")
    return stood


def difference(replica: Replica, document: DocumentId, first: At | None, second: At | None) -> Difference:
    """Two states of a document; by default the one before the last, and the last."""
    states = replica.known(document)
    if not states:
        raise NotFound(document)
    before: Object | None = None
    if first is not None:
        before = _content(replica, document, reference(first))
    elif len(states) > 1:
        before = _content(replica, document, AtVersion(states[-2].version))
    last = AtVersion(states[-1].version) if second is None else reference(second)
    return Difference(document, before, _content(replica, document, last))


def rollback(replica: Replica, document: DocumentId, meant: Reference) -> list[Difference]:
    """What would bring the document back to a state of the past. Raises as `past`."""
    then = past(replica, document, meant)
    return _differing(Difference(document, _standing(replica, document), then.content))


def rollback_below(replica: Replica, prefix: str, meant: Moment, *, keep_new: bool) -> list[Difference]:
    """What would bring all documents at or below a namespace back, those that were not there deleted.

    With `keep_new` those stay. Raises StateUnknown, ReplicaCorrupt.
    """
    differing: list[Difference] = []
    for document in documents_below(replica, prefix):
        then = _content(replica, document, meant)
        if then is not None or not keep_new:
            differing += _differing(Difference(document, _standing(replica, document), then))
    return differing


def differences_below(
    replica: Replica, prefix: str, first: Moment, second: Moment | None
) -> list[Difference]:
    """Two states of all documents at or below a namespace; None is what stands. Raises as `past`."""
    differing: list[Difference] = []
    for document in documents_below(replica, prefix):
        after = _standing(replica, document) if second is None else _content(replica, document, second)
        differing += _differing(Difference(document, _content(replica, document, first), after))
    return differing


def contents_at(replica: Replica, prefix: str, meant: Moment) -> dict[DocumentId, Object]:
    """All documents at or below a namespace that were there, as they stood. Raises as `past`."""
    contents = ((each, _content(replica, each, meant)) for each in documents_below(replica, prefix))
    return {document: content for document, content in contents if content is not None}


def documents_below(replica: Replica, prefix: str) -> list[DocumentId]:
    """All documents at or below a namespace that were ever here, by name. Raises InvalidName."""
    if prefix:
        document_id(prefix)
    below = f"{prefix}/" if prefix else ""
    return [each for each in replica.every_document() if f"{each.namespace}/".startswith(below)]


def said(meant: Reference, message: str) -> str:
    """The message of a rollback: to what, and why."""
    return f"rollback to {meant}" + (f": {message}" if message else "")


def _content(replica: Replica, document: DocumentId, meant: Reference) -> Object | None:
    stood = replica.read_at(document, meant)
    return None if stood is None else stood.content


def _standing(replica: Replica, document: DocumentId) -> Object | None:
    head = replica.head(document)
    return None if head is None else head.content


def _differing(difference: Difference) -> list[Difference]:
    return [difference] if difference.patch else []


def _text(at: At) -> str:
    return at.isoformat() if isinstance(at, datetime) else str(at)
