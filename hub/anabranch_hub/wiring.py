"""The hub's object graph, built once from `Settings` and taken down in reverse.

::

    health port             answers from the first moment: live, not yet ready
    └── data directory      locked; embedded Postgres and OpenBao below it, or the operator's own
        ├── store           migrated
        ├── authority       of edges' certificates, in Vault
        ├── signer          of the tenants' logs, with keys in Vault
        └── gRPC            edges come; ready
            ├── upkeep of the tenants, once a day
            └── whereabouts written, for the commands
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from anabranch_hub.api.grpc_service import GrpcServer, serve_grpc
from anabranch_hub.audit.anchors import Anchors
from anabranch_hub.audit.signer import LogSigner
from anabranch_hub.errors import VaultUnavailable
from anabranch_hub.operations import whereabouts
from anabranch_hub.operations.health import CHECK_S_MAX, Check, Health, Part
from anabranch_hub.operations.listening import check_listenable
from anabranch_hub.operations.restoring import declare_restored
from anabranch_hub.operations.upkeep import upkeep
from anabranch_hub.operations.whereabouts import Whereabouts
from anabranch_hub.secrets.authority import Authority
from anabranch_hub.secrets.vault import Vault, VaultAccess
from anabranch_hub.servers.supervise import EmbeddedServers, Phase, open_data_dir
from anabranch_hub.settings import Address, External, Settings
from anabranch_hub.store import Store

log = logging.getLogger(__name__)

PARTS = ("postgres", "vault", "log", "grpc")

# With no more room than a segment of Postgres' WAL takes, the disk is to blame for what does not answer.
DISK_FULL_BYTES = 16 * 1024 * 1024
# Vault is asked again and again; this leaves a probe the time to say why it gave no answer.
_VAULT_S_MAX = CHECK_S_MAX - 0.5

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Servers:
    """Where Postgres and Vault are; `embedded` when they are this hub's own."""

    postgres_dsn: str
    vault: VaultAccess
    embedded: EmbeddedServers | None


@asynccontextmanager
async def running_hub(settings: Settings, progress: Progress) -> AsyncIterator[Whereabouts]:
    """A hub that serves, until this is left. `progress` gets a line for each step of the start.

    Enter it in the main thread. Raises DataDirError, PortInUse, ListenRefused, ServerFailed,
    StoreUnavailable, StoreUnsafe, SchemaNewer, VaultUnavailable, VaultDenied; nothing runs then.
    """
    os.close(open_data_dir(settings.data_dir))  # before a port is blamed: another hub may well hold both
    for address in (settings.listen, settings.enrol):
        check_listenable(address)
    async with AsyncExitStack() as stack:
        health = Health(dict.fromkeys(PARTS, _starting))
        health_at = None
        if settings.health is not None:
            health_at = await health.start(settings.health)
            stack.push_async_callback(health.stop)
        servers = await _servers(settings, progress, stack)
        progress("store: migrating")
        store = await Store.connect(servers.postgres_dsn)
        stack.push_async_callback(store.close)
        vault = await stack.enter_async_context(Vault(servers.vault))
        authority = Authority(vault)
        await authority.ensure()
        await vault.ensure_transit()
        anchors = Anchors(settings.data_dir)
        if settings.restored_by:
            for tenant in await store.tenants():
                await declare_restored(store, anchors, tenant.name, author=settings.restored_by)
                progress(f"store: {tenant.name} begins another epoch, as restored from a backup")
        signer = LogSigner(store, vault, anchors)
        signing = asyncio.create_task(signer.run(), name="sign logs")
        stack.push_async_callback(_ended, signing)
        grpc = await serve_grpc(
            store,
            authority,
            host=settings.listen.host,
            port=settings.listen.port,
            enrolment_port=settings.enrol.port,
            names=settings.host_names,
        )
        stack.push_async_callback(grpc.stop)
        await stack.enter_async_context(upkeep(store, settings.upkeep))
        root_pem = await authority.root_pem()
        here = _whereabouts(settings, servers, grpc, health_at, root_pem)
        courier = await authority.courier_credentials()
        whereabouts.announce(
            settings.data_dir,
            here,
            postgres_dsn=servers.postgres_dsn,
            authority_pem=root_pem,
            courier_pem=courier.key_pem + courier.chain_pem,
        )
        stack.callback(whereabouts.withdraw, settings.data_dir)
        health.checks = _checks(settings.data_dir, servers, store, authority, signer)
        try:
            yield here
        finally:
            health.checks = dict.fromkeys(PARTS, _stopping)


async def _servers(settings: Settings, progress: Progress, stack: AsyncExitStack) -> _Servers:
    match settings.external:
        case External(postgres_dsn, vault):
            lock = open_data_dir(settings.data_dir)
            stack.callback(os.close, lock)
            return _Servers(postgres_dsn, vault, None)
        case None:
            embedded = await stack.enter_async_context(EmbeddedServers(settings.data_dir, progress))
            return _Servers(embedded.postgres_dsn, embedded.vault, embedded)


def _whereabouts(
    settings: Settings, servers: _Servers, grpc: GrpcServer, health: Address | None, root_pem: bytes
) -> Whereabouts:
    root = x509.load_pem_x509_certificate(root_pem)
    return Whereabouts(
        pid=os.getpid(),
        release=version("anabranch"),
        started_ms=time.time_ns() // 1_000_000,
        listen=str(Address(settings.listen.host, grpc.port)),
        enrol=str(Address(settings.enrol.host, grpc.enrolment_port)),
        health="" if health is None else str(health),
        embedded=servers.embedded is not None,
        vault=servers.vault.address,
        authority_sha256=root.fingerprint(SHA256()).hex(),
    )


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _checks(
    data_dir: Path, servers: _Servers, store: Store, authority: Authority, signer: LogSigner
) -> dict[str, Check]:
    """What /health/ready looks at. The names of embedded servers differ from their parts' in one case."""

    async def postgres() -> Part:
        part = _embedded(servers, "postgres")
        if part.reason is None:
            await store.tenants()
        return part

    async def vault() -> Part:
        part = _embedded(servers, "openbao")
        if part.reason is not None:
            return part
        try:
            async with asyncio.timeout(_VAULT_S_MAX):
                await authority.root_pem()  # needs a login and an unsealed Vault
        except (TimeoutError, VaultUnavailable):
            # An OpenBao that cannot write its audit log answers nothing.
            if servers.embedded is not None and shutil.disk_usage(data_dir).free < DISK_FULL_BYTES:
                return Part("its disk is full: make room", part.restarts)
            raise
        return part

    async def logs() -> Part:
        # Edges are served all the same: one tenant's trouble is not the others'. Nor is its name for anybody.
        refused = len(signer.faults)
        return Part(warning=f"{refused} not signed: anabranch-hub doctor tells which" if refused else None)

    async def grpc() -> Part:
        return Part()

    return {"postgres": postgres, "vault": vault, "log": logs, "grpc": grpc}


def _embedded(servers: _Servers, name: str) -> Part:
    """How the embedded server is, as its supervisor knows; well, where the servers are the operator's."""
    if servers.embedded is not None:
        for state in servers.embedded.states():
            if state.server == name:
                # Without the server's last words in brackets: those are for the log, not for any caller.
                reason = (state.reason or state.phase.value).partition(" (")[0]
                return Part(None if state.phase is Phase.READY else reason, state.restarts)
    return Part()


async def _starting() -> Part:
    return Part("starting")


async def _stopping() -> Part:
    return Part("stopping")
