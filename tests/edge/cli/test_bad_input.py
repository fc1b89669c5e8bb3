"""Every bad input and bad day of an edge: one clear line, the documented code, nothing half done."""

import json
import sqlite3
from pathlib import Path

import pytest
from anabranch.replica import Replica

from tests.edge.cli.conftest import Anabranch, Ran


def assert_refused(ran: Ran, code: int, *words: str) -> None:
    """One line that has all the words, the code, and nothing on standard output."""
    assert ran.code == code
    assert ran.out == ""
    assert ran.err.startswith("anabranch: ")
    assert ran.err.count("\n") == 1
    assert ran.err.strip().isprintable()
    for word in words:
        assert word in ran.err


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("NaN", ["not a finite number", "write it as a string or null"]),
        ("Infinity", ["not a finite number"]),
        ("-Infinity", ["not a finite number"]),
        ('{"a": {"b": 1e400}}', ["/a/b", "not a finite number"]),
        ("18446744073709551616", ["18446744073709551616", "beyond 64 bits", "write it as a string"]),
        ('{"a": [-9223372036854775809]}', ["/a/0", "beyond 64 bits"]),
        ('{"a": {"b": 1, "b": 2}}', ["/a/b", "duplicate key", "keep one of them"]),
        ('{"a": "\\ud800"}', ["/a", "lone surrogate"]),
        ('{"\\ud800": 1}', ["lone surrogate"]),
        ("[" * 65 + "]" * 65, ["depth", "limit 64", "flatten it"]),
        ('"' + "x" * 262_144 + '"', ["acme/prod/router/config", "limit 262144", "split it"]),
        ("{'a': 1}", ["not JSON", "line 1 column 2", "--string"]),
    ],
)
def test_a_value_that_cannot_be_kept_is_refused(anabranch: Anabranch, value: str, words: list[str]) -> None:
    # given
    anabranch("set", "acme/prod/router", "/before", "1")

    # when
    by_argument = anabranch("set", "acme/prod/router", "/value", value)
    by_input = anabranch("set", "acme/prod/router", "/value", "-", stdin=value)

    # then
    for ran in (by_argument, by_input):
        assert_refused(ran, 2, *words)
    assert anabranch("get", "acme/prod/router").json == {"before": 1}


def test_the_depth_counts_from_the_document_and_not_from_the_value(anabranch: Anabranch) -> None:
    assert_refused(anabranch("set", "acme/lab/a", "/x/y", "[" * 63 + "]" * 63), 2, "limit 64")
    assert anabranch("set", "acme/lab/a", "/x/y", "[" * 62 + "]" * 62).code == 0


@pytest.mark.parametrize(
    "namespace",
    ["", "/", "acme//prod", "acme/../other", "acme/prod/..", "../acme", "acme/pr\x00od", "acme/prod\n",
     "acme/\x1b[2J", "acme/prod router", "acme/prod/é", "-acme", "acme/.hidden", "a/" * 8 + "a", "a" * 129,
     "acme/\udcff"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["get", "set", "delete", "list", "log", "watch", "export"])
def test_a_namespace_outside_its_grammar_is_refused(
    anabranch: Anabranch, command: str, namespace: str
) -> None:
    if command in ("list", "watch", "export") and namespace.strip("/") == "":
        return  # no prefix: everything
    value = ["/a", "1"] if command == "set" else []
    ran = anabranch(command, "--", namespace, *value)
    assert_refused(ran, 2, "namespace", "is refused")


@pytest.mark.parametrize("key", ["", "..", "a/b", "a\tb"])
def test_a_key_outside_its_grammar_is_refused(anabranch: Anabranch, key: str) -> None:
    assert_refused(anabranch("set", "acme/lab/a", "/a", "1", "--key", key), 2, "key", "is refused")


@pytest.mark.parametrize("pointer", ["limits", "/a~2", "/a" * 65])
def test_a_malformed_pointer_is_refused(anabranch: Anabranch, pointer: str) -> None:
    assert_refused(anabranch("set", "acme/lab/a", pointer, "1"), 2, "path", "is refused")
    assert_refused(anabranch("get", "acme/lab/a", pointer), 2, "path", "is refused")


@pytest.mark.parametrize(
    ("option", "value"), [("--author", "a\nb"), ("--author", "a" * 321), ("-m", "m\x1b"), ("-m", "m" * 1_001)]
)
def test_an_author_or_message_that_fits_no_line_is_refused(
    anabranch: Anabranch, option: str, value: str
) -> None:
    assert_refused(anabranch("set", "acme/lab/a", "/a", "1", option, value), 2, "is refused")
    assert anabranch("list").out == ""


def test_a_path_through_a_scalar_is_a_conflict_with_what_stands(anabranch: Anabranch) -> None:
    anabranch("set", "acme/lab/a", "/a", "1")
    assert_refused(anabranch("set", "acme/lab/a", "/a/b", "1"), 5, "a number at /a", "not an object")


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ('[{"op": "remove", "path": "/absent"}]', 5),
        ('[{"op": "test", "path": "/a", "value": 2}]', 5),
        ('[{"op": "conjure", "path": "/a"}]', 5),
        ('[{"path": "/a"}]', 5),
        ("[1]", 5),
        ('{"op": "remove", "path": "/a"}', 2),
        ("[", 2),
        ("", 2),
        ('[{"op": "add", "path": "/a", "value": NaN}]', 2),
        ('[{"op": "add", "path": "/b", "value": "' + "x" * 262_144 + '"}]', 2),
    ],
)
def test_a_patch_that_does_not_apply_is_refused(anabranch: Anabranch, patch: str, code: int) -> None:
    anabranch("set", "acme/lab/a", "/a", "1")
    assert_refused(anabranch("patch", "acme/lab/a", "-", stdin=patch), code)
    assert anabranch("get", "acme/lab/a").json == {"a": 1}


def test_a_write_to_the_schemas_is_the_operators_whatever_its_policy(anabranch: Anabranch) -> None:
    schema = {"namespaces": ["acme/*"], "schema": {"x-anabranch-merge": "loudest"}}
    ran = anabranch("set", "system/schemas", "", json.dumps(schema), "--key", "all")
    assert ran.code in (2, 4)
    assert anabranch("list").out == ""


@pytest.mark.parametrize(
    "arguments", [["get"], ["set", "a"], ["nonsense"], ["get", "a", "/b", "c"], ["set", "--x"]]
)
def test_a_command_line_that_makes_no_sense_is_refused(anabranch: Anabranch, arguments: list[str]) -> None:
    assert_refused(anabranch(*arguments), 2, "--help")
    assert anabranch(*arguments, "--json").error["exit_code"] == 2


def test_a_file_that_cannot_be_read_is_named(anabranch: Anabranch, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    assert_refused(anabranch("set", "acme/lab/a", "/a", f"@{absent}"), 2, absent, "No such file")
    assert_refused(anabranch("patch", "acme/lab/a", absent), 2, absent, "No such file")
    assert_refused(anabranch("import", absent), 2, absent, "No such file")


# The replica's bad days.

EVERY_COMMAND = [
    ["get", "acme/lab/a"],
    ["set", "acme/lab/a", "/a", "2"],
    ["patch", "acme/lab/a", "-"],
    ["delete", "acme/lab/a"],
    ["list"],
    ["import", "-"],
    ["export"],
    ["log", "acme/lab/a"],
    ["status"],
    ["conflicts"],
    ["watch", "--timeout", "0"],
    ["sync"],
    ["agent"],
]


def run_each(anabranch: Anabranch, code: int, *words: str) -> None:
    for arguments in EVERY_COMMAND:
        given = {"patch": "[]", "import": "{}"}.get(arguments[0], "")
        assert_refused(anabranch(*arguments, stdin=given), code, *words)


def test_without_a_replica_every_command_says_how_to_get_one(anabranch: Anabranch) -> None:
    # given
    anabranch.path.unlink()

    # then
    run_each(anabranch, 7, str(anabranch.path), "anabranch init")
    assert not anabranch.path.exists()


def test_a_replica_of_a_newer_schema_is_left_as_it_is(anabranch: Anabranch) -> None:
    # given
    with sqlite3.connect(anabranch.path) as connection:
        connection.execute("PRAGMA user_version=9999")
    connection.close()
    before = anabranch.path.read_bytes()

    # then
    run_each(anabranch, 1, str(anabranch.path), "9999", "update anabranch")
    assert anabranch.path.read_bytes() == before


@pytest.mark.parametrize("kept_bytes", [0, 100, 5_000])
def test_a_truncated_replica_is_found_and_not_repaired(anabranch: Anabranch, kept_bytes: int) -> None:
    # given
    anabranch("set", "acme/lab/a", "/a", "1")
    with anabranch.path.open("r+b") as file:
        file.truncate(kept_bytes)
    before = anabranch.path.read_bytes()

    # then
    run_each(anabranch, 8, str(anabranch.path))
    assert anabranch.path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look like one" * 100, b"{}"])
def test_a_file_that_is_no_replica_is_refused(anabranch: Anabranch, content: bytes) -> None:
    anabranch.path.write_bytes(content)
    run_each(anabranch, 8, str(anabranch.path))
    assert anabranch.path.read_bytes() == content


def test_a_directory_is_no_replica(anabranch: Anabranch, tmp_path: Path) -> None:
    assert anabranch("--replica", str(tmp_path), "list").code == 2


def test_a_second_agent_is_told_of_the_first(anabranch: Anabranch) -> None:
    # given
    with Replica.open(anabranch.path) as replica, replica.lock_agent():
        # then
        for command in ("agent", "sync"):
            assert_refused(anabranch(command), 1, "is its agent")
        assert anabranch("set", "acme/lab/a", "/a", "1").code == 0


def test_a_time_to_wait_that_never_ends_is_refused_before_anything_is_written(anabranch: Anabranch) -> None:
    ran = anabranch("set", "acme/prod/router", "/a", "1", "--wait", "stored", "--timeout", "nan")
    assert_refused(ran, 2, "--timeout", "'nan'")
    assert_refused(anabranch("watch", "--timeout", "nan"), 2, "--timeout", "'nan'")
    assert anabranch("list").out == ""
