"""`audit`: what an auditor verifies on any machine, and what an edge has witnessed."""

import json
from pathlib import Path

import pytest
from anabranch.replica import Link, Replica
from anabranch_hub.simulation.log_key import LogKey
from anabranch_sync.audit_file import leaf_line
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.ids import START, Cursor
from anabranch_sync.pull import Pull
from anabranch_sync.witness import Witnessed

from tests.edge.cli.conftest import Anabranch
from tests.sync.logs import Log, log_of, log_with, logged

LOG = log_with(20)
KEY = LOG.key.verifier


@pytest.fixture
def laptop(anabranch: Anabranch) -> Anabranch:
    """A machine without a replica."""
    anabranch.path.unlink()
    return anabranch


def exported(folder: Path, log: Log = LOG, lines: list[bytes] | None = None) -> str:
    """An export as a file."""
    path = folder / "log.jsonl"
    path.write_bytes(b"".join(lines if lines is not None else log.lines(checkpoints=[5])))
    return str(path)


def witnessed(anabranch: Anabranch, log: Log, size: int, hub_seq: int = 3) -> None:
    """Let the replica have seen the log at this size."""
    with Replica.open(anabranch.path) as replica:
        replica.witness(Witnessed(log.key.verifier, log.signed(size)), hub_seq, 1_750_000_000_000)


# Verifying on a machine with nothing.


def test_an_export_is_verified_with_no_hub_and_no_replica(laptop: Anabranch) -> None:
    ran = laptop("audit", "verify", exported(laptop.folder), "--key", str(KEY))

    assert ran.code == 0
    assert ran.out == (
        "ok the log of acme is whole: 20 leaves, every one as it was logged and in its place; "
        "20 values shown, every one as logged\n"
        f"   signed by {KEY}, the key that --key names\n"
    )
    assert not laptop.path.exists()


def test_without_a_key_it_says_whose_it_is_and_that_it_must_be_compared(laptop: Anabranch) -> None:
    ran = laptop("audit", "verify", exported(laptop.folder))

    assert ran.code == 0
    assert f"signed by {KEY}\n" in ran.out
    assert f"Compare its fingerprint, {KEY.fingerprint}," in ran.out


def test_a_proof_is_recognised_and_tells_its_leaf_and_value(laptop: Anabranch) -> None:
    path = laptop.folder / "leaf.tlog-proof"
    path.write_text(str(LOG.proof(7)), "utf-8")
    (laptop.folder / "key").write_text(f"{KEY}\n")

    ran = laptop("audit", "verify", str(path), "--key", f"@{laptop.folder / 'key'}")

    assert ran.out == (
        "ok leaf 7 of the log of acme, which has 20 leaves: "
        "change.decided acme/prod/router/config, 2026-11-29T12:00:00.007Z\n"
        '   with the value {"limit":7}\n'
        f"   signed by {KEY}, the key that --key names\n"
    )


def test_standard_input_is_read_too(laptop: Anabranch) -> None:
    for evidence in (b"".join(LOG.lines()), str(LOG.proof(7)).encode()):
        assert laptop("audit", "verify", "-", "--key", str(KEY), stdin=evidence).code == 0


def test_everything_that_was_proved_is_told_as_json(laptop: Anabranch) -> None:
    whole = laptop("audit", "verify", exported(laptop.folder), "--json").json
    one = laptop("audit", "verify", "-", "--json", stdin=str(LOG.proof(7))).json

    assert whole == {
        "kind": "export",
        "tenant": "acme",
        "leaves": 20,
        "root": LOG.signed(20).note.split("\n")[2],
        "values": 20,
        "checkpoints": 2,
        "witnessed": False,
        "key": str(KEY),
        "fingerprint": KEY.fingerprint,
        "trust": "file",
    }
    assert (one["kind"], one["leaves"], one["leaf"]["index"], one["trust"]) == ("proof", 20, 7, "file")
    assert one["leaf"]["data"]["value"] == one["values"][0]["commitment"]
    assert one["values"][0]["value"] == {"limit": 7}


def test_an_edited_leaf_is_named_and_ends_with_8(laptop: Anabranch) -> None:
    lines = LOG.lines()
    lines[1 + 7] = lines[1 + 7].replace(b"router", b"rooter")
    path = exported(laptop.folder, lines=lines)

    ran = laptop("audit", "verify", path, "--key", str(KEY))
    told = laptop("audit", "verify", path, "--json").error

    assert (ran.code, ran.out) == (8, "")
    assert ran.err.startswith("anabranch: leaf 7 is not what was logged: its bytes hash to ")
    assert (told["kind"], told["exit_code"], told["facts"]["index"]) == ("BadLeaf", 8, 7)


def test_a_leaf_that_was_hashed_anew_is_placed_between_checkpoints(laptop: Anabranch) -> None:
    lines = LOG.lines(checkpoints=[5, 9])
    lines[1 + 1 + 7] = leaf_line(logged("acme", 7, "bent"))

    told = laptop("audit", "verify", "-", "--json", stdin=b"".join(lines)).error

    assert (told["facts"]["index"], told["facts"]["last"]) == (5, 8)


@pytest.mark.parametrize(
    "evidence",
    [
        b"",
        b"\n",
        b"hello\n",
        b"\xff\xfe",
        b"{}\n",
        b"c2sp.org/tlog-proof@v1\n",
        b"c2sp.org/tlog-proof@v1\n\xff",
    ],
)
def test_what_is_no_evidence_is_refused_with_8(laptop: Anabranch, evidence: bytes) -> None:
    ran = laptop("audit", "verify", "-", stdin=evidence)

    assert (ran.code, ran.out) == (8, "")
    assert "is malformed" in ran.err


def test_another_key_than_the_one_that_is_believed_ends_with_8(laptop: Anabranch) -> None:
    stranger = LogKey(seed="a stranger").verifier

    ran = laptop("audit", "verify", exported(laptop.folder), "--key", str(stranger))

    assert ran.code == 8
    assert "the file names the key" in ran.err


def test_a_key_that_is_none_and_a_file_that_is_missing_are_slips_of_the_caller(laptop: Anabranch) -> None:
    (laptop.folder / "key").write_text("nothing")

    assert laptop("audit", "verify", exported(laptop.folder), "--key", "nothing").code == 2
    assert laptop("audit", "verify", exported(laptop.folder), "--key", f"@{laptop.folder / 'key'}").code == 2
    assert laptop("audit", "verify", str(laptop.folder / "missing")).code == 2
    assert laptop("audit", "verify", str(laptop.folder)).code == 2


# Verifying on an edge.


def test_on_an_edge_the_pinned_key_and_what_was_seen_count(anabranch: Anabranch) -> None:
    witnessed(anabranch, LOG, 12)

    ran = anabranch("audit", "verify", exported(anabranch.folder))

    assert "   it begins with the 12 leaves that this edge has seen before\n" in ran.out
    assert f"   signed by {KEY}, which this edge pinned on 2025-06-15T" in ran.out
    assert anabranch("audit", "verify", exported(anabranch.folder), "--json").json["trust"] == "pinned"


def test_on_an_edge_a_sound_export_of_another_log_is_refused(anabranch: Anabranch) -> None:
    witnessed(anabranch, log_with(12, what="before it was bent"), 12)

    told = anabranch("audit", "verify", exported(anabranch.folder), "--json").error

    assert (told["exit_code"], told["facts"]["index"], told["facts"]["last"]) == (8, 0, 11)
    assert "was seen before" in told["message"]


def test_on_an_edge_an_export_under_another_key_is_refused(anabranch: Anabranch) -> None:
    witnessed(anabranch, LOG, 12)
    stranger = log_of(LOG.leaves, key=LogKey(seed="a stranger"))

    assert anabranch("audit", "verify", exported(anabranch.folder, stranger)).code == 8
    assert anabranch("audit", "verify", "-", stdin=str(stranger.proof(7))).code == 8


def test_on_an_edge_a_proof_from_another_log_of_the_same_size_is_refused(anabranch: Anabranch) -> None:
    witnessed(anabranch, log_with(20, what="before it was bent"), 20)

    ran = anabranch("audit", "verify", "-", stdin=str(LOG.proof(7)))

    assert ran.code == 8
    assert "the log was rewritten: two trees of 20 leaves, both signed" in ran.err


def test_an_export_that_is_older_than_what_was_seen_says_so(anabranch: Anabranch) -> None:
    witnessed(anabranch, log_with(30), 30)

    ran = anabranch("audit", "verify", exported(anabranch.folder))

    assert "it is older than what this edge has seen, which is 30 leaves" in ran.out


def test_the_log_of_another_tenant_is_not_judged_by_this_edge_s_key(anabranch: Anabranch) -> None:
    witnessed(anabranch, LOG, 12)
    other = log_with(5, "globex")

    assert anabranch("audit", "verify", exported(anabranch.folder, other), "--json").json["trust"] == "file"


def test_a_damaged_replica_is_in_the_way_only_of_its_own_key(anabranch: Anabranch) -> None:
    anabranch.path.write_bytes(b"no replica" * 1000)

    assert anabranch("audit", "verify", exported(anabranch.folder), "--key", str(KEY)).code == 0
    assert anabranch("audit", "verify", exported(anabranch.folder)).code == 8


# What an edge has witnessed.


def test_an_edge_that_has_seen_nothing_says_so(anabranch: Anabranch) -> None:
    ran = anabranch("audit", "show")

    assert ran.out == "log  anabranch/tenant/acme\n"
    assert "no checkpoint was seen yet" in ran.err
    assert "  log        no checkpoint seen yet\n" in anabranch("status").out
    assert anabranch("status", "--json").json["log"]["leaves"] is None


def test_the_newest_checkpoint_is_shown_with_its_key_and_note(anabranch: Anabranch) -> None:
    witnessed(anabranch, LOG, 12, hub_seq=3)
    with Replica.open(anabranch.path) as replica:
        replica.apply(Pull(START, Cursor(1, 9), ScopeDigest(), {}, whole=True), 0)

    shown = anabranch("audit", "show").out
    facts = anabranch("audit", "show", "--json").json

    assert "seen    12 leaves, " in shown
    assert "; 6 changes decided since\n" in shown
    assert f"fingerprint {KEY.fingerprint}\n" in shown
    assert shown.endswith(LOG.signed(12).note)
    assert (facts["leaves"], facts["key"], facts["checkpoint"]) == (12, str(KEY), LOG.signed(12).note)
    assert facts["refusals"] == []
    assert anabranch("status", "--json").json["log"]["decided_since"] == 6


def test_a_refused_log_is_shown_with_the_evidence_everywhere_one_looks(anabranch: Anabranch) -> None:
    # given
    witnessed(anabranch, LOG, 12)
    other = log_with(12, what="again").signed(12)
    with Replica.open(anabranch.path) as replica:
        replica.distrust("the log was rewritten", other.packed, 1_750_000_000_000)
        replica.distrust("malformed", b"\x07", 1_740_000_000_000)
        replica.heard(link=Link.DISTRUSTED, now_ms=0)

    # when
    shown = anabranch("audit", "show").out
    facts = anabranch("audit", "show", "--json").json
    status = anabranch("status").out

    # then
    assert "refused  the log was rewritten (1 time, " in shown
    assert LOG.signed(12).note in shown
    assert f"shown by the hub and refused (the log was rewritten):\n{other.note}" in shown
    assert [each["checkpoint"] for each in facts["refusals"]] == [other.note, "07"]
    assert "this edge refuses the hub's log (anabranch audit show has the evidence)" in status
    assert "; REFUSED for " in status
    assert anabranch("doctor", "--offline").code == 8

    # when the hub shows the log again that was seen
    with Replica.open(anabranch.path) as replica:
        replica.heard(link=Link.UP, now_ms=0)

    # then it is not forgotten
    assert "warn  log " in anabranch("doctor", "--offline").out
    assert "; refused 2 times, the last " in anabranch("status").out


def test_a_log_is_forgotten_only_when_that_is_meant(anabranch: Anabranch) -> None:
    witnessed(anabranch, LOG, 12)

    refused = anabranch("audit", "forget")
    assert refused.code == 2
    assert "the key and the 12 leaves seen" in refused.err
    assert anabranch("audit", "show", "--json").json["leaves"] == 12

    assert anabranch("audit", "forget", "--yes", "--json").json == {"forgotten": 12}
    assert anabranch("audit", "show", "--json").json["leaves"] is None
    assert (
        anabranch("audit", "forget", "--yes").out
        == "ok forgotten; the next checkpoint is believed and pinned\n"
    )


def test_the_help_of_each_command_has_an_example_or_says_what_it_is_for(anabranch: Anabranch) -> None:
    assert "anabranch audit verify acme.jsonl --key @acme.vkey" in anabranch("audit", "verify", "--help").out
    assert "verify" in anabranch("audit", "--help").out
    assert json.loads(anabranch("audit", "verify", "--json").err)["error"]["exit_code"] == 2
