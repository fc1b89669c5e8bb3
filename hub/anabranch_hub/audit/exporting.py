"""Handing a log out: an export of all of it, or the proof of one leaf, for whoever verifies elsewhere.

Both end where the newest checkpoint does: what is behind it is not signed yet.
"""

from collections.abc import AsyncIterator

from anabranch_sync.audit_event import EventKind, ValueOpening, read_leaf
from anabranch_sync.audit_file import ExportHead, LoggedLeaf, checkpoint_line, head_line, leaf_line
from anabranch_sync.errors import EvidenceError
from anabranch_sync.merkle import HASH_BYTES, inclusion_proof, inclusion_subtrees
from anabranch_sync.signed_note import parse_verifier_key
from anabranch_sync.tlog_proof import TlogProof, proof_of
from anabranch_sync.value import parse_json

from anabranch_hub.errors import LeafUnknown, LogTampered, LogUnsigned
from anabranch_hub.store import StoredCheckpoint
from anabranch_hub.store.log_snapshot import LogSnapshot, StoredLeaf


async def export_lines(log: LogSnapshot, tenant: str, *, values: bool) -> AsyncIterator[bytes]:
    """The lines of an export, in bounded memory. Raises LogUnsigned."""
    newest = await _newest(log, tenant)
    yield head_line(ExportHead(tenant, parse_verifier_key(newest.key), newest.note))
    async for page in log.pages(openings=values):
        # Checkpoints by the number of leaves they cover: each stands behind the last of them.
        notes = {each.tree.size: each.note for each in page.checkpoints}
        for leaf in page.leaves:
            if leaf.leaf >= newest.tree.size:
                return
            try:
                yield leaf_line(_logged(leaf))
            except UnicodeDecodeError as error:
                raise LogTampered(tenant, leaf.leaf, "its bytes are no text") from error
            note = notes.get(leaf.leaf + 1)
            if note is not None and leaf.leaf + 1 < newest.tree.size:
                yield checkpoint_line(note)


async def proof(log: LogSnapshot, tenant: str, number: int, *, values: bool) -> TlogProof:
    """The proof of one leaf. Raises LogUnsigned, LeafUnknown, LogTampered."""
    newest = await _newest(log, tenant)
    leaf = await log.leaf(number)
    if leaf is None:
        raise LeafUnknown(tenant, f"leaf {number}")
    if number >= newest.tree.size:
        raise LogUnsigned(tenant, number + 1, newest.tree.size)
    hashes = await log.subtree_hashes(inclusion_subtrees(number, newest.tree.size))
    logged = _logged(leaf)
    if not values:
        logged = LoggedLeaf(logged.raw, logged.stored_hash)
    path = inclusion_proof(number, newest.tree.size, hashes)
    return proof_of(number, logged, path, newest.note, parse_verifier_key(newest.key))


async def leaf_of_change(log: LogSnapshot, tenant: str, position: int) -> int:
    """The leaf of the change that was decided at a position. Raises LeafUnknown."""
    for number, event in await log.leaves_at(position):
        if _says(event, tenant, number, EventKind.CHANGE_DECIDED, "position", position):
            return number
    raise LeafUnknown(tenant, f"a leaf of position {position}")


async def leaf_of_merge(log: LogSnapshot, tenant: str, merge: int) -> int:
    """The leaf of a ledger row. Raises LeafUnknown."""
    position = await log.merge_position(merge)
    for number, event in await log.leaves_at(position) if position is not None else ():
        if _says(event, tenant, number, EventKind.CONFLICT_DECIDED, "merge", merge):
            return number
    raise LeafUnknown(tenant, f"a leaf of ledger row {merge}")


async def _newest(log: LogSnapshot, tenant: str) -> StoredCheckpoint:
    newest = (await log.log()).newest
    if newest is None:
        raise LogUnsigned(tenant, 1, 0)
    return newest


def _logged(leaf: StoredLeaf) -> LoggedLeaf:
    openings = tuple(ValueOpening(each.salt, parse_json(each.text)) for each in leaf.openings)
    return LoggedLeaf(leaf.event, leaf.hashes[:HASH_BYTES], openings)


def _says(event: bytes, tenant: str, number: int, kind: EventKind, name: str, value: int) -> bool:
    try:
        leaf = read_leaf(event, tenant, number)
    except EvidenceError:
        return False
    return leaf.kind == kind and leaf.data.get(name) == value
