import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

from anabranch.replica import Replica
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import digest
from anabranch_sync.ids import document_id

from tests.edge.cli.conftest import Anabranch
from tests.edge.cli.test_doctor import enrol
from tests.edge.replica.real_disks import mounted

ROUTER = document_id("acme/prod/router")


def test_status_tells_how_the_replica_stands(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/prod/router", "/a", "1")
    anabranch("set", "acme/lab/a", "/a", "1")

    # when
    shown = anabranch("status").out
    facts = anabranch("status", "--json").json

    # then
    assert shown.startswith("acme/edge-1  NEVER SYNCED\n")
    assert f"  replica    {anabranch.path}, " in shown
    assert "  outbox     2 changes not confirmed, 2 not sent, the oldest for " in shown
    assert "  hub        not enrolled\n" in shown
    assert facts["outbox"] == facts["unsent"] == facts["documents"] == 2
    assert facts["state"] == "NEVER_SYNCED"
    assert facts["prefixes"] == ["acme/lab", "acme/prod"]
    assert (facts["hub"], facts["certificate_until"], facts["agent_running"]) == (None, None, False)
    assert facts["digest"] == str(ScopeDigest())
    assert facts["cursor"] == {"epoch": 0, "hub_seq": 0}


def test_a_disk_that_is_full_is_told_before_the_reserve_is_used_up(anabranch: Anabranch) -> None:
    # given
    with mounted(anabranch.folder / "disk", "-t", "tmpfs", "-o", "size=2m", "tmpfs") as disk:
        there = replace(anabranch, path=disk / "replica.db")
        shutil.copyfile(anabranch.path, there.path)
        assert there("set", "acme/lab/a", "/a", "1").code == 0
        with Replica.open(there.path):  # as an agent has it: else its first reader takes the reserve
            with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(4096))
            assert there("set", "acme/lab/b", "/a", f'"{"b" * 40_000}"').code == 1

            # when
            ran = there("status", "--check")

    # then
    assert "condition  disk full: " in ran.out
    assert ran.code == 1


def test_status_says_why_an_identity_is_of_no_use(anabranch: Anabranch) -> None:
    # given
    enrol(anabranch)
    Path(f"{anabranch.path}.identity/key.pem").unlink()

    # then
    shown = anabranch("status").out
    assert "key.pem is missing: enrol this edge again with `anabranch init --keep-replica`\n" in shown
    assert anabranch("status", "--json").json["hub"] is None


def test_digests_are_told_as_the_hub_tells_them(anabranch: Anabranch) -> None:
    assert ScopeDigest().replaced(0, digest(ROUTER, {"a": 1})).count == 1
    assert anabranch("status", "--json").json["digest"] == "0:" + "0" * 32
