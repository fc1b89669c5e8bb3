"""Texts of the past: what a replica has where it writes another text, or is to be sent one.

Read from the versions that lie between, whose patches lead back; where these were folded, nothing is known,
and texts travel in full.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
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
        since = await session.run("versions_since", ids=ids, after=after, limit=VERSIONS_READ_MAX + 1)
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
    undone = [(parse_pointer(op["path"]), op.get("value")) for op in patches]
    found = {}
    for slot in slots:
        met = next((each for each in undone if slot.path[: len(each[0])] == each[0]), None)
        text = text_at(content, slot) if met is None else _within(met[1], slot.path[len(met[0]) :])
        if text is not None:
            found[document, slot] = text
    return found


def _within(value: object, rest: Path) -> str | None:
    if not rest:
        return value if isinstance(value, str) else None
    return text_at(cast(Object, value), Slot(rest)) if isinstance(value, dict) else None
