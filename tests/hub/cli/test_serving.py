"""`serve`: it starts everything, tells where it is, and goes without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anabranch_hub.servers.process import shim

from tests.edge.replica.real_disks import mounted
from tests.hub.conftest import Servers
from tests.hub.servers.processes import descendants, is_alive, wait_until_gone
from tests.running_hub import (
    ANY_PORTS,
    PATIENCE_S,
    RunningHub,
    hub_command,
    run_hub_command,
    running_hub,
    surroundings,
)


def test_a_hub_tells_where_it_serves_and_stops_without_leaving_anything_behind(data_dir: Path) -> None:
    # given
    with running_hub(data_dir) as hub:
        secret_files = [data_dir / "run" / name for name in ("hub.json", "postgres-dsn")]
        assert [path.stat().st_mode & 0o777 for path in secret_files] == [0o600, 0o600]
        assert readiness(hub) == (200, dict.fromkeys(("postgres", "vault", "log", "grpc"), "ready"))

        # when
        code = hub.stop(signal.SIGTERM)

    # then
    assert code == 0
    assert not any(path.exists() for path in secret_files)
    assert run_hub_command("tenant", "list", data_dir=data_dir).code == 7


def test_a_closed_terminal_stops_a_hub_as_politely(data_dir: Path) -> None:
    with running_hub(data_dir) as hub:
        assert hub.stop(signal.SIGHUP) == 0


@pytest.mark.parametrize(
    ("first", "line"),
    [
        (True, "postgres: creating the database cluster"),
        (False, "postgres: starting"),
        (False, "store: migrating"),
    ],
)
def test_a_hub_that_is_stopped_while_it_starts_leaves_no_process_behind(
    data_dir: Path, tmp_path: Path, first: bool, line: str
) -> None:
    # given
    place = tmp_path / "first" if first else data_dir
    command = hub_command("serve", "--data-dir", str(place), *ANY_PORTS)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=surroundings()) as process:
        assert process.stderr is not None
        while line not in (seen := process.stderr.readline()):
            assert seen, "the hub ended before it came that far"
        pids = [process.pid, *descendants(process.pid)]

        # when
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()

    # then
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert rest.endswith("stopped\n")
    wait_until_gone(pids)


def test_a_hub_that_is_killed_takes_its_servers_with_it_and_starts_again_with_everything(
    data_dir: Path,
) -> None:
    # given
    with running_hub(data_dir) as hub:
        hub.ok("set", "acme", "acme/prod/router", "/model", "gpt-4o")

        # when
        hub.kill()

    # then
    ran = run_hub_command("get", "acme", "acme/prod/router", data_dir=data_dir)
    assert (ran.code, ran.out) == (7, "")
    assert f"no hub runs on {data_dir}: start it with `anabranch-hub serve" in ran.err
    with running_hub(data_dir) as again:
        assert again.json("get", "acme", "acme/prod/router", "/model")["value"] == "gpt-4o"


def test_servers_that_die_are_started_again_and_nothing_is_lost(data_dir: Path) -> None:
    # given
    with running_hub(data_dir) as hub:
        hub.ok("set", "acme", "acme/prod/router", "/model", "gpt-4o")
        pid_files = (data_dir / "postgres/cluster/postmaster.pid", data_dir / "openbao/pid")
        pids = [int(path.read_text().split()[0]) for path in pid_files]

        # when
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until_gone(pids)

        # then
        wait_until(
            lambda: (
                restarts(hub) == {"postgres": 1, "vault": 1, "log": 0, "grpc": 0} and readiness(hub)[0] == 200
            )
        )
        assert hub.json("get", "acme", "acme/prod/router", "/model")["value"] == "gpt-4o"
        assert hub.invite("acme", "store-1", "acme/prod").startswith("abr1.")


def test_a_full_disk_is_what_is_not_ready(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=80m", "tmpfs") as disk,
        running_hub(disk / "hub") as hub,
    ):
        # when
        with contextlib.suppress(OSError), (disk / "full").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65_536))
        # then
        wait_until(lambda: "disk is full" in str(_ready(hub)[1]["parts"]["vault"]["reason"]))
        # and it is ready again where there is room
        (disk / "full").unlink()
        wait_until(lambda: readiness(hub)[0] == 200)


def test_a_second_hub_on_the_same_directory_is_refused_by_the_name_of_the_first(data_dir: Path) -> None:
    with running_hub(data_dir) as hub:
        ran = run_hub_command("serve", *ANY_PORTS, data_dir=data_dir)
        assert ran.code == 5
        assert f"in use by the hub with pid {hub.process.pid}" in one_error_line(ran.err)


@pytest.mark.parametrize("option", ["--listen", "--health"])
def test_a_port_in_use_is_named_and_nothing_is_started(data_dir: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run_hub_command("serve", *ANY_PORTS, option, f"127.0.0.1:{port}", data_dir=data_dir)
    assert ran.code == 5
    assert f"port {port} on 127.0.0.1 is in use" in one_error_line(ran.err)


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    # given a file where the path wants a folder: that stops root too
    (tmp_path / "file").write_text("")

    ran = run_hub_command("serve", *ANY_PORTS, data_dir=tmp_path / "file" / "hub")

    assert ran.code == 5
    assert "cannot be written (Not a directory)" in one_error_line(ran.err)


def test_the_folder_of_another_user_is_denied(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir(mode=0)
    as_ordinary_user = shim(signal.SIGKILL, "namespace") if os.geteuid() == 0 else []
    ran = subprocess.run(
        [*as_ordinary_user, *hub_command("tenant", "list", "--data-dir", str(tmp_path / "hub"))],
        capture_output=True,
        text=True,
        check=False,
        env=surroundings(),
    )
    assert ran.returncode == 4
    assert "is somebody else's (Permission denied)" in one_error_line(ran.stderr)


def test_an_empty_name_is_not_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run_hub_command("serve", *ANY_PORTS, "--data-dir", "")
    assert ran.code == 2
    assert "it is empty: name a folder" in one_error_line(ran.err)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_another_release_is_refused_and_left_alone(data_dir: Path) -> None:
    (data_dir / "layout").write_text("99")
    ran = run_hub_command("serve", *ANY_PORTS, data_dir=data_dir)
    assert ran.code == 5
    assert "written by data directory layout 99" in one_error_line(ran.err)
    assert (data_dir / "layout").read_text() == "99"


def test_a_database_cluster_of_another_postgres_is_refused(data_dir: Path) -> None:
    (data_dir / "postgres/cluster/PG_VERSION").write_text("12\n")
    ran = run_hub_command("serve", *ANY_PORTS, data_dir=data_dir)
    assert ran.code == 5
    assert "was written by PostgreSQL 12" in one_error_line(ran.err)


def test_a_postgres_that_does_not_start_is_reported_with_its_log(data_dir: Path) -> None:
    (data_dir / "postgres/cluster/postgresql.conf").write_text("no such setting")
    ran = run_hub_command("serve", *ANY_PORTS, data_dir=data_dir)
    assert ran.code == 7
    assert f"its log is {data_dir / 'postgres/log'}" in one_error_line(ran.err)


def test_an_openbao_without_its_key_is_reported(data_dir: Path) -> None:
    (data_dir / "openbao/seal.key").unlink()
    ran = run_hub_command("serve", *ANY_PORTS, data_dir=data_dir)
    assert ran.code == 7
    assert "seal.key is missing" in one_error_line(ran.err)


def test_two_hubs_share_a_postgres_and_a_vault_of_the_operators(
    embedded_servers: Servers, tmp_path: Path
) -> None:
    # given
    dsn_file = tmp_path / "dsn"
    dsn_file.write_text(embedded_servers.postgres_dsn + "\n")
    role: Any = embedded_servers.vault.credentials
    environment = {
        "ANABRANCH_POSTGRES": f"@{dsn_file}",
        "ANABRANCH_VAULT": embedded_servers.vault.address,
        "ANABRANCH_VAULT_ROLE_ID": role.role_id,
        "ANABRANCH_VAULT_SECRET_ID": role.secret_id,
    }
    with (
        running_hub(tmp_path / "one", environment=environment) as one,
        running_hub(tmp_path / "two", environment=environment) as two,
    ):
        # when
        one.ok("tenant", "create", "shared")
        one.ok("set", "shared", "shared/prod", "/model", "gpt-4o")

        # then
        assert two.json("get", "shared", "shared/prod")["value"] == {"model": "gpt-4o"}
        assert len(one.pids) == 1, "an external Postgres and Vault are not started"
    assert not is_alive(one.pids[0])


def test_a_password_on_the_command_line_is_refused_and_not_repeated(tmp_path: Path) -> None:
    dsn = "postgresql://hub:geheim@127.0.0.1/db"
    ran = run_hub_command("serve", "--postgres", dsn, data_dir=tmp_path / "hub")
    assert ran.code == 2
    assert "--postgres @FILE" in one_error_line(ran.err)
    assert "geheim" not in ran.err


def test_the_log_is_json_lines_when_asked_and_never_holds_a_secret(data_dir: Path) -> None:
    # when
    with running_hub(data_dir, "--log-format", "json") as hub:
        token = hub.invite("acme", "store-1", "acme/prod")
        password = (data_dir / "postgres/password").read_text()

    # then
    log = data_dir.with_name(f"{data_dir.name}-serve.log").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["listen"] for event in events if event["event"] == "serving"] == [hub.listen]
    assert events[-1]["event"] == "stopped"
    assert token not in log
    assert password not in log


def readiness(hub: RunningHub) -> tuple[int, dict[str, str]]:
    """The status of /health/ready, and the state of each part."""
    status, body = _ready(hub)
    return status, {name: part["state"] for name, part in body["parts"].items()}


def restarts(hub: RunningHub) -> dict[str, int]:
    """How often each part of /health/ready was started again."""
    return {name: part["restarts"] for name, part in _ready(hub)[1]["parts"].items()}


def _ready(hub: RunningHub) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://{hub.health}/health/ready", timeout=PATIENCE_S) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "it never came to hold"
        time.sleep(0.05)


def one_error_line(err: str) -> str:
    """The error line, which is the last; what comes before it are lines of progress."""
    assert "Traceback" not in err
    lines = err.splitlines()
    assert [line.startswith("anabranch-hub: ") for line in lines].count(True) == 1, err
    return lines[-1]
