"""`trim`: what an operator lets go of, and what is there afterwards as before."""

from __future__ import annotations

from tests.running_hub import RunningHub

ROUTER = "acme/prod/router"


def test_what_is_trimmed_is_told_before_and_its_history_and_log_stay(hub: RunningHub, tenant: str) -> None:
    for number in (1, 2, 3):
        hub.ok("set", tenant, ROUTER, "/a", str(number), "-m", f"to {number}")
    before = hub.json("log", tenant, ROUTER)

    young = hub.ok("trim", tenant)
    told = hub.json("trim", tenant, "--before", "3", "--dry-run")
    done = hub.json("trim", tenant, "--before", "3")
    rest = hub.ok("trim", tenant, "--keep-days", "0")

    assert young == "ok 0 changes up to position 0, 0 bytes\n"
    assert told == {**done, "dry_run": True}
    assert (done["upto"], done["changes"]) == (2, 2)
    assert rest.startswith("ok 1 change up to position 3, ")
    assert hub.json("log", tenant, ROUTER) == before
    hub.ok("audit", "verify", tenant)


def test_two_limits_or_one_that_is_still_to_come_are_refused(hub: RunningHub, tenant: str) -> None:
    both = hub.run("trim", tenant, "--keep-days", "1", "--before", "1")
    ahead = hub.run("trim", tenant, "--before", "9")

    assert (both.code, ahead.code) == (2, 3)
    assert "not both" in both.err
    assert "position 9 is still to come" in ahead.err
