"""The hub signs a log that goes on from everything it signed before, and no other."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from anabranch_hub.audit.anchors import Anchors
from anabranch_hub.audit.signer import LogSigner
from anabranch_hub.errors import AnchorDamaged, HubError, LogTampered, VaultUnavailable
from anabranch_hub.secrets.vault import Vault, VaultAccess
from anabranch_hub.store import Edit, Store, StoredCheckpoint
from anabranch_sync.checkpoint import verified_checkpoint
from anabranch_sync.errors import EvidenceError
from anabranch_sync.signed_note import parse_verifier_key
from anabranch_sync.witness import Witnessed, mark_of, witnessed

from tests.hub.audit.conftest import Superuser
from tests.hub.store.replica import ROUTER, enrolled

pytestmark = [pytest.mark.anyio, pytest.mark.tampers]


async def test_a_signed_checkpoint_is_the_committed_log(store: Store, tenant: str, signer: LogSigner) -> None:
    await _write(store, tenant, 5)

    await signer.sign(tenant)

    log = await store.log(tenant)
    assert log.newest is not None
    checkpoint = verified_checkpoint(log.newest.note, parse_verifier_key(log.newest.key))
    assert checkpoint.origin == f"anabranch/tenant/{tenant}"
    assert checkpoint.tree == log.frontier.head
    assert checkpoint.tree.size == 6


async def test_each_tenant_has_a_key_of_its_own_that_stays(
    store: Store, tenant: str, signer: LogSigner, vault: Vault, tmp_path: Path
) -> None:
    await store.create_tenant(other := f"{tenant}-other")
    for each in (tenant, other):
        await signer.sign(each)
    await _write(store, tenant, 1)
    (tmp_path / "another").mkdir()
    await LogSigner(store, vault, Anchors(tmp_path / "another")).sign(tenant)

    keys = [(await _newest(store, each)).key for each in (tenant, other)]
    assert keys[0] != keys[1]
    assert (await _newest(store, tenant)).tree.size == 2


async def test_several_hubs_may_sign_at_once(store: Store, tenant: str, vault: Vault, tmp_path: Path) -> None:
    signers = [LogSigner(store, vault, Anchors(tmp_path / str(number))) for number in range(3)]
    for number in range(3):
        (tmp_path / str(number)).mkdir()

    await asyncio.gather(_write(store, tenant, 3), *(signer.sign(tenant) for signer in signers))
    await asyncio.gather(*(signer.sign(tenant) for signer in signers))

    assert (await _newest(store, tenant)).tree == (await store.log(tenant)).frontier.head


async def test_a_log_that_grows_is_signed_by_itself(store: Store, tenant: str, signer: LogSigner) -> None:
    running = asyncio.create_task(signer.run())
    try:
        await _write(store, tenant, 1)
        async with asyncio.timeout(60):
            while not await _is_signed(store, tenant):
                await asyncio.sleep(0.05)
        # and again, with acts that decide nothing
        await enrolled(store, tenant, "shop")
        async with asyncio.timeout(60):
            while not await _is_signed(store, tenant):
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize(
    "tampering",
    [
        pytest.param(
            "UPDATE tenant_state SET log_size = 2, log_frontier = {hashes};"
            "DELETE FROM audit_leaves WHERE leaf > 1",
            id="rewound",
        ),
        pytest.param("UPDATE tenant_state SET log_frontier = sha256('x') || sha256('y')", id="forked"),
        pytest.param("DELETE FROM audit_leaves WHERE leaf = 3", id="a node is gone"),
        pytest.param("UPDATE audit_leaves SET hashes = sha256('x') WHERE leaf = 4", id="re-hashed"),
        pytest.param("UPDATE audit_checkpoints SET root = sha256('x')", id="a checkpoint was changed"),
        pytest.param("UPDATE audit_checkpoints SET note = replace(note, '5', '4')", id="a note was changed"),
    ],
)
async def test_a_log_that_is_not_what_was_signed_is_never_signed_again(
    store: Store, tenant: str, signer: LogSigner, superuser: Superuser, tampering: str
) -> None:
    # given
    await _write(store, tenant, 4)
    await signer.sign(tenant)
    before = await store.log(tenant)

    # when
    two = "(SELECT substring(hashes FROM 33 FOR 32) FROM audit_leaves WHERE leaf = 1)"
    superuser.does(tampering.format(hashes=two))
    await _write(store, tenant, 1)

    # then
    with pytest.raises(LogTampered):
        await signer.sign(tenant)
    after = await store.log(tenant)
    assert before.newest is not None
    assert after.newest is not None
    assert after.newest.tree.size == before.newest.tree.size


async def test_rewriting_the_checkpoints_too_does_not_help(
    store: Store, tenant: str, signer: LogSigner, superuser: Superuser, vault: Vault, tmp_path: Path
) -> None:
    """Whoever owns Postgres empties the log and all its checkpoints; the hub's own folder remembers."""
    await _write(store, tenant, 4)
    await signer.sign(tenant)

    superuser.does(
        "TRUNCATE audit_leaves, audit_openings, audit_checkpoints;"
        "UPDATE tenant_state SET log_size = 0, log_frontier = ''"
    )
    await _write(store, tenant, 9)

    with pytest.raises(LogTampered):
        await signer.sign(tenant)
    again = LogSigner(store, vault, Anchors(tmp_path))  # as after a restart
    with pytest.raises(LogTampered):
        await again.sign(tenant)


async def test_a_changed_anchor_is_told_with_its_place(
    store: Store, tenant: str, signer: LogSigner, anchors: Anchors
) -> None:
    await signer.sign(tenant)
    anchors.path(tenant).write_text("nonsense\n")

    with pytest.raises(AnchorDamaged, match=f"audit/{tenant} is not what the hub wrote"):
        await signer.sign(tenant)


async def test_a_fault_shows_until_it_is_mended(
    store: Store, tenant: str, signer: LogSigner, anchors: Anchors
) -> None:
    await signer.sign(tenant)
    good = anchors.path(tenant).read_text()
    anchors.path(tenant).write_text("nonsense\n")
    running = asyncio.create_task(signer.run())
    try:
        async with asyncio.timeout(60):
            while tenant not in signer.faults:
                await asyncio.sleep(0.05)

        anchors.path(tenant).write_text(good)
        await _write(store, tenant, 1)

        async with asyncio.timeout(60):
            while tenant in signer.faults:
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_while_vault_is_away_the_last_checkpoint_stays(
    store: Store, tenant: str, signer: LogSigner, vault_access: VaultAccess, anchors: Anchors
) -> None:
    await signer.sign(tenant)
    before = await _newest(store, tenant)
    await _write(store, tenant, 1)

    nowhere = VaultAccess("http://127.0.0.1:1", vault_access.credentials)
    async with Vault(nowhere, attempts_max=1) as away:
        with pytest.raises(VaultUnavailable):
            await LogSigner(store, away, anchors).sign(tenant)

    assert await _newest(store, tenant) == before


async def test_an_edge_is_shown_what_goes_on_from_what_it_saw(
    store: Store, tenant: str, signer: LogSigner
) -> None:
    edge = await enrolled(store, tenant, "shop")
    origin = f"anabranch/tenant/{tenant}"
    seen: Witnessed | None = None
    for _ in range(5):
        await _write(store, tenant, 3)
        await signer.sign(tenant)

        mark = mark_of(seen.tree if seen else None)
        opening = await store.open_replica(tenant, "shop", edge.incarnation, mark)

        assert opening.log is not None
        assert await store.presented(tenant, mark) == opening.log
        seen = witnessed(origin, seen, opening.log)
        assert seen.tree == (await store.log(tenant)).frontier.head
    again = await store.open_replica(tenant, "shop", edge.incarnation, mark_of(seen.tree) if seen else b"")
    assert again.log is None


async def test_an_edge_refuses_a_log_that_was_rewritten_even_if_it_is_signed(
    store: Store, tenant: str, signer: LogSigner, vault: Vault, superuser: Superuser, tmp_path: Path
) -> None:
    # given an edge that saw the log
    edge = await enrolled(store, tenant, "shop")
    await _write(store, tenant, 3)
    await signer.sign(tenant)
    opening = await store.open_replica(tenant, "shop", edge.incarnation)
    assert opening.log is not None
    seen = witnessed(f"anabranch/tenant/{tenant}", None, opening.log)

    # when everything is rewritten, and a hub that lost its memory signs it
    superuser.does(
        "TRUNCATE audit_leaves, audit_openings, audit_checkpoints;"
        "UPDATE tenant_state SET log_size = 0, log_frontier = ''"
    )
    await _write(store, tenant, 20)
    (tmp_path / "new").mkdir()
    await LogSigner(store, vault, Anchors(tmp_path / "new")).sign(tenant)

    # then
    opening = await store.open_replica(tenant, "shop", edge.incarnation, mark_of(seen.tree))
    assert opening.log is not None
    with pytest.raises(EvidenceError):
        witnessed(f"anabranch/tenant/{tenant}", seen, opening.log)


async def _write(store: Store, tenant: str, count: int) -> None:
    for _ in range(count):
        version = await store.read(tenant, ROUTER)
        edit = Edit(ROUTER, {"n": version.version if version else 0})
        await store.write(tenant, [edit], author="op", message="")


async def _newest(store: Store, tenant: str) -> StoredCheckpoint:
    newest = (await store.log(tenant)).newest
    assert newest is not None
    return newest


async def _is_signed(store: Store, tenant: str) -> bool:
    log = await store.log(tenant)
    return log.newest is not None and log.newest.tree == log.frontier.head


def test_errors_of_the_log_say_what_to_look_for() -> None:
    assert issubclass(LogTampered, HubError)
    assert LogTampered("acme", 4, "gone").exit_code == 8
