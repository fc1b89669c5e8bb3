"""What documents come to: policies, contents, digests, parts: immutable, so each is computed once."""

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Generic, TypeVar

from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Document, Object, digest, rebuild
from anabranch_sync.ids import DocumentId, HubSeq
from anabranch_sync.policy import SCHEMA_NAMESPACE, Policies, policies_from
from anabranch_sync.repairing import Surveyed
from anabranch_sync.scope import Scope
from anabranch_sync.snapshot import Slice, seal_slice

Documents = Mapping[DocumentId, Document]

# Several lives' worth, a few KB each.
_KNOWN_MAX = 10_000

T = TypeVar("T")


class _Known(Generic[T]):
    """Results by keys that hold the identities of things: these are kept beside, so that it stays theirs."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[object, T]] = {}

    def of(self, key: Hashable, things: object, compute: Callable[[], T]) -> T:
        """The result for `key`, which has the identities of all `things`."""
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            known = self._known[key] = (things, compute())
        return known[1]


_POLICIES: _Known[Policies] = _Known()
_POSITIONS: _Known[HubSeq] = _Known()
_CONTENTS: _Known[Object | None] = _Known()
_DIGESTS: _Known[int] = _Known()
_PARTS: _Known[bytes] = _Known()


def policies_of(documents: Documents) -> Policies:
    """The policies in force among `documents`."""
    schemas = {each: state for each, state in documents.items() if each.namespace == SCHEMA_NAMESPACE}
    key = tuple(id(state) for state in schemas.values())
    return _POLICIES.of(
        key,
        schemas,
        lambda: policies_from(
            (each, state.version, rebuild(state.registers)) for each, state in schemas.items()
        ),
    )


@lru_cache(maxsize=1_000)
def is_read(scope: Scope, document: DocumentId) -> bool:
    """Whether a document is in a scope: of few documents and scopes, asked all the time."""
    return scope.reads(document)


@lru_cache(maxsize=1_000)
def narrowed(granted: Scope, subscription: Scope) -> Scope:
    """What of a scope is asked for: of few scopes, as often."""
    return granted.narrowed(subscription)


def scope_digest(documents: Documents, scope: Scope) -> ScopeDigest:
    """The digest of `documents`, from the content of each."""
    total = ScopeDigest()
    for document, state in documents.items():
        if is_read(scope, document):
            total = total.replaced(0, document_digest(document, state))
    return total


def position_of(state: Document) -> HubSeq:
    """The position of a document's last change."""
    return _POSITIONS.of(id(state), state, lambda: state.hub_seq)


def content_of(state: Document) -> Object | None:
    """The content of a document; not to be changed."""
    return _CONTENTS.of(id(state), state, lambda: rebuild(state.registers))


def surveyed(documents: Documents, scope: Scope) -> Surveyed:
    """The digest of each live one of `documents`."""
    digests = {
        each: document_digest(each, state) for each, state in documents.items() if is_read(scope, each)
    }
    return Surveyed({document: digest for document, digest in digests.items() if digest})


def document_digest(document: DocumentId, state: Document) -> int:
    """The digest of a document's content."""
    return _DIGESTS.of((document, id(state)), state, lambda: digest(document, content_of(state)))


def part_of(cut: Slice) -> bytes:
    """The part of a slice of a snapshot."""
    states = tuple((each, id(state)) for each, state in cut.documents.items())
    aside = tuple((each, id(quarantined)) for each, quarantined in cut.quarantined.items())
    return _PARTS.of((states, aside), cut, lambda: seal_slice(cut))
