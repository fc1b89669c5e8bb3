"""`collect` and `edge retire`: deletions that everybody has seen leave what travels."""

from __future__ import annotations

from tests.running_hub import RunningHub

ROUTER = "acme/prod/router"


def test_what_is_collected_is_told_before_and_its_history_and_log_stay(hub: RunningHub, tenant: str) -> None:
    hub.ok("set", tenant, ROUTER, "/a", "1")
    hub.ok("set", tenant, ROUTER, "/b", "2")
    hub.ok("delete", tenant, ROUTER)
    before = hub.json("log", tenant, ROUTER)

    told = hub.json("collect", tenant, "--dry-run")
    done = hub.json("collect", tenant)

    assert told == {**done, "dry_run": True}
    assert (done["upto"], done["tombstones"], done["documents"]) == (3, 2, 1)
    assert hub.ok("collect", tenant) == "ok 0 tombstones of 0 documents up to position 3\n"
    assert hub.json("log", tenant, ROUTER) == before
    hub.ok("audit", "verify", tenant)


def test_a_retired_edge_is_shown_as_one(hub: RunningHub, tenant: str) -> None:
    hub.ok("edge", "invite", tenant, "e1")

    done = hub.ok("edge", "retire", tenant, "e1")

    assert done == f"ok edge e1 of tenant {tenant} is retired\n"
    assert "invited, retired" in hub.ok("edge", "list", tenant)
    assert hub.run("edge", "retire", tenant, "e2").code == 3
