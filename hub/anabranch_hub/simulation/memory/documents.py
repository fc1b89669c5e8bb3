"""What documents come to: policies, contents and digests. They are immutable, so each is computed once."""

from collections.abc import Mapping
from functools import lru_cache

from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Document, Object, digest, rebuild
from anabranch_sync.ids import DocumentId
from anabranch_sync.policy import SCHEMA_NAMESPACE, Policies, policies_from
from anabranch_sync.repairing import Surveyed
from anabranch_sync.scope import Scope

Documents = Mapping[DocumentId, Document]


def policies_of(documents: Documents) -> Policies:
    """The policies in force among `documents`."""
    schemas = {each: state for each, state in documents.items() if each.namespace == SCHEMA_NAMESPACE}
    key = tuple(id(state) for state in schemas.values())
    known = _POLICIES.get(key)
    if known is None:
        if len(_POLICIES) > 1_000:
            _POLICIES.clear()
        found = ((each, state.version, rebuild(state.registers)) for each, state in schemas.items())
        known = _POLICIES[key] = (schemas, policies_from(found))
    return known[1]


# By the identity of the schema documents, which are kept beside so that it stays theirs.
_POLICIES: dict[tuple[int, ...], tuple[Documents, Policies]] = {}


@lru_cache(maxsize=1_000)
def is_read(scope: Scope, document: DocumentId) -> bool:
    """Whether a document is in a scope: of few documents and scopes, asked all the time."""
    return scope.reads(document)


def scope_digest(documents: Documents, scope: Scope) -> ScopeDigest:
    """The digest of `documents`, from the content of each."""
    total = ScopeDigest()
    for document, state in documents.items():
        if is_read(scope, document):
            total = total.replaced(0, document_digest(document, state))
    return total


def content_of(state: Document) -> Object | None:
    """The content of a document, computed once; not to be changed."""
    known = _CONTENTS.get(id(state))
    if known is None or known[0] is not state:
        if len(_CONTENTS) > 10_000:
            _CONTENTS.clear()
        known = _CONTENTS[id(state)] = (state, rebuild(state.registers))
    return known[1]


_CONTENTS: dict[int, tuple[Document, Object | None]] = {}


def surveyed(documents: Documents, scope: Scope) -> Surveyed:
    """The digest of each live one of `documents`."""
    digests = {
        each: document_digest(each, state) for each, state in documents.items() if is_read(scope, each)
    }
    return Surveyed({document: digest for document, digest in digests.items() if digest})


def document_digest(document: DocumentId, state: Document) -> int:
    """Documents are immutable, so the digest of one is computed once: a third of the run time."""
    known = _DIGESTS.get(id(state))
    if known is None or known[0] is not state:
        if len(_DIGESTS) > 10_000:
            _DIGESTS.clear()
        known = _DIGESTS[id(state)] = (state, digest(document, content_of(state)))
    return known[1]


_DIGESTS: dict[int, tuple[Document, int]] = {}
