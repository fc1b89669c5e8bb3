"""Reading the transparency log: where it ends, what was signed of it, and the hashes that prove it."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anabranch_sync import witness
from anabranch_sync.checkpoint import parse_signed
from anabranch_sync.errors import EvidenceError, InvalidProof
from anabranch_sync.merkle import (
    Frontier,
    Subtree,
    TreeHead,
    consistency_proof,
    consistency_subtrees,
    verify_consistency,
)
from anabranch_sync.signed_note import parse_verifier_key
from anabranch_sync.witness import Presented

from anabranch_hub.errors import LogTampered
from anabranch_hub.store.auditing import log_end
from anabranch_hub.store.pool import Pool, Session

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A signed checkpoint as it is stored, nothing of it verified."""

    tree: TreeHead
    key: str
    note: str


@dataclass(frozen=True, slots=True)
class Log:
    """A log at one moment: where it ends, and the newest checkpoint, which may cover less."""

    frontier: Frontier
    newest: StoredCheckpoint | None


async def read_log(session: Session) -> Log:
    """The log as a transaction sees it."""
    row = await session.one("log_end")
    newest = None
    if row["size"] is not None:
        newest = StoredCheckpoint(TreeHead(row["size"], row["root"]), row["key"], row["note"])
    return Log(log_end(row).frontier, newest)


async def proven_head(pool: Pool, tenant: str, earlier: Iterable[TreeHead]) -> TreeHead:
    """The head of the log, which has been shown to go on from each of the `earlier` ones.

    From O(log n) stored hashes: leaves are not hashed again. Raises LogTampered.
    """
    async with pool.transaction(tenant, snapshot=True) as session:
        head = (await read_log(session)).frontier.head
        for each in earlier:
            await check_continues(session, tenant, each, head)
        return head


async def presented(session: Session, tenant: str, mark: bytes) -> Presented | None:
    """What an edge that shows this mark is shown of the log; None where it has seen all that is signed.

    Where the log cannot be shown to go on from what the edge saw, the edge gets no proof, and refuses.
    """
    newest = (await read_log(session)).newest
    wanted = None if newest is None else witness.needed(mark, newest.tree)
    if newest is None or wanted is None:
        return None
    try:
        key, checkpoint = parse_verifier_key(newest.key), parse_signed(newest.note)
    except EvidenceError as error:
        log.error("no checkpoint shown", extra={"tenant": tenant, "reason": str(error)})
        return None
    try:
        hashes = await subtree_hashes(session, tenant, wanted)
    except LogTampered as error:
        log.error("no proof shown", extra={"tenant": tenant, "reason": str(error)})
        return Presented(checkpoint, public_key=b"" if mark else key.public)
    return witness.presented(mark, checkpoint, key, hashes)


async def save_checkpoint(pool: Pool, tenant: str, checkpoint: StoredCheckpoint) -> None:
    """Keep a signed checkpoint; one of that size that is there already stays."""
    async with pool.session(tenant) as session:
        tree = checkpoint.tree
        await session.run(
            "save_checkpoint", size=tree.size, root=tree.root, key=checkpoint.key, note=checkpoint.note
        )


async def check_continues(session: Session, tenant: str, earlier: TreeHead, head: TreeHead) -> None:
    """Raise LogTampered unless the stored hashes lead from the one tree to the other."""
    if earlier.size > head.size:
        sizes = f"the log ends at {head.size} leaves, {earlier.size} were signed"
        reason = f"it is missing: {sizes} (was a backup restored? say so: anabranch-hub restored)"
        raise LogTampered(tenant, head.size, reason, last=earlier.size - 1)
    try:
        verify_consistency(earlier, head, await consistency(session, tenant, earlier.size, head.size))
    except InvalidProof as error:
        raise LogTampered(tenant, 0, f"{error}, which was signed", last=earlier.size - 1) from error


async def consistency(session: Session, tenant: str, older: int, newer: int) -> tuple[bytes, ...]:
    """The proof from one tree to a larger one. Raises LogTampered where a leaf it needs is gone."""
    hashes = await subtree_hashes(session, tenant, consistency_subtrees(older, newer))
    return consistency_proof(older, newer, hashes)


async def subtree_hashes(session: Session, tenant: str, wanted: Sequence[Subtree]) -> dict[Subtree, bytes]:
    """The hashes of these complete subtrees. Raises LogTampered where a leaf that keeps one is gone."""
    rows = await session.rows(
        "subtrees", levels=[level for level, _ in wanted], indexes=[index for _, index in wanted]
    )
    found = {Subtree(row["level"], row["index"]): bytes(row["hash"]) for row in rows}
    for level, index in wanted:
        if not found.get(Subtree(level, index)):
            last = ((index + 1) << level) - 1
            raise LogTampered(tenant, last, "it, or the hashes kept with it, are missing")
    return found
