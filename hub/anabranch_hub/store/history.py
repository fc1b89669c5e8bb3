"""The past: documents as they stood at a version, a position or a time, and who changed them.

What is recorded are the steps, so a content is rebuilt from the nearer of two ends: the head, by
inverse patches, or the base (the version that a folded history starts with, or nothing at all), by
patches. Either way it must have the digest that was recorded when it stood, or it is not given out.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anabranch_sync.columns import decode_document
from anabranch_sync.document import at, rebuild
from anabranch_sync.errors import HistoryDamaged
from anabranch_sync.ids import DocumentId, Dot, HubSeq
from anabranch_sync.reference import AtPosition, AtTime, AtVersion, Moment, Reference
from anabranch_sync.register import Register, Slot, json_of
from anabranch_sync.value import INT_MAX, Json
from anabranch_sync.version import Patch, rebuilt

from anabranch_hub.errors import PositionAhead, VersionAbsorbed, VersionFolded
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import Pair, Placed, Stored, Version, address, stored_number

# A page: each brings both patches of its step along.
VERSIONS_MAX = 1_000
# A page of the past: each document brings its registers and some patches along.
DOCUMENTS_MAX = 200


async def read_at(pool: Pool, tenant: str, document: DocumentId, reference: Reference) -> Stored | None:
    """A document as it stood; None where nobody had written it, or there is no such version."""
    async with pool.undoing(tenant) as session:
        await session.begin(snapshot=True)
        version, hub_seq = INT_MAX, INT_MAX
        match reference:
            case AtVersion(number):
                version = number
            case AtPosition() | AtTime():
                hub_seq = await _position(session, reference)
        row = await session.row("document_at", id=str(document), version=version, hub_seq=hub_seq)
        if isinstance(reference, AtVersion) and (row is None or row["version"] != version):
            await _check_not_absorbed(session, document, version)
            return None
        if row is None:
            return None
        [stored] = await rebuilt_rows(session, [row])
        return stored


async def _check_not_absorbed(session: Session, document: DocumentId, version: int) -> None:
    """Return if there is no such version at all. Raises VersionAbsorbed."""
    later = await session.row("version_after", id=str(document), version=version)
    if later is not None and version > 0:
        raise VersionAbsorbed(str(document), version, by=later["version"])


async def position(pool: Pool, tenant: str, moment: Moment | None) -> HubSeq:
    """The last position decided by then, or at all. Raises PositionAhead."""
    async with pool.undoing(tenant) as session:
        await session.begin(snapshot=True)
        return await _position(session, moment)


async def documents_at(pool: Pool, tenant: str, position: HubSeq, *, prefix: str, after: str) -> list[Stored]:
    """The documents that were there at a position, by address, a page of those after `after`."""
    async with pool.undoing(tenant) as session:
        await session.begin(snapshot=True)
        return await _page(session, position, prefix, after, changed_after=-1)


async def between(
    pool: Pool, tenant: str, first: HubSeq, second: HubSeq | None, *, prefix: str
) -> list[Pair]:
    """The documents that differ at two positions, by address; None is where the tenant stands."""
    async with pool.undoing(tenant) as session:
        await session.begin(snapshot=True)
        other = INT_MAX if second is None else second
        changed_after = min(first, other)
        before = await _all(session, first, prefix, changed_after)
        after = await _all(session, other, prefix, changed_after)
    pairs = (Pair(each, before.get(each), after.get(each)) for each in sorted({*before, *after}, key=str))
    return [pair for pair in pairs if _digest(pair.before) != _digest(pair.after)]


async def versions(
    pool: Pool, tenant: str, document: DocumentId, *, before: int | None, limit: int
) -> list[Version]:
    """The last versions of a document before one, the latest first."""
    async with pool.session(tenant) as session:
        rows = await session.rows(
            "versions",
            id=str(document),
            before=INT_MAX if before is None else before,
            limit=min(limit, VERSIONS_MAX),
        )
        return [_version(row) for row in rows]


async def places(pool: Pool, tenant: str, document: DocumentId) -> list[Placed]:
    """Who put there what stands in a document's head, by path."""
    async with pool.undoing(tenant) as session:
        await session.begin(snapshot=True)
        row = await session.row("document_at", id=str(document), version=INT_MAX, hub_seq=INT_MAX)
        if row is None:
            return []
        registers = decode_document(row["state"]).registers
        put = _put(registers)
        hub_seqs = list({hub_seq for _, hub_seq in put.values()})
        changes = {each["hub_seq"]: each for each in await session.rows("changes_at", hub_seqs=hub_seqs)}
    found = []
    for slot in sorted(put, key=lambda each: (each.path, each.element or b"")):
        value, hub_seq = put[slot]
        change = changes[hub_seq]
        who = (change["edge"], change["author"], change["message"])
        found.append(Placed(slot, value, hub_seq, change["decided_ms"], *who))
    return found


async def versions_below(
    pool: Pool, tenant: str, *, prefix: str, before: HubSeq | None, limit: int
) -> list[Version]:
    """What the last changes before a position made of documents below a prefix, the latest first."""
    async with pool.session(tenant) as session:
        rows = await session.rows(
            "versions_below",
            prefix=prefix,
            before=INT_MAX if before is None else before,
            limit=min(limit, VERSIONS_MAX),
        )
        return [_version(row) for row in rows]


async def rebuilt_rows(session: Session, rows: Sequence[Mapping[str, Any]]) -> list[Stored]:
    """The documents of rows of `document_at` or `documents_at`. Raises VersionFolded, HistoryDamaged."""
    walks = [_walk(row) for row in rows]
    steps = await session.rows(
        "history_steps",
        ids=[str(walk.document) for walk in walks],
        lows=[walk.low for walk in walks],
        highs=[walk.high for walk in walks],
        backward=[walk.backward for walk in walks],
    )
    patches: dict[str, list[Patch]] = {}
    counted: dict[str, int] = {}
    for step in steps:
        patches.setdefault(step["document_id"], []).append(step["patch"])
        counted[step["document_id"]] = counted.get(step["document_id"], 0) + step["absorbed"] + 1
    return await asyncio.to_thread(
        lambda: [
            _walked(walk, row, patches.get(row["id"], []), counted.get(row["id"], 0))
            for walk, row in zip(walks, rows, strict=True)
        ]
    )


@dataclass(frozen=True, slots=True)
class _Walk:
    """From which end a version is rebuilt, and the versions whose patches that takes: low < n <= high."""

    document: DocumentId
    low: int
    high: int
    backward: bool


def _walk(row: Mapping[str, Any]) -> _Walk:
    document, wanted = address(row["id"]), row["version"]
    base, head = row["base_version"], row["head_version"]
    if wanted < base:
        raise VersionFolded(str(document), wanted, oldest=base)
    if row["digest_after"] is None:  # it was deleted: nothing needs to be rebuilt
        return _Walk(document, wanted, wanted, backward=True)
    if head - wanted <= wanted - base:
        return _Walk(document, wanted, head, backward=True)
    return _Walk(document, base, wanted, backward=False)


def _walked(walk: _Walk, row: Mapping[str, Any], patches: Sequence[Patch], versions: int) -> Stored:
    """The document after `patches`, which lead over so many versions."""
    wanted, recorded = row["version"], stored_number(row["digest_after"])
    if not recorded:
        return Stored(walk.document, None, wanted, row["hub_seq"], 0)
    if versions != walk.high - walk.low:
        raise HistoryDamaged(str(walk.document), wanted)
    known = rebuild(decode_document(row["state"]).registers) if walk.backward else row["base_content"]
    in_turn = reversed(patches) if walk.backward else patches
    content = rebuilt(walk.document, wanted, known, in_turn, recorded)
    return Stored(walk.document, content, wanted, row["hub_seq"], recorded)


async def _position(session: Session, moment: Moment | None) -> HubSeq:
    standing = await session.one("position")
    match moment:
        case None:
            return int(standing["hub_seq"])
        case AtPosition(hub_seq):
            if hub_seq > standing["hub_seq"]:
                raise PositionAhead(hub_seq, standing=standing["hub_seq"])
            return hub_seq
        case AtTime(wall_ms):
            row = await session.row("position_at", wall_ms=wall_ms)
            return 0 if row is None else int(row["hub_seq"])


async def _page(
    session: Session, position: HubSeq, prefix: str, after: str, *, changed_after: HubSeq
) -> list[Stored]:
    rows = await session.rows(
        "documents_at",
        hub_seq=position,
        prefix=prefix,
        after=after,
        changed_after=changed_after,
        limit=DOCUMENTS_MAX,
    )
    return await rebuilt_rows(session, rows)


async def _all(
    session: Session, position: HubSeq, prefix: str, changed_after: HubSeq
) -> dict[DocumentId, Stored]:
    found: dict[DocumentId, Stored] = {}
    after = ""
    while page := await _page(session, position, prefix, after, changed_after=changed_after):
        found.update({each.document: each for each in page})
        after = str(page[-1].document)
    return found


def _put(registers: Mapping[Slot, Register]) -> dict[Slot, tuple[Json, HubSeq]]:
    """What stands at each place, and where it was last changed.

    The elements of a set have places of their own. The parts of a counter and the edits of a text make
    up one value, which the last of them changed.
    """
    content = rebuild(registers) or {}
    put: dict[Slot, tuple[Json, HubSeq]] = {}
    for slot, register in registers.items():
        value = json_of(register.value)
        if not register.live:
            continue
        if slot.element is not None and value is register.value:
            put[slot] = (value, register.hub_seq)
            continue
        whole = Slot(slot.path)
        last = max(register.hub_seq, put[whole][1] if whole in put else 0)
        try:
            put[whole] = (at(content, slot.path), last)
        except KeyError:  # hidden by a scalar above it
            put[whole] = (value, last)
    sets = {slot.path for slot in put if slot.element is not None}
    return {slot: each for slot, each in put.items() if slot.element is not None or slot.path not in sets}


def _digest(stored: Stored | None) -> int:
    return 0 if stored is None else stored.digest


def _version(row: Mapping[str, Any]) -> Version:
    return Version(
        row["version"],
        row["hub_seq"],
        stored_number(row["digest_before"]),
        stored_number(row["digest_after"]),
        row["patch"] or [],
        row["inverse"] or [],
        Dot(row["incarnation"], row["local_seq"]),
        row["author"],
        row["message"],
        row["timestamp"],
        row["edge"],
        row["restores"],
        address(row["document_id"]),
        row["decided_ms"],
        row["rolled_back_to"],
        row["patch"] is None,
        row["absorbed"],
    )
