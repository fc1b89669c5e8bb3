"""Many edges in one process, each with its certificate, TLS connection, stream and session; no disk."""

import asyncio
import contextlib
import resource
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from anabranch.errors import HubError
from anabranch.identity import Identity, certificate_request, new_key
from anabranch.link import FrameStream, HubLink, enroll
from anabranch_hub.operations.whereabouts import authority_pem, find, postgres_dsn
from anabranch_hub.simulation.memory import LOG_TENANT, MemoryReplica, ReplicaState
from anabranch_hub.store import Edit, Store
from anabranch_protos.invitation import hash_secret
from anabranch_sync.edge_effects import (
    Acknowledge,
    Apply,
    Close,
    EdgeEffect,
    Load,
    NoteStored,
    Send,
    StorePart,
    Witness,
)
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.ids import document_id
from anabranch_sync.scope import scope

from benchmarks.fleet import Fleet, PhaseStuck

# The memory replica demands this tenant's log.
TENANT = LOG_TENANT
AUTHOR = "benchmark"
FAR_MS = 2**50
# Handshakes and enrolments at once: the hub takes 32, and they are all work for its one core.
AT_ONCE = 16
# Besides its connections: Python's own, gRPC's pollers, Postgres.
FILES_BESIDE = 200
# A change takes some 8 ms for each edge where hub and edges share two busy cores.
STUCK_S_MAX = 300.0
SECRET_BYTES = 32
# What a busy hub tells edges to wait.
AGAIN_S = 2.0
# Whether an exchange has ended; looks of thousands must not be what is measured.
LOOK_S = 20.0


def raise_open_files() -> int:
    """Let this process, and the hub it starts, open as many files as the machine allows; how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Crowd:
    """Edges of `TENANT` that are connected and idle; use it with `async with`."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._clients: list[_Client] = []
        self._writes = 0
        self._enrol_at = find(fleet.hub_dir).enrol
        self._root_pem = authority_pem(fleet.hub_dir)
        self.edges_max = raise_open_files() - FILES_BESIDE

    async def __aenter__(self) -> Self:
        self._store = await Store.connect(postgres_dsn(self._fleet.hub_dir))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.leave()
        await self._store.close()

    @property
    def connected_again(self) -> int:
        """How often an edge lost its connection or was told to come back."""
        return sum(client.again for client in self._clients)

    async def grow_to(self, count: int) -> float:
        """Enrol and connect edges until there are so many; the seconds that connecting took."""
        first = len(self._clients)
        identities: list[tuple[Identity, int]] = []

        async def identify(number: int) -> None:
            identities.append(await self._identified(f"edge-{number}"))

        await _few_at_once(identify, range(first, count))
        position = await self._fleet.position(TENANT)
        clients = [_Client(identity, incarnation) for identity, incarnation in identities]
        began_s = time.monotonic()

        async def join(number: int) -> None:
            await clients[number].join(position)

        await _few_at_once(join, range(len(clients)))
        self._clients += clients
        return time.monotonic() - began_s

    async def change_reaches_all(self) -> float:
        """One document is written at the hub; seconds until every edge has it."""
        self._writes += 1
        edit = Edit(document_id(TENANT, "news"), {"number": self._writes})
        began_s = time.monotonic()
        written = await self._store.write(TENANT, [edit], author=AUTHOR, message="")
        await asyncio.gather(*(client.until(written.hub_seq) for client in self._clients))
        return time.monotonic() - began_s

    async def _identified(self, edge: str) -> tuple[Identity, int]:
        secret, key_pem = secrets.token_bytes(SECRET_BYTES), new_key()
        await self._store.invite(TENANT, edge, (TENANT,), hash_secret(secret), FAR_MS, AUTHOR)
        new = await enroll(self._enrol_at, self._root_pem, secret, certificate_request(key_pem))
        chain_pem, root_pem = new.renewed.chain_pem, new.renewed.root_pem
        identity = Identity(self._fleet.hub.listen, TENANT, edge, key_pem, chain_pem, root_pem, FAR_MS)
        return identity, new.incarnation


class _Client:
    """An edge without a disk: its session, and the stream that it holds."""

    def __init__(self, identity: Identity, incarnation: int) -> None:
        self._identity = identity
        self._replica = MemoryReplica(ReplicaState(incarnation, scope((identity.tenant,))))
        self._moved = asyncio.Event()
        self.again = 0
        self._holding: asyncio.Task[None] | None = None

    async def join(self, position: int) -> None:
        """Connect, and get what there is. Raises PhaseStuck."""
        self._holding = asyncio.create_task(self._hold())
        await self.until(position)

    async def until(self, position: int) -> None:
        """Until it is where the hub is. Raises PhaseStuck."""
        assert self._holding is not None, "joined before"
        deadline_s = time.monotonic() + STUCK_S_MAX
        while self._replica.state.cursor.hub_seq < position:
            if self._holding.done():
                raise PhaseStuck(f"{self._identity.edge}: its exchange ended: {self._holding.exception()}")
            if time.monotonic() > deadline_s:
                raise PhaseStuck(f"{self._identity.edge}: position {position}: not after {STUCK_S_MAX:.0f} s")
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), LOOK_S)

    async def leave(self) -> None:
        """Go, as a machine goes that is switched off."""
        if self._holding is not None:
            self._holding.cancel()
            with contextlib.suppress(asyncio.CancelledError, HubError):
                await self._holding

    async def _hold(self) -> None:
        """Stay connected, and connect again as an agent does when the hub is too busy to answer in time."""
        while True:
            with contextlib.suppress(HubError):
                async with HubLink(self._identity) as link:
                    await self._exchange(link.exchange())
            self.again += 1
            await asyncio.sleep(AGAIN_S)

    async def _exchange(self, stream: FrameStream) -> None:
        session = EdgeSession(self._replica.standing(), self._replica.state.scope.fingerprint)
        closed = await self._carry_out(session, stream, session.start(_now_ms()))
        reading = asyncio.ensure_future(stream.read())
        try:
            while closed is None:
                done, _ = await asyncio.wait({reading}, timeout=_seconds_until(session.wake_ms))
                if not done:  # what it has applied may be told late, but is told
                    closed = await self._carry_out(session, stream, session.woken(_now_ms()))
                elif (frame := reading.result()) is None:
                    return
                else:
                    closed = await self._carry_out(session, stream, session.received(frame, _now_ms()))
                    self._moved.set()
                    reading = asyncio.ensure_future(stream.read())
        finally:
            reading.cancel()

    async def _carry_out(
        self, session: EdgeSession, stream: FrameStream, effects: Sequence[EdgeEffect]
    ) -> Close | None:
        """What an edge is told that writes nothing and never was here before; how the exchange ends."""
        waiting = list(effects)
        while waiting:
            match waiting.pop(0):
                case Send(frame):
                    await stream.write(frame)
                case Load(after):
                    waiting += session.loaded(self._replica.pending(after))
                case Apply(pull, reoffer):
                    waiting += session.applied(self._replica.apply(pull, reoffer))
                case Witness(witnessed, hub_seq, epoch, broken):
                    self._replica.witness(witnessed, hub_seq, epoch=epoch, broken=broken)
                case StorePart() | NoteStored() | Acknowledge():
                    pass
                case Close() as close:
                    return close
                case other:
                    raise PhaseStuck(f"{self._identity.edge}: a new edge was told {other}")
        return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _seconds_until(wake_ms: int | None) -> float | None:
    return None if wake_ms is None else max(0.0, (wake_ms - _now_ms()) / 1000)


async def _few_at_once(work: Callable[[int], Awaitable[None]], numbers: Iterable[int]) -> None:
    waiting = iter(numbers)

    async def one_after_the_other() -> None:
        for number in waiting:
            await work(number)

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
