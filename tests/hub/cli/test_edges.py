"""`tenant` and `edge`: who may use a hub."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from anabranch_hub.store import Edge, Store
from anabranch_protos.invitation import parse_token
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from tests.running_hub import RunningHub, run_hub_command


def test_a_tenant_is_made_once(hub: RunningHub, tenant: str) -> None:
    again = hub.run("tenant", "create", tenant)

    assert again.code == 5
    assert f"tenant {tenant} exists already" in again.err
    assert tenant in hub.ok("tenant", "list").split()
    assert tenant in [each["tenant"] for each in hub.json("tenant", "list")]


def test_an_invitation_is_one_line_that_knows_its_hub(hub: RunningHub, tenant: str) -> None:
    # when
    ran = hub.run("edge", "invite", tenant, "store-1", "--scope", "acme/prod", "--scope", "acme/dev")

    # then
    (line,) = ran.out.splitlines()
    token = parse_token(line)
    root = x509.load_pem_x509_certificate((hub.data_dir / "run/authority.pem").read_bytes())
    assert token.root_fingerprint == root.fingerprint(SHA256())
    assert line not in ran.err
    assert hub.listen in ran.err
    (edge,) = hub.json("edge", "list", tenant)
    assert (edge["edge"], edge["status"], edge["scope"]) == ("store-1", "invited", ["acme/dev", "acme/prod"])


def test_an_invitation_tells_programs_until_when_it_is_good(hub: RunningHub, tenant: str) -> None:
    before_ms = time.time_ns() // 1_000_000

    invited = hub.json("edge", "invite", tenant, "store-1", "--ttl", "2h")

    after_ms = time.time_ns() // 1_000_000
    assert before_ms + 7_200_000 <= invited["expires_ms"] <= after_ms + 7_200_000
    assert invited["scope"] == [tenant]


def test_a_revoked_edge_is_listed_as_such_and_cannot_be_invited_again(hub: RunningHub, tenant: str) -> None:
    # given
    hub.invite(tenant, "store-1")

    # when
    hub.ok("edge", "revoke", tenant, "store-1")
    hub.ok("edge", "revoke", tenant, "store-1")
    ran = hub.run("edge", "invite", tenant, "store-1")

    # then
    assert ran.code == 4
    assert "invite it under a new name" in ran.err
    assert "revoked" in hub.ok("edge", "list", tenant)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["edge", "invite", "{tenant}", "../x"], 2, "edge '../x' is refused"),
        (["edge", "invite", "{tenant}", "x", "--ttl", "0s"], 2, "from 1s to 7d"),
        (["edge", "invite", "{tenant}", "x", "--ttl", "8d"], 2, "from 1s to 7d"),
        (["edge", "invite", "{tenant}", "x", "--scope", "system/x"], 2, "every edge reads system already"),
        (["edge", "invite", "{tenant}", "x", "--scope", "a//b"], 2, "scope 'a//b' is refused"),
        (["edge", "invite", "nobody", "x"], 3, "tenant nobody does not exist"),
        (["edge", "revoke", "{tenant}", "nobody"], 3, "has no edge nobody"),
        (["edge", "list", "nobody"], 3, "tenant nobody does not exist"),
        (["tenant", "create", "system"], 2, "not global or system"),
        (["tenant", "create", "x" * 41], 2, "1 to 40"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    hub: RunningHub, tenant: str, arguments: list[str], code: int, said: str
) -> None:
    ran = hub.run(*(tenant if argument == "{tenant}" else argument for argument in arguments), "--json")

    assert (ran.code, ran.out) == (code, "")
    error = json.loads(ran.err)["error"]
    assert error["exit_code"] == code
    assert said in error["message"]


def test_a_postgres_alone_is_enough_to_read_and_too_little_to_invite(
    hub_process: RunningHub, tmp_path: Path
) -> None:
    """A token needs the root of the hub's authority, which stands in the data directory."""
    dsn = f"@{hub_process.data_dir / 'run/postgres-dsn'}"
    read = run_hub_command("--postgres", dsn, "tenant", "list")
    invited = run_hub_command("--postgres", dsn, "edge", "invite", "acme", "x", data_dir=tmp_path)
    assert read.code == 0
    assert (invited.code, invited.out) == (7, "")


def test_an_edges_budget_is_set_in_parts_listed_audited_and_taken_away(hub: RunningHub, tenant: str) -> None:
    # given
    hub.invite(tenant, "store-1")
    # when
    hub.ok("edge", "budget", tenant, "store-1", "--day", "2MB")
    said = hub.ok("edge", "budget", tenant, "store-1", "--month", "40MB")
    # then
    assert "2.0 MB a day, 40.0 MB a month" in said
    assert "2.0 MB a day, 40.0 MB a month" in hub.ok("edge", "list", tenant)
    assert "2.0 MB a day, 40.0 MB a month" in hub.ok("edge", "explain", tenant, "store-1")
    (edge,) = hub.json("edge", "list", tenant)
    assert (edge["budget_day_bytes"], edge["budget_month_bytes"]) == (2_000_000, 40_000_000)
    assert hub.ok("audit", "tail", tenant).count("edge.budget") == 2
    # and
    assert "no budget" in hub.ok("edge", "budget", tenant, "store-1", "--none")
    assert hub.run("edge", "budget", tenant, "store-1", "--none", "--day", "1MB").code == 2
    assert hub.run("edge", "budget", tenant, "store-1", "--day", "2").code == 2


def test_two_operators_who_set_a_limit_each_at_once_set_both(
    hub: RunningHub, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    hub.invite(tenant, "store-1")
    read = Store.edge

    async def read_then_overtaken(self: Store, tenant: str, edge: str) -> Edge:
        known = await read(self, tenant, edge)
        await self.set_budget(tenant, edge, day_bytes=None, month_bytes=40_000_000, author="ben")
        return known

    monkeypatch.setattr(Store, "edge", read_then_overtaken)
    # when
    said = hub.ok("edge", "budget", tenant, "store-1", "--day", "2MB")
    # then
    assert "2.0 MB a day, 40.0 MB a month" in said
    assert "2.0 MB a day, 40.0 MB a month" in hub.ok("edge", "list", tenant)


def test_traffic_of_an_edge_that_never_came_is_none_and_of_an_unknown_one_an_error(
    hub: RunningHub, tenant: str
) -> None:
    hub.invite(tenant, "store-1")

    assert hub.json("edge", "traffic", tenant, "store-1", "--by", "document") == []
    assert hub.ok("edge", "traffic", tenant, "store-1").split() == ["up", "down", "namespace"]
    assert hub.run("edge", "traffic", tenant, "nobody").code != 0
