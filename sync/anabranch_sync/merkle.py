"""The arithmetic of a transparency log: RFC 6962 section 2.1 (and RFC 9162), over SHA-256.

A tree only grows at its right end, so a *complete* subtree (2**level leaves, aligned) never changes
once its last leaf is there. Everything is made of complete subtrees: a store that keeps the hash of
each one reads O(log n) rows for a root, an inclusion proof or a consistency proof of any size. The
functions that end in `_subtrees` name the rows, the ones beside them make the proof from those rows.

::

    level 2        (2,0)                    a tree of 7 leaves: its frontier is
    level 1   (1,0)     (1,1)     (1,2)     (2,0) (1,2) (0,6)
    level 0   0   1     2   3     4   5   6
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from anabranch_sync.errors import InvalidProof

HASH_BYTES = 32
# Leaves are counted in 63 bits, as every number of the store and the wire.
SIZE_MAX = 2**63 - 1

# What keeps a leaf from being passed off as an inner node, and the other way round.
_LEAF_PREFIX, _NODE_PREFIX = b"\x00", b"\x01"


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one leaf's bytes."""
    return hashlib.sha256(_LEAF_PREFIX + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees side by side."""
    return hashlib.sha256(_NODE_PREFIX + left + right).digest()


EMPTY_ROOT = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A tree as it is known from outside: how many leaves, and the root over them."""

    size: int
    root: bytes


class Subtree(NamedTuple):
    """A complete subtree, the `number`-th of its level: 2**level leaves from ``number << level``."""

    level: int
    number: int


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that is needed to go on: the hashes of the complete subtrees, the largest (leftmost) first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The root over all leaves so far."""
        return _folded(self.hashes) if self.hashes else EMPTY_ROOT

    @property
    def head(self) -> TreeHead:
        """The tree as it is shown to others."""
        return TreeHead(self.size, self.root)

    def appended(self, leaf_hashes: Iterable[bytes]) -> tuple["Frontier", list[tuple[Subtree, bytes]]]:
        """The frontier with these leaves behind the others, and every subtree that they complete.

        The leaves themselves are among them, at level 0.
        """
        hashes = list(self.hashes)
        size = self.size
        completed = []
        for current in leaf_hashes:
            completed.append((Subtree(0, size), current))
            level, number = 0, size
            while number & 1:
                current = node_hash(hashes.pop(), current)
                level, number = level + 1, number >> 1
                completed.append((Subtree(level, number), current))
            hashes.append(current)
            size += 1
        return Frontier(size, tuple(hashes)), completed


def frontier_subtrees(size: int) -> tuple[Subtree, ...]:
    """The complete subtrees that are the frontier of a tree of `size` leaves, in its order."""
    return _subtrees(0, size)


def frontier_at(size: int, hashes: Mapping[Subtree, bytes]) -> Frontier:
    """The frontier at `size`, from the hashes that `frontier_subtrees` names."""
    return Frontier(size, tuple(hashes[each] for each in frontier_subtrees(size)))


def inclusion_subtrees(index: int, size: int) -> tuple[Subtree, ...]:
    """The complete subtrees whose hashes `inclusion_proof` needs."""
    return _flat(_inclusion_ranges(index, size))


def inclusion_proof(index: int, size: int, hashes: Mapping[Subtree, bytes]) -> tuple[bytes, ...]:
    """The siblings on the way from leaf `index` up to the root at `size`."""
    return _proof(_inclusion_ranges(index, size), hashes)


def verify_inclusion(leaf: bytes, index: int, tree: TreeHead, proof: Sequence[bytes]) -> None:
    """Raise InvalidProof unless `leaf` (a leaf's hash) stands at `index` in `tree`."""
    what = f"inclusion of leaf {index} in a tree of {tree.size}"
    if not 0 <= index < tree.size:
        raise InvalidProof(what, "the index is outside the tree")
    ranges = _inclusion_ranges(index, tree.size)
    _check_shape(what, proof, len(ranges))
    current = leaf
    for (start, _), sibling in zip(ranges, proof, strict=True):
        current = node_hash(sibling, current) if start < index else node_hash(current, sibling)
    if current != tree.root:
        raise InvalidProof(what, f"it leads to root {current.hex()}, not {tree.root.hex()}")


def consistency_subtrees(older: int, newer: int) -> tuple[Subtree, ...]:
    """The complete subtrees whose hashes `consistency_proof` needs."""
    return _flat(_consistency_ranges(older, newer))


def consistency_proof(older: int, newer: int, hashes: Mapping[Subtree, bytes]) -> tuple[bytes, ...]:
    """What shows that the tree of `newer` leaves begins with the tree of `older` leaves."""
    return _proof(_consistency_ranges(older, newer), hashes)


def verify_consistency(older: TreeHead, newer: TreeHead, proof: Sequence[bytes]) -> None:
    """Raise InvalidProof unless `newer` is `older` with leaves appended (or none)."""
    what = f"consistency of a tree of {newer.size} with one of {older.size}"
    if not 0 <= older.size <= newer.size:
        raise InvalidProof(what, "a log never shrinks")
    if older.size == 0 and older.root != EMPTY_ROOT:
        raise InvalidProof(what, "the empty tree has another root")
    ranges = _consistency_ranges(older.size, newer.size)
    _check_shape(what, proof, len(ranges))
    if older.size == 0:
        return
    siblings = list(zip(ranges, proof, strict=True))
    seed = older.root
    if older.size & (older.size - 1) and siblings:
        # The older tree is no complete subtree of the newer: the proof starts with one that both share.
        _, seed = siblings.pop(0)
    before = after = seed
    for (start, _), sibling in siblings:
        if start < older.size:
            before = node_hash(sibling, before)
            after = node_hash(sibling, after)
        else:
            after = node_hash(after, sibling)
    if before != older.root:
        raise InvalidProof(what, f"it starts from root {before.hex()}, not {older.root.hex()}")
    if after != newer.root:
        raise InvalidProof(what, f"it leads to root {after.hex()}, not {newer.root.hex()}")


def _inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The leaves under each sibling, from the leaf up (PATH of RFC 6962, 2.1.1)."""
    assert 0 <= index < size, "a leaf outside its tree"
    start, end = 0, size
    ranges = []
    while end - start > 1:
        split = start + _largest_power_below(end - start)
        if index < split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    return ranges[::-1]


def _consistency_ranges(older: int, newer: int) -> list[tuple[int, int]]:
    """The leaves under each hash of the proof, from the seed up (PROOF of RFC 6962, 2.1.2)."""
    assert 0 <= older <= newer, "a newer tree is not smaller"
    if older == 0:
        return []
    start, end = 0, newer
    ranges = []
    while end != older:
        split = start + _largest_power_below(end - start)
        if older <= split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    if start:
        ranges.append((start, end))
    return ranges[::-1]


def _subtrees(start: int, end: int) -> tuple[Subtree, ...]:
    """The complete subtrees side by side from leaf `start` to before `end`; `start` is aligned to them."""
    result = []
    while start < end:
        level = (end - start).bit_length() - 1
        result.append(Subtree(level, start >> level))
        start += 1 << level
    return tuple(result)


def _flat(ranges: Iterable[tuple[int, int]]) -> tuple[Subtree, ...]:
    return tuple(each for start, end in ranges for each in _subtrees(start, end))


def _proof(ranges: Iterable[tuple[int, int]], hashes: Mapping[Subtree, bytes]) -> tuple[bytes, ...]:
    return tuple(_folded([hashes[each] for each in _subtrees(start, end)]) for start, end in ranges)


def _folded(hashes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees side by side, the largest first."""
    *rest, root = hashes
    for left in reversed(rest):
        root = node_hash(left, root)
    return root


def _check_shape(what: str, proof: Sequence[bytes], count: int) -> None:
    if len(proof) != count:
        raise InvalidProof(what, f"{len(proof)} hashes, {count} are needed")
    if any(len(each) != HASH_BYTES for each in proof):
        raise InvalidProof(what, f"a hash has other than {HASH_BYTES} bytes")


def _largest_power_below(count: int) -> int:
    """The largest power of two that is smaller than `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)
