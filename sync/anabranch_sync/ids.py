"""Who and what: names, dots, cursors. Each name has one grammar, checked once, at the boundary."""

import re
from dataclasses import dataclass
from typing import TypeAlias

from anabranch_sync.errors import InvalidName

# A segment is a file name, a URL segment and a SQL literal that needs no quoting anywhere.
SEGMENT_CHARS_MAX = 128
# The seed's deepest namespace has 4 segments; twice that leaves room for a site's own levels.
NAMESPACE_SEGMENTS_MAX = 8
# People write "Ada Lovelace <ada@example.org>"; an e-mail address may have 254 characters (RFC 5321).
AUTHOR_CHARS_MAX = 320
# One line on why, as long as a paragraph.
MESSAGE_CHARS_MAX = 1_000

# The hub is a replica like the others and writes under the incarnation no edge is ever leased.
HUB_INCARNATION = 0

_SEGMENT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
# Control characters, separators of lines, what turns the direction of reading, and halves of characters: no
# release of Unicode lets one of them be anything else.
_NO_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TENANT = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")

_NOT_IN_A_LINE = "control characters and line breaks do not fit a line of a log"

# Layers that belong to the hub's operators; an edge reads them and never writes them.
OPERATOR_LAYERS = ("global", "system")

Incarnation: TypeAlias = int
LocalSeq: TypeAlias = int
HubSeq: TypeAlias = int


@dataclass(frozen=True, slots=True, order=True)
class DocumentId:
    """The address of one configuration object. Build it with `document_id`, which checks it."""

    namespace: str
    key: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.key}"


@dataclass(frozen=True, slots=True, order=True)
class Dot:
    """A change's identity: the n-th change of one incarnation of a replica (n starts at 1)."""

    incarnation: Incarnation
    local_seq: LocalSeq

    def __str__(self) -> str:
        return f"{self.incarnation}:{self.local_seq}"


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """The position up to which a replica has applied everything in its scope."""

    epoch: int
    hub_seq: HubSeq


START = Cursor(0, 0)


def document_id(namespace: str, key: str = "config") -> DocumentId:
    """Return the checked address. Raises InvalidName."""
    segments = namespace.split("/")
    if len(segments) > NAMESPACE_SEGMENTS_MAX:
        raise InvalidName("namespace", namespace, f"{len(segments)} segments, limit {NAMESPACE_SEGMENTS_MAX}")
    for segment in segments:
        _check_segment("namespace", namespace, segment)
    _check_segment("key", key, key)
    return DocumentId(namespace, key)


def parse_address(address: str) -> DocumentId:
    """The document of ``namespace/key``. Raises InvalidName."""
    namespace, slash, key = address.rpartition("/")
    if not slash:
        raise InvalidName("address", address, "it needs a namespace and a key, as in acme/prod/router/config")
    return document_id(namespace, key)


def check_tenant(name: str) -> str:
    """Return `name` if it is a tenant's. Raises InvalidName."""
    if not _TENANT.fullmatch(name) or name in OPERATOR_LAYERS:
        raise InvalidName(
            "tenant", name, "use 1 to 40 of a-z, 0-9 and '-', starting with a letter, not global or system"
        )
    return name


def check_edge(name: str) -> str:
    """Return `name` if it is an edge's. Raises InvalidName."""
    _check_segment("edge", name, name)
    return name


def check_operator(name: str) -> str:
    """Return `name` if it is that of an operator's certificate. Raises InvalidName."""
    _check_segment("operator", name, name)
    return name


def check_author(author: str) -> str:
    """Return `author` if it fits a line of a log. Raises InvalidName."""
    return _checked_text("author", author, AUTHOR_CHARS_MAX)


def check_message(message: str) -> str:
    """Return `message` if it fits a line of a log. Raises InvalidName."""
    return _checked_text("message", message, MESSAGE_CHARS_MAX)


def check_told(author: str, message: str = "") -> None:
    """Refuse an author and a message that nobody can have recorded (`is_line`). Raises InvalidName."""
    for kind, text, chars_max in (
        ("author", author, AUTHOR_CHARS_MAX),
        ("message", message, MESSAGE_CHARS_MAX),
    ):
        _check_length(kind, text, chars_max)
        if not is_line(text):
            raise InvalidName(kind, text, _NOT_IN_A_LINE)


def is_line(text: str) -> bool:
    """Whether it may have been taken for one line where it was written.

    Which characters are printable depends on the release of Python: what was written under a newer one must
    not be damage to an older, which would refuse it again and again.
    """
    return _NO_LINE.search(text) is None


def _check_segment(kind: str, whole: str, segment: str) -> None:
    if len(segment) > SEGMENT_CHARS_MAX:
        raise InvalidName(kind, whole, f"a segment of {len(segment)} characters, limit {SEGMENT_CHARS_MAX}")
    if not _SEGMENT.fullmatch(segment):
        raise InvalidName(
            kind,
            whole,
            "segments are made of A-Z a-z 0-9 _ . - and neither empty, nor '..', "
            "nor with a dot or hyphen in front or a dot at the end",
        )


def _checked_text(kind: str, text: str, chars_max: int) -> str:
    _check_length(kind, text, chars_max)
    if not text.isprintable():
        raise InvalidName(kind, text, _NOT_IN_A_LINE)
    return text


def _check_length(kind: str, text: str, chars_max: int) -> None:
    if len(text) > chars_max:
        raise InvalidName(kind, text, f"{len(text)} characters, limit {chars_max}")
