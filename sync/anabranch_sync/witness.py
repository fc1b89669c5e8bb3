"""Edges as witnesses of the log: each keeps the last checkpoint it saw and believes only what continues it.

::

    edge                                               hub
     Hello    mark of the last checkpoint seen     ->
              <-  Welcome   the newest signed checkpoint, the proof that it continues
                            the edge's, and to a newcomer the key
              <-  Logged    the same again, now and then in a stream that lasts

A hub, or whoever has its database, that rewrites the log must from then on show every edge the log
that this edge has seen, or be refused by it. The first checkpoint pins the key and the log (trust on
first use; the hub is known by its certificate then). A hub that shows none is tolerated: it may be
without its signing key for a while.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from anabranch_sync.checkpoint import SignedCheckpoint, unpack_checkpoint
from anabranch_sync.errors import CorruptFrame, LogRefused, MalformedEvidence
from anabranch_sync.merkle import (
    HASH_BYTES,
    SIZE_MAX,
    Subtree,
    TreeHead,
    consistency_proof,
    consistency_subtrees,
    verify_consistency,
)
from anabranch_sync.packing import read_varint, varint
from anabranch_sync.signed_note import PUBLIC_KEY_BYTES, VerifierKey

# A mark only saves sending what the edge has; the edge believes a signature and a proof, never a mark.
_MARK_ROOT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The newest checkpoint that was verified here, and the key that is believed."""

    key: VerifierKey
    checkpoint: SignedCheckpoint

    @property
    def tree(self) -> TreeHead:
        """The log as it was then."""
        return self.checkpoint.tree


@dataclass(frozen=True, slots=True)
class Presented:
    """What a hub shows an edge of its log.

    `consistency` is the proof from the edge's tree; `public_key` is for an edge that has none yet.
    """

    checkpoint: SignedCheckpoint
    consistency: tuple[bytes, ...] = ()
    public_key: bytes = b""


def mark_of(tree: TreeHead | None) -> bytes:
    """What an edge says of the newest tree it has seen; empty for none."""
    return b"" if tree is None else varint(tree.size) + tree.root[:_MARK_ROOT_BYTES]


def size_of(mark: bytes) -> int:
    """The size in a mark; 0 for none. Raises CorruptFrame."""
    if not mark:
        return 0
    size, start = read_varint(mark, 0)
    if size > SIZE_MAX or len(mark) - start != _MARK_ROOT_BYTES:
        raise CorruptFrame("malformed mark of the log")
    return size


def needed(mark: bytes, newest: TreeHead) -> tuple[Subtree, ...] | None:
    """The subtrees whose hashes `presented` needs; None when the edge has this tree already."""
    if mark == mark_of(newest):
        return None
    older = size_of(mark)
    # An edge that has seen more than there is finds out by itself, and must.
    return consistency_subtrees(older, newest.size) if older <= newest.size else ()


def presented(
    mark: bytes, newest: SignedCheckpoint, key: VerifierKey, hashes: Mapping[Subtree, bytes]
) -> Presented:
    """What to show an edge with this mark; `hashes` are those of the subtrees `needed`."""
    older, size = size_of(mark), newest.tree.size
    proof = consistency_proof(older, size, hashes) if older <= size else ()
    return Presented(newest, proof, b"" if mark else key.public)


def witnessed(origin: str, before: Witnessed | None, presented: Presented) -> Witnessed:
    """What is known of the log `origin` after a hub has presented this.

    Raises LogRefused, UntrustedSignature, InvalidProof, MalformedEvidence: the log is not believed.
    """
    checkpoint = presented.checkpoint
    if before is None:
        if len(presented.public_key) != PUBLIC_KEY_BYTES:
            raise MalformedEvidence("the log's key", f"{len(presented.public_key)} bytes")
        key = VerifierKey(origin, presented.public_key)
        checkpoint.check(key)
        return Witnessed(key, checkpoint)
    checkpoint.check(before.key)
    seen, shown = before.tree, checkpoint.tree
    if shown.size < seen.size:
        raise LogRefused(f"ends after {shown.size} of the {seen.size} leaves that were seen here before")
    check_same(seen, shown)
    verify_consistency(seen, shown, presented.consistency)
    return Witnessed(before.key, checkpoint)


def begun_again(before: Witnessed, presented: Presented) -> Witnessed:
    """What is known of the log after a restore of the hub was declared, whatever was seen of it before.

    The key stays the pinned one. Raises UntrustedSignature.
    """
    presented.checkpoint.check(before.key)
    return Witnessed(before.key, presented.checkpoint)


def check_same(seen: TreeHead, shown: TreeHead) -> None:
    """Raise LogRefused for two trees of one size that differ: each has been signed."""
    if shown.size == seen.size and shown.root != seen.root:
        raise LogRefused(f"was rewritten: two trees of {shown.size} leaves, both signed")


def unpack_presented(origin: str, packed: bytes, consistency: bytes, public_key: bytes) -> Presented:
    """What a Welcome carries of it. Raises MalformedEvidence."""
    if len(consistency) % HASH_BYTES:
        raise MalformedEvidence("consistency proof", f"{len(consistency)} bytes are not whole hashes")
    hashes = (consistency[at : at + HASH_BYTES] for at in range(0, len(consistency), HASH_BYTES))
    return Presented(unpack_checkpoint(origin, packed), tuple(hashes), public_key)
