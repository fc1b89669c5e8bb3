import json
import os
import shutil
import socket
import sqlite3
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from anabranch.cli.doctor import Check, Verdict, exit_code
from anabranch.identity import Identity, identity_folder, new_key, write_identity
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from tests.edge.cli.conftest import Anabranch
from tests.edge.link.scripted_hub import Root
from tests.edge.replica.real_disks import mounted, remounted


def enrol(
    anabranch: Anabranch, address: str = "127.0.0.1:1", *, days: int = 30, renew_days: int = 20
) -> None:
    """Give the replica an identity that signed itself."""
    key_pem = new_key()
    key = load_pem_private_key(key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge-1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    folder = identity_folder(anabranch.path)
    folder.mkdir(mode=0o700)
    renew_at_ms = int((now + timedelta(days=renew_days)).timestamp() * 1000)
    write_identity(
        folder, Identity(address, "acme", "edge-1", key_pem, certificate, certificate, renew_at_ms)
    )


def checked(anabranch: Anabranch, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The checks by name."""
    ran = anabranch("doctor", "--json", *arguments)
    assert ran.code == code
    told = json.loads(ran.out)
    assert told["ok"] is (code == 0)
    return {check["name"]: check for check in told["checks"]}


def test_a_healthy_edge_passes_every_check(anabranch: Anabranch) -> None:
    # given
    enrol(anabranch)
    anabranch("set", "acme/lab/a", "/a", "1")

    # when
    checks = checked(anabranch, "--offline")

    # then
    assert [name for name, check in checks.items() if check["verdict"] == "ok"] == [
        "replica", "storage", "schema", "integrity", "disk", "clock", "permissions", "certificate",
    ]  # fmt: skip
    assert checks["agent"]["verdict"] == "warn"
    assert "anabranch agent" in checks["agent"]["hint"]


def test_every_check_is_a_line_and_what_is_wrong_has_a_hint_below(anabranch: Anabranch) -> None:
    # given
    enrol(anabranch)
    identity_folder(anabranch.path).joinpath("key.pem").chmod(0o644)

    # when
    ran = anabranch("doctor", "--offline")

    # then
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert any(line.startswith("ok    replica  ") for line in lines)
    at = next(number for number, line in enumerate(lines) if line.startswith("warn  permissions"))
    assert lines[at + 1].strip().startswith("-> chmod go=")


def test_a_reserve_that_is_gone_from_a_disk_with_room_asks_for_no_room(anabranch: Anabranch) -> None:
    # given
    Path(f"{anabranch.path}.ballast").unlink()

    # then
    disk = checked(anabranch, "--offline", code=7)["disk"]
    assert (disk["verdict"], disk["hint"].partition(",")[0]) == ("warn", "the next write lays it again")

    # when
    anabranch("set", "acme/lab/a", "/a", "1")

    # then
    assert checked(anabranch, "--offline", code=7)["disk"]["verdict"] == "ok"


def test_a_read_only_disk_is_a_failure_and_named_as_the_reason_by_all(anabranch: Anabranch) -> None:
    # given
    with mounted(anabranch.folder / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as disk:
        there = replace(anabranch, path=disk / "replica.db")
        shutil.copyfile(anabranch.path, there.path)
        enrol(there)
        assert remounted(disk, "ro")

        # when
        checks = checked(there, "--offline", code=1)
        told = there("doctor", "--offline").out
        ran = [
            there("sync"),
            there(
                "init",
                "--hub",
                "localhost:1",
                "--token",
                "-",
                "--keep-replica",
                stdin=Root().token().render(),
            ),
        ]

    # then
    assert checks["disk"]["verdict"] == "fail"
    assert "mount it for writing" in checks["disk"]["hint"]
    assert told.startswith("Its disk is read-only: nothing can be written here or taken in.")
    assert [each.code for each in ran] == [1, 1]
    assert all("for writing" in each.err and "who owns" not in each.err for each in ran)


def test_flipped_bits_fail_with_8(anabranch: Anabranch) -> None:
    # given
    enrol(anabranch)
    anabranch("set", "acme/lab/a", "/text", "needle-in-the-outbox")
    with sqlite3.connect(anabranch.path) as connection:
        connection.execute("UPDATE outbox SET body = replace(body, 'needle', 'beetle')")
        connection.execute("UPDATE outbox SET body = CAST(body AS BLOB)")
    connection.close()

    # then
    checks = checked(anabranch, "--offline", code=8)
    assert checks["outbox"]["verdict"] == "fail"
    assert "acme/lab/a/config" in checks["outbox"]["found"]


@pytest.mark.parametrize(("kept_bytes", "code"), [(None, 7), (0, 8), (5_000, 8)])
def test_a_replica_that_is_missing_or_cut_off_is_a_failure(
    anabranch: Anabranch, kept_bytes: int | None, code: int
) -> None:
    # given
    enrol(anabranch)
    if kept_bytes is None:
        anabranch.path.unlink()
    else:
        os.truncate(anabranch.path, kept_bytes)

    # when
    checks = checked(anabranch, "--offline", code=code)

    # then
    assert checks["replica"]["verdict"] == "fail"
    assert checks["replica"]["hint"] != ""
    assert checks["certificate"]["verdict"] == "ok"


def test_a_replica_that_may_not_be_looked_at_is_one_failure_among_the_checks(anabranch: Anabranch) -> None:
    # when
    ran = anabranch.beside(f"{'a' * 300}/replica")("doctor", "--offline")

    # then
    assert ran.code == 1
    assert [line.split()[:2] for line in ran.out.splitlines() if line[:4].strip()] == [
        ["fail", "replica"],
        ["ok", "disk"],
        ["ok", "clock"],
        ["fail", "certificate"],
    ]


def test_an_ended_certificate_fails_verification_and_says_what_to_do(anabranch: Anabranch) -> None:
    enrol(anabranch, days=-1, renew_days=-10)
    check = checked(anabranch, "--offline", code=8)["certificate"]
    assert "it has ended" in check["found"]
    assert "anabranch-hub edge invite" in check["hint"]


def test_a_certificate_due_for_renewal_is_a_warning(anabranch: Anabranch) -> None:
    enrol(anabranch, days=5, renew_days=-1)
    assert checked(anabranch, "--offline")["certificate"]["verdict"] == "warn"


def test_an_edge_that_was_never_enrolled_is_told_how(anabranch: Anabranch) -> None:
    check = checked(anabranch, code=7)["certificate"]
    assert (check["verdict"], "anabranch init" in check["hint"]) == ("fail", True)


def test_a_hub_that_does_not_answer_is_a_warning(anabranch: Anabranch) -> None:
    # given a port where nobody listens
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        enrol(anabranch, address)

        # when
        check = checked(anabranch)[f"hub {address}"]

    # then
    assert check["verdict"] == "warn"
    assert "go on meanwhile" in check["hint"]


def test_a_program_that_speaks_no_tls_is_not_the_hub(anabranch: Anabranch) -> None:
    # given a port where somebody takes the call and hangs up
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        enrol(anabranch, address)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()

        # when
        check = checked(anabranch, code=8)[f"hub {address}"]
        answering.join()

    # then
    assert check["verdict"] == "fail"
    assert "another program answers there" in check["hint"]


@pytest.mark.parametrize(("year", "verdict"), [(1970, "warn"), (2038, "ok")])
def test_a_clock_that_lost_the_time_is_a_warning(
    anabranch: Anabranch, monkeypatch: pytest.MonkeyPatch, year: int, verdict: str
) -> None:
    # given
    enrol(anabranch, days=36_500, renew_days=36_000)
    now_s = datetime(year, 6, 1, tzinfo=UTC).timestamp()
    monkeypatch.setattr(time, "time", lambda: now_s)

    # then
    assert checked(anabranch, "--offline")["clock"]["verdict"] == verdict


@pytest.mark.parametrize("year", [1970, 2038])
def test_a_clock_that_no_certificate_can_meet_is_set_before_anybody_enrols_again(
    anabranch: Anabranch, monkeypatch: pytest.MonkeyPatch, year: int
) -> None:
    # given
    enrol(anabranch)
    now_s = datetime(year, 6, 1, tzinfo=UTC).timestamp()
    monkeypatch.setattr(time, "time", lambda: now_s)
    monkeypatch.setattr(time, "time_ns", lambda: int(now_s * 1e9))

    # when
    ran = anabranch("doctor", "--offline")

    # then
    assert ran.out.startswith(f"Its clock is wrong: it is {year}-06-01 00:00 UTC here, ")
    assert "set the clock" in ran.out
    assert "invitation" not in ran.out


def test_a_failed_verification_decides_the_code(tmp_path: Path) -> None:
    ok = Check("a", Verdict.OK, "")
    warned = Check("b", Verdict.WARN, "", "hint")
    missing = Check("c", Verdict.FAIL, "", "hint", 7)
    damaged = Check("d", Verdict.FAIL, "", "hint", 8)
    assert exit_code([ok, warned]) == 0
    assert exit_code([ok, missing, warned]) == 7
    assert exit_code([missing, damaged]) == 8
