"""Which documents an edge replicates, and which of them it may write.

A scope is a set of prefixes of namespaces, by whole segments. A segment of a prefix is a name, or `*`, which
stands for exactly one segment of any name::

    acme/prod       acme/prod and all below it; not acme/product
    acme/*/router   acme/prod/router, acme/dev/router/eu; not acme/router
    acme/prod/*     all below acme/prod, and not acme/prod itself
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product
from typing import TypeAlias

from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import NAMESPACE_SEGMENTS_MAX, OPERATOR_LAYERS, DocumentId, document_id
from anabranch_sync.value import canonical

# A scope travels in every enrolment and is matched against every document of a pull.
SCOPE_PREFIXES_MAX = 64
# One segment of any name.
ANY = "*"

_Segments: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """The prefixes, in the order of their characters."""

    prefixes: tuple[str, ...]

    def reads(self, document: DocumentId) -> bool:
        """Whether the document is replicated: its own namespaces and the operators' layers."""
        return self.writes(document) or _covers(OPERATOR_LAYERS, document.namespace)

    def writes(self, document: DocumentId) -> bool:
        """Whether the edge may change the document."""
        return _covers(self.prefixes, document.namespace) and not _covers(OPERATOR_LAYERS, document.namespace)

    def narrowed(self, wanted: "Scope") -> "Scope":
        """What both cover. Raises InvalidName where that takes too many prefixes."""
        if wanted == EVERYTHING:
            return self
        pairs = product(map(_split, self.prefixes), map(_split, wanted.prefixes))
        return Scope(_needed({met for pair in pairs if (met := _met(*pair)) is not None}))

    @property
    def has_stars(self) -> bool:
        """Whether some prefix has a segment of any name: then an edge of an earlier release knows it not."""
        return any(ANY in prefix for prefix in self.prefixes)

    @property
    def fingerprint(self) -> bytes:
        """Eight bytes that differ when the scope differs."""
        return blake2b(canonical(list(self.prefixes)), digest_size=8).digest()


# As far as an edge may: what one asks for that was granted no more than it has room for.
EVERYTHING = Scope((ANY,))


def scope(prefixes: tuple[str, ...]) -> Scope:
    """The scope of these prefixes, checked, and without those that others cover. Raises InvalidName."""
    return Scope(_needed({_segments(prefix) for prefix in prefixes}))


def told_scope(prefixes: tuple[str, ...]) -> Scope:
    """The scope that the other side, or the disk, names by these prefixes, checked. Raises InvalidName.

    It stays as it was named: its fingerprint is of that.
    """
    if len(prefixes) > SCOPE_PREFIXES_MAX:
        raise _too_many(prefixes[0])
    for prefix in prefixes:
        _segments(prefix)
    return Scope(prefixes)


def _covers(prefixes: tuple[str, ...], namespace: str) -> bool:
    return any(_lies_below(namespace, prefix) for prefix in prefixes)


def _lies_below(namespace: str, prefix: str) -> bool:
    if ANY in prefix:
        return _contains(_split(prefix), _split(namespace))
    return namespace == prefix or namespace.startswith(prefix + "/")


def _contains(outer: _Segments, inner: _Segments) -> bool:
    """Whether all below `inner` lies below `outer`."""
    return len(outer) <= len(inner) and all(
        each in (ANY, segment) for each, segment in zip(outer, inner, strict=False)
    )


def _met(one: _Segments, other: _Segments) -> _Segments | None:
    """The prefix of what lies below both; None: nothing does."""
    shorter, longer = sorted((one, other), key=len)
    if any(a != b and ANY not in (a, b) for a, b in zip(shorter, longer, strict=False)):
        return None
    first = tuple(b if a == ANY else a for a, b in zip(shorter, longer, strict=False))
    return first + longer[len(shorter) :]


def _needed(prefixes: Iterable[_Segments]) -> tuple[str, ...]:
    """Those that no other contains. Raises InvalidName where they are too many."""
    needed: list[_Segments] = []
    # What contains another is shorter, or as long with more places for any name: it comes first.
    for prefix in sorted(prefixes, key=lambda each: (len(each), -each.count(ANY))):
        if not any(_contains(wider, prefix) for wider in needed):
            needed.append(prefix)
            if len(needed) > SCOPE_PREFIXES_MAX:
                raise _too_many("/".join(needed[0]))
    return tuple(sorted(map("/".join, needed)))


def _segments(prefix: str) -> _Segments:
    """The segments of a checked prefix. Raises InvalidName."""
    segments = _split(prefix)
    for segment in segments[:NAMESPACE_SEGMENTS_MAX]:
        if ANY in segment and segment != ANY:
            reason = f"{segment!r} is no segment: '*' stands for a whole one, and a prefix covers all below"
            raise InvalidName("scope", prefix, reason)
    try:
        document_id("/".join("any" if segment == ANY else segment for segment in segments))
    except InvalidName as error:
        raise InvalidName("scope", prefix, error.reason) from error
    return segments


def _split(prefix: str) -> _Segments:
    return tuple(prefix.split("/"))


def _too_many(first: str) -> InvalidName:
    reason = f"more than {SCOPE_PREFIXES_MAX} prefixes, the limit: name one they have in common"
    return InvalidName("scope", f"{first}, ...", reason)
