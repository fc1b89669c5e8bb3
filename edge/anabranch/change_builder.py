"""A change while it is made: steps that are taken on what stands when they are committed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from anabranch_sync.document import Object
from anabranch_sync.errors import InvalidValue
from anabranch_sync.ids import DocumentId
from anabranch_sync.path import Path, render_pointer
from anabranch_sync.value import Json, kind

from anabranch.errors import NotAnObject, NotFound, VersionMismatch
from anabranch.patching import patched
from anabranch.replica import Edit, Read


@dataclass(frozen=True, slots=True)
class Set:
    """Put `value` at `path`; objects on the way are made, the root replaces the document."""

    document: DocumentId
    path: Path
    value: Json
    if_version: int | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """Apply a JSON Patch."""

    document: DocumentId
    operations: list[dict[str, Json]]
    if_version: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete what is at `path`; the root deletes the document."""

    document: DocumentId
    path: Path
    if_version: int | None = None


Step: TypeAlias = Set | Patch | Delete
Draft: TypeAlias = dict[DocumentId, Object | None]


def edits(steps: Sequence[Step], read: Read) -> list[Edit]:
    """The new contents after `steps` over what `read` shows. Raises PreconditionFailed, NotFound."""
    drafts: Draft = {}
    for step in steps:
        take(step, drafts, read)
    return [Edit(document, content) for document, content in drafts.items()]


def take(step: Step, drafts: Draft, read: Read) -> None:
    """Take one step on the draft of its document, which starts as a copy of what stands."""
    document = step.document
    standing = read(document)
    if step.if_version is not None:
        version = 0 if standing is None else standing.version
        if version != step.if_version:
            raise VersionMismatch(document, version, step.if_version)
    if document not in drafts:
        drafts[document] = None if standing is None else standing.content
    content = drafts[document]
    match step:
        case Set():
            drafts[document] = _set(document, content, step.path, step.value)
        case Patch():
            drafts[document] = patched(document, content, step.operations)
        case Delete():
            drafts[document] = _deleted(document, content, step.path)


def _set(document: DocumentId, content: Object | None, path: Path, value: Json) -> Object:
    if not path:
        if not isinstance(value, dict):
            raise InvalidValue("", f"a document is a JSON object, not {kind(value)}")
        return value
    root: Object = dict(content or {})
    parent = root
    for depth, key in enumerate(path[:-1], 1):
        child = parent.get(key, {})
        if not isinstance(child, dict):
            raise NotAnObject(document, render_pointer(path[:depth]), kind(child))
        parent[key] = parent = dict(child)
    parent[path[-1]] = value
    return root


def _deleted(document: DocumentId, content: Object | None, path: Path) -> Object | None:
    if content is None:
        raise NotFound(document)
    if not path:
        return None
    root: Object = dict(content)
    parent = root
    for key in path[:-1]:
        child = parent.get(key)
        if not isinstance(child, dict):
            raise NotFound(document, render_pointer(path))
        parent[key] = parent = dict(child)
    if path[-1] not in parent:
        raise NotFound(document, render_pointer(path))
    del parent[path[-1]]
    return root
