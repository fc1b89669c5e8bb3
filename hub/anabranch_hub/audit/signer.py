"""Signing the logs: a key for each tenant in Vault, a checkpoint within a second or two of growth.

Only a serving hub signs. It follows what the store hears, so a log that grows is signed about once a
second, whoever writes; several hubs may sign the same, which harms nothing. Before it signs, the hub
proves to itself that the log goes on from everything that was signed before; a log that does not is
never signed again, and shows as a fault. While Vault is away, the last checkpoint is served.
"""

from __future__ import annotations

import asyncio
import logging

from anabranch_sync.checkpoint import Checkpoint, origin_of, signed, verified_checkpoint
from anabranch_sync.errors import EvidenceError
from anabranch_sync.merkle import TreeHead
from anabranch_sync.signed_note import VerifierKey

from anabranch_hub.audit.anchors import Anchor, Anchors
from anabranch_hub.errors import AnchorDamaged, HubError, LogTampered, TenantUnknown, VaultMissing
from anabranch_hub.secrets.vault import Vault
from anabranch_hub.store import Logged, Moved, Store, StoredCheckpoint

log = logging.getLogger(__name__)

# A signature takes Vault a millisecond and Postgres a commit: a busy tenant may well wait its second.
SIGN_EVERY_S = 1.0
# All logs are looked at this often, for what was not heard of.
SWEEP_S = 60.0

_KEY_PREFIX = "anabranch-log-"


class LogSigner:
    """Signs for one hub process. `faults` are the logs that it refuses to sign, and why."""

    def __init__(self, store: Store, vault: Vault, anchors: Anchors) -> None:
        self.faults: dict[str, str] = {}
        self._store = store
        self._vault = vault
        self._anchors = anchors
        self._keys: dict[str, VerifierKey] = {}
        self._due: dict[str, None] = {}
        self._stirred = asyncio.Event()

    async def run(self) -> None:
        """Sign whatever grows, for ever."""
        while True:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._hear(), name="hear of logs that grow")
                    tasks.create_task(self._sweep(), name="look at all logs")
                    tasks.create_task(self._sign_due(), name="sign logs")
            except* Exception:
                log.exception("signing broke off")
            await asyncio.sleep(SIGN_EVERY_S)

    async def sign(self, tenant: str) -> None:
        """Sign the log as it is, if that is not done.

        Raises LogTampered, AnchorDamaged: it is not what was signed before. Raises what Vault and
        the store do.
        """
        standing = await self._store.log(tenant)
        anchor = self._anchors.read(tenant)
        newest, head = standing.newest, standing.frontier.head
        if head.size == 0 and newest is None and anchor is None:
            return
        if newest and anchor and newest.tree == anchor.tree == head and newest.note == anchor.note:
            return
        key = await self._key(tenant)
        if anchor and anchor.key != key:
            raise AnchorDamaged(self._anchors.path(tenant), f"its key is not Vault's, {key}")
        earlier = [anchor.tree] if anchor else []
        if newest:
            earlier.append(_verified(tenant, newest, key))
        head = await self._store.proven_head(tenant, earlier)
        if newest is None or newest.tree.size < head.size:
            newest = await self._signed(tenant, head, key)
            await self._store.save_checkpoint(tenant, newest)
        await asyncio.to_thread(self._anchors.write, tenant, Anchor(key, newest.tree, newest.note))

    async def _hear(self) -> None:
        async for heard in self._store.listen():
            if isinstance(heard, Moved | Logged):
                self._note(heard.tenant)

    async def _sweep(self) -> None:
        while True:
            try:
                for tenant in await self._store.tenants():
                    self._note(tenant.name)
            except HubError as error:
                log.warning("logs not looked at", extra={"reason": str(error)})
            await asyncio.sleep(SWEEP_S)

    def _note(self, tenant: str) -> None:
        self._due[tenant] = None
        self._stirred.set()

    async def _sign_due(self) -> None:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            due, self._due = self._due, {}
            for tenant in due:
                await self._attempt(tenant)
            await asyncio.sleep(SIGN_EVERY_S)

    async def _attempt(self, tenant: str) -> None:
        try:
            await self.sign(tenant)
        except TenantUnknown:
            return
        except (LogTampered, AnchorDamaged) as error:
            if self.faults.get(tenant) != str(error):
                log.error("log not signed", extra={"tenant": tenant, "reason": str(error)})
            self.faults[tenant] = str(error)
        except HubError as error:
            log.warning("log not signed yet", extra={"tenant": tenant, "reason": str(error)})
        except Exception:
            log.exception("log not signed", extra={"tenant": tenant})
        else:
            self.faults.pop(tenant, None)

    async def _signed(self, tenant: str, head: TreeHead, key: VerifierKey) -> StoredCheckpoint:
        checkpoint = Checkpoint(origin_of(tenant), head)
        signature = await self._vault.sign(_KEY_PREFIX + tenant, checkpoint.to_sign)
        return StoredCheckpoint(head, str(key), signed(checkpoint, key, signature).note)

    async def _key(self, tenant: str) -> VerifierKey:
        key = self._keys.get(tenant)
        if key is None:
            name = _KEY_PREFIX + tenant
            try:
                public = await self._vault.public_key(name)
            except VaultMissing:
                await self._vault.create_key(name)
                public = await self._vault.public_key(name)
            key = self._keys[tenant] = VerifierKey(origin_of(tenant), public)
        return key


def _verified(tenant: str, stored: StoredCheckpoint, key: VerifierKey) -> TreeHead:
    """The tree of a stored checkpoint. Raises LogTampered unless it is what `key` signed."""
    try:
        tree = verified_checkpoint(stored.note, key).tree
    except EvidenceError as error:
        raise LogTampered(tenant, 0, f"a stored checkpoint was not signed here: {error}") from error
    if tree != stored.tree:
        raise LogTampered(tenant, 0, f"the note of the checkpoint at {stored.tree.size} is of another tree")
    return tree
