"""`log`, `diff`, `export` and `get --at`: what an operator finds out about the past."""

from __future__ import annotations

import json

import pytest

from tests.running_hub import AUTHOR, RunningHub

ROUTER = "acme/prod/router"


@pytest.fixture
def history(hub: RunningHub, tenant: str) -> str:
    """A tenant whose router has three versions, at the positions 1, 2 and 4."""
    hub.ok("set", tenant, ROUTER, "", '{"limits": {"requests": 600}, "model": "gpt-4o"}', "-m", "first")
    hub.ok("set", tenant, ROUTER, "/limits/requests", "800", "-m", "launch day")
    hub.ok("set", tenant, "acme/prod/limits", "/tokens", "1", "-m", "elsewhere")
    hub.ok("delete", tenant, ROUTER, "/model")
    return tenant


def test_a_document_is_got_as_it_stood(hub: RunningHub, history: str) -> None:
    for reference, value in (("1", 600), ("@1", 600), ("2", 800), ("@3", 800), ("0s", 800)):
        assert hub.json("get", history, ROUTER, "/limits/requests", "--at", reference)["value"] == value
    assert hub.ok("get", history, ROUTER, "/model", "--at", "2") == '"gpt-4o"\n'
    assert hub.json("get", history, ROUTER, "--at", "@2")["hub_seq"] == 2


@pytest.mark.parametrize(
    ("reference", "code", "said"),
    [
        ("9", 3, "version 9 of acme/prod/router/config does not exist: see `anabranch-hub log"),
        ("@9", 3, "position 9 is still to come: the tenant stands at 4"),
        ("@0", 3, "document acme/prod/router/config as of @0 does not exist: see its versions with"),
        ("7d", 3, "document acme/prod/router/config as of 7d does not exist: see its versions with"),
        ("tuesday", 2, "reference 'tuesday' is refused: use a version (17), a position (@204)"),
        ("0", 2, "numbers go from 1"),
    ],
)
def test_a_state_that_never_was_is_one_clear_line(
    hub: RunningHub, history: str, reference: str, code: int, said: str
) -> None:
    ran = hub.run("get", history, ROUTER, "--at", reference)

    assert (ran.code, ran.out) == (code, "")
    (line,) = ran.err.splitlines()
    assert said in line


def test_the_log_tells_who_changed_a_document_the_latest_first(hub: RunningHub, history: str) -> None:
    heading, *lines = hub.ok("log", history, ROUTER).splitlines()
    page = hub.json("log", history, ROUTER, "--limit", "1")
    rest = hub.json("log", history, ROUTER, "--before", "3")

    assert heading.split() == ["version", "position", "decided", "from", "author", "message"]
    assert [line.split()[:2] for line in lines] == [["3", "4"], ["2", "2"], ["1", "1"]]
    assert lines[1].endswith(f"operator  {AUTHOR}  launch day")
    assert [each["version"] for each in page + rest] == [3, 2, 1]
    assert (rest[0]["message"], rest[0]["origin"], rest[0]["folded"]) == ("launch day", "operator", False)
    assert rest[0]["digest_before"] == rest[1]["digest_after"]


def test_the_log_below_a_namespace_is_in_the_order_of_decisions(hub: RunningHub, history: str) -> None:
    listed = hub.json("log", history, "acme/prod", "--below")
    table = hub.ok("log", history, "acme/prod", "--below", "--limit", "2").splitlines()

    assert [(each["hub_seq"], each["namespace"]) for each in listed] == [
        (4, ROUTER),
        (3, "acme/prod/limits"),
        (2, ROUTER),
        (1, ROUTER),
    ]
    assert len(table) == 3
    assert hub.run("log", history, "acme/prod", "--below", "--limit", "2").err == (
        "the latest 2; more: --before 3\n"
    )


def test_the_log_of_what_never_was_is_not_found(hub: RunningHub, history: str) -> None:
    assert hub.run("log", history, "acme/none").code == 3
    assert hub.run("diff", history, "acme/none").code == 3


def test_blame_tells_who_put_there_what_stands(hub: RunningHub, history: str) -> None:
    policies = {"team": "union", "used": "counter", "prompt": "text"}
    properties = {name: {"x-anabranch-merge": policy} for name, policy in policies.items()}
    schema = {"namespaces": ["acme/prod/*"], "schema": {"properties": properties}}
    hub.ok("set", history, "system/schemas", "", json.dumps(schema))
    merged = {"team": ["ada"], "used": 1, "prompt": "be brief"}
    for name, value in merged.items():
        hub.ok("set", history, ROUTER, f"/{name}", json.dumps(value))
    hub.ok("set", history, ROUTER, "/used", "3", "-m", "two more")
    hub.ok("set", history, ROUTER, "/prompt", "be very brief", "-m", "shorter")

    heading, *lines = hub.ok("blame", history, ROUTER).splitlines()
    described = hub.json("blame", history, ROUTER)

    assert heading.split() == ["path", "value", "position", "decided", "from", "author", "message"]
    assert [(each["path"], each["value"], each["hub_seq"], each["message"]) for each in described] == [
        ("/limits/requests", 800, 2, "launch day"),
        ("/prompt", "be very brief", 10, "shorter"),
        ("/team", "ada", 6, ""),
        ("/used", 3, 9, "two more"),
    ]
    assert [line.split()[0] for line in lines] == ["/limits/requests", "/prompt", "/team[]", "/used"]
    assert hub.run("blame", history, "acme/none").code == 3


def test_diff_shows_the_last_change_or_any_two_states(hub: RunningHub, history: str) -> None:
    assert hub.ok("diff", history, ROUTER).splitlines() == [
        "acme/prod/router/config  version 2 -> version 3",
        '- /model  "gpt-4o"',
    ]
    assert hub.ok("diff", history, ROUTER, "@0", "2").splitlines() == [
        "acme/prod/router/config  not there -> version 2",
        "+ /limits/requests  800",
        '+ /model  "gpt-4o"',
    ]
    assert hub.ok("diff", history, ROUTER, "1", "@2").splitlines()[1:] == ["~ /limits/requests  600 -> 800"]
    assert "\x1b" not in hub.ok("diff", history, ROUTER)
    same = hub.run("diff", history, ROUTER, "2", "@3")
    assert (same.code, same.out, same.err) == (0, "", "no difference\n")


def test_diff_prints_patches_both_ways(hub: RunningHub, history: str) -> None:
    forward = json.loads(hub.ok("diff", history, ROUTER, "1", "--patch"))
    inverse = json.loads(hub.ok("diff", history, ROUTER, "1", "--inverse"))
    both = hub.json("diff", history, ROUTER, "1")

    assert forward == [
        {"op": "remove", "path": "/model"},
        {"op": "replace", "path": "/limits/requests", "value": 800},
    ]
    assert inverse == [
        {"op": "replace", "path": "/limits/requests", "value": 600},
        {"op": "add", "path": "/model", "value": "gpt-4o"},
    ]
    assert (both["patch"], both["inverse"]) == (forward, inverse)
    assert (both["before"]["version"], both["after"]["version"], both["after"]["hub_seq"]) == (1, 3, 4)


def test_diff_below_a_namespace_compares_every_document(hub: RunningHub, history: str) -> None:
    assert hub.ok("diff", history, "acme/prod", "@1", "--below").splitlines() == [
        "acme/prod/limits/config  not there -> version 1",
        "+ /tokens  1",
        "acme/prod/router/config  version 1 -> version 3",
        "~ /limits/requests  600 -> 800",
        '- /model  "gpt-4o"',
    ]
    latest = hub.json("diff", history, "acme/prod", "--below")["documents"]
    assert [each["namespace"] for each in latest] == [ROUTER]
    refused = hub.run("diff", history, "acme/prod", "1", "--below")
    assert (refused.code, "versions count one document" in refused.err) == (2, True)


def test_a_namespace_is_exported_as_it_stood_and_can_be_imported(hub: RunningHub, history: str) -> None:
    then = json.loads(hub.ok("export", history, "acme/prod", "--at", "@1"))
    now = json.loads(hub.ok("export", history, "acme/prod"))
    hub.ok("import", history, "-", stdin=json.dumps(then))

    assert then == {"acme/prod/router/config": {"limits": {"requests": 600}, "model": "gpt-4o"}}
    assert now == {
        "acme/prod/limits/config": {"tokens": 1},
        "acme/prod/router/config": {"limits": {"requests": 800}},
    }
    assert hub.json("get", history, ROUTER)["value"] == then["acme/prod/router/config"]


def test_what_a_terminal_might_obey_never_leaves_a_comparison(hub: RunningHub, tenant: str) -> None:
    hub.ok("set", tenant, ROUTER, "/a", json.dumps("one\n\x1b]0;owned\x07" + "x" * 80))
    hub.ok("set", tenant, ROUTER, "/a", json.dumps("two\n\x9b2J\u202e" + "x" * 80))

    shown = hub.ok("diff", tenant, ROUTER)

    assert shown.replace("\n", "").isprintable()
