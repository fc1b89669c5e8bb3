"""Processes on one replica, killed and raced: run by its tests in an interpreter of its own.

``python -m tests.edge.replica.processes DRILL PATH ROUNDS`` forks, which a test process with other
servers' threads in it must not, and prints one line for each thing it found wrong.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anabranch
from anabranch.replica import Replica
from anabranch_sync.change import CHAIN_START, chained

from tests.edge.replica.sqlite_store import create

WRITERS = 2


def kill_after_ok(path: Path, rounds: int) -> Iterator[str]:
    """SIGKILL a writer right after it said that a write is durable; the write must be there."""
    create(path).close()
    acknowledged = 0
    for each in range(rounds):
        with _child(lambda said: _count_up(path, said)) as (pid, read):
            for _ in range(random.Random(each).randint(1, 3)):
                acknowledged = int(read())
            os.kill(pid, signal.SIGKILL)
        yield from _look_for(path, acknowledged)


def kill_anywhere(path: Path, rounds: int) -> Iterator[str]:
    """SIGKILL a writer at any moment: while it opens, merges, commits or closes."""
    create(path).close()
    for each in range(rounds):
        with _child(lambda said: _count_up(path, said)) as (pid, read):
            time.sleep(random.Random(each).uniform(0, 0.03))
            os.kill(pid, signal.SIGKILL)
            said = read(whole=True).split()
        yield from _look_for(path, int(said[-1]) if said else 0)


def race(path: Path, rounds: int) -> Iterator[str]:
    """Writers in several processes on one document: no change is lost, no number used twice."""
    create(path).close()

    def write(name: str) -> None:
        with anabranch.open(path) as client:
            for number in range(1, rounds + 1):
                client.set("acme/prod/shared", f"/{name}", number)
                client.set(f"acme/prod/{name}", f"/f{number}", number)

    children = [_forked(lambda each=each: write(f"w{each}")) for each in range(WRITERS)]  # type: ignore[misc]
    for pid in children:
        _, status = os.waitpid(pid, 0)
        if status:
            yield f"a writer ended with {status}"
    with anabranch.open(path) as client:
        shared = client.get("acme/prod/shared").value
        if shared != {f"w{each}": rounds for each in range(WRITERS)}:
            yield f"the shared document is {shared}"
        if client.status().outbox != 2 * rounds * WRITERS:
            yield f"{client.status().outbox} changes in the outbox"
        yield from _damage(client.replica)


def seen_at_once(path: Path, rounds: int) -> Iterator[str]:
    """What one process was told is written, another reads at once, however warm its memory is."""
    create(path).close()
    with _child(lambda said: _count_up(path, said)) as (pid, read):
        with anabranch.open(path) as client:
            for _ in range(rounds):
                number = int(read())
                value = client.get("acme/prod/counter", "/n").value
                if not isinstance(value, int) or value < number:
                    yield f"read {value} after {number} was acknowledged"
        os.kill(pid, signal.SIGKILL)


def agents(path: Path, rounds: int) -> Iterator[str]:
    """The lock of an agent that was killed is free."""
    create(path).close()
    for _ in range(rounds):
        with _child(lambda said: _be_agent(path, said)) as (pid, read):
            read()
            with Replica.open(path) as replica:
                if not replica.agent_running():
                    yield "an agent is not seen"
            os.kill(pid, signal.SIGKILL)
        with Replica.open(path) as replica, replica.lock_agent():
            pass


def _count_up(path: Path, said: Callable[[str], None]) -> None:
    with anabranch.open(path) as client:
        try:
            value = client.get("acme/prod/counter", "/n").value
        except anabranch.AnabranchError:
            value = 0
        number = int(str(value))
        while True:
            number += 1
            client.set("acme/prod/counter", "/n", number)
            said(f"{number}\n")


def _be_agent(path: Path, said: Callable[[str], None]) -> None:
    with Replica.open(path) as replica, replica.lock_agent():
        said("ok\n")
        time.sleep(60)


def _look_for(path: Path, acknowledged: int) -> Iterator[str]:
    with anabranch.open(path) as client:
        if acknowledged:
            value = client.get("acme/prod/counter", "/n").value
            if not isinstance(value, int) or value < acknowledged:
                yield f"{acknowledged} was acknowledged, {value} is there"
        yield from _damage(client.replica)


def _damage(replica: Replica) -> Iterator[str]:
    chain, after = CHAIN_START, 0
    while entries := replica.pending(after):
        for each in entries:
            if each.dot.local_seq != after + 1:
                yield f"change {each.dot} follows {after}"
            after, chain = each.dot.local_seq, chained(chain, each.body)
    if replica.standing().last_local != after:
        yield f"the outbox ends at {after}, the replica at {replica.standing().last_local}"
    for found in replica.verify():
        yield str(found)


@contextmanager
def _child(work: Callable[[Callable[[str], None]], None]) -> Iterator[tuple[int, Callable[..., str]]]:
    """A forked process that says lines; it is killed at the end of the block if it still lives."""
    reading, writing = os.pipe()

    def run() -> None:
        os.close(reading)
        work(lambda line: void(os.write(writing, line.encode())))

    pid = _forked(run)
    os.close(writing)

    def read(*, whole: bool = False) -> str:
        return lines.read() if whole else lines.readline()

    with os.fdopen(reading) as lines:
        try:
            yield pid, read
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def void(_: object) -> None:
    """Drop a result."""


def _forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  (a child must never return into the parent's code)
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    return pid


DRILLS = {
    "kill_after_ok": kill_after_ok,
    "kill_anywhere": kill_anywhere,
    "race": race,
    "seen_at_once": seen_at_once,
    "agents": agents,
}


def main(drill: str, path: str, rounds: str) -> None:
    """Run one drill and print what it found."""
    for problem in DRILLS[drill](Path(path), int(rounds)):
        sys.stdout.write(f"{problem}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
