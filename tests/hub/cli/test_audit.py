"""`audit`: the log as an operator keeps, proves, exports and examines it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psycopg
import pytest
from anabranch.cli.program import program as edge
from anabranch_hub.cli import audit_verify
from anabranch_hub.operations import whereabouts
from anabranch_sync.audit_file import verify_export
from anabranch_sync.signed_note import parse_verifier_key
from anabranch_sync.tlog_proof import parse_tlog_proof, verify_tlog_proof

from tests.running_hub import AUTHOR, RunningHub


@pytest.fixture
def written(hub: RunningHub, tenant: str) -> str:
    """A tenant with four leaves: its creation and three changes."""
    for number in range(3):
        hub.ok("set", tenant, "acme/prod/router", "", json.dumps({"word": f"hunter{number}"}))
    return tenant


def test_a_checkpoint_covers_what_was_done_before_it_was_asked_for(hub: RunningHub, written: str) -> None:
    shown = hub.json("audit", "checkpoint", written)

    assert shown["leaves"] == shown["size"] == 4
    key = hub.ok("audit", "checkpoint", written, "--key").strip()
    assert parse_verifier_key(key).name == f"anabranch/tenant/{written}"
    assert hub.ok("audit", "checkpoint", written) == shown["note"]


def test_an_export_is_verified_by_the_edges_command_with_no_hub(
    hub: RunningHub, written: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # given
    export, key = tmp_path / "log.jsonl", tmp_path / "log.vkey"
    key.write_text(hub.ok("audit", "checkpoint", written, "--key"))

    # when
    assert "4 leaves" in hub.ok("audit", "export", written, "-o", str(export))

    # then
    assert export.stat().st_mode & 0o077 == 0
    assert edge.run(["audit", "verify", str(export), "--key", f"@{key}"]) == 0
    assert "is whole: 4 leaves" in capsys.readouterr().out
    # and to a pipe the same, without the values if that is asked for
    bare = hub.ok("audit", "export", written, "--without-values").encode()
    assert b"hunter" not in bare
    assert b"hunter1" in export.read_bytes()
    assert verify_export(bare.splitlines(keepends=True)).openings == 0


def test_an_export_says_what_is_not_in_it_as_nobody_has_signed_it(
    hub: RunningHub, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    hub.ok("audit", "checkpoint", written)
    monkeypatch.setattr(audit_verify, "SIGNED_S_MAX", 0.0)
    file, dsn = tmp_path / "log.jsonl", whereabouts.postgres_dsn(hub.data_dir)
    with psycopg.connect(dsn) as connection:  # the hub cannot keep what it signs
        connection.execute(f'LOCK TABLE "tenant_{written}".audit_checkpoints IN EXCLUSIVE MODE'.encode())
        hub.ok("set", written, "acme/prod/router", "/word", "unsigned")
        # when
        ran = hub.run("audit", "export", written, "-o", str(file))
        shown = hub.json("audit", "export", written, "-o", str(file))
    # then
    assert (ran.code, ran.out) == (0, f"ok 4 leaves of tenant {written} in {file}\n")
    assert "not in it, as they are not signed yet: the newest 1 of the log" in ran.err
    assert (shown["leaves"], shown["unsigned"]) == (4, 1)


def test_an_export_into_a_pipe_or_through_a_link_leaves_both_where_they_are(
    hub: RunningHub, written: str, tmp_path: Path
) -> None:
    # given
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    link.symlink_to(file)

    # when
    for output in (pipe, link):
        hub.ok("audit", "export", written, "-o", str(output))

    # then
    with os.fdopen(reader, "rb") as piped:
        assert verify_export(piped.readlines()).checkpoint.tree.size == 4
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert verify_export(file.read_bytes().splitlines(keepends=True)).checkpoint.tree.size == 4


def test_a_leaf_is_proved_by_its_position(
    hub: RunningHub, written: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "change.tlog-proof"

    hub.ok("audit", "prove", written, "--position", "2", "-o", str(file))

    assert edge.run(["audit", "verify", str(file)]) == 0
    assert "hunter1" in capsys.readouterr().out
    proved = verify_tlog_proof(parse_tlog_proof(hub.ok("audit", "prove", written, "--index", "2")))
    assert (proved.leaf.data["position"], proved.leaf.data["author"]) == (2, AUTHOR)
    assert hub.run("audit", "prove", written, "--position", "9").code == 3
    assert hub.run("audit", "prove", written, "--position", "2", "--merge", "1").code == 2


def test_a_log_that_goes_on_verifies_against_what_was_kept_of_it(
    hub: RunningHub, written: str, tmp_path: Path
) -> None:
    kept, export = tmp_path / "kept", tmp_path / "export"
    kept.write_text(hub.ok("audit", "checkpoint", written))
    hub.ok("audit", "export", written, "-o", str(export))
    hub.ok("set", written, "acme/prod/router", "/word", "another")
    hub.ok("audit", "checkpoint", written)

    for file in (kept, export):
        shown = hub.json("audit", "verify", written, "--against", str(file))
        assert (shown["verified"], shown["leaves"], shown["signed"]) == (True, 5, 5)
        assert len(shown["goes_on_from"]) == 2
        assert shown["key_source"] == "remembered by this hub"


def test_verifying_names_the_first_bad_leaf_and_ends_with_8(
    hub: RunningHub, written: str, tmp_path: Path
) -> None:
    # given a log that was signed, and all of whose tables were restored from a dump of before
    hub.json("audit", "checkpoint", written)
    _superuser(
        hub,
        written,
        "DELETE FROM audit_leaves WHERE leaf = 3; DELETE FROM audit_checkpoints WHERE size > 3;"
        "DELETE FROM changes WHERE hub_seq = 3;"
        "UPDATE tenant_state SET hub_seq = 2, log_size = 3, log_frontier ="
        " (SELECT substring(hashes FROM 33 FOR 32) FROM audit_leaves WHERE leaf = 1)"
        " || (SELECT hashes FROM audit_leaves WHERE leaf = 2)",
    )

    # then
    ran = hub.run("audit", "verify", written)
    assert ran.code == 8
    assert "tampered with at leaf 3: it is missing" in ran.err
    error = json.loads(hub.run("audit", "verify", written, "--json").err)["error"]
    assert (error["kind"], error["facts"]["leaf"]) == ("LogTampered", 3)


def test_the_drill_finds_every_tampering_and_changes_nothing(hub: RunningHub, written: str) -> None:
    shown = hub.json("audit", "drill", written)

    assert (shown["leaves"], shown["verified"], shown["tampering_detected"]) == (4, True, True)
    assert len(shown["tamperings"]) >= 15
    assert all(each["detected"] for each in shown["tamperings"])
    assert hub.json("audit", "verify", written)["leaves"] == 4


def test_the_tail_shows_who_did_what(hub: RunningHub, written: str) -> None:
    lines = hub.ok("audit", "tail", written, "-n", "2").splitlines()

    assert len(lines) == 2
    assert "change.decided" in lines[1]
    assert f"position 3, outcome merged, author {AUTHOR}" in lines[1]
    events = [json.loads(line) for line in hub.ok("audit", "tail", written, "--json").splitlines()]
    assert [event["id"] for event in events] == ["0", "1", "2", "3"]
    assert events[0]["data"]["author"] == AUTHOR


def test_values_are_erased_only_when_it_is_meant(hub: RunningHub, written: str) -> None:
    asked = ("audit", "erase", written, "--position", "1")

    assert hub.run(*asked).code == 2
    assert "1 value behind leaf 1" in hub.ok(*asked, "--yes")

    assert "hunter0" not in hub.ok("audit", "export", written)
    assert "hunter1" in hub.ok("audit", "export", written)
    assert hub.json("audit", "verify", written)["leaves"] == 5
    assert "value.erased" in hub.ok("audit", "tail", written)


def _superuser(hub: RunningHub, tenant: str, text: str) -> None:
    with psycopg.connect(whereabouts.postgres_dsn(hub.data_dir)) as connection:
        connection.execute(f'SET search_path TO "tenant_{tenant}"; {text}'.encode())


@pytest.mark.parametrize("words", [("export",), ("prove", "--index", "1")], ids=lambda each: each[0])
def test_a_file_that_cannot_be_written_is_named_by_the_name_that_was_given(
    hub: RunningHub, written: str, tmp_path: Path, words: tuple[str, ...]
) -> None:
    for file, reason in ((tmp_path / "nowhere/log", "No such file"), (Path("/dev/full"), "No space left")):
        ran = hub.run("audit", words[0], written, *words[1:], "-o", str(file))

        assert (ran.code, ran.out) == (2, "")
        assert f"cannot use {file}: {reason}" in ran.err
