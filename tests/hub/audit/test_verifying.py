"""Whatever a superuser of Postgres does to a log is found, and the first bad leaf named."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from anabranch_hub.audit.drill import drill
from anabranch_hub.audit.exporting import export_lines, leaf_of_change, leaf_of_merge, proof
from anabranch_hub.audit.signer import LogSigner
from anabranch_hub.audit.verifying import Known, Seen, Sound, verify
from anabranch_hub.errors import LeafUnknown, LogTampered, LogUnsigned, TenantUnknown
from anabranch_hub.store import Edit, Store
from anabranch_sync.audit_file import verify_export
from anabranch_sync.checkpoint import verified_checkpoint
from anabranch_sync.ids import document_id
from anabranch_sync.signed_note import VerifierKey, parse_verifier_key
from anabranch_sync.tlog_proof import parse_tlog_proof, verify_tlog_proof

from tests.hub.audit.conftest import Superuser
from tests.hub.store.conftest import Query
from tests.hub.store.replica import ROUTER, enrolled, place

pytestmark = [pytest.mark.anyio, pytest.mark.tampers]


@pytest.fixture
async def lively(store: Store, tenant: str, signer: LogSigner) -> str:
    """A tenant in whose log everything is that a log has, signed twice."""
    one, other = await enrolled(store, tenant, "one"), await enrolled(store, tenant, "other")
    one.put(ROUTER, {"limit": 1, "kept": "hunter2"})
    other.put(ROUTER, {"limit": 2})
    other.record([(document_id("elsewhere/a"), place("x"), 1)])
    await one.push()
    await signer.sign(tenant)
    await other.push()
    for number in range(5):
        await store.write(tenant, [Edit(ROUTER, {"limit": number + 10})], author="op", message="")
    await store.revoke(tenant, "other", author="grace")
    await signer.sign(tenant)
    return tenant


async def test_a_log_of_everything_is_whole(store: Store, lively: str) -> None:
    sound = await _verified(store, lively, await _known(store, lively))

    log = await store.log(lively)
    assert sound.tree == log.frontier.head
    assert (sound.signed, sound.checkpoints) == (sound.tree.size, 2)
    assert sound.witnessed == ("a checkpoint",)
    assert sound.openings == 10  # eight changes, and the two candidates of the conflict


async def test_a_log_goes_on_while_it_is_verified(store: Store, lively: str) -> None:
    known = await _known(store, lively)
    await store.write(lively, [Edit(ROUTER, {"limit": 99})], author="op", message="")

    sound = await _verified(store, lively, known)

    assert sound.signed == sound.tree.size - 1


async def test_every_tampering_of_the_drill_is_found_and_the_log_stays_as_it_was(
    store: Store, lively: str, query: Query
) -> None:
    before = query("SELECT leaf, event, hashes FROM audit_leaves ORDER BY leaf")

    async with store.log_copy(lively) as copy:
        sound, drilled = await drill(copy, lively)
        found = {each.tampering: each async for each in drilled}

    assert sound.tree.size == len(before)
    assert len(found) == 16
    assert [each.tampering for each in found.values() if not each.detected] == []
    middle = sound.tree.size // 2
    for name in ("edit a leaf", "delete a leaf", "cut the log off, and its end with it"):
        assert found[name].leaf == middle
    assert found["change the order of two leaves"].leaf == middle - 1
    assert found["delete the last leaf"].leaf == sound.tree.size - 1
    assert found["append a leaf"].leaf == sound.tree.size
    assert found["swap the logs of two tenants"].leaf == 0
    assert query("SELECT leaf, event, hashes FROM audit_leaves ORDER BY leaf") == before
    await _verified(store, lively, await _known(store, lively))


@pytest.mark.parametrize(
    ("tampering", "leaf", "said"),
    [
        (
            "UPDATE audit_leaves SET event = event || ' ' WHERE leaf = 4",
            4,
            "hash to",
        ),
        ("UPDATE audit_leaves SET hashes = sha256('x') WHERE leaf = 3", 3, "one was changed"),
        ("UPDATE audit_leaves SET hashes = hashes || sha256('x') WHERE leaf = 4", 4, "hashes of the tree"),
        ("UPDATE audit_leaves SET hub_seq = hub_seq + 1 WHERE leaf = 9", 9, "filed under position"),
        ("DELETE FROM audit_leaves WHERE leaf = 0", 0, "it is missing"),
        ("DELETE FROM audit_leaves", 0, "it is missing"),
        ("DROP TABLE audit_leaves", 0, "cannot be read"),
        ("UPDATE tenant_state SET log_frontier = sha256('x')", 16, "hashes at the end"),
        ("DELETE FROM changes WHERE hub_seq = 2", 8, "has no change at position 2"),
        ("UPDATE changes SET outcome = 'refused' WHERE hub_seq = 1", 7, "another outcome"),
        ("UPDATE changes SET reason = '' WHERE hub_seq = 3", None, "another reason"),
        ("UPDATE tenant_state SET hub_seq = 9", 17, "accounts for 8 positions"),
        (
            "UPDATE merges SET candidates = replace(candidates::text, '\"ada\"', '\"eve\"')::json",
            9,
            "writers",
        ),
        ("UPDATE audit_checkpoints SET note = replace(note, '17', '16') WHERE size > 8", 8, "not signed"),
        (
            "UPDATE audit_checkpoints n SET note = o.note FROM audit_checkpoints o WHERE o.size < n.size",
            8,
            "has another note",
        ),
        ("UPDATE audit_checkpoints SET size = 1000 WHERE size > 8", 17, "covers 1000"),
        ("UPDATE audit_openings SET salt = sha256('x') WHERE leaf = 7", 7, "not the one it commits to"),
        ("UPDATE audit_openings SET leaf = 6 WHERE leaf = 7", 6, "not the one it commits to"),
    ],
)
async def test_what_a_superuser_does_is_found_at_its_leaf(
    store: Store, lively: str, superuser: Superuser, tampering: str, leaf: int | None, said: str
) -> None:
    # given
    known = await _known(store, lively, witnessed=False)
    await _verified(store, lively, known)

    # when
    superuser.does(tampering)

    # then
    with pytest.raises(LogTampered, match=said) as found:
        await _verified(store, lively, known)
    assert leaf is None or found.value.leaf == leaf


async def test_two_tenants_that_changed_places_are_told_apart(
    store: Store, lively: str, superuser: Superuser
) -> None:
    await store.create_tenant(other := f"{lively}-b")
    superuser.does(
        f'ALTER SCHEMA "tenant_{lively}" RENAME TO aside;'
        f'ALTER SCHEMA "tenant_{other}" RENAME TO "tenant_{lively}";'
        f'ALTER SCHEMA aside RENAME TO "tenant_{other}"'
    )

    for each in (lively, other):
        with pytest.raises(LogTampered, match="it was written for the log") as found:
            await _verified(store, each, Known(None))
        assert found.value.leaf == 0


async def test_an_export_verifies_offline_and_an_older_one_tells_what_was_rewritten(
    store: Store, lively: str, signer: LogSigner, superuser: Superuser
) -> None:
    # given an export, and a log that went on
    key = await _key(store, lively)
    async with store.log_snapshot(lively) as log:
        lines = [line async for line in export_lines(log, lively, values=True)]
    exported = verify_export(lines, key)
    assert (exported.checkpoint.tree.size, exported.openings) == (17, 10)
    await store.write(lively, [Edit(ROUTER, {"limit": 99})], author="op", message="")
    await signer.sign(lively)

    # then the log goes on from it
    await _verified(store, lively, Known(key, leaves=_leaves(lines)))
    # and one without values proves as much, and shows none
    async with store.log_snapshot(lively) as log:
        bare = [line async for line in export_lines(log, lively, values=False)]
    assert verify_export(bare, key).openings == 0
    assert b"hunter2" not in b"".join(bare)
    assert b"hunter2" in b"".join(lines)

    # when a leaf is rewritten, and its hash made to fit
    superuser.does(
        "UPDATE audit_leaves SET event = convert_to("
        " replace(convert_from(event, 'UTF8'), 'operator', 'nobody'), 'UTF8') WHERE leaf = 1;"
        "UPDATE audit_leaves SET"
        " hashes = sha256('\\x00'::bytea || event) || substring(hashes FROM 33) WHERE leaf = 1"
    )

    # then the export names it
    with pytest.raises(LogTampered, match="another than in the export") as found:
        await _verified(store, lively, Known(key, leaves=_leaves(lines)))
    assert found.value.leaf == 1


async def test_a_leaf_is_proved_offline_with_its_values_or_without(store: Store, lively: str) -> None:
    key = await _key(store, lively)
    async with store.log_snapshot(lively) as log:
        number = await leaf_of_merge(log, lively, 1)
        assert await leaf_of_change(log, lively, 2) == number - 1
        for index in range(17):
            verify_tlog_proof(parse_tlog_proof(str(await proof(log, lively, index, values=True))), key)

        proved = verify_tlog_proof(await proof(log, lively, number, values=True), key)
        bare = verify_tlog_proof(await proof(log, lively, number, values=False), key)

        assert proved.leaf.kind == "conflict.decided"
        values = [each.value["value"] for each in proved.openings if isinstance(each.value, dict)]
        assert sorted(map(str, values)) == ["1", "2"]
        assert (bare.leaf, bare.openings) == (proved.leaf, ())
        for asked in (leaf_of_change(log, lively, 99), leaf_of_merge(log, lively, 99)):
            with pytest.raises(LeafUnknown):
                await asked


async def test_erasing_values_keeps_the_log_whole_and_is_logged(
    store: Store, lively: str, signer: LogSigner, query: Query
) -> None:
    async with store.log_snapshot(lively) as log:
        number = await leaf_of_change(log, lively, 1)

    assert await store.erase(lively, number, author="dpo") == 1
    assert await store.erase(lively, number, author="dpo") == 0

    await signer.sign(lively)
    sound = await _verified(store, lively, await _known(store, lively))
    assert sound.tree.size == 18
    assert query(f"SELECT count(*) FROM audit_openings WHERE leaf = {number}") == [(0,)]
    async with store.log_snapshot(lively) as log:
        last = await log.leaf(17)
        assert last is not None
        event = json.loads(last.event)
        assert (event["type"], event["data"]["author"]) == ("io.anabranch.value.erased", "dpo")
        exported = [line async for line in export_lines(log, lively, values=True)]
    assert b"hunter2" not in b"".join(exported)
    verify_export(exported, await _key(store, lively))


async def test_a_tenant_that_is_not_there_has_no_log(store: Store) -> None:
    with pytest.raises(TenantUnknown):
        await _verified(store, "nobody", Known(None))


async def test_a_log_that_nobody_signed_cannot_be_handed_out(store: Store, tenant: str) -> None:
    async with store.log_snapshot(tenant) as log:
        with pytest.raises(LogUnsigned, match="0 leaves of the log"):
            await proof(log, tenant, 0, values=True)


async def _verified(store: Store, tenant: str, known: Known) -> Sound:
    async with store.log_snapshot(tenant) as log:
        return await verify(log, tenant, known)


async def _key(store: Store, tenant: str) -> VerifierKey:
    newest = (await store.log(tenant)).newest
    assert newest is not None
    return parse_verifier_key(newest.key)


async def _known(store: Store, tenant: str, *, witnessed: bool = True) -> Known:
    newest = (await store.log(tenant)).newest
    assert newest is not None
    key = parse_verifier_key(newest.key)
    tree = verified_checkpoint(newest.note, key).tree
    return Known(key, [Seen(tree, "a checkpoint")] if witnessed else [])


def _leaves(lines: list[bytes]) -> Iterator[str]:
    return iter([parsed["leaf"] for parsed in map(json.loads, lines) if "leaf" in parsed])
