from anabranch.replica import Replica
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import digest
from anabranch_sync.ids import START, Cursor, document_id
from anabranch_sync.pull import Notice, Pull

from tests.edge.cli.conftest import Anabranch

ROUTER = document_id("acme/prod/router")


def noted(anabranch: Anabranch, *notices: Notice) -> None:
    """Let the hub tell the replica of conflicts."""
    with Replica.open(anabranch.path) as replica:
        replica.apply(Pull(START, Cursor(1, 9), ScopeDigest(), {}, notices=notices, whole=True), 0)


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


def test_a_replica_without_conflicts_says_so_beside_the_data(anabranch: Anabranch) -> None:
    ran = anabranch("conflicts")
    assert (ran.code, ran.out, ran.err) == (0, "", "no conflicts, nothing refused, nothing quarantined\n")
    assert anabranch("conflicts", "--json").json == {
        "conflicts": [],
        "refused": [],
        "quarantined": [],
    }


def test_a_conflict_is_shown_with_winner_and_loser(anabranch: Anabranch) -> None:
    # given
    noted(
        anabranch,
        Notice(7, 3, ROUTER, ("limits", "a/b"), "value", "max", False, ((20,), (10,)), ("Grace", "Ada")),
        Notice(8, 4, ROUTER, ("model",), "delete/update", "latest", True, ((), ("x\x1b",)), ("Ada", "G\nH")),
    )

    # when
    shown = anabranch("conflicts").out
    told = anabranch("conflicts", "--json").json

    # then
    assert shown.splitlines() == [
        "#7 acme/prod/router/config /limits/a~1b: value, by max, yours lost",
        "    stands  20  by Grace",
        "    lost    10  by Ada",
        "#8 acme/prod/router/config /model: delete/update, by latest, yours stands",
        "    stands  deleted  by Ada",
        '    lost    "x\\u001b"  by G\\nH',
    ]
    assert told["conflicts"][0] == {
        "ledger": 7,
        "hub_seq": 3,
        "namespace": "acme/prod/router",
        "key": "config",
        "path": "/limits/a~1b",
        "kind": "value",
        "policy": "max",
        "won": False,
        "candidates": [{"author": "Grace", "value": 20}, {"author": "Ada", "value": 10}],
    }
    assert told["conflicts"][1]["candidates"][0] == {"author": "Ada", "deleted": True}
    assert "2 conflicts, 0 refused" in anabranch("status").out


def test_digests_are_told_as_the_hub_tells_them(anabranch: Anabranch) -> None:
    assert ScopeDigest().replaced(0, digest(ROUTER, {"a": 1})).count == 1
    assert anabranch("status", "--json").json["digest"] == "0:" + "0" * 32
