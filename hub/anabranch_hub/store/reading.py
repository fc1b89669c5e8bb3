"""Documents and their histories, as the hub has them."""

from collections.abc import Mapping
from typing import Any

from anabranch_sync.ids import DocumentId, Dot
from anabranch_sync.value import ordered
from anabranch_sync.version import applied

from anabranch_hub.store.pool import Pool
from anabranch_hub.store.records import Stored, Version, address

# A page of documents: at 2 KB each about 2 MB.
DOCUMENTS_MAX = 1_000
VERSIONS_MAX = 1_000


async def read(pool: Pool, tenant: str, document: DocumentId) -> Stored | None:
    """A document as it stands; None where nobody ever wrote it."""
    async with pool.session(tenant) as session:
        row = await session.row("read", id=str(document))
        return _stored(row) if row else None


async def read_version(pool: Pool, tenant: str, document: DocumentId, version: int) -> Stored | None:
    """A document as it stood in one of its versions; None where there is no such version."""
    async with pool.undoing(tenant) as session:
        await session.begin(snapshot=True)
        row = await session.row("read", id=str(document))
        steps = await session.rows("versions", id=str(document), after=version - 1, limit=None)
    if row is None or version < 1 or version > row["version"]:
        return None
    content = row["content"]
    for step in steps[:-1]:
        content = applied(content, step["inverse"])
    wanted = steps[-1]
    assert wanted["version"] == version, f"{document} has no version {version} in its history"
    # Patches append what they add; contents come with their keys in order.
    in_order = None if content is None else {key: ordered(value) for key, value in sorted(content.items())}
    return Stored(document, in_order, version, wanted["hub_seq"], _number(wanted["digest_after"]))


async def documents(pool: Pool, tenant: str, *, prefix: str, after: str, limit: int) -> list[Stored]:
    """Live documents below `prefix`, by address, those after the address `after`, at most `limit`."""
    async with pool.session(tenant) as session:
        rows = await session.rows("documents", prefix=prefix, after=after, limit=min(limit, DOCUMENTS_MAX))
        return [_stored(row) for row in rows]


async def versions(pool: Pool, tenant: str, document: DocumentId, *, limit: int) -> list[Version]:
    """The last `limit` versions of a document, the latest first."""
    async with pool.session(tenant) as session:
        rows = await session.rows("versions", id=str(document), after=0, limit=min(limit, VERSIONS_MAX))
        return [_version(row) for row in rows]


def _stored(row: Mapping[str, Any]) -> Stored:
    return Stored(address(row["id"]), row["content"], row["version"], row["hub_seq"], _number(row["digest"]))


def _version(row: Mapping[str, Any]) -> Version:
    return Version(
        row["version"],
        row["hub_seq"],
        _number(row["digest_before"]),
        _number(row["digest_after"]),
        row["patch"],
        row["inverse"],
        Dot(row["incarnation"], row["local_seq"]),
        row["author"],
        row["message"],
        row["timestamp"],
        row["edge"],
        row["restores"],
    )


def _number(digest: bytes | None) -> int:
    return 0 if digest is None else int.from_bytes(digest, "big")
