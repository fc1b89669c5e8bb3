"""Texts of the past: what a replica has where it writes another text, or is to be sent one.

Read from the versions that lie between, whose patches lead back; where these were folded, nothing is known,
and texts travel in full.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast

from anabranch_sync.columns import decode_document
from anabranch_sync.document import Object, rebuild
from anabranch_sync.ids import DocumentId, HubSeq
from anabranch_sync.path import Path, parse_pointer
from anabranch_sync.register import Slot
from anabranch_sync.revision import Place, Texts, text_at

from anabranch_hub.store.pool import Session

# Some 20 ms of taking patches apart. A replica that missed more gets its texts in full.
VERSIONS_READ_MAX = 4_000
# Of their patches, each of which may hold a whole document: 20 ms too. What is beyond it is as if folded.
PATCHES_BYTES_MAX = 2 * 1024 * 1024
# A millisecond's work; beyond it the event loop is left to others.
INLINE_ROWS_MAX = 20


async def former_texts(session: Session, after: HubSeq, places: Sequence[Place]) -> Texts:
    """What stood at these places at position `after`, as far as it is known."""
    wanted: dict[str, list[Slot]] = {}
    for document, slot in places:
        wanted.setdefault(str(document), []).append(slot)
    if not wanted:
        return {}
    ids = list(wanted)
    async with session.pipeline():
        now = await session.run("deciding_documents", ids=ids)
        since = await session.run(
            "versions_since",
            ids=ids,
            after=after,
            limit=VERSIONS_READ_MAX + 1,
            bytes_max=PATCHES_BYTES_MAX,
        )
        states = {row["id"]: row["state"] for row in await now.fetchall()}
        rows = await since.fetchall()
    if len(rows) > VERSIONS_READ_MAX:
        return {}
    unknown = {row["document_id"] for row in rows if row["inverse"] is None}
    patches: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        patches.setdefault(row["document_id"], []).extend(row["inverse"] or ())
    documents = {str(document): document for document, _ in places}

    def found() -> Texts:
        texts: dict[Place, str] = {}
        for each in states.keys() - unknown:
            content = rebuild(decode_document(states[each]).registers)
            texts |= _before(documents[each], wanted[each], content, patches.get(each, ()))
        return texts

    return await asyncio.to_thread(found) if len(states) + len(rows) > INLINE_ROWS_MAX else found()


def _before(
    document: DocumentId,
    slots: Iterable[Slot],
    content: Object | None,
    patches: Iterable[Mapping[str, Any]],
) -> dict[Place, str]:
    """The texts before `patches` (oldest first) led to `content`: the first that meets a place says it."""
    undone: dict[Path, tuple[int, object]] = {}
    for turn, op in enumerate(patches):
        undone.setdefault(parse_pointer(op["path"]), (turn, op.get("value")))
    found = {}
    for slot in slots:
        path = slot.path
        met = [(*undone[path[:size]], path[size:]) for size in range(len(path) + 1) if path[:size] in undone]
        if met:
            _, value, rest = min(met, key=itemgetter(0))
            text = _within(value, rest)
        else:
            text = text_at(content, slot)
        if text is not None:
            found[document, slot] = text
    return found


def _within(value: object, rest: Path) -> str | None:
    if not rest:
        return value if isinstance(value, str) else None
    return text_at(cast(Object, value), Slot(rest)) if isinstance(value, dict) else None
