"""`quarantine` and what `get`, `set` and `list` say of documents whose head readers do not get."""

from __future__ import annotations

import json

import pytest

from tests.running_hub import RunningHub

ROUTER = "acme/prod/router"


@pytest.fixture
def quarantined(hub: RunningHub, tenant: str) -> str:
    """A tenant whose router is quarantined: version 1 is live, version 2 breaks the schema."""
    hub.ok("set", tenant, ROUTER, "", '{"limits": {"min": 1, "max": 900}}')
    hub.ok("set", tenant, "system/schemas", "", schema(600), "--key", "router")
    hub.ok("set", tenant, ROUTER, "/name", "x", "-m", "a name")
    return tenant


def schema(maximum: int) -> str:
    limit = {"type": "integer", "minimum": 1, "maximum": maximum}
    limits = {"properties": {"min": limit, "max": limit}}
    rule = {"name": "min below max", "require": ["/limits/min", "<=", "/limits/max"]}
    whole = {"namespaces": ["acme/*"], "schema": {"properties": {"limits": limits}}, "rules": [rule]}
    return json.dumps(whole)


def test_a_write_that_breaks_a_rule_is_refused_and_told_what_would_pass(hub: RunningHub, tenant: str) -> None:
    # given
    hub.ok("set", tenant, "system/schemas", "", schema(600), "--key", "router")
    hub.ok("set", tenant, ROUTER, "", '{"limits": {"min": 1, "max": 200}}')
    # when
    told = hub.run("set", tenant, ROUTER, "/limits/min", "300")
    facts = hub.run("set", tenant, ROUTER, "/limits/min", "300", "--json")
    # then
    assert told.code == facts.code == 5
    assert "what passes: /limits/min at most 200, or /limits/max at least 300" in told.err
    [violation] = json.loads(facts.err)["error"]["facts"]["violations"]
    assert violation["rule"] == "min below max"
    assert hub.json("get", tenant, ROUTER, "/limits/min")["value"] == 1


def test_a_schema_tells_how_many_standing_documents_would_not_pass_it(hub: RunningHub, tenant: str) -> None:
    # given
    hub.ok("set", tenant, ROUTER, "", '{"limits": {"max": 900}}')
    hub.ok("set", tenant, "acme/prod/gateway", "", '{"limits": {"max": 5}}')
    # when
    written = hub.run("set", tenant, "system/schemas", "", schema(600), "--key", "router")
    facts = hub.json("set", tenant, "system/schemas", "", schema(700), "--key", "router")
    checked = hub.json("quarantine", "check", tenant)
    # then
    assert "1 of the 2 standing documents" in written.err
    assert (facts["judged"], facts["broken"]) == (2, 1)
    assert [each["namespace"] for each in checked["broken"]] == [ROUTER]
    assert hub.json("get", tenant, ROUTER)["quarantine"] is None


def test_a_schema_that_cannot_be_compiled_is_refused_with_its_place(hub: RunningHub, tenant: str) -> None:
    # when
    remote = '{"namespaces": ["acme/*"], "schema": {"$ref": "http://127.0.0.1/x"}}'
    refused = hub.run("set", tenant, "system/schemas", "", remote, "--key", "router")
    # then
    assert refused.code == 2
    assert "/schema/$ref" in refused.err


def test_get_shows_live_and_head_on_request(hub: RunningHub, quarantined: str) -> None:
    # when
    live = hub.run("get", quarantined, ROUTER)
    head = hub.json("get", quarantined, ROUTER, "--head")
    # then
    assert "name" not in json.loads(live.out)
    assert "quarantined" in live.err
    assert "from 1 to 600" in live.err
    assert (head["value"]["name"], head["version"]) == ("x", 2)
    assert (head["quarantine"]["live_version"], head["quarantine"]["head_version"]) == (1, 2)


def test_quarantined_documents_are_listed_and_shown(hub: RunningHub, quarantined: str) -> None:
    # when
    listed = hub.json("quarantine", "list", "--tenant", quarantined)
    table = hub.ok("quarantine", "list")
    shown = hub.ok("quarantine", "show", quarantined, ROUTER)
    facts = hub.json("quarantine", "show", quarantined, ROUTER)
    long = hub.ok("list", quarantined, "acme", "-l")
    # then
    assert [each["namespace"] for each in listed] == [ROUTER]
    assert "version 1" in table
    assert "/limits/max" in table
    assert "what passes: a whole number from 1 to 600" in shown
    assert "/name" in shown
    assert "a name" in shown
    assert facts["patch"] == [{"op": "add", "path": "/name", "value": "x"}]
    assert [each["version"] for each in facts["changes"]] == [2]
    assert "quarantined" in long


def test_the_doctor_names_tenants_with_quarantined_documents(hub: RunningHub, quarantined: str) -> None:
    # when
    examined = hub.run("doctor")
    # then
    [line] = [line for line in (examined.out + examined.err).splitlines() if "quarantine list" in line]
    assert f"{quarantined} 1" in line


def test_an_edit_is_made_over_the_head_and_a_repair_releases_it(hub: RunningHub, quarantined: str) -> None:
    # when
    repaired = hub.json("set", quarantined, ROUTER, "/limits/max", "600")
    # then
    assert repaired["documents"][0]["quarantined"] is False
    assert hub.json("get", quarantined, ROUTER)["value"] == {"limits": {"min": 1, "max": 600}, "name": "x"}
    assert hub.json("quarantine", "list", "--tenant", quarantined) == []


def test_a_write_that_leaves_it_broken_says_so(hub: RunningHub, quarantined: str) -> None:
    # when
    written = hub.run("set", quarantined, ROUTER, "/other", "1")
    # then
    assert written.code == 0
    assert "still quarantined" in written.err


def test_live_is_taken_back_by_revert(hub: RunningHub, quarantined: str) -> None:
    # given: the schema lets pass what is live
    hub.ok("set", quarantined, "system/schemas", "", schema(900), "--key", "router")
    # when
    hub.ok("quarantine", "revert", quarantined, ROUTER)
    # then
    got = hub.json("get", quarantined, ROUTER)
    assert (got["value"], got["version"], got["quarantine"]) == ({"limits": {"min": 1, "max": 900}}, 3, None)
    assert hub.run("quarantine", "revert", quarantined, ROUTER).code == 3


def test_a_head_is_released_once_its_schema_lets_it_pass(hub: RunningHub, quarantined: str) -> None:
    # when
    early = hub.run("quarantine", "release", quarantined, ROUTER)
    hub.ok("set", quarantined, "system/schemas", "", schema(900), "--key", "router")
    hub.ok("quarantine", "release", quarantined, ROUTER)
    # then
    assert early.code == 5
    assert "from 1 to 600" in early.err
    got = hub.json("get", quarantined, ROUTER)
    assert (got["value"]["name"], got["quarantine"]) == ("x", None)
