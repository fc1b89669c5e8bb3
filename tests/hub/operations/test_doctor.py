"""The examination of a hub: all is well, and each thing that is not is told with its way out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from anabranch_hub.errors import NoHubRuns
from anabranch_hub.operations import doctor
from anabranch_hub.operations.doctor import Finding, State, examine
from anabranch_hub.operations.whereabouts import postgres_dsn
from anabranch_hub.servers.supervise import LAYOUT

from tests.running_hub import RunningHub, run_hub_command, running_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("doctor") / "hub") as running:
        running.ok("tenant", "create", "acme")
        yield running


def examined(data_dir: Path, wall_s: Callable[[], float] = time.time) -> dict[str, Finding]:
    async def findings() -> dict[str, Finding]:
        return {each.check: each async for each in examine(data_dir, lambda: postgres_dsn(data_dir), wall_s)}

    return asyncio.run(findings())


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A data directory without a hub."""
    (tmp_path / "layout").write_text(LAYOUT)
    return tmp_path


def test_a_hub_that_is_well_has_nothing_to_hide(hub: RunningHub) -> None:
    # when
    ran = hub.run("doctor", "--json")
    told = hub.run("doctor")

    # then
    assert ran.code == told.code == 0
    findings = json.loads(ran.out)["findings"]
    assert {each["state"] for each in findings} == {"ok"}
    checks = [each["check"] for each in findings]
    assert {"data directory", "secrets", "disk", "clock", "hub", "certificate", "postgres"} <= set(checks)
    assert len(told.out.splitlines()) == len(findings)


def test_of_a_folder_that_is_not_there_nothing_is_said_to_be_well(tmp_path: Path) -> None:
    findings = examined(tmp_path / "nowhere")
    assert [check for check, each in findings.items() if each.state is State.OK] == ["clock"]
    assert "does not exist: start a hub on it" in findings["data directory"].message


def test_an_upkeep_that_never_ended_is_told(hub: RunningHub) -> None:
    # given a hub that died in it
    with psycopg.connect(postgres_dsn(hub.data_dir)) as connection:
        connection.execute(
            "INSERT INTO anabranch.upkeep (tenant, begun_at) VALUES ('acme', now() - interval '7 hours')"
        )

    # when
    finding = examined(hub.data_dir)["upkeep"]

    # then
    assert finding.state is State.WARNING
    assert "acme did not end" in finding.message
    with psycopg.connect(postgres_dsn(hub.data_dir)) as connection:
        connection.execute("DELETE FROM anabranch.upkeep")


def test_a_log_that_was_cut_off_is_found(hub: RunningHub) -> None:
    # given a tenant whose log was signed, and then emptied by a superuser
    hub.ok("tenant", "create", "bent")
    hub.ok("audit", "checkpoint", "bent")
    with psycopg.connect(postgres_dsn(hub.data_dir)) as connection:
        connection.execute(
            "TRUNCATE tenant_bent.audit_leaves, tenant_bent.audit_checkpoints;"
            "UPDATE tenant_bent.tenant_state SET log_size = 0, log_frontier = ''"
        )
    try:
        # then: what this hub remembers tells
        ran = hub.run("doctor")
        assert ran.code == 8
        assert "failed   log" in ran.out
        assert "the log of tenant bent was tampered with at leaf 0: it is missing" in ran.out
        assert "ok       log              1 of 2 go on" in ran.out
    finally:
        with psycopg.connect(postgres_dsn(hub.data_dir)) as connection:
            connection.execute(
                "DROP SCHEMA tenant_bent CASCADE; DELETE FROM anabranch.tenants WHERE name = 'bent'"
            )


def test_a_stopped_hub_is_said_to_be_stopped(stopped: Path) -> None:
    ran = run_hub_command("doctor", data_dir=stopped)
    assert ran.code == 7
    assert "failed   hub" in ran.out
    assert "anabranch-hub serve --data-dir" in ran.out


def test_certificates_are_judged_by_the_clock(hub: RunningHub) -> None:
    soon = examined(hub.data_dir, lambda: time.time() + 340 * 86_400)["certificate"]
    late = examined(hub.data_dir, lambda: time.time() + 366 * 86_400)["certificate"]
    assert (soon.state, late.state) == (State.WARNING, State.FAILED)
    assert "restart the hub" in late.message


def test_a_clock_that_was_put_back_is_found(stopped: Path) -> None:
    at_1970 = examined(stopped, lambda: 3_600.0)["clock"]
    yesterday = examined(stopped, lambda: time.time() - 86_400)["clock"]
    assert at_1970.state is State.FAILED
    assert "1970-01-01" in at_1970.message
    assert yesterday.state is State.FAILED


def test_a_secret_that_others_can_read_is_found(stopped: Path) -> None:
    (stopped / "postgres").mkdir()
    (stopped / "postgres/password").write_text("x")
    (stopped / "postgres/password").chmod(0o644)
    finding = examined(stopped)["secrets"]
    assert (finding.state, finding.exit_code) == (State.FAILED, 8)
    assert "postgres/password" in finding.message


def test_a_full_disk_is_found(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, state in (("DISK_FREE_BYTES_LOW", State.WARNING), ("DISK_FREE_BYTES_MIN", State.FAILED)):
        monkeypatch.setattr(doctor, limit, 2**62)
        assert examined(stopped)["disk"].state is state


def test_a_directory_that_is_none_is_found(tmp_path: Path) -> None:
    (tmp_path / "layout").write_text("99")
    assert "layout 99" in examined(tmp_path)["data directory"].message
    assert "does not exist" in examined(tmp_path / "x")["data directory"].message
    (tmp_path / "empty").mkdir()
    assert "holds no hub" in examined(tmp_path / "empty")["data directory"].message
    with pytest.raises(NoHubRuns):
        postgres_dsn(tmp_path)
