"""`rollback`: a state of the past comes back as a new change, of one document or of a whole namespace."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.running_hub import RunningHub

ROUTER = "acme/prod/router"
LIMITS = "acme/prod/limits"


@pytest.fixture
def history(hub: RunningHub, tenant: str) -> str:
    """Router and limits at position 1 and 2, router changed at 3, limits deleted and a new one at 4 and 5."""
    hub.ok("set", tenant, ROUTER, "", '{"limits": {"requests": 600}, "model": "gpt-4o"}')
    hub.ok("set", tenant, LIMITS, "/tokens", "1")
    hub.ok("set", tenant, ROUTER, "/limits/requests", "800")
    hub.ok("delete", tenant, LIMITS)
    hub.ok("set", tenant, "acme/prod/new", "/x", "1")
    return tenant


def test_a_document_is_rolled_back_by_a_new_change_that_says_so(hub: RunningHub, history: str) -> None:
    said = hub.ok("rollback", history, ROUTER, "--to", "1", "-m", "too many")

    assert said == "ok acme/prod/router/config as at version 1 (position 1), position 6\n"
    assert hub.json("get", history, ROUTER)["value"] == {"limits": {"requests": 600}, "model": "gpt-4o"}
    latest = hub.json("log", history, ROUTER)[0]
    assert (latest["version"], latest["origin"], latest["rolled_back_to"]) == (3, "rollback", 1)
    assert latest["message"] == "rollback to version 1 (position 1): too many"
    assert "rollback to @1" in hub.ok("log", history, ROUTER)
    assert hub.json("get", history, ROUTER, "--at", "2")["value"]["limits"] == {"requests": 800}


def test_a_rollback_is_rolled_back_like_any_change(hub: RunningHub, history: str) -> None:
    hub.ok("rollback", history, ROUTER, "--to", "1")

    hub.ok("rollback", history, ROUTER, "--to", "2")

    assert hub.json("get", history, ROUTER, "/limits/requests")["value"] == 800
    assert hub.json("diff", history, ROUTER, "2")["patch"] == []


def test_what_stands_already_is_not_written_again(hub: RunningHub, history: str) -> None:
    assert hub.ok("rollback", history, ROUTER, "--to", "2") == "ok unchanged: it is so already\n"
    assert len(hub.json("log", history, ROUTER)) == 2


def test_a_deleted_document_comes_back_and_can_go_again(hub: RunningHub, history: str) -> None:
    hub.ok("rollback", history, LIMITS, "--to", "1")
    assert hub.json("get", history, LIMITS)["value"] == {"tokens": 1}

    hub.ok("rollback", history, LIMITS, "--to", "2")
    assert hub.run("get", history, LIMITS).code == 3


def test_a_namespace_is_rolled_back_in_one_change(hub: RunningHub, history: str) -> None:
    hub.ok("set", history, "acme/dev", "/outside", "1")

    said = hub.ok("rollback", history, "acme/prod", "--below", "--to", "@2")

    assert said == "ok 3 documents as at position 2, position 7\n"
    then = json.loads(hub.ok("export", history, "acme/prod", "--at", "@2"))
    assert json.loads(hub.ok("export", history, "acme/prod")) == then
    assert hub.json("get", history, "acme/dev")["value"] == {"outside": 1}
    changed = hub.json("log", history, "acme/prod", "--below", "--limit", "1")
    assert {(each["hub_seq"], each["origin"]) for each in changed} == {(7, "rollback")}
    assert len(changed) == 3

    hub.ok("rollback", history, "acme/prod", "--below", "--to", "@6")
    assert json.loads(hub.ok("export", history, "acme/prod")) == json.loads(
        hub.ok("export", history, "acme/prod", "--at", "@6")
    )


def test_documents_that_were_not_there_then_are_kept_when_asked(hub: RunningHub, history: str) -> None:
    hub.ok("rollback", history, "acme/prod", "--below", "--to", "@2", "--keep-new")

    assert hub.ok("list", history, "acme/prod").split() == [
        "acme/prod/limits/config",
        "acme/prod/new/config",
        "acme/prod/router/config",
    ]


def test_a_dry_run_shows_what_would_change_and_changes_nothing(hub: RunningHub, history: str) -> None:
    shown = hub.ok("rollback", history, "acme/prod", "--below", "--to", "@2", "--dry-run")
    as_json = hub.json("rollback", history, ROUTER, "--to", "1", "--dry-run")

    assert shown.splitlines() == [
        "acme/prod/limits/config  not there -> version 1",
        "+ /tokens  1",
        "acme/prod/new/config  version 1 -> not there",
        "- /x  1",
        "acme/prod/router/config  version 2 -> version 1",
        "~ /limits/requests  800 -> 600",
    ]
    assert (as_json["hub_seq"], as_json["rolled_back_to"]) == (None, 1)
    assert as_json["documents"][0]["patch"] == [{"op": "replace", "path": "/limits/requests", "value": 600}]
    assert hub.json("get", history, ROUTER)["version"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([ROUTER, "--to", "9"], 3, "version 9 of acme/prod/router/config does not exist"),
        ([LIMITS, "--to", "@1"], 3, "nobody had written it yet"),
        (["acme/none", "--to", "2h"], 3, "nobody had written it yet"),
        (["acme/prod", "--below", "--to", "3"], 2, "versions count one document"),
        (["acme/prod", "--below", "--to", "@99"], 3, "position 99 is still to come"),
        ([ROUTER, "--to", "1", "--keep-new"], 2, "--keep-new goes with --below"),
        ([ROUTER], 2, "Missing option '--to'"),
    ],
)
def test_a_state_that_never_was_cannot_come_back(
    hub: RunningHub, history: str, arguments: list[str], code: int, said: str
) -> None:
    ran = hub.run("rollback", history, *arguments)

    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert hub.json("get", history, ROUTER)["version"] == 2


def test_a_rollback_too_large_for_one_change_names_the_limit_and_changes_nothing(
    hub: RunningHub, tenant: str
) -> None:
    large = {f"acme/prod/n{number}/config": {"text": "x" * 250_000} for number in range(6)}
    hub.ok("import", tenant, "-", stdin=json.dumps(large))
    position = hub.json("log", tenant, "acme/prod", "--below", "--limit", "1")[0]["hub_seq"]
    for address in large:
        hub.ok("delete", tenant, address.removesuffix("/config"))

    ran = hub.run("rollback", tenant, "acme/prod", "--below", "--to", f"@{position}")

    assert (ran.code, ran.out) == (5, "")
    assert "bytes, limit 1048576: nothing was changed; roll back a part" in ran.err
    assert hub.ok("list", tenant) == ""


def test_a_rollback_beside_other_writers_loses_none_of_their_writes(
    hub_process: RunningHub, history: str
) -> None:
    with ThreadPoolExecutor() as pool:
        writes = [
            pool.submit(hub_process.ok, "set", history, ROUTER, f"/by/{number}", str(number))
            for number in range(2)
        ]
        back = pool.submit(hub_process.ok, "rollback", history, ROUTER, "--to", "1")
        for each in (*writes, back):
            each.result()

    log = hub_process.json("log", history, ROUTER)
    contents = [
        hub_process.json("get", history, ROUTER, "--at", str(each["version"]))["value"] for each in log
    ]
    # each change made what it said of what stood right before it
    for each, after, before in zip(log, contents, contents[1:], strict=False):
        if each["origin"] == "rollback":
            assert after == {"limits": {"requests": 600}, "model": "gpt-4o"}
        elif "by" in after:
            assert before.get("by", {}).items() <= after["by"].items()


def test_a_rollback_to_what_a_schema_refuses_by_now_changes_nothing(hub: RunningHub, tenant: str) -> None:
    hub.ok("set", tenant, ROUTER, "/requests", "500")
    hub.ok("set", tenant, LIMITS, "/requests", "1")
    schema = {"namespaces": ["acme/prod/*"], "schema": {"properties": {"requests": {"maximum": 100}}}}
    hub.ok("set", tenant, "system/schemas", "", json.dumps(schema))
    for namespace in (ROUTER, LIMITS):
        hub.ok("set", tenant, namespace, "/requests", "50")

    one = ("rollback", tenant, ROUTER, "--to", "1")
    both = ("rollback", tenant, "acme/prod", "--below", "--to", "@2")

    for words in (one, both, (*one, "--dry-run"), (*both, "--dry-run")):
        ran = hub.run(*words)
        assert (ran.code, ran.out) == (5, "")
        assert "acme/prod/router/config is refused by schema" in ran.err
    assert {hub.json("get", tenant, each)["value"]["requests"] for each in (ROUTER, LIMITS)} == {50}


def test_a_message_that_is_too_long_with_what_stands_before_it_is_refused_by_a_trial_too(
    hub: RunningHub, history: str
) -> None:
    ran = hub.run("rollback", history, ROUTER, "--to", "1", "--dry-run", "-m", "m" * 1_000)

    assert (ran.code, ran.out) == (2, "")
    assert "1036 characters, limit 1000" in ran.err


def test_a_counter_goes_back_to_its_old_sum(hub: RunningHub, tenant: str) -> None:
    counting = {"properties": {"n": {"x-anabranch-merge": "counter"}}}
    schema = {"namespaces": ["acme/prod/*"], "schema": counting}
    hub.ok("set", tenant, "system/schemas", "", json.dumps(schema))
    for number in ("5", "9", "7"):
        hub.ok("set", tenant, ROUTER, "/n", number)

    hub.ok("rollback", tenant, ROUTER, "--to", "2")

    assert hub.json("get", tenant, ROUTER)["value"] == {"n": 9}
    assert hub.ok("diff", tenant, ROUTER).splitlines()[1:] == ["~ /n  7 -> 9"]
