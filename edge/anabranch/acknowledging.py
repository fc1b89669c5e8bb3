"""Waiting until a write has come as far as its author needs: stored, merged, or visible.

A wait never makes the write less durable and needs no agent in this process: it looks at the replica,
which whoever exchanges with the hub keeps up to date.
"""

import time
from contextlib import suppress
from typing import Protocol

from anabranch_sync.acknowledgement import Level
from anabranch_sync.budget import Budget, left_bytes, resumes
from anabranch_sync.change import Entry
from anabranch_sync.ids import Dot

from anabranch.condition import clock_condition
from anabranch.errors import ChangeDamaged, ChangeLost, ChangeRefused, IdentityUnusable, NotAcknowledged
from anabranch.replica import Acknowledged, Fate, Link, Replica

# How often a wait looks: some tens of microseconds each time, and a person does not notice it.
LOOK_PAUSE_S = 0.02


class Acknowledgeable(Protocol):
    """What tells how far one change has come."""

    def wait(self, level: Level, timeout_s: float) -> Acknowledged: ...


class Receipt:
    """One own change of a replica, by its identity and its content, so that it is found under any dot."""

    def __init__(self, replica: Replica, entry: Entry) -> None:
        self._replica = replica
        self._dot = entry.dot
        self._content_id = entry.content_id
        self._epoch = entry.change.base.epoch

    def wait(self, level: Level, timeout_s: float) -> Acknowledged:
        """Return once the change has come so far.

        Raises NotAcknowledged, ChangeRefused, ChangeLost, ChangeDamaged.
        """
        end_s = time.monotonic() + timeout_s
        while True:
            now = self._replica.acknowledged(self._dot, self._content_id, self._epoch)
            if now is None:
                raise ChangeLost(str(self._dot))
            if now.fate is Fate.DAMAGED:
                raise ChangeDamaged(str(now.dot))
            if now.fate is Fate.REFUSED:
                raise ChangeRefused(str(now.dot), now.reason)
            if now.reaches(level):
                return now
            if time.monotonic() >= end_s:
                raise NotAcknowledged(str(now.dot), level, timeout_s, now.level, _way_out(self._replica))
            time.sleep(min(LOOK_PAUSE_S, max(0.0, end_s - time.monotonic())))


class Everything:
    """All that was written here so far: what a write that changed nothing waits for, as it may wait too."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def wait(self, level: Level, timeout_s: float) -> Acknowledged:
        """Return once the last own change has come so far. Raises as `Receipt.wait`."""
        newest = self._replica.newest()
        if newest is None:
            return Acknowledged(Dot(0, 0), Level.VISIBLE, Fate.MERGED)
        return Receipt(self._replica, newest).wait(level, timeout_s)


def _way_out(replica: Replica) -> str:
    from anabranch.identity import identity_folder, read_identity  # 60 ms that who waits in vain can pay

    now_s = time.time()
    with suppress(IdentityUnusable):
        ended = clock_condition(read_identity(identity_folder(replica.path)), now_s)
        if ended is not None:
            return ended.sentence
    if not replica.agent_running():
        return "no agent is running: start `anabranch agent`, or run `anabranch sync`"
    carried, mode = replica.traffic(int(now_s * 1000)), replica.link_mode()
    if left_bytes(carried.budget, carried.spent) == 0:
        until = resumes(carried.budget, carried.spent, carried.today)
        return (
            f"the byte budget ({_limits(carried.budget)}) is used up until {until}: only urgent changes go. "
            "Write it with --urgent, raise the budget (`anabranch link set`), or run `anabranch sync`, "
            "which is never held back"
        )
    match replica.link().link:
        case Link.UP | None if mode.poll_ms and replica.most_pressing_unsent() is not None:
            each = f"{mode.poll_ms // 1000} s"
            return f"the agent looks in each {each}: write it with --urgent, or run `anabranch sync`"
        case Link.UP | None if mode.metered and replica.most_pressing_unsent() is not None:
            return "changes are saved up on a metered link: write it with --urgent, or run `anabranch sync`"
        case Link.UP | None:
            return "an agent is running: `anabranch status` tells what is on its way"
        case Link.DOWN:
            return "the agent cannot reach the hub: it goes on trying, `anabranch sync` tells why"
        case Link.DENIED | Link.DISTRUSTED:
            return "the hub and this edge do not agree to speak: `anabranch sync` tells why"


def _limits(budget: Budget) -> str:
    """As in: 2,000,000 bytes a day."""
    limits = ((budget.day_bytes, "day"), (budget.month_bytes, "month"))
    return " and ".join(f"{limit:,} bytes a {per}" for limit, per in limits if limit)
