"""Real file systems and real system calls: read-only, copied while in use, killed or failed at each call."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from anabranch.agent import Progress, Waiting
from anabranch.errors import ReplicaCorrupt, ReplicaUnwritable
from anabranch.replica import Replica

from tests.edge.agent.test_agent import nobody_there, replica_of, stopped_at
from tests.edge.link.scripted_hub import Root
from tests.edge.replica.real_disks import ext4, mounted, remounted
from tests.edge.replica.sqlite_store import create, write
from tests.edge.replica.workload import DOCUMENTS

# Disks take their time: not in an environment where only imports are in question.
pytestmark = pytest.mark.slow

COPIES = 8
# Of the calls of four writes; each costs more than a second. All of them: `range(1, 40)`.
CALLS = (1, 2, 4, 7, 11, 16)


def test_a_read_only_disk_is_read_and_said_to_be_so(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as disk:
        # given: a replica that was not closed, so that its WAL is full
        path = disk / "replica.db"
        replica = create(path)
        write(replica, DOCUMENTS[0], {"limit": 1})
        (tmp_path / "kept").write_bytes(Path(f"{path}-wal").read_bytes())
        replica.close()
        Path(f"{path}-wal").write_bytes((tmp_path / "kept").read_bytes())
        assert remounted(disk, "ro")
        # when
        with Replica.open(path) as replica:
            # then
            seen = replica.read(DOCUMENTS[0])
            assert seen is not None
            assert seen.content == {"limit": 1}
            assert replica.facts().outbox == 1
            assert replica.is_read_only()
            assert not replica.agent_running()
            with pytest.raises(ReplicaUnwritable, match="read-only"):
                write(replica, DOCUMENTS[0], {"limit": 2})
        # when
        assert remounted(disk, "rw")
        # then
        with Replica.open(path) as replica:
            write(replica, DOCUMENTS[0], {"limit": 2})


def test_an_agent_on_a_read_only_disk_waits_and_starts_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anabranch.agent.DISK_RETRY_MS", 1)
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as disk:
        path = replica_of(disk, Root().identity(nobody_there()))
        assert remounted(disk, "ro")
        reasons: list[str] = []

        def is_enough(step: Progress) -> bool:
            assert isinstance(step, Waiting)
            reasons.append(step.reason)
            if len(reasons) == 3:
                assert remounted(disk, "rw")
            return "read-only" not in step.reason

        asyncio.run(stopped_at(path, is_enough))
    assert all("read-only" in reason for reason in reasons[:3])


WRITER = """
import sys
from pathlib import Path
from anabranch.replica import Replica
from tests.edge.replica.sqlite_store import write
from tests.edge.replica.workload import DOCUMENTS
with Replica.open(Path(sys.argv[1])) as replica:
    for number in range(int(sys.argv[2])):
        if write(replica, DOCUMENTS[0], {"limit": number}):
            print(number, flush=True)
"""


def test_a_copy_of_a_live_file_system_opens_with_all_that_was_acknowledged_before_it(tmp_path: Path) -> None:
    with ext4(tmp_path / "image", tmp_path / "disk") as disk:
        path = disk / "replica.db"
        create(path).close()
        os.sync()
        command = [sys.executable, "-c", WRITER, str(path), "1000000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged = []
            for copy in range(COPIES):
                for _ in range(20):
                    last = int(writer.stdout.readline())
                # A cut has no duration: else pages of several moments are in the copy.
                writer.send_signal(signal.SIGSTOP)
                acknowledged.append(last)
                shutil.copyfile(tmp_path / "image", tmp_path / f"copy{copy}")
                writer.send_signal(signal.SIGCONT)
            writer.kill()
    opened = 0
    for copy, last in enumerate(acknowledged):
        with ext4(tmp_path / f"copy{copy}", tmp_path / "again") as again:
            try:
                replica = Replica.open(again / "replica.db")
            except ReplicaCorrupt:
                continue  # the kernel wrote back while it was copied, and that is refused
            with replica:
                opened += 1
                seen = replica.read(DOCUMENTS[0])
                assert seen is not None
                limit = seen.content["limit"]
                assert isinstance(limit, int)
                assert limit >= last
                assert replica.verify() == []
        (tmp_path / f"copy{copy}").unlink()
    assert opened


@pytest.fixture
def strace() -> str:
    """A strace that may trace, or the test is skipped with a reason."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("this machine has no strace")
    tried = subprocess.run([found, "-f", "-qq", "-e", "trace=none", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.decode().strip()}")
    return found


@pytest.mark.parametrize(
    "inject",
    ["pwrite64,fdatasync,fsync:signal=SIGKILL", "fdatasync,fsync:error=EIO", "pwrite64:error=ENOSPC"],
)
def test_a_process_killed_or_failed_at_any_call_that_writes_loses_nothing_acknowledged(
    tmp_path: Path, strace: str, inject: str
) -> None:
    calls = inject.partition(":")[0]
    reached = 0
    for number in CALLS:
        path = tmp_path / f"{number}" / "replica.db"
        create(path).close()
        command = [
            *(strace, "-f", "-qq", "-o", str(tmp_path / "trace")),
            *("-e", f"trace={calls}", "-e", f"inject={inject}:when={number}"),
            *(sys.executable, "-c", WRITER, str(path), "4"),
        ]
        # when
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        # then
        reached += bool(re.search(r"INJECTED|killed", (tmp_path / "trace").read_text()))
        printed = [int(line) for line in ran.stdout.split()]
        with Replica.open(path) as replica:
            seen = replica.read(DOCUMENTS[0])
            limit = -1 if seen is None else seen.content["limit"]
            assert isinstance(limit, int)
            assert limit >= max(printed, default=-1)
            assert replica.verify() == []
            assert replica.loss is None
    assert reached
