"""A write: one SQLite transaction for what readers see and for the outbox."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgpack
from anabranch_sync.change import Change, Entry, Op, chained, entry
from anabranch_sync.clock import tick
from anabranch_sync.document import (
    DOCUMENT_BYTES_MAX,
    Document,
    Object,
    PolicyAt,
    check_content,
    rebuild,
    written,
)
from anabranch_sync.errors import DocumentTooLarge, InvalidInput
from anabranch_sync.ids import DocumentId, Dot, check_author, check_message, document_id
from anabranch_sync.live import Served, check_written
from anabranch_sync.merge import overlay
from anabranch_sync.path import Path
from anabranch_sync.policy import Policies, Policy
from anabranch_sync.register import DELETED

from anabranch.errors import Denied, VersionMismatch
from anabranch.replica.contents import between
from anabranch.replica.facts import Edit
from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL
from anabranch.replica.rescoping import scope_of
from anabranch.replica.rows import Position, Rot, position, put_entry, put_visible, row_of
from anabranch.replica.seen import Visible
from anabranch.replica.serving import aside, serving
from anabranch.replica.shelf import Held, Shelf
from anabranch.replica.show import KEPT_EACH, by_document, note_shown

Read: TypeAlias = Callable[[DocumentId], Visible | None]
# What makes the edits of a change from what stands.
Compose: TypeAlias = Callable[[Read], Sequence[Edit]]


@dataclass(frozen=True, slots=True)
class About:
    """Who writes a change, when, why, and how pressing it is where that is not for its documents to say."""

    author: str
    message: str
    now_ms: int
    restores: int = 0
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A change that was written, and the documents it touches as they are then."""

    entry: Entry
    documents: Mapping[DocumentId, Held]
    revision: int

    @property
    def set_aside(self) -> tuple[DocumentId, ...]:
        """Those of the documents of which readers see something else: they were invalid before."""
        return tuple(document for document, held in self.documents.items() if held.aside is not None)


def checked(edit: Edit) -> Edit:
    """The edit with its names and its content checked. Raises InvalidInput."""
    document = document_id(edit.document.namespace, edit.document.key)
    content = None if edit.content is None else check_content(document, edit.content)
    return Edit(document, content, edit.if_version)


def commit(
    connection: Connection,
    edits: Compose,
    shelf: Shelf,
    about: About,
    require_room: Callable[[], None],
) -> Written | None:
    """Write what `edits` makes of what stands as one change; None when nothing changes.

    The transaction was begun by the caller, so two writers never take the same local_seq. A change
    that does more than delete asks `require_room` first. Raises InvalidInput (Invalid where a schema
    forbids it), Denied before anything else is found wrong with a document, VersionMismatch.
    """
    at = position(connection)
    scope = scope_of(at.prefixes)
    before: dict[DocumentId, Held] = {}

    def held(document: DocumentId) -> Held:
        if document not in before:
            if not scope.writes(document):
                raise Denied(document, scope.prefixes)
            before[document] = shelf.held_in(connection, document, at.revision)
        return before[document]

    # Over the head, so that an edit never reverts what it does not touch.
    made = edits(lambda document: held(document).head)
    _check_edits(made)
    policies = shelf.policies_at(connection, at.schemas_revision)
    ops: list[Op] = []
    plain: dict[DocumentId, Object | None] = {}
    for edit in made:
        document, standing = edit.document, held(edit.document)
        _check_version(edit, standing)
        if standing.is_tight and not policies.version(document):
            leaves, plain[document] = between(standing.content, edit.content)
        else:
            leaves = written(standing.state.registers, edit.content, _policy_at(policies, document))
        ops += [Op(document, slot, value) for slot, value in leaves]
    if not ops:
        return None
    if any(op.value is not DELETED and op.value != {} for op in ops):
        require_room()
    change = _change(ops, at, policies, about)
    priority = policies.most_pressing(change.documents) if about.priority is None else about.priority
    new = entry(Dot(at.incarnation, at.last_local + 1), change, priority)
    after = _show(connection, new, before, policies, at.revision + 1, shelf.rot)
    for document in after.keys() & plain.keys():
        after[document].written_as(plain[document])
    chain = chained(at.last_chain, new.body)
    put_entry(connection, new, chain, about.now_ms)
    connection.execute(SQL["wrote"], (new.dot.local_seq, chain, new.change.timestamp, at.revision + 1))
    return Written(new, after, at.revision + 1)


def _change(ops: Sequence[Op], at: Position, policies: Policies, about: About) -> Change:
    return Change(
        tick(at.last_timestamp, about.now_ms),
        at.base,
        check_author(about.author),
        check_message(about.message),
        tuple(ops),
        _schemas(policies, ops),
        about.restores,
    )


def _show(
    connection: Connection,
    new: Entry,
    before: dict[DocumentId, Held],
    policies: Policies,
    revision: int,
    rot: Rot,
) -> dict[DocumentId, Held]:
    result = {}
    states = {
        document: overlay(document, before[document].state, (part,), policies)
        for document, part in by_document(new).items()
    }
    judged = [document for document in states if policies.judges(document)]
    for document in judged:
        _check_head(document, before[document], states[document], policies)
    for document, state in states.items():
        old = before[document]
        row = old.shown.row or row_of(connection, document)
        pending = old.shown.pending + 1
        if pending % KEPT_EACH == 0:
            put_visible(connection, document, row, new.dot.local_seq, state)
        connection.execute(SQL["write_document"], (row, new.dot.local_seq))
        which, seen = Served.HEAD, None
        if document in judged:
            which = serving(connection, document, row, state, policies, pending=True)
            seen = aside(connection, document, row, state, which, policies, rot)
        noted = note_shown(connection, row, state, pending, revision, content=True, aside=seen, served=which)
        result[document] = Held(noted, state, seen)
    return result


def _check_edits(edits: Sequence[Edit]) -> None:
    """Refuse what is too large, or not of one change. Raises DocumentTooLarge, InvalidInput."""
    for edit in edits:
        # As long as its canonical bytes, which take longer to make.
        size_bytes = 0 if edit.content is None else len(msgpack.packb(edit.content))
        if size_bytes > DOCUMENT_BYTES_MAX:
            raise DocumentTooLarge(str(edit.document), size_bytes, DOCUMENT_BYTES_MAX)
    if len({edit.document for edit in edits}) < len(edits):
        raise InvalidInput("two edits of one document in one change: give its content once")


def _check_head(document: DocumentId, old: Held, new: Document, policies: Policies) -> None:
    check_written(document, lambda: old.content, rebuild(new.registers), policies)


def _check_version(edit: Edit, standing: Held) -> None:
    version = 0 if edit.if_version is None or standing.head is None else standing.shown.version
    if edit.if_version is not None and edit.if_version != version:
        raise VersionMismatch(edit.document, version, edit.if_version)


def _policy_at(policies: Policies, document: DocumentId) -> PolicyAt:
    def at(path: Path) -> Policy:
        return policies.of(document, path)

    return at


def _schemas(policies: Policies, ops: Sequence[Op]) -> tuple[str, ...]:
    names = dict.fromkeys(policies.version(document) for document in dict.fromkeys(op.document for op in ops))
    return tuple(name for name in names if name)
