"""A hub's own servers: held by one hub, kept running, gone with it."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from anabranch_hub.errors import DataDirInUse, DataDirNotWritable, DataDirVersion, ServerFailed
from anabranch_hub.secrets.vault import Vault
from anabranch_hub.servers.supervise import EmbeddedServers, Phase, ServerState

from .processes import (
    PATIENCE_S,
    descendants,
    is_alive,
    living_below,
    owner,
    owner_command,
    surroundings,
    wait_until_gone,
)


def write(dsn: str, text: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("create table if not exists said (words text)")
        connection.execute("insert into said values (%s)", (text,))


def read(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [str(words) for (words,) in connection.execute("select words from said order by words")]


async def restarted(servers: EmbeddedServers, server: str, restarts: int) -> ServerState:
    """The state of `server` once it came back for the `restarts`th time."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            state = {state.server: state for state in servers.states()}[server]
            if state.phase is Phase.READY and state.restarts >= restarts:
                return state
            await asyncio.sleep(0.01)


def test_a_stopped_hub_leaves_no_process_and_finds_everything_again(tmp_path: Path) -> None:
    async def given_a_hub_that_wrote_and_stopped() -> tuple[list[int], bytes]:
        async with EmbeddedServers(tmp_path / "new" / "hub") as servers:
            write(servers.postgres_dsn, "kept")
            async with Vault(servers.vault) as vault:
                await vault.ensure_transit()
                await vault.create_key("tests-kept")
                key = await vault.public_key("tests-kept")
            return living_below(tmp_path), key

    async def when_it_starts_again() -> tuple[list[str], bytes]:
        async with EmbeddedServers(tmp_path / "new" / "hub") as servers, Vault(servers.vault) as vault:
            return read(servers.postgres_dsn), await vault.public_key("tests-kept")

    pids, key = asyncio.run(given_a_hub_that_wrote_and_stopped())
    assert len(pids) >= 2
    assert not [pid for pid in pids if is_alive(pid)]
    assert asyncio.run(when_it_starts_again()) == (["kept"], key)


def test_a_killed_hub_leaves_no_server_behind_and_loses_nothing(data_dir: Path) -> None:
    with owner(data_dir) as killed:
        write(killed.postgres_dsn, "acknowledged")
        pids = [*killed.pids, *descendants(killed.process.pid)]
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
    wait_until_gone(pids)
    with owner(data_dir) as next_one:
        assert read(next_one.postgres_dsn) == ["acknowledged"]


def test_a_hub_of_an_ordinary_user_runs_the_same(data_dir: Path) -> None:
    with owner(data_dir, ordinary_user=True) as ordinary:
        assert ordinary.uid != 0
        write(ordinary.postgres_dsn, "kept")
        pids = [*ordinary.pids, *descendants(ordinary.process.pid)]
        assert ordinary.process.stdin is not None
        ordinary.process.stdin.close()
        assert ordinary.process.wait(PATIENCE_S) == 0
    assert not [pid for pid in pids if is_alive(pid)]


@pytest.mark.parametrize("server", ["postgres", "openbao"])
def test_a_killed_server_comes_back_at_its_old_address_with_all_it_acknowledged(
    data_dir: Path, server: str
) -> None:
    async def scenario() -> None:
        async with EmbeddedServers(data_dir) as servers, Vault(servers.vault) as vault:
            await vault.ensure_transit()
            for round_number in range(1, 3):
                # given
                write(servers.postgres_dsn, f"row {round_number}")
                await vault.create_key(f"tests-{round_number}")
                key = await vault.public_key(f"tests-{round_number}")
                address = (servers.postgres_dsn, servers.vault)
                # when
                pid = {state.server: state.pid for state in servers.states()}[server]
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                state = await restarted(servers, server, round_number)
                # then
                assert state.reason is not None
                assert "SIGKILL" in state.reason
                assert (servers.postgres_dsn, servers.vault) == address
                assert len(read(servers.postgres_dsn)) == round_number
                assert await vault.public_key(f"tests-{round_number}") == key

    asyncio.run(scenario())


def test_a_server_that_cannot_come_back_is_reported_until_it_can(data_dir: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedServers(data_dir) as servers:
            # given a cluster that disappears under its server
            state = servers.states()[0]
            assert state.pid is not None
            hidden = data_dir / "hidden"
            (data_dir / "postgres" / "cluster" / "global" / "pg_control").rename(hidden)
            os.kill(state.pid, signal.SIGKILL)
            async with asyncio.timeout(PATIENCE_S):
                while "pg_control" not in (servers.states()[0].reason or ""):
                    await asyncio.sleep(0.01)
            assert servers.states()[0].phase is Phase.RESTARTING
            # when it is there again
            hidden.rename(data_dir / "postgres" / "cluster" / "global" / "pg_control")
            # then
            await restarted(servers, "postgres", 1)

    asyncio.run(scenario())


def test_two_hubs_never_share_a_data_directory(data_dir: Path) -> None:
    async def start() -> None:
        async with EmbeddedServers(data_dir):
            pytest.fail("both hold it")

    with owner(data_dir) as first:
        with pytest.raises(DataDirInUse) as refusal:
            asyncio.run(start())
        assert refusal.value.pid == first.process.pid
        assert all(is_alive(pid) for pid in first.pids)


@pytest.mark.parametrize(
    ("file", "newer"),
    [("layout", "2"), ("postgres/cluster/PG_VERSION", "99"), ("openbao/initialised", "99.0.0")],
)
def test_what_a_newer_release_wrote_is_refused_and_left_alone(data_dir: Path, file: str, newer: str) -> None:
    (data_dir / file).write_text(newer)

    async def start() -> None:
        async with EmbeddedServers(data_dir):
            pytest.fail("it opened what it cannot know")

    with pytest.raises(DataDirVersion) as refusal:
        asyncio.run(start())
    assert refusal.value.found == newer
    assert newer in str(refusal.value)
    assert (data_dir / file).read_text() == newer
    assert not living_below(data_dir)


def test_a_folder_the_user_may_not_write_is_refused_in_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    refused = subprocess.run(
        [*owner_command(ordinary_user=True), str(tmp_path / "hub")],
        capture_output=True,
        text=True,
        check=False,
        env=surroundings(),
    )
    assert refused.returncode == DataDirNotWritable.exit_code
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"data directory {tmp_path / 'hub'} cannot be written (Permission denied)")


def test_a_part_that_may_not_be_read_is_named(data_dir: Path) -> None:
    secret = data_dir / "postgres" / "password"
    secret.chmod(0)
    refused = subprocess.run(
        [*owner_command(ordinary_user=True), str(data_dir)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=surroundings(),
    )
    assert refused.returncode == DataDirNotWritable.exit_code
    assert f"cannot be written ({secret}: Permission denied)" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("file_blocks_max", [0, 200])
def test_a_disk_that_takes_no_more_is_told_in_one_line(tmp_path: Path, file_blocks_max: int) -> None:
    limited = ["sh", "-c", f'ulimit -f {file_blocks_max}; exec "$@"', "sh"]
    refused = subprocess.run(
        [*limited, *owner_command(ordinary_user=False), str(tmp_path / "hub")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=surroundings(),
    )
    assert refused.returncode in (DataDirNotWritable.exit_code, ServerFailed.exit_code)
    assert len(refused.stderr.splitlines()) == 1, refused.stderr


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("not a folder")

    async def start() -> None:
        async with EmbeddedServers(tmp_path / "hub"):
            pytest.fail("there is no folder")

    with pytest.raises(DataDirNotWritable, match="File exists"):
        asyncio.run(start())


def test_a_server_that_does_not_start_says_why_and_takes_the_other_one_down(data_dir: Path) -> None:
    (data_dir / "postgres" / "cluster" / "postgresql.conf").write_text("shared_buffers = nonsense\n")

    async def start() -> None:
        async with EmbeddedServers(data_dir):
            pytest.fail("it started on nonsense")

    with pytest.raises(ServerFailed, match="nonsense") as failure:
        asyncio.run(start())
    assert failure.value.log_path == data_dir / "postgres" / "log"
    assert not living_below(data_dir)


def test_a_first_start_that_was_interrupted_is_begun_again(tmp_path: Path) -> None:
    # given what a kill in the middle leaves
    for half_made in ("postgres/cluster.new/global", "openbao/raft/raft"):
        (tmp_path / half_made).mkdir(parents=True)
        (tmp_path / half_made / "junk").write_bytes(b"junk")
    (tmp_path / "openbao" / "raft" / "vault.db").write_bytes(b"junk")

    async def start() -> set[Phase]:
        async with EmbeddedServers(tmp_path) as servers:
            return {state.phase for state in servers.states()}

    assert asyncio.run(start()) == {Phase.READY}
    assert not (tmp_path / "postgres" / "cluster.new").exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_first_start_can_be_broken_off_at_any_moment(tmp_path: Path, ending: signal.Signals) -> None:
    seen: set[int] = set()
    for enough in (1, 4):  # processes seen: earlier and later in the start
        command = [*owner_command(ordinary_user=False), str(tmp_path / "hub")]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=surroundings()
        ) as process:
            below: set[int] = set()
            while len(below) < enough and process.poll() is None:
                below |= set(descendants(process.pid))
                time.sleep(0.005)
            seen |= below | set(descendants(process.pid))
            process.send_signal(ending)
            process.communicate()
    wait_until_gone(list(seen))
    with owner(tmp_path / "hub") as next_one:
        write(next_one.postgres_dsn, "kept")


def test_no_other_user_can_read_a_secret_on_disk_or_in_the_process_list(data_dir: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedServers(data_dir) as servers:
            secrets = [
                (data_dir / "postgres" / "password").read_bytes().strip(),
                (data_dir / "openbao" / "secret-id").read_bytes().strip(),
                (data_dir / "openbao" / "seal.key").read_bytes(),
            ]
            for pid in descendants(os.getpid()):
                for place in ("cmdline", "environ"):
                    shown = Path(f"/proc/{pid}/{place}").read_bytes()
                    assert not [secret for secret in secrets if secret in shown]
            assert servers.postgres_dsn not in repr(servers.vault)
            assert secrets[1].decode() not in repr(servers.vault)
            files = [
                path
                for room in ("postgres", "openbao")
                for path in (data_dir / room).iterdir()
                if path.is_file()
            ]
            for path in files:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
                if path.name not in ("password", "secret-id", "seal.key"):
                    assert not [secret for secret in secrets if secret in path.read_bytes()], path
            assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700
            assert stat.S_IMODE((data_dir / "openbao").stat().st_mode) == 0o700

    asyncio.run(scenario())
