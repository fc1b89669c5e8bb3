"""`get --at`, `diff`, `rollback` on an edge: offline, from what its replica has passed through."""

from __future__ import annotations

import json

import pytest
from anabranch.replica import Replica
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.scope import Scope

from tests.contracts.replica import Exchange
from tests.edge.cli.conftest import Anabranch
from tests.edge.replica.sqlite_store import SqliteStore

NOW_MS = 1_750_000_000_000
ROUTER = "acme/prod/router"


@pytest.fixture
def history(anabranch: Anabranch) -> Anabranch:
    """A router of which version 1 and 2 are confirmed and a third change waits."""
    hub = MemoryHub(Scope(("acme/prod", "acme/lab")), lambda: NOW_MS)
    with Replica.open(anabranch.path) as replica:
        edge = Exchange(SqliteStore(replica), hub)
    anabranch("set", ROUTER, "", '{"limits": {"requests": 600}, "model": "gpt-4o"}', "-m", "first")
    with Replica.open(anabranch.path) as replica:
        edge.replica = SqliteStore(replica)
        edge.exchange()
    anabranch("set", ROUTER, "/limits/requests", "800", "-m", "launch day")
    with Replica.open(anabranch.path) as replica:
        edge.replica = SqliteStore(replica)
        edge.exchange()
    anabranch("delete", ROUTER, "/model")
    return anabranch


def test_a_document_is_got_as_it_stood(history: Anabranch) -> None:
    for reference, value in (("1", 600), ("@1", 600), ("2", 800), ("3", 800), ("@2", 800), ("0s", 800)):
        assert history("get", ROUTER, "/limits/requests", "--at", reference).json == value
    reading = history("get", ROUTER, "--at", "2", "--json").json
    assert (reading["version"], reading["pending"], reading["source"]) == (2, False, "hub")
    reading = history("get", ROUTER, "--at", "3", "--json").json
    assert (reading["version"], reading["pending"], reading["source"]) == (3, True, "local")


@pytest.mark.parametrize(
    ("reference", "code", "said"),
    [
        ("9", 3, "version 9 of acme/prod/router/config is not known to this replica (it has version 1,"),
        ("@9", 3, "position 9 of acme/prod/router/config is not known to this replica"),
        ("@0", 3, "acme/prod/router/config does not exist: at position 0 it was not there yet"),
        ("1999-12-31", 3, "acme/prod/router/config does not exist: at 1999-12-31T00:00:00Z it was not"),
        ("tuesday", 2, "reference 'tuesday' is refused: use a version (17)"),
    ],
)
def test_a_state_that_is_not_known_here_is_one_clear_line(
    history: Anabranch, reference: str, code: int, said: str
) -> None:
    ran = history("get", ROUTER, "--at", reference)

    assert (ran.code, ran.out) == (code, "")
    (line,) = ran.err.splitlines()
    assert said in line


def test_diff_shows_the_last_change_or_any_two_states(history: Anabranch) -> None:
    assert history("diff", ROUTER).out.splitlines() == ["acme/prod/router/config", '- /model  "gpt-4o"']
    assert history("diff", ROUTER, "1", "@2").out.splitlines()[1:] == ["~ /limits/requests  600 -> 800"]
    patch = history("diff", ROUTER, "1", "2", "--patch").json
    both = history("diff", ROUTER, "1", "2", "--json").json
    assert patch == [{"op": "replace", "path": "/limits/requests", "value": 800}]
    assert (both["patch"], both["inverse"]) == (patch, history("diff", ROUTER, "1", "2", "--inverse").json)
    same = history("diff", ROUTER, "2", "@2")
    assert (same.code, same.out, same.err) == (0, "", "no difference\n")
    assert history("diff", "acme/prod/none").code == 3


def test_the_log_names_the_versions_that_can_be_read_here(history: Anabranch) -> None:
    ran = history("log", ROUTER)

    assert [line.split()[1] for line in ran.out.splitlines()[1:]] == ["merged", "merged", "pending"]
    assert ran.err == "to be read here with --at: version 1, 2, 3\n"


def test_a_document_is_rolled_back_by_a_change_that_waits_like_any_other(history: Anabranch) -> None:
    ran = history("rollback", ROUTER, "--to", "1", "-m", "too many")

    assert ran.out == "ok 1:4 acme/prod/router/config\n"
    assert history("get", ROUTER).json == {"limits": {"requests": 600}, "model": "gpt-4o"}
    assert history("log", ROUTER, "--json").json[-1]["message"] == "rollback to version 1: too many"
    assert history("rollback", ROUTER, "--to", "1").out == "ok unchanged: it was so already\n"

    history("rollback", ROUTER, "--to", "3")
    assert history("get", ROUTER).json == {"limits": {"requests": 800}}


def test_a_namespace_is_rolled_back_in_one_change(history: Anabranch) -> None:
    history("set", "acme/prod/new", "/x", "1")
    history("set", "acme/lab/outside", "/x", "1")

    shown = history("rollback", "acme/prod", "--below", "--to", "@1", "--dry-run")
    done = history("rollback", "acme/prod", "--below", "--to", "@1", "--json").json

    assert shown.out.splitlines() == [
        "acme/prod/new/config",
        "- /x  1",
        "acme/prod/router/config",
        "~ /limits/requests  800 -> 600",
        '+ /model  "gpt-4o"',
    ]
    assert done["documents"] == ["acme/prod/new/config", "acme/prod/router/config"]
    assert json.loads(history("export").out) == {
        "acme/lab/outside/config": {"x": 1},
        "acme/prod/router/config": {"limits": {"requests": 600}, "model": "gpt-4o"},
    }


def test_documents_that_were_not_there_then_are_kept_when_asked(history: Anabranch) -> None:
    history("set", "acme/prod/new", "/x", "1")

    history("rollback", "acme/prod", "--below", "--to", "@1", "--keep-new")

    assert history("list").out.split() == ["acme/prod/new/config", "acme/prod/router/config"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([ROUTER, "--to", "9"], 3, "is not known to this replica"),
        (["acme/prod/none", "--to", "2h"], 3, "it was not there yet"),
        (["acme/prod", "--below", "--to", "3"], 2, "versions count one document"),
        ([ROUTER, "--to", "1", "--keep-new"], 2, "--keep-new goes with --below"),
    ],
)
def test_a_state_that_never_was_cannot_come_back(
    history: Anabranch, arguments: list[str], code: int, said: str
) -> None:
    ran = history("rollback", *arguments)

    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert history("status", "--json").json["outbox"] == 1


def test_a_namespace_is_exported_and_compared_as_it_stood(history: Anabranch) -> None:
    history("set", "acme/prod/new", "/x", "1")

    then = history("export", "acme/prod", "--at", "@1").json
    shown = history("diff", "acme/prod", "@1", "@2", "--below").out.splitlines()
    since = history("diff", "acme/prod", "@2", "--below", "--json").json["documents"]

    assert then == {"acme/prod/router/config": {"limits": {"requests": 600}, "model": "gpt-4o"}}
    assert shown == ["acme/prod/router/config", "~ /limits/requests  600 -> 800"]
    assert [(each["namespace"], len(each["patch"])) for each in since] == [("acme/prod/new", 1), (ROUTER, 1)]
    assert history("export", "acme/lab", "--at", "@1").json == {}
    assert history("diff", "acme/prod", "--below").code == 2


def test_the_log_of_a_namespace_is_in_the_hubs_order_then_what_waits(history: Anabranch) -> None:
    history("set", "acme/prod/new", "/x", "1", "-m", "new")

    heading, *lines = history("log", "acme/prod", "--below").out.splitlines()

    assert heading.split()[:3] == ["DOCUMENT", "VERSION", "FATE"]
    assert [line.split()[::2][:2] for line in lines] == [
        ["acme/prod/router/config", "merged"],
        ["acme/prod/router/config", "merged"],
        ["acme/prod/router/config", "pending"],
        ["acme/prod/new/config", "pending"],
    ]
    assert history("log", "acme/prod", "--below", "--json").json[-1]["namespace"] == "acme/prod/new"
