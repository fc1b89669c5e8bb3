"""Whether the tables still say what the leaves say of them: changes, digests of versions, ledger rows.

Tables are served, leaves are proved. A row that was edited behind the hub's back differs from its
leaf, also where that leaf is the newest and no checkpoint covers it yet. What was erased cannot be
compared; what was folded keeps its digests, and is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anabranch_sync.audit_event import EventKind, Leaf
from anabranch_sync.change import content_id
from anabranch_sync.ids import Dot
from anabranch_sync.path import render_pointer

from anabranch_hub.store.decided_acts import candidate_value
from anabranch_hub.store.log_snapshot import Row, Spoken


def contradictions(leaf: Leaf, values: Mapping[str, Any], spoken: Spoken) -> Iterator[str]:
    """What the tables say otherwise than this leaf; `values` are those behind its commitments."""
    data = leaf.data
    match leaf.kind:
        case EventKind.CHANGE_DECIDED:
            position = data.get("position")
            change = spoken.changes.get(position) if isinstance(position, int) else None
            if change is None:
                yield f"the change log has no change at position {position}"
            else:
                yield from _of_change(data, values, change, spoken.versions.get(change["hub_seq"], ()))
        case EventKind.CONFLICT_DECIDED:
            number = data.get("merge")
            merge = spoken.merges.get(number) if isinstance(number, int) else None
            if merge is None:
                yield f"the ledger has no row {number}"
            else:
                yield from _of_merge(data, values, merge)
        case _:
            return


def _of_change(
    data: Mapping[str, Any], values: Mapping[str, Any], row: Row, versions: Sequence[Row]
) -> Iterator[str]:
    where = f"the change log, at position {row['hub_seq']},"
    stored = {
        "dot": str(Dot(row["incarnation"], row["local_seq"])),
        "author": row["author"],
        "edge": row["edge"],
        "outcome": row["outcome"],
    }
    yield from _differences(where, stored, data)
    for name in ("restores", "absorbed"):
        if row[name] != data.get(name, 0):
            yield f"{where} has {name} {row[name]}, the leaf {data.get(name, 0)}"
    value = values.get(str(data.get("change")))
    if value is not None:
        stored = {
            "content_id": _content_id(row).hex(),
            "message": row["message"],
            "reason": row["reason"],
        }
        yield from _differences(where, stored, value)
        yield from _of_digests(value["digests"], versions)


def _content_id(row: Row) -> bytes:
    """From the body where it was not trimmed: the column beside it proves nothing of it."""
    return bytes(row["content_id"]) if row["body"] is None else content_id(row["body"])


def _of_digests(logged: Mapping[str, Sequence[str]], versions: Sequence[Row]) -> Iterator[str]:
    stored = {row["document_id"]: [_hex(row["digest_before"]), _hex(row["digest_after"])] for row in versions}
    for document, digests in logged.items():
        if document not in stored:
            yield f"there is no version of {document} that this change made"
        elif stored[document] != digests:
            yield f"the version of {document} that this change made has other digests"
    for document in stored.keys() - logged.keys():
        yield f"there is a version of {document} that no change made"


def _of_merge(data: Mapping[str, Any], values: Mapping[str, Any], row: Row) -> Iterator[str]:
    where = f"ledger row {row['id']}"
    stored = {
        "position": row["hub_seq"],
        "document": row["document_id"],
        "path": render_pointer(tuple(row["path"])),
        "kind": row["kind"],
        "policy": row["policy"],
        "policy_version": row["policy_version"],
    }
    yield from _differences(where, stored, data)
    if len(row["candidates"]) != len(data["candidates"]):
        yield f"{where} has {len(row['candidates'])} candidates, the leaf {len(data['candidates'])}"
        return
    for number, (candidate, logged) in enumerate(zip(row["candidates"], data["candidates"], strict=True)):
        value = values.get(logged["value"])
        if not _same(candidate["writes"], logged["writes"]):
            yield f"{where} has other writers of candidate {number}"
        elif value is not None and not _same(candidate_value(candidate), value):
            yield f"{where} has another value of candidate {number}"


def _differences(where: str, stored: Mapping[str, Any], logged: Mapping[str, Any]) -> Iterator[str]:
    for name, value in stored.items():
        if value != logged.get(name):
            # Messages are read by operators and logged: no value of a document is among these facts.
            yield f"{where} has another {name.replace('_', ' ')} than the leaf"


def _same(one: Any, other: Any) -> bool:
    """Equal in type too: 1, 1.0 and true are three values."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _hex(digest: bytes | None) -> str:
    return "" if digest is None else digest.hex()
