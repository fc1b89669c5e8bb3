"""Documents of the past: what a replica has where it writes something else, or is to be sent it.

Read from the versions that lie between, whose patches lead back; where these were folded, nothing is known,
and changes travel in full.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anabranch_sync.columns import decode_document
from anabranch_sync.document import Object, digest, rebuild
from anabranch_sync.ids import DocumentId, HubSeq
from anabranch_sync.path import parse_pointer
from anabranch_sync.revision import Contents

from anabranch_hub.store.pool import Session
from anabranch_hub.store.records import stored_number

# Some 20 ms of taking patches apart. A replica that missed more gets its changes in full.
VERSIONS_READ_MAX = 4_000
# Of their patches, each of which may hold a whole document: 20 ms too. What is beyond it is as if folded.
PATCHES_BYTES_MAX = 2 * 1024 * 1024
# A millisecond's work; beyond it the event loop is left to others.
INLINE_ROWS_MAX = 20


async def former_contents(session: Session, after: HubSeq, documents: Sequence[DocumentId]) -> Contents:
    """What these documents were at position `after`, as far as it is known."""
    if not documents:
        return {}
    ids = [str(document) for document in documents]
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
    steps: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        steps.setdefault(row["document_id"], []).append(row)
    addressed = dict(zip(ids, documents, strict=True))

    def found() -> Contents:
        stood = {
            addressed[each]: _before(addressed[each], states[each], steps.get(each, ())) for each in states
        }
        return {document: content for document, content in stood.items() if content is not None}

    return await asyncio.to_thread(found) if len(states) + len(rows) > INLINE_ROWS_MAX else found()


def _before(document: DocumentId, state: bytes, steps: Sequence[Mapping[str, Any]]) -> Object | None:
    """The document before these steps, oldest first, led to `state`; None: not there, or not known."""
    content = rebuild(decode_document(state).registers)
    if not steps:
        return content
    if any(step["inverse"] is None for step in steps):
        return None
    try:
        for step in reversed(steps):
            content = _undone(content, step["inverse"])
    except (LookupError, TypeError, ValueError):  # damaged patches
        return None
    recorded = stored_number(steps[0]["digest_before"])
    return content if digest(document, content) == recorded else None


def _undone(content: Object | None, patch: Iterable[Mapping[str, Any]]) -> Object | None:
    """The content after this patch, which is made of it: nobody else has it."""
    root: dict[str, Any] = {"": content}
    for op in patch:
        path = ("", *parse_pointer(op["path"]))
        parent: Any = root
        for key in path[:-1]:
            parent = parent[int(key) if isinstance(parent, list) else key]
        place: Any = int(path[-1]) if isinstance(parent, list) else path[-1]
        if op["op"] == "remove":
            del parent[place]
        elif op["op"] == "add" and isinstance(parent, list):
            parent.insert(place, op["value"])
        else:
            parent[place] = op["value"]
    whole = root.get("")
    return whole if isinstance(whole, dict) else None
