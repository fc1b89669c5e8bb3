"""What stands, judged by the schemas in force now: what a new schema would find at each next change."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from anabranch_sync.columns import decode_document
from anabranch_sync.document import Object, rebuild
from anabranch_sync.ids import DocumentId
from anabranch_sync.live import check_written
from anabranch_sync.policy import Policies
from anabranch_sync.violation import Violation

from anabranch_hub.store.deciding import read_schemas
from anabranch_hub.store.pool import Pool
from anabranch_hub.store.quarantining import stored
from anabranch_hub.store.reading import DOCUMENTS_MAX
from anabranch_hub.store.records import address


@dataclass(frozen=True, slots=True)
class Broken:
    """A document whose head breaks the schema in force. `quarantined`: it has been judged, and is aside."""

    document: DocumentId
    schema: str
    violations: tuple[Violation, ...]
    quarantined: bool


async def broken(pool: Pool, tenant: str, *, prefix: str, schema: str) -> tuple[int, list[Broken]]:
    """How many documents below `prefix` a schema judges, and those of them that break it.

    `schema` leaves only what the schema document of that key judges; empty: all. What is found is as
    it is: no document moves before a change touches it.
    """
    async with pool.undoing(tenant) as session:
        await session.begin(snapshot=True)
        policies = (await read_schemas(session, 0)).policies
        judged, found, after = 0, list[Broken](), ""
        while True:
            rows = await session.rows("documents", prefix=prefix, after=after, limit=DOCUMENTS_MAX)
            if not rows:
                return judged, found
            after = rows[-1]["id"]
            heads = [(each.document, each.head, each.quarantine is not None) for each in map(stored, rows)]
            concerned = [each for each in heads if _is_judged(policies, each[0], schema)]
            judged += len(concerned)
            found += await asyncio.to_thread(_broken, policies, concerned)


async def check(pool: Pool, tenant: str, contents: Mapping[DocumentId, Object]) -> None:
    """Refuse contents of which one breaks a rule that its head does not break. Raises Invalid."""
    async with pool.undoing(tenant) as session:
        await session.begin(snapshot=True)
        policies = (await read_schemas(session, 0)).policies
        judged = {document: each for document, each in contents.items() if policies.judges(document)}
        rows = await session.rows("deciding_documents", ids=[str(document) for document in judged])
    states = {address(row["id"]): row["state"] for row in rows}
    await asyncio.to_thread(_check, policies, judged, states)


def _check(
    policies: Policies, contents: Mapping[DocumentId, Object], states: Mapping[DocumentId, bytes]
) -> None:
    def head(document: DocumentId) -> Object | None:
        state = states.get(document)
        return None if state is None else rebuild(decode_document(state).registers)

    for document, content in contents.items():
        check_written(document, partial(head, document), content, policies)


def _is_judged(policies: Policies, document: DocumentId, schema: str) -> bool:
    name = policies.version(document).partition("@")[0]
    return policies.judges(document) and schema in ("", name)


def _broken(policies: Policies, heads: Sequence[tuple[DocumentId, Object | None, bool]]) -> list[Broken]:
    return [
        Broken(document, policies.version(document), violations, aside)
        for document, head, aside in heads
        if (violations := policies.violations(document, head))
    ]
