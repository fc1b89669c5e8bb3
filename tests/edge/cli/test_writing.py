import json
from pathlib import Path

import pytest

from tests.edge.cli.conftest import Anabranch


def test_set_acknowledges_with_the_dot_of_the_change(anabranch: Anabranch) -> None:
    assert anabranch("set", "acme/prod/router", "/a", "1").out == "ok 1:1 acme/prod/router/config\n"
    assert anabranch("set", "acme/prod/router", "/a", "1").out == "ok unchanged: it was so already\n"
    assert anabranch("set", "acme/prod/router", "/a", "2", "--json").json == {
        "dot": "1:2",
        "documents": ["acme/prod/router/config"],
        "quarantined": [],
    }


@pytest.mark.parametrize("number", ["-5", "-0.5", "-1e3"])
def test_a_negative_number_is_a_value_and_not_an_option(anabranch: Anabranch, number: str) -> None:
    anabranch("set", "acme/prod/router", "/a", number, "-m", "below zero")
    assert anabranch("get", "acme/prod/router", "/a").json == json.loads(number)
    assert anabranch("log", "acme/prod/router", "--json").json[0]["message"] == "below zero"


def test_types_are_kept_exactly(anabranch: Anabranch) -> None:
    # given
    text = '{"bool": true, "float": 1.0, "int": 1, "large": 9223372036854775807, "list": [], "object": {}}'
    anabranch("set", "acme/prod/router", "", "-", stdin=text)

    # when
    out = anabranch("get", "acme/prod/router").out

    # then
    assert json.dumps(json.loads(out)) == text


def test_a_value_comes_from_standard_input_or_a_file(anabranch: Anabranch, tmp_path: Path) -> None:
    # given
    file = tmp_path / "value"
    file.write_text("[1, 2]\n")

    # when
    anabranch("set", "acme/prod/router", "/in", "-", stdin='{"a": null}')
    anabranch("set", "acme/prod/router", "/file", f"@{file}")
    anabranch("set", "acme/prod/router", "/text", "--string", f"@{file}")

    # then
    assert anabranch("get", "acme/prod/router").json == {
        "in": {"a": None},
        "file": [1, 2],
        "text": "[1, 2]\n",
    }


def test_a_write_demands_a_version(anabranch: Anabranch) -> None:
    assert anabranch("set", "acme/prod/router", "/a", "1", "--if-version", "0").code == 0
    assert anabranch("set", "acme/prod/router", "/a", "2", "--if-version", "0").code == 5
    assert anabranch("set", "acme/prod/router", "/a", "2", "--if-version", "1").code == 0
    assert anabranch("delete", "acme/prod/router", "--if-version", "1").code == 5
    assert anabranch("get", "acme/prod/router", "/a").json == 2


def test_a_patch_applies_as_a_whole(anabranch: Anabranch, tmp_path: Path) -> None:
    # given
    anabranch("set", "acme/prod/router", "", '{"a": 1, "b": 2}')
    patch = tmp_path / "patch.json"
    patch.write_text('[{"op": "move", "from": "/a", "path": "/c"}, {"op": "remove", "path": "/b"}]')

    # when
    ran = anabranch("patch", "acme/prod/router", str(patch))

    # then
    assert ran.out == "ok 1:2 acme/prod/router/config\n"
    assert anabranch("get", "acme/prod/router").json == {"c": 1}


def test_a_patch_that_does_not_apply_changes_nothing(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/prod/router", "", '{"a": 1}')
    operations = '[{"op": "add", "path": "/b", "value": 2}, {"op": "test", "path": "/a", "value": 9}]'

    # when
    error = anabranch("patch", "acme/prod/router", "-", "--json", stdin=operations).error

    # then
    assert (error["kind"], error["exit_code"], error["facts"]["index"]) == ("PatchFailed", 5, 1)
    assert anabranch("get", "acme/prod/router").json == {"a": 1}


def test_delete_takes_a_value_or_the_document(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/prod/router", "", '{"a": 1, "b": 2}')
    anabranch.synced()

    # then
    assert anabranch("delete", "acme/prod/router", "/a").code == 0
    assert anabranch("get", "acme/prod/router").json == {"b": 2}
    assert anabranch("delete", "acme/prod/router", "/a").code == 3
    assert anabranch("delete", "acme/prod/router").code == 0
    assert anabranch("delete", "acme/prod/router").code == 3
    assert anabranch("get", "acme/prod/router").code == 3


@pytest.mark.parametrize(
    "namespace", ["global/limits", "system/schemas", "other/prod", "acme/product", "acme"]
)
def test_a_write_outside_the_scope_is_denied_offline(anabranch: Anabranch, namespace: str) -> None:
    # when
    ran = anabranch("set", namespace, "/a", "1")

    # then
    assert ran.code == 4
    assert ran.out == ""
    assert "acme/lab, acme/prod" in ran.err
    assert anabranch("list").out == ""


def test_who_writes_is_told_by_option_then_environment_then_replica(anabranch: Anabranch) -> None:
    # when
    anabranch("set", "acme/lab/a", "/x", "1")
    edsger = {"ANABRANCH_AUTHOR": "Edsger"}
    anabranch.apart("set", "acme/lab/a", "/x", "2", environment=edsger)
    anabranch("set", "acme/lab/a", "/x", "3", "--author", "Grace")

    # then
    assert [line["author"] for line in anabranch("log", "acme/lab/a", "--json").json] == [
        "Ada",
        "Edsger",
        "Grace",
    ]
