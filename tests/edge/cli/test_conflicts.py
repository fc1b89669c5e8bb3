"""`conflicts`: an edge is told what was decided about its writes, in the words of the hub's ledger."""

from datetime import UTC, datetime

import pytest
from anabranch.replica import Replica
from anabranch_sync.case import Case, Claim, Hand, Look
from anabranch_sync.clock import stamped
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.ids import START, Cursor, document_id
from anabranch_sync.pull import Notice, Pull
from anabranch_sync.register import DELETED

from tests.edge.cli.conftest import Anabranch

ROUTER, LAB = document_id("acme/prod/router"), document_id("acme/lab/a")
NOON_MS = int(datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp() * 1000)
GRACE = Hand("Grace", "", stamped(NOON_MS))
ADA = Hand("Ada", "edge-1", stamped(NOON_MS + 60_000))


def claim(path: tuple[str, ...], value: object, *hands: Hand) -> Claim:
    return Claim(path, None, value, hands)  # type: ignore[arg-type]


LOST = Notice(
    7,
    3,
    False,
    Case(
        ROUTER,
        "value",
        "max",
        "router@4",
        (claim(("limits", "a/b"), 20, GRACE), claim(("limits", "a/b"), 10, ADA)),
    ),
)
WON = Notice(
    8,
    4,
    True,
    Case(
        LAB,
        "delete/update",
        "latest",
        "",
        (claim(("model",), DELETED, ADA), claim(("model",), "x\x1b", Hand("G\nH", "ship", stamped(NOON_MS)))),
    ),
)


@pytest.fixture
def told(anabranch: Anabranch) -> Anabranch:
    """A replica that the hub told of two conflicts."""
    noted(anabranch, LOST, WON)
    return anabranch


def noted(anabranch: Anabranch, *notices: Notice) -> None:
    with Replica.open(anabranch.path) as replica:
        replica.apply(Pull(START, Cursor(1, 9), ScopeDigest(), {}, notices=notices, whole=True), 0)


def test_a_replica_without_conflicts_says_so_beside_the_data(anabranch: Anabranch) -> None:
    ran = anabranch("conflicts")
    assert (ran.code, ran.out, ran.err) == (0, "", "no conflicts, nothing refused, nothing quarantined\n")
    assert anabranch("conflicts", "--json").json == {"conflicts": [], "refused": [], "quarantined": []}


def test_conflicts_are_shown_with_winner_and_loser(told: Anabranch) -> None:
    # when
    shown = told("conflicts").out
    facts = told("conflicts", "--json").json["conflicts"]

    # then
    assert shown.splitlines() == [
        "#7 acme/prod/router/config /limits/a~1b: value, by max, yours lost",
        "    stands  20  by Grace",
        "    lost    10  by Ada",
        "#8 acme/lab/a/config /model: delete/update, by latest, yours stands",
        "    stands  deleted  by Ada",
        '    lost    "x\\u001b"  by G\\nH',
    ]
    assert facts[0] == {
        "ledger": 7,
        "hub_seq": 3,
        "namespace": "acme/prod/router",
        "key": "config",
        "path": "/limits/a~1b",
        "kind": "value",
        "policy": "max",
        "policy_version": "router@4",
        "won": False,
        "waiting": False,
        "quarantined": False,
        "candidates": [
            {
                "author": author,
                "path": "/limits/a~1b",
                "value": value,
                "writes": [{"author": author, "edge": edge, "wall_ms": wall_ms, "skew_ms": 0}],
            }
            for author, edge, value, wall_ms in (
                ("Grace", "", 20, NOON_MS),
                ("Ada", "edge-1", 10, NOON_MS + 60_000),
            )
        ],
        "reviews": [],
    }
    assert facts[1]["candidates"][0]["deleted"] is True
    assert "2 conflicts, 0 refused" in told("status").out


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        (["--lost"], [7]),
        (["--won"], [8]),
        (["--namespace", "acme/lab"], [8]),
        (["--namespace", "acme"], [7, 8]),
        (["--namespace", "acme/la"], []),
        (["--won", "--namespace", "acme/prod"], []),
    ],
)
def test_conflicts_can_be_filtered(told: Anabranch, filters: list[str], rows: list[int]) -> None:
    listed = told("conflicts", *filters, "--json").json["conflicts"]
    assert [each["ledger"] for each in listed] == rows


def test_one_conflict_is_explained_in_a_sentence(told: Anabranch) -> None:
    # when
    shown = told("conflicts", "7").out
    explained = told("conflicts", "7", "--json").json

    # then
    assert explained["sentence"] == (
        "On Tuesday 24 November 2026 12:00 UTC the operator Grace set /limits/a~1b of acme/prod/router "
        "to 20, and at 12:01 UTC edge edge-1 (Ada) set it to 10; neither had seen the other; "
        "policy `max` of schema router@4 keeps the greater, so 20 stands and 10 is kept in the hub's ledger."
    )
    assert shown.splitlines()[0] == explained["sentence"]
    assert shown.splitlines()[2] == "#7 acme/prod/router/config /limits/a~1b: value, by max, yours lost"
    assert explained["facts"] == told("conflicts", "--lost", "--json").json["conflicts"][0]


def test_what_an_operator_restored_is_told(anabranch: Anabranch) -> None:
    # given
    look = Look("Olga", NOON_MS + 3_600_000, "agreed", (10,))
    case = LOST.case
    restored = Case(case.document, case.kind, case.policy, case.policy_version, case.claims, looks=(look,))
    noted(anabranch, Notice(7, 3, False, restored))

    # then
    assert anabranch("conflicts").out.splitlines()[-1] == (
        "    2026-11-24T13:00:00Z Olga restored 10: agreed"
    )
    assert (
        anabranch("conflicts", "7")
        .out.splitlines()[0]
        .endswith(
            "so 20 stood and 10 was kept in the hub's ledger; "
            "on Tuesday 24 November 2026 13:00 UTC Olga restored 10 (agreed)."
        )
    )
    [facts] = anabranch("conflicts", "--json").json["conflicts"]
    assert facts["reviews"] == [
        {
            "what": "restored",
            "reviewer": "Olga",
            "reviewed_ms": NOON_MS + 3_600_000,
            "note": "agreed",
            "value": 10,
        }
    ]


def test_a_conflict_that_is_not_this_edges_is_not_there(told: Anabranch) -> None:
    assert told("conflicts", "9").code == 3
    assert told("conflicts", "7", "--lost").code == 2
    assert told("conflicts", "0").code == 2
    assert told("conflicts", "--namespace", "acme//x").code == 2
