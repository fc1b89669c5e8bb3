"""The digest of a scope: how two sides see in 18 bytes that they hold the same documents.

The count of live documents and the sum modulo 2**128 of their digests. A sum is independent of
order and is updated by subtracting the old digest of a document and adding the new one (Bellare and
Micciancio's AdHash; both sides are honest about their own documents here, an accident is what it
must show).
"""

from dataclasses import dataclass

from anabranch_sync.document import DIGEST_BYTES

MODULUS = 1 << (8 * DIGEST_BYTES)
# Of the sum, what a pull of a single piece says: after an accident it is right once in four billion times,
# and the next greeting has all of it.
MARK_BYTES = 4


@dataclass(frozen=True, slots=True)
class ScopeDigest:
    """Count and sum of the digests of the live documents."""

    count: int = 0
    sum: int = 0

    def replaced(self, before: int, after: int) -> "ScopeDigest":
        """The digest after one document's digest went from `before` to `after` (0: not there)."""
        return ScopeDigest(self.count + (after != 0) - (before != 0), (self.sum + after - before) % MODULUS)

    @property
    def mark(self) -> bytes:
        """The end of its sum."""
        return self.sum.to_bytes(DIGEST_BYTES, "big")[-MARK_BYTES:]

    def __str__(self) -> str:
        return f"{self.count}:{self.sum:032x}"
