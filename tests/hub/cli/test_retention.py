"""`retention`: how long an operator lets the past be read, and what is folded then."""

from __future__ import annotations

import psycopg
import pytest
from anabranch_hub.operations import whereabouts
from psycopg import sql

from tests.running_hub import RunningHub

ROUTER = "acme/prod/router"


@pytest.fixture
def aged(hub: RunningHub, tenant: str) -> str:
    """A tenant whose router has three versions, two of them from long ago."""
    for number in (1, 2, 3):
        hub.ok("set", tenant, ROUTER, "/a", str(number), "-m", f"to {number}")
    with psycopg.connect(whereabouts.postgres_dsn(hub.data_dir)) as connection:
        update = "UPDATE {}.changes SET received_at = now() - interval '91 days' WHERE hub_seq <= 2"
        connection.execute(sql.SQL(update).format(sql.Identifier(f"tenant_{tenant}")))
    return tenant


def test_versions_can_be_read_for_ninety_days_at_least(hub: RunningHub, tenant: str) -> None:
    default = hub.ok("retention", "show", tenant)
    refused = hub.run("retention", "set", tenant, "--days", "30")
    longer = hub.ok("retention", "set", tenant, "--days", "365")

    assert default == f"{tenant}: versions can be read for 90 days; nothing was folded yet\n"
    assert (refused.code, refused.out) == (2, "")
    assert "histories cannot be kept for 30 days: at least 90" in refused.err
    assert longer == f"ok {tenant}: 365 days\n"
    assert hub.json("retention", "show", tenant) == {"tenant": tenant, "days": 365, "folded_seq": 0}


def test_what_is_folded_is_listed_and_cannot_be_read(hub: RunningHub, aged: str) -> None:
    told = hub.json("retention", "fold", aged, "--dry-run")
    done = hub.ok("retention", "fold", aged)

    assert (told["documents"], told["versions"], told["upto"], told["damaged"]) == (1, 2, 2, [])
    assert done.startswith("ok 2 versions of 1 document up to position 2, ")
    assert hub.ok("retention", "fold", aged).startswith("ok 0 versions of 0 documents")
    assert hub.json("get", aged, ROUTER, "/a", "--at", "2")["value"] == 2
    ran = hub.run("get", aged, ROUTER, "/a", "--at", "1")
    assert (ran.code, ran.out) == (3, "")
    assert "the oldest that can be read is 2" in ran.err
    assert [each["folded"] for each in hub.json("log", aged, ROUTER)] == [False, True, True]
    assert "1 (folded)" in hub.ok("log", aged, ROUTER)
    assert "folded up to position 2" in hub.ok("retention", "show", aged)


def test_a_state_that_was_kept_comes_back_and_one_that_was_not_changes_nothing(
    hub: RunningHub, aged: str
) -> None:
    hub.ok("retention", "fold", aged)

    refused = hub.run("rollback", aged, ROUTER, "--to", "@1")
    hub.ok("rollback", aged, ROUTER, "--to", "@2")

    assert (refused.code, refused.out) == (3, "")
    assert hub.json("get", aged, ROUTER, "/a")["value"] == 2
    shown = hub.ok("diff", aged, ROUTER, "@2", "3").splitlines()
    assert shown[1:] == ["~ /a  2 -> 3"]


def test_a_damaged_history_is_named_and_ends_with_its_code(hub: RunningHub, aged: str) -> None:
    with psycopg.connect(whereabouts.postgres_dsn(hub.data_dir)) as connection:
        update = "UPDATE {}.versions SET patch = '[]', inverse = '[]'"
        connection.execute(sql.SQL(update).format(sql.Identifier(f"tenant_{aged}")))

    ran = hub.run("retention", "fold", aged)

    assert ran.code == 8
    assert ran.err == ("left as it is, for its history is not what was recorded: acme/prod/router/config\n")
    assert hub.json("get", aged, ROUTER, "/a")["value"] == 3
    damaged = hub.run("get", aged, ROUTER, "--at", "2")
    assert (damaged.code, "version 2 of acme/prod/router/config cannot be trusted" in damaged.err) == (
        8,
        True,
    )
