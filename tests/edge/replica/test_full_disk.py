"""A full disk: nothing is lost, reading and deleting go on, and it ends by itself."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anabranch.client import Client
from anabranch.errors import DiskFull
from anabranch.replica import Replica

from tests.edge.replica.sqlite_store import create

_DISK = "size=3m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB; only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system; a file size limit is tested instead")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", _DISK, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this machine does not mount: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_on_a_full_disk_reading_status_and_deleting_go_on(small_disk: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.edge.replica.full_disk", str(small_disk)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.parametrize("free_bytes", [4_096, 16_384, 65_536, 98_304, 131_072, 163_840])
def test_a_replica_is_made_whole_or_not_at_all(small_disk: Path, free_bytes: int) -> None:
    # given
    disk = os.statvfs(small_disk)
    with (small_disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, disk.f_bavail * disk.f_frsize - free_bytes)

    # when
    try:
        create(small_disk / "replica.db").close()
    except DiskFull:
        # then
        assert {path.name for path in small_disk.iterdir()} == {"filler", "replica.db.lock"}
    else:
        (small_disk / "filler").unlink()
        with Client(Replica.open(small_disk / "replica.db")) as client:
            client.set("acme/prod/a", "", {"a": 1})
            assert client.replica.verify() == []


def test_a_file_that_may_not_grow_is_told_as_a_full_disk_and_loses_nothing(tmp_path: Path) -> None:
    create(tmp_path / "replica.db").close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = 0

    def fill(client: Client) -> None:
        nonlocal written
        for _ in range(100):
            client.set(f"acme/prod/m{written}", "", {"text": "x" * 30_000})
            written += 1

    with Client(Replica.open(tmp_path / "replica.db")) as client:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
        try:
            with pytest.raises(DiskFull, match="free some space"):
                fill(client)
            assert client.status().documents == written
            client.delete("acme/prod/m0")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        client.set("acme/prod/m0", "", {"text": "again"})
        assert client.status().documents == written
        assert client.status().reserve
        assert client.replica.verify() == []
