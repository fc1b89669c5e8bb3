"""What the commands say of rules, and of documents that break them."""

import json

import pytest
from anabranch.replica import Replica
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId, document_id
from anabranch_sync.scope import Scope

from tests.edge.cli.conftest import Anabranch

SCHEMA = document_id("system/schemas", "router")
ROUTER = "acme/prod/router"
RULED: Object = {
    "namespaces": ["acme/prod/*"],
    "schema": {
        "properties": {
            "min": {"type": "integer"},
            "max": {"type": "integer", "maximum": 600},
            "name": {"type": "string"},
        }
    },
    "rules": [{"name": "min below max", "require": ["/min", "<=", "/max"], "message": "limits cross"}],
}


class Hub:
    """The hub of the command line's replica, in memory."""

    def __init__(self, anabranch: Anabranch) -> None:
        self.anabranch = anabranch
        self.memory = MemoryHub(Scope(("acme/prod", "acme/lab")), lambda: 2**41)

    def write(self, document: DocumentId, content: Object | None) -> None:
        self.memory.write(document, content)

    def exchange(self, *, push: bool = True) -> None:
        with Replica.open(self.anabranch.path) as replica:
            standing = replica.standing()
            incarnation = self.memory.open_replica(standing.incarnation).incarnation
            replica.adopt(incarnation)
            opening = self.memory.open_replica(incarnation)
            if push and (entries := list(replica.pending(opening.push_mark))):
                self.memory.decide(entries, opening.chain)
            pull = self.memory.pull(incarnation, standing.cursor, always=True)
            assert pull is not None
            replica.apply(pull, 0)


@pytest.fixture
def hub(anabranch: Anabranch) -> Hub:
    """A hub with the schema and a valid router, which the edge has."""
    made = Hub(anabranch)
    made.write(SCHEMA, RULED)
    made.write(document_id(ROUTER), {"min": 1, "max": 9})
    made.exchange()
    return made


@pytest.fixture
def quarantined(anabranch: Anabranch, hub: Hub) -> Hub:
    """The edge raises min while the hub lowers max: min 8 over max 5."""
    anabranch("set", ROUTER, "/min", "8")
    hub.write(document_id(ROUTER), {"min": 1, "max": 5})
    hub.exchange()
    return hub


@pytest.mark.usefixtures("hub")
def test_a_write_that_breaks_a_rule_is_refused_with_the_way_out(anabranch: Anabranch) -> None:
    # when
    ran = anabranch("set", ROUTER, "/min", "10")
    # then
    assert ran.code == 5
    assert "/min is 10 and /max is 9: limits cross (rule min below max)" in ran.err
    assert "what passes: /min at most 9, or /max at least 10" in ran.err
    assert anabranch("get", ROUTER).json == {"min": 1, "max": 9}
    assert anabranch("status", "--json").json["outbox"] == 0


@pytest.mark.usefixtures("hub")
def test_a_refusal_in_json_holds_every_violation(anabranch: Anabranch) -> None:
    # when
    error = anabranch("set", ROUTER, "", '{"max": 900, "name": 1}', "--json").error
    # then
    assert (error["kind"], error["exit_code"]) == ("Invalid", 5)
    facts = error["facts"]
    assert (facts["document"], facts["schema"]) == (f"{ROUTER}/config", "router@1")
    assert [(each["place"], each["passes"]) for each in facts["violations"]] == [
        ("/max", "a whole number of at most 600"),
        ("/name", "a string"),
    ]


@pytest.mark.usefixtures("hub")
def test_an_import_with_one_invalid_document_writes_none(anabranch: Anabranch) -> None:
    # given
    documents = {f"acme/prod/d{number}/config": {"name": "x" * 2_000} for number in range(300)}
    # when
    ran = anabranch("import", "-", stdin=json.dumps({**documents, f"{ROUTER}/config": {"max": 601}}))
    # then
    assert ran.code == 5
    assert anabranch("list").out.split() == [f"{ROUTER}/config", f"{SCHEMA}"]


@pytest.mark.usefixtures("quarantined")
def test_readers_get_the_last_valid_version_and_are_told(anabranch: Anabranch) -> None:
    # when
    live, head = anabranch("get", ROUTER), anabranch("get", ROUTER, "--head", "--json").json
    facts = anabranch("get", ROUTER, "--json").json
    # then
    assert live.json == {"min": 1, "max": 5}
    assert "quarantined" in live.err
    assert "min below max" in live.err
    assert (facts["quarantined"], facts["version"]) == (True, 2)
    assert facts["violations"][0]["rule"] == "min below max"
    assert (head["value"], head["version"], head["quarantined"]) == ({"min": 8, "max": 5}, 3, False)


@pytest.mark.usefixtures("quarantined")
def test_status_conflicts_list_and_doctor_tell_of_quarantine(anabranch: Anabranch) -> None:
    # when
    status, told = anabranch("status", "--json").json, anabranch("conflicts")
    facts = anabranch("conflicts", "--json").json["quarantined"]
    long, doctor = anabranch("list", "-l", "acme"), anabranch("doctor", "--offline", "--json")
    # then
    assert status["quarantined"] == 1
    assert "quarantined" in told.out
    assert "what passes: /min at most 5, or /max at least 8" in told.out
    assert [(each["live_version"], each["head_version"]) for each in facts] == [(2, 3)]
    assert long.out.splitlines()[1].endswith("quarantined")
    checks = {each["name"]: each["verdict"] for each in json.loads(doctor.out)["checks"]}
    assert checks["validity"] == "warn"
    assert "1 document quarantined" in anabranch("status").out


@pytest.mark.usefixtures("quarantined")
def test_an_edit_is_made_over_the_head_and_says_that_readers_do_not_see_it(anabranch: Anabranch) -> None:
    # when
    ran = anabranch("set", ROUTER, "/name", "x")
    # then
    assert ran.code == 0
    assert "stays quarantined" in ran.err
    assert anabranch("get", ROUTER, "--head").json == {"min": 8, "max": 5, "name": "x"}
    assert anabranch("get", ROUTER).json == {"min": 1, "max": 5}


def test_a_repair_is_read_at_once_and_stays(anabranch: Anabranch, quarantined: Hub) -> None:
    # when
    anabranch("set", ROUTER, "/min", "2")
    # then
    assert anabranch("get", ROUTER).json == {"min": 2, "max": 5}
    quarantined.exchange()
    assert quarantined.memory.quarantined == {}
    assert anabranch("get", ROUTER, "--json").json["quarantined"] is False
    assert anabranch("conflicts", "--json").json["quarantined"] == []


def test_what_was_never_valid_is_not_found_and_the_reason_is_told(anabranch: Anabranch, hub: Hub) -> None:
    # given: a document made under a schema that has changed by the time the hub decides
    anabranch("set", "acme/prod/new", "/min", "1")
    hub.write(SCHEMA, {**RULED, "schema": {"required": ["owner"]}})
    hub.exchange()
    # when
    ran = anabranch("get", "acme/prod/new")
    # then
    assert ran.code == 3
    assert "never been valid" in ran.err
    assert "/owner" in ran.err
    assert anabranch("get", "acme/prod/new", "--head").json == {"min": 1}


def test_a_schema_of_a_newer_release_judges_nothing_and_doctor_says_so(
    anabranch: Anabranch, hub: Hub
) -> None:
    # given: what this release's hub would have refused
    registers = hub.memory.documents
    hub.write(SCHEMA, {**RULED, "rules": []})
    strange: Object = {"namespaces": ["acme/prod/*"], "schema": {"properties": {"max": {"type": "decimal"}}}}
    hub.memory.documents = dict(registers)
    hub.write(SCHEMA, strange)
    hub.exchange()
    # when
    written = anabranch("set", ROUTER, "/max", "9000")
    doctor = json.loads(anabranch("doctor", "--offline", "--json").out)
    # then
    assert written.code == 0
    [check] = [each for each in doctor["checks"] if each["name"] == "schemas"]
    assert check["verdict"] == "warn"
    assert "router" in check["found"]
    assert "update anabranch" in check["hint"]
