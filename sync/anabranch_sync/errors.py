"""What can go wrong in the core, one class per thing a caller can do about it.

::

    AnabranchError              1   every error of anabranch; `exit_code` is what its CLIs return
    ├── InvalidInput            2   the caller's value is refused; nothing was changed
    │   ├── InvalidValue            not a JSON value this system can keep exactly (place, reason)
    │   ├── InvalidName             a namespace, key, tenant, edge or author outside its grammar
    │   ├── InvalidPath             a JSON Pointer that is malformed or too deep
    │   ├── DocumentTooLarge        a document over DOCUMENT_BYTES_MAX
    │   ├── ChangeTooLarge          a change over OPS_MAX or CHANGE_BYTES_MAX
    │   ├── InvalidReference        neither a version, nor a position, nor a time
    │   ├── EditRefused             an edit of a text or list that does not fit what stands
    │   ├── FileSizeRefused         courier files of a size that cannot be
    │   ├── UnknownPolicy           a merge policy that does not exist
    │   └── Invalid             5   a content that its schema forbids (which rule, where, what would pass)
    ├── HistoryDamaged          8   a version of the past that is not what was recorded of it
    ├── WireError               8   bytes from the other side are not believed; the stream ends
    │   ├── CorruptFrame            damaged, truncated or malformed bytes
    │   │   └── ContentsDiffer      relative to documents that are others here
    │   ├── FrameTooLarge           bytes over a named limit, before they are expanded
    │   └── ProtocolViolation       well-formed bytes at the wrong moment
    ├── ParcelError             8   a courier file is refused, and nothing of it was taken
    │   ├── ParcelDamaged           cut off, changed on its way, or no courier file
    │   ├── ParcelForged            not signed by whom it should be
    │   ├── ParcelForeign           for another tenant or edge, or in the other direction
    │   ├── ParcelStray         5   it does not lead on from what is here
    │   └── ParcelEarly         5   one before it is missing; it may come again
    └── EvidenceError           8   what is said of an audit log does not prove it
        ├── MalformedEvidence       no note, key, proof, leaf or export (what, reason)
        ├── UntrustedSignature      not signed, or not validly, by the key that was asked for
        ├── InvalidProof            hashes that do not lead from one tree, or leaf, to the other
        ├── BadLeaf                 a leaf that is not what was logged (index, reason)
        └── LogRefused              a hub whose log does not go on from what was seen of it
"""

from typing import ClassVar

from anabranch_sync.violation import Violation, summary


class AnabranchError(Exception):
    """The root. The message is one line: what, which value, which limit, what to do."""

    exit_code: ClassVar[int] = 1


class InvalidInput(AnabranchError):
    """The caller's value is refused and nothing was changed."""

    exit_code = 2


class InvalidValue(InvalidInput):
    """A value that JSON with exact types cannot carry."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"value at {place or '/'} is refused: {reason}")


class InvalidName(InvalidInput):
    """A name outside its grammar."""

    def __init__(self, kind: str, name: str, reason: str) -> None:
        self.kind = kind
        self.name = name
        self.reason = reason
        super().__init__(f"{kind} {_shown(name)} is refused: {reason}")


class InvalidPath(InvalidInput):
    """A JSON Pointer (RFC 6901) that is malformed or too deep."""

    def __init__(self, pointer: str, reason: str) -> None:
        self.pointer = pointer
        self.reason = reason
        super().__init__(f"path {_shown(pointer)} is refused: {reason}")


class DocumentTooLarge(InvalidInput):
    """A document whose canonical bytes exceed the limit."""

    def __init__(self, document: str, size_bytes: int, limit_bytes: int) -> None:
        self.document = document
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        super().__init__(
            f"{document} is {size_bytes} bytes, limit {limit_bytes}: split it or store large text apart"
        )


class ChangeTooLarge(InvalidInput):
    """A change with more operations or bytes than one batch can carry."""

    def __init__(self, measure: str, size: int, limit: int) -> None:
        self.measure = measure
        self.size = size
        self.limit = limit
        super().__init__(f"the change has {size} {measure}, limit {limit}: commit it in several changes")


class EditRefused(InvalidInput):
    """An edit of a text or list that cannot be merged into what stands; its author's words are kept apart."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the edit does not fit what stands: {reason}")


class FileSizeRefused(InvalidInput):
    """A size for courier files that is no size, or outside what a file may have."""

    def __init__(self, given: str, least_bytes: int, most_bytes: int) -> None:
        self.given = given
        super().__init__(
            f"files of {_shown(given)} are refused: a number and kB or MB, from {least_bytes // 1000 + 1}kB "
            f"to {most_bytes // 1_000_000}MB"
        )


class UnknownPolicy(InvalidInput):
    """A merge policy that does not exist."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        super().__init__(f"merge policy {_shown(name)} is unknown: use one of {', '.join(known)}")


class InvalidReference(InvalidInput):
    """What should name a state of the past, and names none."""

    def __init__(self, text: str, reason: str) -> None:
        self.text = text
        self.reason = reason
        super().__init__(f"reference {_shown(text)} is refused: {reason}")


class HistoryDamaged(AnabranchError):
    """What the patches of a history lead to is not what was recorded: rows were changed or lost."""

    exit_code = 8

    def __init__(self, document: str, version: int) -> None:
        self.document = document
        self.version = version
        super().__init__(
            f"version {version} of {document} cannot be trusted: what its history leads to has another "
            "digest than was recorded; restore the history from a backup, the present is not touched by it"
        )


class Invalid(InvalidInput):
    """A content that breaks the schema where what stands does not. `schema` is its name@version."""

    exit_code = 5

    def __init__(self, document: str, schema: str, violations: tuple[Violation, ...]) -> None:
        self.document = document
        self.schema = schema
        self.violations = violations
        super().__init__(f"{document} is refused by schema {schema}: {summary(violations)}")


class WireError(AnabranchError):
    """Bytes from the other side that are not believed. Nothing was applied."""

    exit_code = 8


class CorruptFrame(WireError):
    """Damaged, truncated or malformed bytes."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"corrupt frame: {reason}")


class ContentsDiffer(CorruptFrame):
    """Changes were said by what documents were before, and here they were something else."""

    def __init__(self) -> None:
        super().__init__("it is relative to documents that are others here")


class FrameTooLarge(WireError):
    """A size over a named limit, found before the bytes are expanded."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        self.what = what
        self.size = size
        self.limit = limit
        super().__init__(f"{what} is {size}, limit {limit}: refused before it is expanded")


class ProtocolViolation(WireError):
    """A well-formed message at a moment when the protocol does not allow it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"protocol violation: {reason}")


class ParcelError(AnabranchError):
    """A courier file is refused. Nothing of it was taken; the message names the reason."""

    exit_code = 8

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the courier file is refused: {reason}")

    def of(self, file: str) -> "ParcelError":
        """The same, with the file named."""
        named = type(self)(self.reason)
        named.args = (f"{file} is refused: {self.reason}",)
        return named


class ParcelDamaged(ParcelError):
    """Cut off, changed on its way, or no courier file at all."""


class ParcelForged(ParcelError):
    """Not signed by whom it should be, or with a certificate that is not valid."""


class ParcelForeign(ParcelError):
    """Whole and signed, and for another tenant, another edge, or the other direction."""


class ParcelStray(ParcelError):
    """It does not lead on from what is here. A newer one will."""

    exit_code = 5


class ParcelEarly(ParcelError):
    """A file before it is missing: it may come again after that one."""

    exit_code = 5


class EvidenceError(AnabranchError):
    """What is said of an audit log does not prove it. Nothing of it is to be relied on."""

    exit_code = 8


class MalformedEvidence(EvidenceError):
    """Text or bytes that are not of the form they claim."""

    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        self.reason = reason
        super().__init__(f"{what} is malformed: {reason}")


class UntrustedSignature(EvidenceError):
    """No signature of the key that was asked for, or one that does not verify."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"not signed by {_shown(key)}: {reason}")


class InvalidProof(EvidenceError):
    """Hashes that do not lead from a leaf, or from an older tree, to the root they are to prove."""

    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        self.reason = reason
        super().__init__(f"{what} is not proved: {reason}")


class BadLeaf(EvidenceError):
    """A leaf that is not what was logged there.

    `index` is the first leaf in question; where only a range can be told, `last` is its end.
    """

    def __init__(self, index: int, reason: str, last: int | None = None) -> None:
        self.index = index
        self.reason = reason
        self.last = index if last is None else last
        which = f"leaf {index}" if self.last == index else f"a leaf from {index} to {self.last}"
        super().__init__(f"{which} is not what was logged: {reason}")


class LogRefused(EvidenceError):
    """A log that does not go on from what was seen of it: shorter, or another one."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the log {reason}")


def _shown(name: str) -> str:
    """`name` in quotes, control characters escaped, cut to a length a terminal line can hold."""
    shown = ascii(name) if not name.isprintable() else f"'{name}'"
    return shown if len(shown) <= 120 else f"{shown[:116]}...'"
