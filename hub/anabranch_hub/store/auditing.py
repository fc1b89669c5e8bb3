"""Writing the transparency log: whatever is to be audited appends its leaves in its own transaction.

    async with pool.transaction(tenant) as session:
        await session.run("revoke_edge", edge=edge)
        await append(session, tenant, [Act(Event(EventKind.EDGE_REVOKED, edge, {...}))], now_ms)

A leaf that cannot be written fails the transaction: nothing is ever done without its leaf. The
tenant's lock keeps the leaves in one order.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from anabranch_sync.audit_event import SALT_BYTES, Event, EventKind, commitment_of, leaf_bytes
from anabranch_sync.ids import HubSeq
from anabranch_sync.merkle import HASH_BYTES, Frontier, leaf_hash
from anabranch_sync.value import Json, render_json

from anabranch_hub.store.news import CHANNEL, logged_payload
from anabranch_hub.store.pool import Session


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value behind a commitment, as text that was rendered once."""

    commitment: str
    salt: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Act:
    """Something that was done, with the values behind the commitments in its event's data.

    `hub_seq` is the position of a decided change; None: wherever the tenant stands.
    """

    event: Event
    openings: tuple[Sealed, ...] = ()
    hub_seq: HubSeq | None = None


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where a tenant's log ends, read under its lock, and the last month that has room for leaves."""

    hub_seq: HubSeq
    frontier: Frontier
    month: date


@dataclass(frozen=True, slots=True)
class Appended:
    """Leaves ready to be written, as columns, and where the log ends with them."""

    end: LogEnd
    is_new_month: bool
    leaves: Mapping[str, Sequence[Any]]
    openings: Mapping[str, Sequence[Any]]


def sealed(value: Json) -> Sealed:
    """`value` behind a salt that nobody guesses."""
    salt, text = secrets.token_bytes(SALT_BYTES), render_json(value)
    return Sealed(commitment_of(salt, text), salt, text)


def hub_ms() -> int:
    """The time of the hub's clock, for acts whose callers do not tell it."""
    return time.time_ns() // 1_000_000


async def append(session: Session, tenant: str, acts: Sequence[Act], now_ms: int) -> None:
    """Add a leaf for each act to the log, within the transaction that is open.

    Takes the tenant's lock if the caller has not. Every hub process hears of it.
    """
    row = await session.one("lock_log")
    leaves = appended(tenant, log_end(row), acts, now_ms)
    async with session.pipeline():
        await write_leaves(session, leaves)
        await session.run("notify", channel=CHANNEL, payload=logged_payload(tenant))


def log_end(row: Mapping[str, Any]) -> LogEnd:
    """Where the log ends, from the row of the tenant's lock."""
    packed: bytes = row["log_frontier"]
    hashes = tuple(packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES))
    return LogEnd(row["hub_seq"], Frontier(row["log_size"], hashes), row["log_month"])


def appended(tenant: str, end: LogEnd, acts: Sequence[Act], now_ms: int) -> Appended:
    """The leaves for these acts behind `end`.

    The log of a tenant that is older than logs begins by saying where it begins.
    """
    if end.frontier.size == 0 and acts[0].event.kind is not EventKind.TENANT_CREATED:
        started = Event(EventKind.LOG_STARTED, tenant, {"position": end.hub_seq})
        acts = [Act(started, hub_seq=end.hub_seq), *acts]
    first = end.frontier.size
    events = [leaf_bytes(act.event, tenant, first + place, now_ms) for place, act in enumerate(acts)]
    frontier, completed = end.frontier.appended(map(leaf_hash, events))
    # The subtrees that a leaf completes come right behind it.
    hashes: list[bytes] = []
    for (level, _), hash_ in completed:
        if level == 0:
            hashes.append(hash_)
        else:
            hashes[-1] += hash_
    month = max(end.month, datetime.fromtimestamp(now_ms / 1000, UTC).date().replace(day=1))
    opened = [(first + place, opening) for place, act in enumerate(acts) for opening in act.openings]
    return Appended(
        LogEnd(end.hub_seq, frontier, month),
        month > end.month,
        {
            "leaf": list(range(first, frontier.size)),
            "hub_seq": [end.hub_seq if act.hub_seq is None else act.hub_seq for act in acts],
            "event": events,
            "hashes": hashes,
        },
        {
            "leaf": [leaf for leaf, _ in opened],
            "commitment": [bytes.fromhex(opening.commitment) for _, opening in opened],
            "salt": [opening.salt for _, opening in opened],
            "value": [opening.text for _, opening in opened],
        },
    )


async def write_leaves(session: Session, leaves: Appended) -> None:
    """Write what `appended` made; within `pipeline` it costs no round trip of its own."""
    end = leaves.end
    if leaves.is_new_month:
        await session.run("add_audit_month", month=end.month)
    await session.run("save_leaves", month=end.month, **leaves.leaves)
    if leaves.openings["leaf"]:
        await session.run("save_openings", **leaves.openings)
    await session.run(
        "save_log",
        log_size=end.frontier.size,
        log_frontier=b"".join(end.frontier.hashes),
        log_month=end.month,
    )
