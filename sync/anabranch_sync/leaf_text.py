"""The text or list inside a leaf: pycrdt, behind what `leaf_decoder` lets through.

Only this module knows pycrdt. It is fed the seed first, as if one client had typed it, then edits in
an order in which everything an edit refers to is there already (`leaf_edits` sees to that), each time
into a document that is thrown away. Whatever comes out of it, a panic included, is EditRefused.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, TypeAlias, TypeVar

from pycrdt import Array, Doc, StickyIndex, Text

from anabranch_sync.errors import EditRefused
from anabranch_sync.leaf_decoder import (
    Hunk,
    Id,
    Insertion,
    Units,
    Update,
    encode_update,
    joined,
    length,
    read_update,
)

# Rebuilt leaves that are remembered: the largest take 512 KB, most a few hundred bytes.
_REMEMBERED = 256

_Sequence: TypeAlias = Text | Array[Any]
T = TypeVar("T")


@lru_cache(maxsize=_REMEMBERED)
def merged(seed_client: int, seed: Units, edits: tuple[bytes, ...]) -> Units:
    """The seed with `edits` merged into it, in their order. Raises EditRefused."""
    return _guarded(lambda: _units(_opened(Doc(), seed_client, seed, edits)))


def composed(
    seed_client: int, seed: Units, edits: Sequence[bytes], client: int, hunks: Sequence[Hunk]
) -> bytes:
    """The update by which `client` replaces `hunks`, ascending, of the merged leaf. Raises EditRefused."""
    raw = _guarded(lambda: _replaced(Doc(client_id=client), seed_client, seed, edits, hunks))
    update = read_update(client, raw)
    return encode_update(Update(client, update.insertions, joined(update.deletions)))


def places(seed_client: int, seed: Units, edits: Sequence[bytes], ids: Sequence[Id]) -> list[int]:
    """How many units, as the wire counts, stand before each of `ids`, deleted or not. Raises EditRefused."""
    return _guarded(lambda: _places(_opened(Doc(), seed_client, seed, edits), ids))


def _opened(document: Doc[Any], seed_client: int, seed: Units, edits: Sequence[bytes]) -> _Sequence:
    leaf: _Sequence = (
        document.get("text", type=Text) if isinstance(seed, str) else document.get("list", type=Array)
    )
    if seed:
        document.apply_update(encode_update(Update(seed_client, (Insertion(None, None, seed),))))
    for each in edits:
        document.apply_update(each)
    return leaf


def _units(leaf: _Sequence) -> Units:
    return str(leaf) if isinstance(leaf, Text) else tuple(bytes(item) for item in leaf)


def _replaced(
    document: Doc[Any], seed_client: int, seed: Units, edits: Sequence[bytes], hunks: Sequence[Hunk]
) -> bytes:
    leaf = _opened(document, seed_client, seed, edits)
    offsets = _offsets(_units(leaf))
    updates: list[bytes] = []
    subscription = document.observe(lambda event: updates.append(event.update))
    with document.transaction():
        for start, stop, new in reversed(hunks):
            if start < stop:
                del leaf[offsets[start] : offsets[stop]]
            if isinstance(leaf, Text) and new:
                leaf.insert(offsets[start], str(new))
            elif isinstance(leaf, Array):
                for index, item in enumerate(new, start):
                    leaf.insert(index, item)
    document.unobserve(subscription)
    [update] = updates
    return update


def _places(leaf: _Sequence, ids: Sequence[Id]) -> list[int]:
    content = _units(leaf)
    counted = accumulate((length(each) if isinstance(each, str) else 1 for each in content), initial=0)
    number_at = dict(zip(_offsets(content), counted, strict=True))
    with leaf.doc.transaction() as transaction:
        stuck = (
            StickyIndex.from_json({"item": {"client": each.client, "clock": each.clock}, "assoc": 0})
            for each in ids
        )
        return [number_at[each.get_index(transaction)] for each in stuck]


def _offsets(content: Units) -> Sequence[int]:
    """Where each unit begins as pycrdt counts, and where the last one ends: texts in bytes of UTF-8."""
    if not isinstance(content, str) or content.isascii():
        return range(len(content) + 1)
    return list(accumulate((len(each.encode()) for each in content), initial=0))


def _guarded(apply: Callable[[], T]) -> T:
    try:
        return apply()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # Rust's panics are no Exception
        raise EditRefused(f"{type(error).__name__}: {error}") from error
