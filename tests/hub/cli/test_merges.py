"""`merges`: the ledger as a person and as a program reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anabranch_hub.cli import merges
from anabranch_hub.errors import StoreUnavailable
from anabranch_hub.store import RecordedCandidate, Store
from anabranch_hub.store.reviews import with_candidate
from anabranch_sync.document import Object
from anabranch_sync.policy import parse_policy
from anabranch_sync.register import DELETED
from anabranch_sync.value import canonical

from tests.hub.cli.disputes import dispute, push_what_never_saw_the_hub
from tests.running_hub import AUTHOR, RunningHub


@pytest.fixture(scope="module")
def disputed(hub: RunningHub) -> str:
    """A tenant where the hub and an edge wrote three values concurrently: model, cap and tone."""
    tenant = "disputed"
    hub.ok("tenant", "create", tenant)
    dispute(hub, tenant)
    return tenant


def test_the_ledger_is_filtered_and_tells_winner_and_losers(hub: RunningHub, disputed: str) -> None:
    # when
    rows = {row["path"]: row for row in hub.json("merges", "list", "--tenant", disputed)}
    capped = hub.json("merges", "list", "--tenant", disputed, "--policy", "min")
    waiting = hub.json("merges", "list", "--tenant", disputed, "--waiting")
    elsewhere = hub.json("merges", "list", "--tenant", disputed, "--namespace", "acme/dev")
    of_a_kind = hub.json("merges", "list", "--tenant", disputed, "--kind", "delete/update")

    # then
    assert rows.keys() == {"/model", "/cap", "/tone"}
    assert [each["value"] for each in rows["/cap"]["candidates"]] == [50, 100]
    assert [row["path"] for row in capped] == ["/cap"]
    assert [row["path"] for row in waiting] == ["/tone"]
    assert elsewhere == of_a_kind == []
    winner, loser = rows["/model"]["candidates"]
    assert (winner["value"], winner["writes"][0]["edge"]) == ("a", "")
    assert (loser["writes"][0]["edge"], loser["writes"][0]["author"]) == ("store-1", "grace")


def test_the_table_has_a_line_for_each_row_and_never_drives_a_terminal(
    hub: RunningHub, disputed: str
) -> None:
    out = hub.ok("merges", "list", "--tenant", disputed)
    heading, *lines = out.splitlines()
    assert heading.split() == [
        *("tenant", "id", "decided", "kind", "policy", "place", "winner", "losers", "review")
    ]
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert "manual waiting" in out


def test_a_row_is_shown_with_all_its_facts(hub: RunningHub, disputed: str) -> None:
    # given
    (row,) = hub.json("merges", "list", "--tenant", disputed, "--policy", "min")

    # when
    told = hub.ok("merges", "show", disputed, str(row["id"]))
    as_json = hub.json("merges", "show", disputed, str(row["id"]))

    # then
    assert as_json == {**row, "reviews": []}
    for part in (
        f"row {row['id']}: acme/prod/router/config /cap",
        "policy min (schema router@1): the smallest value wins",
        "0  won   50",
        "1  lost  100",
        "by grace on edge store-1, 2026-09-21T",
        "on the hub",
    ):
        assert part in told


def test_a_row_is_explained_in_a_sentence_and_facts(hub: RunningHub, disputed: str) -> None:
    # given
    (row,) = hub.json("merges", "list", "--tenant", disputed, "--policy", "min")

    # when
    told = hub.ok("merges", "explain", disputed, str(row["id"]))
    as_json = hub.json("merges", "explain", disputed, str(row["id"]))

    # then
    first, empty, *facts = told.splitlines()
    assert first == as_json["sentence"]
    assert first.startswith(
        "On Monday 21 September 2026 14:13 UTC edge store-1 (grace) set /cap of acme/prod/router"
    )
    assert first.endswith(
        "policy `min` of schema router@1 keeps the smaller, so 50 stands and 100 is kept here."
    )
    assert empty == ""
    assert facts == hub.ok("merges", "show", disputed, str(row["id"])).splitlines()
    assert as_json["facts"] == {**row, "reviews": []}


def test_a_long_value_is_cut_in_an_explanation_and_whole_when_shown(hub: RunningHub, tenant: str) -> None:
    # given
    prompt = "You are a helpful assistant. " * 100
    hub.ok("set", tenant, "acme/prod/router", "", json.dumps({"model": "a", "cap": 1, "tone": prompt}))
    push_what_never_saw_the_hub(hub, tenant)
    (row,) = hub.json("merges", "list", "--tenant", tenant, "--path", "/tone")

    # when
    explained = hub.ok("merges", "explain", tenant, str(row["id"]))
    shown = hub.ok("merges", "show", tenant, str(row["id"]))

    # then
    assert max(map(len, explained.splitlines())) < 600
    assert "(2,902 characters)" in explained
    assert prompt in shown


def test_the_ledger_is_searched_by_edge_author_place_and_time(hub: RunningHub, disputed: str) -> None:
    def found(*filters: str) -> list[str]:
        rows = hub.json("merges", "list", "--tenant", disputed, *filters)
        return sorted(row["path"] for row in rows)

    everything = ["/cap", "/model", "/tone"]
    assert found("--edge", "store-1") == found("--edge", "-") == found("--by", "grace") == everything
    assert found("--edge", "store-2") == found("--by", "ada") == []
    assert found("--author", "ada") == everything, "who asks is no filter"
    assert found("--path", "/cap") == ["/cap"]
    assert (
        found("--since", "7d")
        == found("--since", "2026-09-01", "--until", "2100-01-01T08:00+02:00")
        == everything
    )
    assert found("--until", "1h") == found("--since", "2100-01-01") == found("--reviewed") == []
    assert found("--unreviewed") == everything
    for wrong in (("--since", "yesterday"), ("--edge", "a/b"), ("--path", "cap"), ("--namespace", "a//b")):
        assert hub.run("merges", "list", "--tenant", disputed, *wrong).code == 2


def test_the_ledger_is_counted(hub: RunningHub, disputed: str) -> None:
    # when
    (counted,) = hub.json("merges", "stats", "--tenant", disputed)
    told = hub.ok("merges", "stats", "--tenant", disputed, "--limit", "1")
    (capped,) = hub.json("merges", "stats", "--tenant", disputed, "--policy", "min")

    # then
    assert (counted["rows"], counted["reviewed"], counted["unreviewed"], counted["waiting"]) == (3, 0, 3, 1)
    assert counted["oldest_unreviewed"]["id"] == 1
    assert counted["by"]["edge"] == [{"name": "", "rows": 3}, {"name": "store-1", "rows": 3}]
    assert [each["name"] for each in counted["by"]["policy"]] == ["latest", "manual", "min"]
    assert capped["rows"] == 1
    assert f"{disputed}: 3 conflicts, 0 reviewed, 3 not, 1 waiting for an operator" in told
    assert "most contested places:\n  1  acme/prod/router/config /cap" in told


def test_pages_go_on_where_the_last_one_ended(hub: RunningHub, disputed: str) -> None:
    first = hub.json("merges", "list", "--tenant", disputed, "--limit", "2")
    second = hub.json("merges", "list", "--tenant", disputed, "--before", str(first[-1]["id"]))
    assert [row["id"] for row in first + second] == [3, 2, 1]


def test_without_a_tenant_every_ledger_is_listed(hub: RunningHub, disputed: str) -> None:
    assert disputed in {row["tenant"] for row in hub.json("merges", "list")}


def test_a_losing_value_is_restored_in_one_command_and_the_row_names_it(
    hub: RunningHub, disputed: str
) -> None:
    # given
    (row,) = hub.json("merges", "list", "--tenant", disputed, "--waiting")

    # when
    written = hub.json("merges", "restore", disputed, str(row["id"]))

    # then
    assert hub.json("get", disputed, "acme/prod/router", "/tone")["value"] == "warm"
    reviewed = hub.json("merges", "show", disputed, str(row["id"]))
    assert not reviewed["waiting"]
    assert reviewed["reviewed_seq"] == written["hub_seq"]
    (review,) = reviewed["reviews"]
    assert (review["what"], review["candidate"]) == ("restored", 1)
    assert (review["reviewer"], review["hub_seq"]) == (AUTHOR, written["hub_seq"])
    told = hub.ok("merges", "show", disputed, str(row["id"]))
    assert f"candidate 1 restored, position {written['hub_seq']}, by {AUTHOR}" in told
    explained = hub.ok("merges", "explain", disputed, str(row["id"]))
    assert f'UTC {AUTHOR} restored "warm" (restore candidate 1 of' in explained
    assert hub.json("merges", "list", "--tenant", disputed, "--waiting") == []


@pytest.fixture
def contested(hub: RunningHub, tenant: str) -> str:
    """The same in a tenant of the test's own."""
    dispute(hub, tenant)
    return tenant


def _row(hub: RunningHub, tenant: str, path: str) -> int:
    (row,) = hub.json("merges", "list", "--tenant", tenant, "--path", path)
    number: int = row["id"]
    return number


def test_who_accepts_many_rows_is_told_how_many_are_accepted_when_postgres_goes(
    hub: RunningHub, contested: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    accept, calls = Store.accept, []

    async def once(self: Store, *args: Any, **kwargs: Any) -> list[int]:
        calls.append(args)
        if len(calls) > 1:
            raise StoreUnavailable("server closed the connection")
        return await accept(self, *args, **kwargs)

    monkeypatch.setattr(Store, "accept", once)
    monkeypatch.setattr(merges, "ACCEPTED_MAX", 1)
    # when
    ran = hub.run("merges", "accept", contested, "--all-matching", "--yes")
    # then
    assert ran.code == 7
    assert "before that 1 of 3 rows were accepted: accept all of them again" in ran.err
    assert len(hub.json("merges", "list", "--tenant", contested, "--reviewed")) == 1


def test_an_author_that_nobody_can_have_been_is_refused(hub: RunningHub, disputed: str) -> None:
    for command in ("list", "stats"):
        ran = hub.run("merges", command, "--tenant", disputed, "--by", "\udcff")

        assert ran.code == 2
        assert r"author '\udcff' is refused" in ran.err


def test_a_candidate_that_is_not_there_is_refused(hub: RunningHub, disputed: str) -> None:
    ran = hub.run("merges", "restore", disputed, "1", "--candidate", "2")
    assert ran.code == 2
    assert "row 1 has no candidate 2: it has 0 (the winner) to 1" in ran.err
    assert hub.run("merges", "restore", disputed, "99").code == 3


def test_a_trial_shows_what_a_restoration_would_change_and_changes_nothing(
    hub: RunningHub, contested: str
) -> None:
    # given
    row = str(_row(hub, contested, "/cap"))

    # when
    told = hub.ok("merges", "restore", contested, row, "--dry-run")
    as_json = hub.json("merges", "restore", contested, row, "--dry-run")

    # then
    assert "50" in told
    assert "100" in told
    assert as_json["patch"] == [{"op": "replace", "path": "/cap", "value": 100}]
    assert hub.json("get", contested, "acme/prod/router", "/cap")["value"] == 50
    assert hub.json("merges", "show", contested, row)["reviews"] == []


def test_a_candidate_that_a_schema_refuses_by_now_is_refused_by_a_trial_too(
    hub: RunningHub, contested: str
) -> None:
    # given
    row = str(_row(hub, contested, "/cap"))
    schema = {"namespaces": ["acme/*"], "schema": {"properties": {"cap": {"maximum": 60}}}}
    hub.ok("set", contested, "system/schemas", "", json.dumps(schema), "--key", "router")
    # when
    trial = hub.run("merges", "restore", contested, row, "--dry-run")
    done = hub.run("merges", "restore", contested, row)
    # then
    assert trial == done
    assert (trial.code, trial.out) == (5, "")
    assert "100 is greater than the maximum of 60" in trial.err


def test_the_winner_can_be_brought_back_too_and_what_stands_is_left_alone(
    hub: RunningHub, contested: str
) -> None:
    # given
    row = str(_row(hub, contested, "/cap"))
    hub.ok("merges", "restore", contested, row)
    assert hub.json("get", contested, "acme/prod/router", "/cap")["value"] == 100

    # when
    again = hub.ok("merges", "restore", contested, row)
    hub.ok("merges", "restore", contested, row, "--candidate", "0", "-m", "no, the shop's")

    # then
    assert again == "ok unchanged: candidate 1 stands already, version 3\n"
    assert hub.json("get", contested, "acme/prod/router", "/cap")["value"] == 50
    reviews = hub.json("merges", "show", contested, row)["reviews"]
    assert [(each["what"], each["candidate"], each["note"]) for each in reviews] == [
        ("restored", 1, f"restore candidate 1 of ledger row {row}"),
        ("restored", 0, "no, the shop's"),
    ]


def test_a_deleted_document_is_made_anew_only_when_asked(hub: RunningHub, contested: str) -> None:
    # given
    row = str(_row(hub, contested, "/cap"))
    hub.ok("delete", contested, "acme/prod/router")

    # when
    refused = hub.run("merges", "restore", contested, row)
    hub.ok("merges", "restore", contested, row, "--recreate")

    # then
    assert refused.code == 5
    assert "acme/prod/router/config is deleted" in refused.err
    assert "--recreate" in refused.err
    assert json.loads(hub.ok("get", contested, "acme/prod/router")) == {"cap": 100}


def test_rows_are_accepted_once_by_each_who_looks(hub: RunningHub, contested: str) -> None:
    # given
    waiting, capped = _row(hub, contested, "/tone"), _row(hub, contested, "/cap")

    # when
    first = hub.json("merges", "accept", contested, str(waiting), str(capped), "-m", "as agreed")
    again = hub.json("merges", "accept", contested, str(capped))
    other = hub.json("merges", "accept", contested, str(capped), "--author", "Grace")

    # then
    assert first == {"tenant": contested, "accepted": sorted([waiting, capped]), "already": []}
    assert again == {"tenant": contested, "accepted": [], "already": [capped]}
    assert other["accepted"] == [capped]
    assert hub.json("merges", "list", "--tenant", contested, "--waiting") == []
    (counted,) = hub.json("merges", "stats", "--tenant", contested)
    assert (counted["reviewed"], counted["unreviewed"]) == (2, 1)
    reviews = hub.json("merges", "show", contested, str(capped))["reviews"]
    assert [(each["what"], each["reviewer"], each["note"]) for each in reviews] == [
        ("accepted", AUTHOR, "as agreed"),
        ("accepted", "Grace", ""),
    ]
    assert "accepted by Grace" in hub.ok("merges", "list", "--tenant", contested)
    assert f"UTC {AUTHOR} accepted that (as agreed); on" in hub.ok(
        "merges", "explain", contested, str(capped)
    )


def test_what_was_accepted_can_still_be_restored(hub: RunningHub, contested: str) -> None:
    row = str(_row(hub, contested, "/cap"))
    hub.ok("merges", "accept", contested, row)
    hub.ok("merges", "restore", contested, row)
    assert hub.json("merges", "accept", contested, row)["accepted"] == [int(row)]
    reviews = hub.json("merges", "show", contested, row)["reviews"]
    assert [each["what"] for each in reviews] == ["accepted", "restored", "accepted"]


def test_all_that_match_are_accepted_after_asking(hub: RunningHub, contested: str) -> None:
    # when
    unasked = hub.run("merges", "accept", contested, "--all-matching", "--path", "/cap")
    told = hub.ok("merges", "accept", contested, "--all-matching", "--edge", "store-1", "--yes")

    # then
    assert unasked.code == 2
    assert "accept 1 row of tenant" in unasked.err
    assert "--yes" in unasked.err
    assert told == "ok 3 rows accepted: 1 2 3\n"
    assert hub.json("merges", "list", "--tenant", contested, "--unreviewed") == []


def test_an_operator_who_is_asked_may_say_no(
    hub: RunningHub, contested: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: somebody who looks
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("anabranch_hub.cli.merges.terminal.is_terminal", lambda stream: True)

    # when
    declined = hub.run("merges", "accept", contested, "--all-matching", stdin="n\n")
    agreed = hub.run("merges", "accept", contested, "--all-matching", "--path", "/cap", stdin="y\n")

    # then
    assert (declined.code, declined.out) == (0, "")
    assert f"accept 3 rows of tenant {contested}'s ledger? [y/N]: " in declined.err
    assert declined.err.endswith("nothing was accepted\n")
    assert agreed.out == "ok 1 row accepted: 2\n"


def test_which_rows_are_to_be_accepted_must_be_said_in_one_way(hub: RunningHub, contested: str) -> None:
    for arguments in ((), ("1", "--all-matching"), ("1", "--path", "/cap"), ("--path", "/cap")):
        assert hub.run("merges", "accept", contested, *arguments).code == 2
    unknown = hub.run("merges", "accept", contested, "1", "99")
    assert unknown.code == 3
    assert "has no row 99" in unknown.err
    assert hub.json("merges", "show", contested, "1")["reviews"] == []


@pytest.mark.parametrize(
    ("candidate", "policy", "after"),
    [
        (RecordedCandidate(("a", "b"), None, 2, ()), "latest", {"a": {"b": 2}, "s": [1]}),
        (RecordedCandidate(("a", "b"), None, DELETED, ()), "latest", {"a": {}, "s": [1]}),
        (RecordedCandidate(("a", "b", "c"), None, 2, ()), "latest", {"a": {"b": {"c": 2}}, "s": [1]}),
        (RecordedCandidate(("a",), None, 2, ()), "latest", {"a": 2, "s": [1]}),
        (RecordedCandidate(("s",), canonical(5), 5, ()), "union", {"a": {"b": 1}, "s": [1, 5]}),
        (RecordedCandidate(("s",), canonical(1), DELETED, ()), "union", {"a": {"b": 1}, "s": []}),
        (RecordedCandidate((), None, {}, ()), "latest", {}),
    ],
)
def test_restoring_writes_what_would_stand_if_the_loser_had_won(
    candidate: RecordedCandidate, policy: str, after: Object
) -> None:
    content: Object = {"a": {"b": 1}, "s": [1]}
    assert with_candidate(content, candidate, parse_policy(policy)) == after
    assert content == {"a": {"b": 1}, "s": [1]}


def test_what_is_not_in_the_ledger_is_said_so(hub: RunningHub, tenant: str) -> None:
    assert hub.run("merges", "show", tenant, "7").code == 3
    assert hub.run("merges", "list", "--tenant", tenant, "--policy", "newest").code == 2
    empty = hub.run("merges", "list", "--tenant", tenant)
    assert (empty.code, empty.out) == (0, "")
    assert "no such conflict" in empty.err
