"""A private Postgres starts anywhere, keeps what it was given, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from anabranch_hub.errors import ServerFailed
from anabranch_hub.servers.postgres import EmbeddedPostgres, binaries

from .processes import is_alive, owner_command, surroundings


@pytest.fixture
def reachable_folder() -> Iterator[Path]:
    """A folder every account may pass to; pytest's own are closed to others."""
    if not all(folder.stat().st_mode & 0o001 for folder in [binaries(), *binaries().parents]):
        pytest.skip("this checkout is closed to other accounts, and so are the server's programs")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def run_without_namespaces(data_dir: Path) -> subprocess.CompletedProcess[str]:
    """Start and stop a hub's servers as root where the kernel gives no user namespace."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "tests.hub.servers.without_namespaces"),
            *owner_command(ordinary_user=False),
            str(data_dir),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=surroundings(),
    )


def test_the_server_acknowledges_only_what_is_on_disk(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            row = connection.execute("select current_setting(%s)", (setting,)).fetchone()
            assert row == ("on",)


def test_the_server_listens_on_loopback_only_and_wants_a_password(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        row = connection.execute(
            "select current_setting('listen_addresses'), current_setting('unix_socket_directories')"
        ).fetchone()
        assert row == ("127.0.0.1", "")
        password = connection.info.password
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_dsn.replace(password, "guessed"))


def test_a_server_left_behind_is_ended_before_the_next_one_starts(data_dir: Path) -> None:
    async def scenario() -> None:
        left_behind, next_one = (EmbeddedPostgres(data_dir / "postgres") for _ in range(2))
        await left_behind.start()
        pid = left_behind.pid
        assert pid is not None
        said: list[str] = []
        await next_one.start(said.append)
        try:
            assert not is_alive(pid)
            assert any(f"(pid {pid})" in line for line in said)
            with psycopg.connect(next_one.dsn) as connection:
                assert connection.execute("select 1").fetchone() == (1,)
        finally:
            await next_one.stop()
            await left_behind.stop()

    asyncio.run(scenario())


def test_a_stale_pid_file_whose_pid_belongs_to_another_program_stops_nobody(data_dir: Path) -> None:
    async def scenario(pid: int) -> None:
        (data_dir / "postgres" / "cluster" / "postmaster.pid").write_text(f"{pid}\n/elsewhere\n")
        postgres = EmbeddedPostgres(data_dir / "postgres")
        await postgres.start()
        await postgres.stop()

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        asyncio.run(scenario(other.pid))
        assert is_alive(other.pid)
        other.kill()


def test_a_cluster_whose_password_is_lost_is_not_given_a_wrong_one(data_dir: Path) -> None:
    (data_dir / "postgres" / "password").unlink()
    with pytest.raises(ServerFailed, match=r"password is missing"):
        asyncio.run(EmbeddedPostgres(data_dir / "postgres").start())
    assert not (data_dir / "postgres" / "password").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up root")
def test_root_without_namespaces_becomes_another_account_and_may_come_back(reachable_folder: Path) -> None:
    # given
    first = run_without_namespaces(reachable_folder / "hub")
    assert first.returncode == 0, first.stderr
    cluster = reachable_folder / "hub" / "postgres" / "cluster"
    assert cluster.stat().st_uid != 0

    # when namespaces are allowed again
    async def scenario() -> None:
        postgres = EmbeddedPostgres(reachable_folder / "hub" / "postgres")
        await postgres.start()
        await postgres.stop()

    asyncio.run(scenario())
    # then the files are root's, and can be given again
    assert {path.stat().st_uid for path in cluster.rglob("*")} == {0}
    again = run_without_namespaces(reachable_folder / "hub")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["uid"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up root")
def test_root_without_namespaces_is_told_which_folder_is_in_the_way(tmp_path: Path) -> None:
    refused = run_without_namespaces(tmp_path / "hub")
    assert refused.returncode == ServerFailed.exit_code
    (line,) = refused.stderr.splitlines()
    assert f"no other account may pass {tmp_path}" in line
    assert "choose a --data-dir" in line
