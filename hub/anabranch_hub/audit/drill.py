"""The tamper drill: bend a copy of the log in every way we know of, and see whether verifying finds it.

Everything happens in one transaction that is rolled back: the log itself is only read. What is tried
is what a superuser of Postgres can do, up to computing all hashes anew; not the signature of a key in
Vault, nor what is remembered outside Postgres, which is here the newest checkpoint.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from anabranch_sync.audit_event import EventKind, read_leaf
from anabranch_sync.merkle import Frontier, leaf_hash
from anabranch_sync.pull import Outcome
from anabranch_sync.signed_note import encode_base64, parse_verifier_key

from anabranch_hub.audit.verifying import Known, Seen, Sound, verify
from anabranch_hub.errors import LogTampered, LogUnsigned
from anabranch_hub.store import StoredCheckpoint
from anabranch_hub.store.log_snapshot import LogSnapshot


@dataclass(frozen=True, slots=True)
class Drilled:
    """One way of tampering: whether it was found, at which leaf, and what was said of it.

    Where the leaf itself cannot be told, it is one of those up to `last`.
    """

    tampering: str
    detected: bool
    leaf: int | None
    last: int | None
    said: str


@dataclass(slots=True)
class _Copy:
    """A copy, and what the tamperings need to know of it."""

    log: LogSnapshot
    signed: StoredCheckpoint
    events: list[bytes] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)
    merged: list[int] = field(default_factory=list)
    merges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many leaves it has."""
        return len(self.events)

    @property
    def middle(self) -> int:
        """A leaf in the middle of what is signed."""
        return self.signed.tree.size // 2

    async def run(self, name: str, **parameters: object) -> None:
        """Run a statement on the copy."""
        await self.log.session.run(name, **parameters)


async def drill(log: LogSnapshot, tenant: str) -> tuple[Sound, AsyncIterator[Drilled]]:
    """Verify the copy, then tamper with it in one way after the other.

    Raises LogTampered where the log is not whole to begin with, LogUnsigned where nothing is signed.
    """
    signed = (await log.log()).newest
    if signed is None:
        raise LogUnsigned(tenant, 1, 0)
    known = Known(parse_verifier_key(signed.key), [Seen(signed.tree, "a checkpoint remembered elsewhere")])
    sound = await verify(log, tenant, known)
    copy = _Copy(log, signed)
    async for page in log.pages(openings=False):
        for each in page.leaves:
            leaf = read_leaf(each.event, tenant, each.leaf)
            copy.events.append(each.event)
            copy.positions.append(each.hub_seq)
            if leaf.kind == EventKind.CHANGE_DECIDED:
                copy.changes.append(each.leaf)
                if leaf.data.get("outcome") == Outcome.MERGED:
                    copy.merged.append(each.leaf)
            if leaf.kind == EventKind.CONFLICT_DECIDED and isinstance(number := leaf.data.get("merge"), int):
                copy.merges.append((each.leaf, number))
    return sound, _drilled(copy, tenant, known)


async def _drilled(copy: _Copy, tenant: str, known: Known) -> AsyncIterator[Drilled]:
    for name, tamper in _TAMPERINGS.items():
        await copy.run("before_tampering")
        if await tamper(copy):
            yield await _verified(name, copy, tenant, known)
        await copy.run("undo_tampering")
    # The tables of two tenants changed places: this log is read as another's.
    yield await _verified("swap the logs of two tenants", copy, f"{tenant}-other", Known(None))


async def _verified(name: str, copy: _Copy, tenant: str, known: Known) -> Drilled:
    try:
        await verify(copy.log, tenant, known)
    except LogTampered as error:
        return Drilled(name, True, error.leaf, error.last, error.reason)
    return Drilled(name, False, None, None, "nothing was found")


async def _edit(copy: _Copy) -> bool:
    await copy.run("tamper_event", leaf=copy.middle, event=_edited(copy))
    return True


async def _delete(copy: _Copy) -> bool:
    await copy.run("tamper_delete", first=copy.middle, last=copy.middle)
    return True


async def _delete_last(copy: _Copy) -> bool:
    await copy.run("tamper_delete", first=copy.size - 1, last=copy.size - 1)
    return True


async def _reorder(copy: _Copy) -> bool:
    await copy.run("tamper_swap", one=copy.middle - 1, other=copy.middle)
    return copy.size > 1


async def _insert(copy: _Copy) -> bool:
    await copy.run("tamper_insert", leaf=copy.middle)
    return True


async def _append(copy: _Copy) -> bool:
    await copy.run("tamper_append", leaf=copy.size - 1, behind=copy.size)
    return True


async def _truncate(copy: _Copy) -> bool:
    await copy.run("tamper_delete", first=copy.middle, last=copy.size)
    await _end_with(copy, copy.events[: copy.middle])
    return True


async def _compute_anew(copy: _Copy) -> bool:
    """Edit a leaf, and compute every hash and the frontier anew: only what was signed can tell."""
    await _rehash(copy)
    return True


async def _forge_checkpoints(copy: _Copy) -> bool:
    """Let the checkpoints, too, say what the edited leaves lead to: no key signs them."""
    await _rehash(copy)
    tree = copy.signed.tree
    events = [*copy.events[: copy.middle], _edited(copy), *copy.events[copy.middle + 1 :]]
    root = Frontier().appended(map(leaf_hash, events[: tree.size]))[0].root
    note = copy.signed.note.replace(encode_base64(tree.root), encode_base64(root))
    await copy.run("tamper_checkpoints", size=tree.size, root=root, note=note)
    return True


async def _restore_old_dump(copy: _Copy) -> bool:
    """All tables as they were one leaf before the newest checkpoint, consistent in themselves."""
    size = copy.signed.tree.size - 1
    await copy.run("tamper_delete", first=size, last=copy.size)
    await copy.run("tamper_forget", size=size)
    await _end_with(copy, copy.events[:size])
    decided = [copy.positions[leaf] for leaf in copy.changes if leaf < size]
    rows = [number for leaf, number in copy.merges if leaf < size]
    await copy.run("tamper_position", hub_seq=max(decided, default=0), ledger=max(rows, default=0))
    return size > 0


async def _change_value(copy: _Copy) -> bool:
    leaf = copy.merged[-1] if copy.merged else 0
    await copy.run("tamper_opening", leaf=leaf)
    stored = await copy.log.leaf(leaf)
    return bool(stored and stored.openings)


async def _change_author(copy: _Copy) -> bool:
    return await _of_last_change(copy, "tamper_change")


async def _change_body(copy: _Copy) -> bool:
    # Whether the bytes are those of the leaf is known as long as its values were not erased.
    return await _change_value(copy) and await _undone_for(copy, "tamper_body")


async def _change_digest(copy: _Copy) -> bool:
    return await _change_value(copy) and await _undone_for(copy, "tamper_digest")


async def _change_merge(copy: _Copy) -> bool:
    if copy.merges:
        await copy.run("tamper_merge", id=copy.merges[-1][1])
    return bool(copy.merges)


async def _of_last_change(copy: _Copy, statement: str) -> bool:
    if copy.merged:
        await copy.run(statement, hub_seq=copy.positions[copy.merged[-1]])
    return bool(copy.merged)


async def _undone_for(copy: _Copy, statement: str) -> bool:
    await copy.run("undo_tampering")
    return await _of_last_change(copy, statement)


async def _rehash(copy: _Copy) -> None:
    events = [*copy.events[: copy.middle], _edited(copy), *copy.events[copy.middle + 1 :]]
    await copy.run("tamper_event", leaf=copy.middle, event=_edited(copy))
    frontier, completed = Frontier().appended(map(leaf_hash, events))
    hashes = [b""] * len(events)
    for (level, number), hash_ in completed:
        hashes[((number + 1) << level) - 1] += hash_
    await copy.run("tamper_hashes", leaf=list(range(len(events))), hashes=hashes)
    await copy.run("tamper_end", log_size=frontier.size, log_frontier=b"".join(frontier.hashes))


async def _end_with(copy: _Copy, events: list[bytes]) -> None:
    frontier, _ = Frontier().appended(map(leaf_hash, events))
    await copy.run("tamper_end", log_size=frontier.size, log_frontier=b"".join(frontier.hashes))


def _edited(copy: _Copy) -> bytes:
    """The event in the middle, as if it had happened in another century."""
    return copy.events[copy.middle].replace(b'"time":"20', b'"time":"19')


_TAMPERINGS: dict[str, Callable[[_Copy], Awaitable[bool]]] = {
    "edit a leaf": _edit,
    "delete a leaf": _delete,
    "delete the last leaf": _delete_last,
    "change the order of two leaves": _reorder,
    "insert a leaf": _insert,
    "append a leaf": _append,
    "cut the log off, and its end with it": _truncate,
    "edit a leaf and compute all hashes anew": _compute_anew,
    "edit a leaf, compute all hashes anew and rewrite the checkpoints": _forge_checkpoints,
    "restore an old dump of all tables": _restore_old_dump,
    "change a value behind a leaf": _change_value,
    "change the author of a change": _change_author,
    "change what a change wrote": _change_body,
    "change the digest of a version": _change_digest,
    "change the policy of a ledger row": _change_merge,
}
