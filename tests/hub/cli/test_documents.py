"""`get`, `set`, `delete`, `list`: what an operator does to documents, and every way to be refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.running_hub import RunningHub

ROUTER = "acme/prod/router"


def test_a_value_set_is_got_back_with_its_type(hub: RunningHub, tenant: str) -> None:
    # given
    for pointer, value in (("/limits/requests", "600"), ("/ratio", "1.0"), ("/model", "gpt-4o")):
        hub.ok("set", tenant, ROUTER, pointer, value)

    # when
    whole = hub.ok("get", tenant, ROUTER)
    model = hub.ok("get", tenant, ROUTER, "/model", "--raw")
    requests = hub.json("get", tenant, ROUTER, "/limits/requests")

    # then
    assert json.loads(whole) == {"limits": {"requests": 600}, "ratio": 1.0, "model": "gpt-4o"}
    assert '"ratio": 1.0' in whole
    assert model == "gpt-4o\n"
    assert (requests["value"], requests["version"], requests["path"]) == (600, 3, "/limits/requests")


def test_a_value_is_taken_from_standard_input_a_file_or_as_text(
    hub: RunningHub, tenant: str, tmp_path: Path
) -> None:
    (tmp_path / "value.json").write_text('{"b": [1, null]}')

    hub.ok("set", tenant, ROUTER, "", "-", stdin='{"a": 1}')
    hub.ok("set", tenant, ROUTER, "/c", f"@{tmp_path / 'value.json'}")
    hub.ok("set", tenant, ROUTER, "/version", "--string", "1.10")

    assert json.loads(hub.ok("get", tenant, ROUTER)) == {"a": 1, "c": {"b": [1, None]}, "version": "1.10"}


def test_a_deleted_value_and_a_deleted_document_are_gone(hub: RunningHub, tenant: str) -> None:
    # given
    hub.ok("set", tenant, ROUTER, "", '{"a": {"b": 1, "c": 2}}')

    # when
    hub.ok("delete", tenant, ROUTER, "/a/b")
    after_value = hub.json("get", tenant, ROUTER)
    hub.ok("delete", tenant, ROUTER)

    # then
    assert after_value["value"] == {"a": {"c": 2}}
    assert hub.run("get", tenant, ROUTER).code == 3
    assert hub.ok("list", tenant) == ""
    assert hub.run("delete", tenant, ROUTER).code == 3


def test_a_deleted_document_can_be_written_again(hub: RunningHub, tenant: str) -> None:
    hub.ok("set", tenant, ROUTER, "/a", "1")
    hub.ok("delete", tenant, ROUTER)

    written = hub.json("set", tenant, ROUTER, "/b", "2", "--if-version", "0")

    assert written["documents"][0]["version"] == 3
    assert hub.json("get", tenant, ROUTER)["value"] == {"b": 2}


def test_documents_are_listed_below_a_namespace_by_address(hub: RunningHub, tenant: str) -> None:
    for namespace in ("acme/prod/router", "acme/product", "acme/prod"):
        hub.ok("set", tenant, namespace, "/a", "1")

    assert hub.ok("list", tenant, "acme/prod").split() == ["acme/prod/config", "acme/prod/router/config"]
    assert [each["namespace"] for each in hub.json("list", tenant)] == [
        "acme/prod",
        "acme/prod/router",
        "acme/product",
    ]


def test_the_digest_of_a_scope_follows_its_documents(hub: RunningHub, tenant: str) -> None:
    empty = hub.json("digest", tenant, "--scope", "acme/prod")
    hub.ok("set", tenant, ROUTER, "/a", "1")
    hub.ok("set", tenant, "acme/dev", "/a", "1")

    written = hub.json("digest", tenant, "--scope", "acme/prod")
    hub.ok("delete", tenant, ROUTER)

    assert (empty["documents"], written["documents"]) == (0, 1)
    assert hub.json("digest", tenant, "--scope", "acme/prod")["digest"] == empty["digest"]
    assert hub.ok("digest", tenant, "--scope", "acme/prod").split()[0] == empty["digest"]


def test_many_operators_at_once_lose_nothing(hub_process: RunningHub, tenant: str) -> None:
    """Each edit reads, edits and writes the whole document; another one between starts it again."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda n: hub_process.ok("set", tenant, ROUTER, f"/by/{n}", str(n)), range(4)))
    assert hub_process.json("get", tenant, ROUTER)["value"] == {"by": {str(n): n for n in range(4)}}


def test_a_write_that_names_another_version_is_refused(hub: RunningHub, tenant: str) -> None:
    hub.ok("set", tenant, ROUTER, "/a", "1")

    ran = hub.run("set", tenant, ROUTER, "/a", "2", "--if-version", "7", "--json")

    assert (ran.code, ran.out) == (5, "")
    error = json.loads(ran.err)["error"]
    assert (error["kind"], error["facts"]["expected"], error["facts"]["found"]) == ("VersionMismatch", 7, 1)
    assert hub.json("get", tenant, ROUTER)["value"] == {"a": 1}


def test_a_value_can_never_drive_the_terminal_of_an_operator(hub: RunningHub, tenant: str) -> None:
    hub.ok("set", tenant, ROUTER, "/a", '"\\u001b[31m\\u009b1m\\u202etxt"')

    plain, as_json = hub.ok("get", tenant, ROUTER), hub.ok("get", tenant, ROUTER, "--json")

    for out in (plain, as_json):
        assert out.replace("\n", "").isprintable()
    assert json.loads(plain) == {"a": "\x1b[31m\x9b1m\u202etxt"}


REFUSED = [
    pytest.param(["set", "{tenant}", ROUTER, "/a", "NaN"], 2, "not a finite number", id="NaN"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", "-Infinity"], 2, "not a finite number", id="Infinity"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", "1e999"], 2, "not a finite number", id="1e999"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", str(2**64)], 2, "is beyond 64 bits", id="2^64"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", '{"b":1,"b":2}'], 2, "value at /a/b is", id="twice"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", '"\\ud800"'], 2, "lone surrogate", id="surrogate"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", "[" * 65 + "]" * 65], 2, "limit 64", id="depth 65"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", "{broken"], 2, "--string", id="not JSON"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", "@/nowhere/x"], 2, "/nowhere/x", id="no such file"),
    pytest.param(["set", "{tenant}", ROUTER, "", "[1]"], 2, "a JSON object, not a list", id="no object"),
    pytest.param(["set", "{tenant}", ROUTER, "a", "1"], 2, "must start with '/'", id="pointer"),
    pytest.param(["set", "{tenant}", "acme/../x", "/a", "1"], 2, "neither empty, nor '..'", id="dots"),
    pytest.param(["set", "{tenant}", "acme/\x1b[2Jx", "/a", "1"], 2, "\\x1b[2Jx", id="control character"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", "1", "--key", "a/b"], 2, "key 'a/b'", id="key"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", "1", "-m", "x" * 1001], 2, "limit 1000", id="message"),
    pytest.param(["set", "{tenant}", ROUTER, "/a", "1", "--author", "a\nb"], 2, "author", id="author"),
    pytest.param(["set", "Acme!", ROUTER, "/a", "1"], 2, "tenant 'Acme!' is refused", id="tenant name"),
    pytest.param(["set", "nobody", ROUTER, "/a", "1"], 3, "tenant create nobody", id="unknown tenant"),
    pytest.param(
        ["get", "{tenant}", ROUTER], 3, f"document {ROUTER}/config does not exist", id="no document"
    ),
    pytest.param(["delete", "{tenant}", ROUTER, "/x"], 3, "does not exist", id="nothing to delete"),
    pytest.param(
        [
            "set",
            "{tenant}",
            "system/schemas",
            "",
            '{"namespaces":["a/*"],"schema":{"x-anabranch-merge":"new"}}',
        ],
        2,
        "merge policy 'new' is unknown: use one of latest,",
        id="policy",
    ),
]


@pytest.mark.parametrize(("arguments", "code", "said"), REFUSED)
def test_bad_input_gets_one_clear_line_and_changes_nothing(
    hub: RunningHub, tenant: str, arguments: list[str], code: int, said: str
) -> None:
    # when
    ran = hub.run(*(tenant if argument == "{tenant}" else argument for argument in arguments))

    # then
    assert (ran.code, ran.out) == (code, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("anabranch-hub: ")
    assert said in line
    assert line.isprintable()
    assert hub.ok("list", tenant) == ""


def test_a_document_over_its_limit_is_refused(hub: RunningHub, tenant: str) -> None:
    ran = hub.run("set", tenant, ROUTER, "/a", "-", stdin=json.dumps("x" * 262_144))
    assert ran.code == 2
    assert "limit 262144: split it" in ran.err


def test_a_value_below_a_scalar_is_refused_with_the_place(hub: RunningHub, tenant: str) -> None:
    hub.ok("set", tenant, ROUTER, "/limits", "600")
    ran = hub.run("set", tenant, ROUTER, "/limits/requests", "1")
    assert ran.code == 5
    assert "has a number at /limits, not an object" in ran.err
