"""`restored`: that a hub's Postgres came from a backup is declared, also when the first attempt is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from anabranch_hub.audit.anchors import Anchor, Anchors
from anabranch_hub.audit.signer import LogSigner
from anabranch_hub.errors import PositionAhead
from anabranch_hub.operations.restoring import declare_restored
from anabranch_hub.secrets.vault import Vault
from anabranch_hub.store import Edit, Store
from anabranch_sync.checkpoint import Checkpoint, origin_of, signed
from anabranch_sync.merkle import TreeHead
from anabranch_sync.signed_note import parse_verifier_key

from tests.hub.audit.conftest import anchors, anyio_backend, query, signer, store, tenant, vault
from tests.hub.store.replica import ROUTER

__all__ = ["anchors", "anyio_backend", "query", "signer", "store", "tenant", "vault"]

pytestmark = [pytest.mark.anyio, pytest.mark.tampers]


class Killed(BaseException):
    """In place of the end of a process."""


async def test_a_declaration_that_was_killed_is_repeated_with_what_it_had_found(
    store: Store,
    tenant: str,
    signer: LogSigner,
    anchors: Anchors,
    vault: Vault,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a backup up to position 2, whose hub has run on to 4 before anybody said so
    await _written(store, tenant, 1, 2)
    await signer.sign(tenant)
    await _anchored_further(store, tenant, anchors, vault)
    await _written(store, tenant, 3, 4)

    # and a declaration that is killed once the anchor is set aside
    async def killed(*_: Any, **__: Any) -> None:
        # Nobody is left to undo what was done.
        monkeypatch.setattr(Anchors, "_rename", lambda *_: None)
        monkeypatch.setattr(Anchors, "_restoring", lambda *_: tmp_path / "nowhere")
        raise Killed

    monkeypatch.setattr(Store, "restored", killed)
    with pytest.raises(Killed):
        await declare_restored(store, anchors, tenant, author="ada")
    monkeypatch.undo()

    # when the hub, which runs, signs what it finds, and it is declared again
    await signer.sign(tenant)
    declared = await declare_restored(store, anchors, tenant, author="ada")

    # then edges offer again all that they have from behind the backup
    assert (declared.begun.ended.known, declared.begun.position) == (2, 4)
    # and the next one knows nothing of it
    another = await declare_restored(store, anchors, tenant, author="ada")
    assert another.begun.ended.known == 4


async def test_a_position_that_is_refused_is_not_remembered(
    store: Store, tenant: str, anchors: Anchors
) -> None:
    await _written(store, tenant, 1)
    with pytest.raises(PositionAhead):
        await declare_restored(store, anchors, tenant, author="ada", known=7)

    declared = await declare_restored(store, anchors, tenant, author="ada")

    assert declared.begun.ended.known == 1


async def _written(store: Store, tenant: str, *numbers: int) -> None:
    for number in numbers:
        await store.write(tenant, [Edit(ROUTER, {"n": number})], author="ada", message="")


async def _anchored_further(store: Store, tenant: str, anchors: Anchors, vault: Vault) -> None:
    """Let the hub remember that it signed more leaves than there are."""
    newest = (await store.log(tenant)).newest
    assert newest is not None
    key, longer = parse_verifier_key(newest.key), Checkpoint(origin_of(tenant), TreeHead(99, b"\7" * 32))
    signature = await vault.sign(f"anabranch-log-{tenant}", longer.to_sign)
    anchors.write(tenant, Anchor(key, longer.tree, signed(longer, key, signature).note))
