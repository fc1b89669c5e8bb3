"""Verifying a whole log where it is stored, and naming the first leaf that is not what was logged.

Every leaf is hashed again and compared with the hashes kept with it, with the tables it speaks of and
with whatever was signed or seen before. Edited leaves are found by their hashes; leaves whose hashes
were computed anew by what was signed; a log that was replaced, checkpoints and all, by what is
remembered outside Postgres: the hub's anchor, an export, an edge.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from anabranch_sync.audit_event import EventKind, Leaf, commitment_of, read_leaf
from anabranch_sync.checkpoint import verified_checkpoint
from anabranch_sync.errors import BadLeaf, EvidenceError
from anabranch_sync.merkle import EMPTY_ROOT, HASH_BYTES, Frontier, TreeHead, leaf_hash
from anabranch_sync.signed_note import VerifierKey
from anabranch_sync.value import Json

from anabranch_hub.audit.spoken import contradictions
from anabranch_hub.errors import LogTampered
from anabranch_hub.store import StoredCheckpoint
from anabranch_hub.store.log_snapshot import LogPage, LogSnapshot, StoredLeaf, Totals

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """A tree that is known from elsewhere, and from where."""

    tree: TreeHead
    source: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the verifier brings along: the key to believe, trees seen before, leaves of an export in order."""

    key: VerifierKey | None
    seen: Sequence[Seen] = ()
    leaves: Iterator[str] = field(default_factory=lambda: iter(()))


@dataclass(frozen=True, slots=True)
class Sound:
    """A log in which nothing was found wrong. `signed` of its leaves are covered by a signature."""

    tree: TreeHead
    signed: int
    checkpoints: int
    openings: int
    witnessed: tuple[str, ...]


def _quiet(done: int, size: int) -> None:
    """Nobody watches."""


async def verify(log: LogSnapshot, tenant: str, known: Known, progress: Progress = _quiet) -> Sound:
    """Verify the log of `tenant` from its first leaf to its last. Raises LogTampered."""
    standing = await log.log()
    growing = _Growing(tenant, known, standing.frontier.size)
    async for page in log.pages(spoken=True):
        growing.take(page)
        progress(growing.size, standing.frontier.size)
    growing.end(standing.frontier, await log.totals(), await log.checkpoints_beyond(growing.size))
    return growing.sound()


class _Growing:
    """The tree as the leaves make it, up to the first that is wrong."""

    def __init__(self, tenant: str, known: Known, stated_size: int) -> None:
        self._tenant = tenant
        self._known = known
        self._stated_size = stated_size
        self._frontier = Frontier()
        self._seen: dict[int, list[Seen]] = {}
        for each in known.seen:
            self._seen.setdefault(each.tree.size, []).append(each)
        # Up to here a signature or a witness vouches for the leaves.
        self._vouched = 0
        self._signed = 0
        self._checkpoints = 0
        self._openings = 0
        self._witnessed: list[str] = []
        self._position: int | None = None
        self._merge: int | None = None
        self._compare_seen()

    @property
    def size(self) -> int:
        """How many leaves were verified."""
        return self._frontier.size

    def take(self, page: LogPage) -> None:
        """The next leaves."""
        signed = {each.tree.size: each for each in page.checkpoints}
        stops = {*signed, *self._seen}
        hashes: list[bytes] = []
        grown = 0
        for place, each in enumerate(page.leaves, 1):
            index = self.size + len(hashes)
            hashes.append(self._hashed(index, each, page))
            if index + 1 in stops:
                self._grow(hashes, page.leaves[grown:place])
                grown = place
                if checkpoint := signed.get(self.size):
                    self._compare_signed(checkpoint)
                self._compare_seen()
        self._grow(hashes, page.leaves[grown:])

    def end(self, stated: Frontier, totals: Totals, beyond: Sequence[StoredCheckpoint]) -> None:
        """No more leaves."""
        size = self.size
        if size < stated.size:
            self._fail(size, f"it is missing: {stated.size} leaves were written", stated.size - 1)
        later = [Seen(each.tree, "a checkpoint") for each in beyond]
        later += [each for seen in self._seen.values() for each in seen]
        for each in later:
            if each.tree.size > size:
                reason = f"it is missing: the log ends here, {each.source} covers {each.tree.size} leaves"
                self._fail(size, reason, each.tree.size - 1)
        if next(self._known.leaves, None) is not None:
            self._fail(size, "it is missing: the log ends here, the export goes on")
        # Where all leaves are vouched for, only the end itself can be meant.
        doubtful = max(0, min(self._vouched, size - 1))
        if stated != self._frontier:
            self._fail(doubtful, "the hashes at the end of the log are not those of its leaves", size - 1)
        if totals.leaves != size:
            self._fail(doubtful, f"{totals.leaves} leaves are stored for {size} places", size - 1)
        if self._position is not None and self._position != totals.hub_seq:
            reason = f"the log accounts for {self._position} positions, {totals.hub_seq} were decided"
            self._fail(size, reason)
        if self._merge is not None and self._merge != totals.ledger:
            self._fail(size, f"the log accounts for {self._merge} ledger rows, there are {totals.ledger}")

    def sound(self) -> Sound:
        """What was found."""
        return Sound(
            self._frontier.head, self._signed, self._checkpoints, self._openings, tuple(self._witnessed)
        )

    def _hashed(self, index: int, stored: StoredLeaf, page: LogPage) -> bytes:
        """The hash of a leaf that is whole in itself and says what the tables say."""
        if stored.leaf > index:
            self._fail(index, "it is missing", stored.leaf - 1)
        if stored.leaf < index:
            self._fail(stored.leaf, "two leaves are stored in its place")
        if index >= self._stated_size:
            self._fail(index, f"it stands behind the end of the log, which has {self._stated_size} leaves")
        current = leaf_hash(stored.event)
        if stored.hashes[:HASH_BYTES] != current:
            kept = stored.hashes[:HASH_BYTES].hex()
            self._fail(index, f"its bytes hash to {current.hex()}, the log stored {kept}: one was changed")
        known = next(self._known.leaves, None)
        if known is not None and known.encode() != stored.event:
            self._fail(index, "it is another than in the export")
        try:
            leaf = read_leaf(stored.event, self._tenant, index)
        except BadLeaf as error:
            self._fail(index, error.reason)
        values = self._values(index, stored)
        self._account(leaf, stored)
        assert page.spoken is not None, "the pages are read with what the tables say"
        for contradiction in contradictions(leaf, values, page.spoken):
            self._fail(index, contradiction)
        return current

    def _values(self, index: int, stored: StoredLeaf) -> Mapping[str, Any]:
        values = {}
        for each in stored.openings:
            commitment = each.commitment.hex()
            if commitment_of(each.salt, each.text) != commitment or commitment.encode() not in stored.event:
                self._fail(index, "a value that is kept for it is not the one it commits to")
            values[commitment] = json.loads(each.text)
            self._openings += 1
        return values

    def _account(self, leaf: Leaf, stored: StoredLeaf) -> None:
        """Positions and numbers of ledger rows follow each other without a gap."""
        position: Json = self._position
        if leaf.kind in (EventKind.CHANGE_DECIDED, EventKind.CONFLICT_DECIDED):
            position = leaf.data.get("position")
        if position is not None and position != stored.hub_seq:
            self._fail(leaf.index, f"it is filed under position {stored.hub_seq}, not its own, {position}")
        match leaf.kind:
            case EventKind.TENANT_CREATED | EventKind.LOG_STARTED:
                self._position = stored.hub_seq
                self._merge = 0 if leaf.kind == EventKind.TENANT_CREATED else None
            case EventKind.CHANGE_DECIDED:
                if self._position is not None and stored.hub_seq != self._position + 1:
                    reason = f"position {stored.hub_seq} follows {self._position}: leaves between are missing"
                    self._fail(leaf.index, reason)
                self._position = stored.hub_seq
            case EventKind.CONFLICT_DECIDED:
                number = leaf.data.get("merge")
                if self._merge is not None and number != self._merge + 1:
                    reason = f"ledger row {number} follows {self._merge}: leaves between are missing"
                    self._fail(leaf.index, reason)
                self._merge = number if isinstance(number, int) else None
            case _:
                pass

    def _grow(self, hashes: list[bytes], stored: Sequence[StoredLeaf]) -> None:
        """Hash leaves into the tree, and compare every subtree they complete with the one stored."""
        first = self.size
        self._frontier, completed = self._frontier.appended(hashes)
        kept = [b""] * len(hashes)
        for (level, number), hash_ in completed:
            kept[(((number + 1) << level) - 1) - first] += hash_
        for each, expected in zip(stored, kept, strict=True):
            if each.hashes != expected:
                self._fail(
                    each.leaf, "the hashes of the tree that are kept with it are not those of its leaves"
                )
        hashes.clear()

    def _compare_signed(self, checkpoint: StoredCheckpoint) -> None:
        what = f"the checkpoint signed at {self.size} leaves"
        key = self._known.key
        if key is not None:
            try:
                tree = verified_checkpoint(checkpoint.note, key).tree
            except EvidenceError as error:
                self._fail(self._vouched, f"{what} is not signed by the log's key: {error}", self.size - 1)
            if tree != checkpoint.tree:
                self._fail(self._vouched, f"{what} has another note", self.size - 1)
        self._compare(checkpoint.tree, what)
        self._signed = self.size
        self._checkpoints += 1

    def _compare_seen(self) -> None:
        for each in self._seen.pop(self.size, ()):
            self._compare(each.tree, each.source)
            self._witnessed.append(each.source)

    def _compare(self, tree: TreeHead, what: str) -> None:
        root = self._frontier.root if self.size else EMPTY_ROOT
        if root != tree.root:
            reason = f"the leaves lead to root {root.hex()}, {what} has {tree.root.hex()}"
            self._fail(self._vouched, reason, max(self._vouched, self.size - 1))
        self._vouched = self.size

    def _fail(self, leaf: int, reason: str, last: int | None = None) -> NoReturn:
        raise LogTampered(self._tenant, leaf, reason, last=last)
