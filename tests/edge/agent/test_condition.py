"""What an agent says of itself, to whom, and that no disk and no clock ends it."""

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anabranch.agent import Progress, Waiting, run_agent
from anabranch.condition import Word, clock_condition, condition, condition_told
from anabranch.errors import ReplicaMissing, StorageFailed
from anabranch.replica import Link, Replica
from anabranch.replica.marks import Loss
from anabranch.supervision import Supervisor, supervisor_of

from tests.edge.agent.test_agent import nobody_there, replica_of, stopped_at
from tests.edge.link.scripted_hub import DAY, NOW, Root

ALL_WELL: dict[str, Any] = {
    "loss": None,
    "is_read_only": False,
    "has_reserve": True,
    "clock": None,
    "link": Link.UP,
}


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A service manager that listens, and its address as it is written in NOTIFY_SOCKET."""
    name = f"@anabranch-{tmp_path.name}-{time.monotonic_ns()}"
    address = str(tmp_path / "notify") if request.param == "path" else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0") if address.startswith("@") else address)
        listening.setblocking(False)
        yield address, listening


def _heard(listening: socket.socket) -> list[str]:
    lines = []
    while True:
        try:
            lines.append(listening.recv(4_096).decode())
        except BlockingIOError:
            return lines


def test_a_service_manager_hears_that_it_serves_how_it_is_that_it_lives_and_that_it_stops(
    tmp_path: Path, manager: tuple[str, socket.socket]
) -> None:
    # given
    address, listening = manager
    path = replica_of(tmp_path, Root().identity(nobody_there()))
    supervisor = supervisor_of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000"})
    lines: list[str] = []

    def is_enough(step: Progress) -> bool:
        lines.extend(_heard(listening))
        return isinstance(step, Waiting) and lines.count("WATCHDOG=1") >= 3

    # when
    asyncio.run(stopped_at(path, is_enough, supervisor=supervisor))
    # then
    lines += _heard(listening)
    assert lines[0] == "READY=1"
    assert "STATUS=offline: what is here is served, what is written waits for the hub" in lines
    assert lines[-1] == "STOPPING=1"


def test_a_path_that_is_no_text_can_be_told_of(tmp_path: Path, manager: tuple[str, socket.socket]) -> None:
    # given
    address, listening = manager
    told = "read-only: odd \udcff/replica.db.lock: Is a directory"
    with Replica.open(replica_of(tmp_path, Root().identity(nobody_there()))) as replica:
        # when
        Supervisor(address).status(told)
        with replica.lock_agent() as tell:
            tell(told)
            said = replica.agent_says()
    # then
    assert said == "read-only: odd \\udcff/replica.db.lock: Is a directory"
    assert _heard(listening) == [f"STATUS={said}"]


def test_without_a_service_manager_nothing_is_sent_and_nothing_breaks(tmp_path: Path) -> None:
    assert supervisor_of({}) == Supervisor()
    assert supervisor_of({"NOTIFY_SOCKET": "vsock:2:1"}) == Supervisor()
    assert supervisor_of({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}) == Supervisor(
        "/x"
    )
    Supervisor(str(tmp_path / "nobody")).ready()


def test_a_disk_that_fails_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given: a disk that gives the replica at the third time
    path = replica_of(tmp_path, Root().identity(nobody_there()))
    opened, tries = Replica.open, 0

    def failing(where: str | Path) -> Replica:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise StorageFailed(str(where), "the disk reported an error")
        return opened(where)

    monkeypatch.setattr(Replica, "open", failing)
    monkeypatch.setattr("anabranch.agent.DISK_RETRY_MS", 1)
    # when
    steps = asyncio.run(
        stopped_at(path, lambda step: isinstance(step, Waiting) and "disk" not in step.reason)
    )
    # then
    assert tries == 3
    assert [isinstance(step, Waiting) and "the disk reported" in step.reason for step in steps][:2] == [
        True
    ] * 2
    tries = 0
    with pytest.raises(StorageFailed):
        asyncio.run(run_agent(path, once=True))


def test_a_disk_that_fails_later_is_told_and_does_not_end_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: every write fails, and then none
    path = replica_of(tmp_path, Root().identity(nobody_there()))
    healed, says = False, []

    def failing(self: Replica) -> object:
        if not healed:
            raise StorageFailed(str(self.path), "the disk reported an error (SQLITE_IOERR_FSYNC)")
        return standing(self)

    standing = Replica.standing
    monkeypatch.setattr(Replica, "standing", failing)

    def is_enough(step: Progress) -> bool:
        nonlocal healed
        with Replica.open(path) as replica:
            says.append(replica.agent_says().split(":")[0])
        healed = len(says) >= 2
        return healed and says[-1] == Word.OFFLINE

    # when
    asyncio.run(stopped_at(path, is_enough))
    # then
    assert says[:2] == [Word.DISK_FAILING] * 2


def test_an_agent_whose_file_is_taken_away_ends_so_that_it_can_be_started_on_the_next(tmp_path: Path) -> None:
    path = replica_of(tmp_path, Root().identity(nobody_there()))

    def take(_: Progress) -> None:
        path.unlink(missing_ok=True)

    async def scenario() -> None:
        async with asyncio.timeout(30):
            await run_agent(path, progress=take)

    with pytest.raises(ReplicaMissing, match="removed or replaced"):
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("facts", "word", "exit_code"),
    [
        ({}, Word.SERVING, 0),
        ({"link": Link.DOWN}, Word.OFFLINE, 0),
        ({"link": None}, Word.OFFLINE, 0),
        ({"link": Link.DENIED}, Word.DENIED, 4),
        ({"link": Link.DISTRUSTED}, Word.DISTRUSTED, 8),
        ({"has_reserve": False, "link": Link.DENIED}, Word.DISK_FULL, 1),
        ({"is_read_only": True, "has_reserve": False}, Word.READ_ONLY, 1),
        ({"loss": Loss(2, 1), "is_read_only": True}, Word.DAMAGED, 8),
    ],
)
def test_the_worst_is_told_first(facts: dict[str, Any], word: Word, exit_code: int) -> None:
    told = condition(**{**ALL_WELL, **facts})

    assert (told.word, told.exit_code) == (word, exit_code)
    assert condition_told(str(told)) == told
    assert condition_told("") is None


@pytest.mark.parametrize(
    ("days", "word"),
    [
        (0, None),
        (-365 * 56, Word.CLOCK),  # 1970
        (-30, Word.CLOCK),  # before the certificate began
        (100, Word.EXPIRED),
        (365 * 12, Word.CLOCK),  # 2038
    ],
)
def test_a_clock_that_breaks_every_handshake_is_named_as_the_reason(days: int, word: Word | None) -> None:
    identity = Root().identity("127.0.0.1:9")
    now_s = max(0.0, (NOW + days * DAY).timestamp())

    told = clock_condition(identity, now_s)

    assert (None if told is None else told.word) == word
    assert clock_condition(replace(identity, address="other:1"), NOW.timestamp()) is None
