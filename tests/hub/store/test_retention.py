"""What is older than a tenant keeps it is folded: contents go, nothing else does, and nobody is held up."""

import asyncio
import secrets
import time

import pytest
from anabranch_hub.errors import RetentionRefused, VersionFolded
from anabranch_hub.store import Edit, Folded, Store
from anabranch_hub.store.retention import DAY_MS, RETENTION_DAYS_MIN
from anabranch_sync.document import Object, digest
from anabranch_sync.errors import HistoryDamaged
from anabranch_sync.ids import document_id
from anabranch_sync.reference import AtPosition
from anabranch_sync.value import canonical
from anabranch_sync.version import applied, patches
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.store.conftest import Query, queries
from tests.hub.store.replica import ROUTER, enrolled
from tests.sync.strategies import contents

pytestmark = pytest.mark.anyio

LIMITS = document_id("acme/prod/limits")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def written(store: Store, tenant: str, *contents: Object | None) -> None:
    for content in contents:
        await store.write(tenant, [Edit(ROUTER, content)], author="op", message="")


def aged(query: Query, upto: int, days: int = RETENTION_DAYS_MIN + 1) -> None:
    """Let the changes up to a position have been decided long ago."""
    query(
        f"UPDATE changes SET received_at = received_at - interval '{days} days' "
        f"WHERE hub_seq <= {upto} RETURNING 1"
    )


def leaves(query: Query, kind: str) -> list[str]:
    """The leaves of the tenant's log of this kind."""
    rows = query("SELECT convert_from(event, 'UTF8') FROM audit_leaves ORDER BY leaf")
    return [str(leaf) for (leaf,) in rows if f"io.anabranch.{kind}" in str(leaf)]


async def test_what_is_older_is_folded_and_what_is_younger_can_still_be_read(
    store: Store, tenant: str, query: Query
) -> None:
    await written(store, tenant, {"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}, {"a": 5})
    aged(query, 3)

    folded = await store.fold(tenant, now_ms())

    assert (folded.upto, folded.documents, folded.versions, folded.damaged) == (3, 1, 3, ())
    assert folded.patch_bytes > 0
    for version in (3, 4, 5):
        stored = await store.read_version(tenant, ROUTER, version)
        assert stored is not None
        assert stored.content == {"a": version}
    with pytest.raises(VersionFolded, match=r"version 2 of .* was folded.*the oldest that can be read is 3"):
        await store.read_version(tenant, ROUTER, 2)
    with pytest.raises(VersionFolded):
        await store.documents_at(tenant, 2)
    assert [each.version for each in await store.documents_at(tenant, 3)] == [3]


async def test_who_changed_what_when_and_why_stays(store: Store, tenant: str, query: Query) -> None:
    await written(store, tenant, {"a": 1}, {"a": 2}, {"a": 3})
    before = await store.versions(tenant, ROUTER)
    aged(query, 3)

    await store.fold(tenant, now_ms() + DAY_MS)

    after = await store.versions(tenant, ROUTER)
    assert [each.is_folded for each in after] == [True, True, True]
    assert [(each.version, each.author, each.digest_after, each.dot) for each in after] == [
        (each.version, each.author, each.digest_after, each.dot) for each in before
    ]
    assert query("SELECT count(*) FROM changes WHERE length(body) > 0") == [(3,)]


async def test_folding_again_folds_only_what_has_become_older(
    store: Store, tenant: str, query: Query
) -> None:
    await written(store, tenant, {"a": 1}, {"a": 2}, {"a": 3}, None, {"a": 5}, {"a": 6})
    aged(query, 2)
    first = await store.fold(tenant, now_ms())
    again = await store.fold(tenant, now_ms())
    aged(query, 4)
    second = await store.fold(tenant, now_ms())

    assert [each.versions for each in (first, again, second)] == [2, 0, 2]
    assert (await store.retention(tenant)).folded_seq == 4
    deleted = await store.read_version(tenant, ROUTER, 4)
    assert deleted is not None
    assert deleted.content is None
    assert query("SELECT version, content FROM base_versions") == [(4, None)]
    fifth = await store.read_version(tenant, ROUTER, 5)
    assert fifth is not None
    assert fifth.content == {"a": 5}


async def test_a_dry_run_tells_the_same_and_changes_nothing(store: Store, tenant: str, query: Query) -> None:
    await written(store, tenant, {"a": 1}, {"a": 2})
    aged(query, 2)

    told = await store.fold(tenant, now_ms(), dry_run=True)

    assert query("SELECT count(*) FROM versions WHERE patch IS NULL") == [(0,)]
    assert await store.fold(tenant, now_ms()) == told


async def test_each_fold_of_a_document_is_a_leaf_of_the_log(store: Store, tenant: str, query: Query) -> None:
    await store.write(tenant, [Edit(ROUTER, {"a": 1}), Edit(LIMITS, {})], author="op", message="")
    await written(store, tenant, {"a": 2})
    aged(query, 2)

    await store.fold(tenant, now_ms(), author="olga")
    await store.fold(tenant, now_ms(), author="olga")

    of_limits, of_router = leaves(query, "versions.folded")
    assert '"versions":1' in of_limits
    assert f'"base_digest":"{digest(ROUTER, {"a": 2}):032x}"' in of_router
    assert '"author":"olga"' in of_router
    assert '"versions":2' in of_router


async def test_a_clock_that_once_was_wrong_folds_nothing_that_is_young(
    store: Store, tenant: str, query: Query
) -> None:
    await written(store, tenant, {"a": 1}, {"a": 2}, {"a": 3})
    query("UPDATE changes SET received_at = '1970-01-02Z' WHERE hub_seq = 2 RETURNING 1")

    folded = await store.fold(tenant, now_ms())

    assert (folded.upto, folded.versions) == (0, 0)


async def test_a_damaged_history_is_named_left_as_it_is_and_keeps_no_other_from_being_folded(
    store: Store, tenant: str, query: Query
) -> None:
    await store.write(tenant, [Edit(ROUTER, {"a": 1}), Edit(LIMITS, {"x": 1})], author="op", message="")
    await store.write(tenant, [Edit(ROUTER, {"a": 2}), Edit(LIMITS, {"x": 2})], author="op", message="")
    await written(store, tenant, {"a": 3})
    aged(query, 2)
    query(f"UPDATE versions SET inverse = '[]' WHERE document_id = '{ROUTER}' AND version = 3 RETURNING 1")
    query(f"UPDATE versions SET patch = '[]' WHERE document_id = '{ROUTER}' AND version = 1 RETURNING 1")

    folded = await store.fold(tenant, now_ms())

    assert (folded.damaged, folded.versions) == ((str(ROUTER),), 2)
    assert query(f"SELECT count(*) FROM versions WHERE document_id = '{ROUTER}' AND patch IS NULL") == [(0,)]
    assert (await store.retention(tenant)).folded_seq == 0
    with pytest.raises(HistoryDamaged):
        await store.read_version(tenant, ROUTER, 2)


async def test_two_processes_that_fold_at_once_fold_once(
    store: Store, tenant: str, query: Query, postgres_dsn: str
) -> None:
    await written(store, tenant, {"a": 1}, {"a": 2})
    aged(query, 2)
    other = await Store.connect(postgres_dsn)

    both = await asyncio.gather(store.fold(tenant, now_ms()), other.fold(tenant, now_ms()))
    await other.close()

    assert sum(each.versions for each in both) == 2
    assert len(leaves(query, "versions.folded")) == 1


async def test_a_replica_that_was_away_for_longer_pulls_right(
    store: Store, tenant: str, query: Query
) -> None:
    """Its digests are computed by the steps since it was here, which folding keeps."""
    replica, other = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    for each in (replica, other):
        each.put(document_id("acme/prod", each.edge), {"own": 1})
        await each.push()
        await each.pull()
    replica.put(LIMITS, {"offline": 1})
    for number in range(5):
        other.put(ROUTER, {"a": number})
        await other.push()
        await other.pull()
    aged(query, 100)
    folded = await store.fold(tenant, now_ms())

    await replica.push()
    await replica.pull()
    await other.pull()

    assert folded.versions == 7
    assert replica.contents[ROUTER] == {"a": 4}
    assert replica.contents == other.contents
    assert replica.digest == other.digest
    fresh = await Store.connect(store._pool.dsn)
    _, recomputed = await fresh.digest(tenant, (await store.edge(tenant, "e1")).scope)
    await fresh.close()
    assert recomputed == replica.digest


async def test_histories_are_kept_for_a_quarter_at_least(store: Store, tenant: str, query: Query) -> None:
    await written(store, tenant, {"a": 1}, {"a": 2})
    aged(query, 2, days=200)

    for days in (89, 0, -1, 36_501):
        with pytest.raises(RetentionRefused, match=f"for {days} days: at least 90"):
            await store.set_retention(tenant, days, author="olga")
    default = await store.retention(tenant)
    await store.set_retention(tenant, 365, author="olga")

    assert (default.days, (await store.retention(tenant)).days) == (90, 365)
    assert await store.fold(tenant, now_ms()) == Folded(0, 0, 0, 0, ())
    assert len(leaves(query, "retention.set")) == 1


@settings(max_examples=15, deadline=None)
@given(history=st.lists(st.none() | contents, min_size=1, max_size=6), folded_seq=st.integers(0, 6))
async def test_the_sum_of_the_patches_is_the_document_wherever_it_was_folded(
    store: Store, postgres_dsn: str, history: list[Object | None], folded_seq: int
) -> None:
    # given
    tenant = f"t{secrets.token_hex(6)}"
    await store.create_tenant(tenant)
    query = queries(postgres_dsn, tenant)
    decided: dict[int, Object | None] = {}
    for content in history:
        done = await store.write(tenant, [Edit(ROUTER, content)], author="op", message="")
        decided.setdefault(done.hub_seq, content)
    steps = (await store.versions(tenant, ROUTER))[::-1]
    stood = {step.version: decided[step.hub_seq] for step in steps}

    # when
    aged(query, folded_seq)
    await store.fold(tenant, now_ms())

    # then
    oldest = max((each.version for each in steps if each.hub_seq <= folded_seq), default=0)
    for step in steps:
        if step.version < oldest:
            with pytest.raises(VersionFolded):
                await store.read_version(tenant, ROUTER, step.version)
            continue
        again = await store.read_version(tenant, ROUTER, step.version)
        assert again is not None
        assert canonical(again.content) == canonical(stood[step.version])
        at_position = await store.read_at(tenant, ROUTER, AtPosition(step.hub_seq))
        assert at_position == again
        for other in steps[max(oldest, 1) - 1 :]:
            forward, inverse = patches(stood[step.version], stood[other.version])
            assert canonical(applied(stood[step.version], forward)) == canonical(stood[other.version])
            assert canonical(applied(stood[other.version], inverse)) == canonical(stood[step.version])
