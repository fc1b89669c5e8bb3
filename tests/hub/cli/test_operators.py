"""`operator` and the ledger from afar: the same commands, the same output, in the certificate's name."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub.cli.conftest import run_far
from tests.hub.cli.disputes import dispute
from tests.running_hub import AUTHOR, Ran, RunningHub


@dataclass(frozen=True, slots=True)
class Far:
    """An operator's machine: an identity, and nothing of the hub's."""

    hub: RunningHub
    tenant: str
    identity: Path

    def run(self, *arguments: str) -> Ran:
        return run_far(*arguments, "--identity", str(self.identity))


def enrolled(hub: RunningHub, tenant: str, operator: str, folder: Path, *options: str) -> Far:
    token = folder / f"{operator}.token"
    token.write_text(hub.ok("operator", "invite", tenant, operator, *options))
    out = folder / operator
    ran = run_far("operator", "enrol", "--hub", hub.listen, "--token", f"@{token}", "--out", str(out))
    assert ran.code == 0, ran.err
    return Far(hub, tenant, out)


@pytest.fixture
def olga(hub: RunningHub, tenant: str, tmp_path: Path) -> Far:
    """An operator of a tenant with three conflicts."""
    dispute(hub, tenant)
    return enrolled(hub, tenant, "olga", tmp_path)


def test_an_invitation_becomes_a_certificate_whose_key_its_owner_alone_can_read(
    hub: RunningHub, tenant: str, tmp_path: Path
) -> None:
    # when
    far = enrolled(hub, tenant, "olga", tmp_path, "--days", "7")

    # then
    assert {each.name for each in far.identity.iterdir()} == {"key.pem", "cert.pem", "ca.pem", "hub.json"}
    assert stat.S_IMODE(far.identity.stat().st_mode) == 0o700
    assert stat.S_IMODE((far.identity / "key.pem").stat().st_mode) == 0o600
    (listed,) = hub.json("operator", "list", tenant)
    assert (listed["operator"], listed["status"], listed["invited_by"]) == ("olga", "enrolled", AUTHOR)
    assert "olga      enrolled  20" in hub.ok("operator", "list", tenant)


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--tenant", "{tenant}"),
        ("list",),
        ("list", "--path", "/cap", "--edge", "store-1", "--since", "7d", "--unreviewed", "--json"),
        ("list", "--limit", "1", "--before", "3", "--json"),
        ("show", "{tenant}", "1"),
        ("show", "{tenant}", "2", "--json"),
        ("explain", "{tenant}", "3"),
        ("explain", "{tenant}", "3", "--json"),
        ("stats", "--tenant", "{tenant}"),
        ("stats", "--tenant", "{tenant}", "--policy", "min", "--json"),
        ("restore", "{tenant}", "2", "--dry-run", "--json"),
        ("show", "{tenant}", "99"),
        ("restore", "{tenant}", "1", "--candidate", "7"),
        ("accept", "{tenant}", "1", "99"),
    ],
    ids=" ".join,
)
def test_from_afar_a_command_says_what_it_says_beside_the_hub(olga: Far, arguments: tuple[str, ...]) -> None:
    # given: beside the hub, all tenants are listed unless one is named
    given = ["merges", *(each.format(tenant=olga.tenant) for each in arguments)]
    near = given if olga.tenant in given else [*given, "--tenant", olga.tenant]

    # when
    here, far = olga.hub.run(*near), olga.run(*given)

    # then
    assert (far.code, far.out) == (here.code, here.out)
    assert far.err == here.err


def test_what_an_operator_does_from_afar_bears_the_name_of_the_certificate(olga: Far) -> None:
    # when
    accepted = olga.run("merges", "accept", olga.tenant, "1", "--author", "Mallory", "-m", "fine")
    restored = olga.run("merges", "restore", olga.tenant, "2", "--author", "Mallory", "-m", "no")

    # then
    assert (accepted.out, accepted.code) == ("ok 1 row accepted: 1\n", 0)
    assert restored.code == 0, restored.err
    for row in ("1", "2"):
        (review,) = olga.hub.json("merges", "show", olga.tenant, row)["reviews"]
        assert review["reviewer"] == "olga"
    log = olga.hub.json("log", olga.tenant, "acme/prod/router")
    assert "olga" in json.dumps(log)
    assert "Mallory" not in json.dumps(log)
    again = olga.run("merges", "restore", olga.tenant, "2")
    assert again.out.startswith("ok unchanged: candidate 1 stands already")


def test_all_that_match_are_accepted_from_afar_too(olga: Far) -> None:
    ran = olga.run("merges", "accept", olga.tenant, "--all-matching", "--kind", "value", "--yes")
    assert ran.out == "ok 3 rows accepted: 1 2 3\n"


def test_another_tenant_is_refused_whether_it_is_there_or_not(
    hub: RunningHub, olga: Far, disputed_elsewhere: str
) -> None:
    for tenant in (disputed_elsewhere, "no-such-tenant"):
        ran = olga.run("merges", "show", tenant, "1")
        assert ran.code == 4
        assert f"is for tenant {olga.tenant} only: {tenant} is another's" in ran.err


@pytest.fixture
def disputed_elsewhere(hub: RunningHub, tmp_path: Path) -> str:
    tenant = f"elsewhere-{abs(hash(tmp_path)) % 10**8}"
    hub.ok("tenant", "create", tenant)
    dispute(hub, tenant)
    return tenant


def test_a_revoked_operator_is_refused_at_once_and_for_good(olga: Far) -> None:
    # when
    revoked = olga.hub.ok("operator", "revoke", olga.tenant, "olga")

    # then
    assert revoked == f"ok operator olga of tenant {olga.tenant} is revoked\n"
    ran = olga.run("merges", "list")
    assert ran.code == 4
    assert "operator olga of tenant" in ran.err
    assert olga.hub.run("operator", "invite", olga.tenant, "olga").code == 4
    assert olga.hub.run("operator", "revoke", olga.tenant, "nobody").code == 3


def test_a_token_is_good_once_and_only_for_an_operator(hub: RunningHub, tenant: str, tmp_path: Path) -> None:
    # given
    used, edges = tmp_path / "used", tmp_path / "edges"
    used.write_text(hub.ok("operator", "invite", tenant, "olga"))
    edges.write_text(hub.invite(tenant, "store-1", "acme"))

    def enrols(token: Path, out: str) -> Ran:
        return run_far(
            *("operator", "enrol", "--hub", hub.listen, "--token", f"@{token}", "--out", str(tmp_path / out))
        )

    # when
    first, second, wrong = enrols(used, "one"), enrols(used, "two"), enrols(edges, "three")

    # then
    assert first.code == 0
    assert (second.code, wrong.code) == (4, 4)
    assert "used" in second.err
    assert "unknown" in wrong.err
    assert not (tmp_path / "two" / "hub.json").exists()
    assert enrols(used, "one").code == 8  # there is an identity already


def test_what_cannot_be_used_is_said_in_a_line(olga: Far, tmp_path: Path) -> None:
    key = olga.identity / "key.pem"
    key.chmod(0o644)
    readable = olga.run("merges", "list")
    key.chmod(0o600)
    nowhere = run_far("merges", "list", "--identity", str(tmp_path / "nowhere"))
    away = olga.run("merges", "list", "--hub", "127.0.0.1:1")
    unnamed = run_far("merges", "list", "--hub", "127.0.0.1:1")
    open_secret = run_far(
        *("operator", "enrol", "--hub", "127.0.0.1:1", "--token", "abr1.x", "--out", str(tmp_path / "x"))
    )

    assert [each.code for each in (readable, nowhere, away, unnamed, open_secret)] == [8, 8, 7, 2, 2]
    assert "others can read key.pem" in readable.err
    assert "the hub at 127.0.0.1:1 does not answer" in away.err
    for each in (readable, nowhere, away, unnamed, open_secret):
        assert len(each.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["key.pem", "cert.pem", "ca.pem"])
def test_enrolling_into_a_folder_with_keys_of_something_else_leaves_them_and_the_token(
    hub: RunningHub, tenant: str, tmp_path: Path, name: str
) -> None:
    # given
    token, out = tmp_path / "token", tmp_path / "certificates"
    token.write_text(hub.ok("operator", "invite", tenant, "olga"))
    out.mkdir()
    (out / name).write_text("somebody's only copy")
    # when
    ran = run_far("operator", "enrol", "--hub", hub.listen, "--token", f"@{token}", "--out", str(out))
    # then
    assert ran.code == 8
    assert f"there is another {name}: choose another folder" in ran.err
    assert {each.name: each.read_text() for each in out.iterdir()} == {name: "somebody's only copy"}
    elsewhere = ("--token", f"@{token}", "--out", str(tmp_path / "olga"))
    assert run_far("operator", "enrol", "--hub", hub.listen, *elsewhere).code == 0


def test_an_enrolment_that_came_to_nothing_can_be_repeated_into_its_folder(
    hub: RunningHub, tenant: str, tmp_path: Path
) -> None:
    # given
    token, out = tmp_path / "token", tmp_path / "olga"
    token.write_text(hub.ok("operator", "invite", tenant, "olga"))
    words = ("--token", f"@{token}", "--out", str(out))
    assert run_far("operator", "enrol", "--hub", "127.0.0.2:1", *words).code == 7
    # when
    ran = run_far("operator", "enrol", "--hub", hub.listen, *words)
    # then
    assert ran.code == 0, ran.err
