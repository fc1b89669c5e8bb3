"""Edges of one tenant, on real files, with their agents in this event loop."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from anabranch.agent import AgentOutcome, Progress, run_agent
from anabranch.enrol import initialise
from anabranch.identity import Identity, identity_folder, read_identity
from anabranch.replica import Edit, Facts, Replica
from anabranch_hub.api.grpc_service import GrpcServer
from anabranch_hub.secrets.authority import Authority
from anabranch_hub.store import Store
from anabranch_protos.invitation import InvitationToken, new_token
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId, document_id
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

SCOPE = ("acme/prod",)
ROUTER = document_id("acme/prod/router")
# How long a test waits for what must come; nothing is asserted about the time it took.
COMES_S_MAX = 30.0
LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub that serves."""

    store: Store
    authority: Authority
    server: GrpcServer

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    @property
    def enrolment_address(self) -> str:
        return f"127.0.0.1:{self.server.enrolment_port}"


async def new_tenant(store: Store) -> str:
    name = f"t{secrets.token_hex(6)}"
    await store.create_tenant(name)
    return name


async def invited(
    hub: Hub,
    tenant: str,
    edge: str,
    *,
    prefixes: tuple[str, ...] = SCOPE,
    life_ms: int = 60_000,
    relay: bool = False,
) -> InvitationToken:
    """A token for `edge`."""
    root = x509.load_pem_x509_certificate(await hub.authority.root_pem())
    token = new_token(root.public_bytes(Encoding.DER), hub.server.enrolment_port)
    until_ms = now_ms() + life_ms
    await hub.store.invite(tenant, edge, prefixes, token.secret_hash, until_ms, "ops", relay=relay)
    return token


@dataclass
class Fleet:
    """The edges of one tenant of `hub`; each edge is named by its replica's file."""

    hub: Hub
    tenant: str
    folder: Path
    agents: dict[Path, "asyncio.Task[AgentOutcome]"] = field(default_factory=dict)

    async def enrol(
        self, edge: str, *, prefixes: tuple[str, ...] = SCOPE, address: str = "", relay: bool = False
    ) -> Path:
        """A new edge, which calls the hub at `address`."""
        token = await invited(self.hub, self.tenant, edge, prefixes=prefixes, relay=relay)
        replica = self.folder / f"{edge}.db"
        await initialise(replica, address or self.hub.address, token.render())
        return replica

    def start(self, *replicas: Path, progress: Callable[[Progress], None] | None = None) -> None:
        """Let their agents run."""
        for replica in replicas:
            self.agents[replica] = asyncio.create_task(run_agent(replica, progress=progress))

    async def stop(self, *replicas: Path) -> None:
        """End the agents of these, or of all."""
        tasks = [self.agents.pop(replica) for replica in replicas or list(self.agents)]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def hub_digest(self, replica: Path) -> ScopeDigest:
        with Replica.open(replica) as opened:
            _, digest = await self.hub.store.digest(self.tenant, opened.scope)
        return digest

    async def comes_together(self, *replicas: Path) -> None:
        """Wait until these replicas and the hub hold the same, with nothing unsent."""

        async def are_equal() -> bool:
            for replica in replicas:
                facts = facts_of(replica)
                if facts.outbox or facts.digest != await self.hub_digest(replica):
                    return False
            return True

        await comes(are_equal)


async def comes(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(COMES_S_MAX):
        while True:
            holds = condition()
            if holds is True or (isinstance(holds, Awaitable) and await holds):
                return
            await asyncio.sleep(LOOK_S)


def write(replica: Path, content: Object | None, document: DocumentId = ROUTER) -> None:
    """Commit `content` as the whole of `document`."""
    with Replica.open(replica) as opened:
        opened.commit([Edit(document, content)], author="ada", message="", now_ms=now_ms())


def read(replica: Path, document: DocumentId = ROUTER) -> Object | None:
    with Replica.open(replica) as opened:
        visible = opened.read(document)
    return None if visible is None else visible.content


def facts_of(replica: Path) -> Facts:
    with Replica.open(replica) as opened:
        return opened.facts()


def identity_of(replica: Path) -> Identity:
    return read_identity(identity_folder(replica))


def point_to(replica: Path, address: str) -> None:
    """Let the edge call another address from now on."""
    file = identity_folder(replica) / "hub"
    file.write_text(json.dumps({**json.loads(file.read_text()), "address": address}))


def now_ms() -> int:
    return time.time_ns() // 1_000_000
