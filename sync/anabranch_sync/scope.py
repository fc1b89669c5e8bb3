"""Which documents an edge replicates, and which of them it may write."""

from dataclasses import dataclass
from hashlib import blake2b

from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import OPERATOR_LAYERS, DocumentId, document_id
from anabranch_sync.value import canonical

# A scope travels in every enrolment and is matched against every document of a pull.
SCOPE_PREFIXES_MAX = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """Namespace prefixes, whole segments: ``acme/prod`` covers ``acme/prod/router``, not ``acme/product``."""

    prefixes: tuple[str, ...]

    def reads(self, document: DocumentId) -> bool:
        """Whether the document is replicated: its own namespaces and the operators' layers."""
        return self.writes(document) or _covers(OPERATOR_LAYERS, document.namespace)

    def writes(self, document: DocumentId) -> bool:
        """Whether the edge may change the document."""
        return _covers(self.prefixes, document.namespace) and not _covers(OPERATOR_LAYERS, document.namespace)

    @property
    def fingerprint(self) -> bytes:
        """Eight bytes that differ when the scope differs."""
        return blake2b(canonical(list(self.prefixes)), digest_size=8).digest()


def scope(prefixes: tuple[str, ...]) -> Scope:
    """The scope of these prefixes, checked and without repeats. Raises InvalidName."""
    count = len(set(prefixes))
    if count > SCOPE_PREFIXES_MAX:
        reason = f"{count} prefixes, limit {SCOPE_PREFIXES_MAX}: name one they have in common"
        raise InvalidName("scope", f"{prefixes[0]}, ...", reason)
    return Scope(tuple(sorted({document_id(prefix).namespace for prefix in prefixes})))


def _covers(prefixes: tuple[str, ...], namespace: str) -> bool:
    return any(namespace == prefix or namespace.startswith(prefix + "/") for prefix in prefixes)
