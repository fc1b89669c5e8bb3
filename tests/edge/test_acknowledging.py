"""Waiting for a write: how far it has come, what ends the wait, and under which dot it is found."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from anabranch.client import Client
from anabranch.errors import ChangeLost, ChangeRefused, NotAcknowledged
from anabranch.identity import identity_folder, write_identity
from anabranch.replica import Fate, LinkMode, Replica
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.budget import Budget
from anabranch_sync.reoffer import Reoffer
from anabranch_sync.scope import Scope

from tests.contracts.replica import LIMITS, NOW_MS, SCOPE, Exchange
from tests.edge.identities import an_identity
from tests.edge.replica.sqlite_store import SqliteStore, create


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client(create(tmp_path / "replica.db")) as opened:
        yield opened


@pytest.fixture
def edge(client: Client) -> Exchange:
    return Exchange(SqliteStore(client.replica), MemoryHub(SCOPE, lambda: NOW_MS))


def test_a_write_is_waited_for_level_by_level(client: Client, edge: Exchange) -> None:
    # given
    committed = client.set("acme/prod/router", "/limit", 1)

    # then it is durable here only, which the error says, and how to go on
    with pytest.raises(NotAcknowledged, match="start `anabranch agent`, or run `anabranch sync`") as caught:
        committed.wait("stored", timeout_s=0)
    assert (caught.value.exit_code, caught.value.reached) == (6, None)

    # when its bytes are at the hub, when it is decided, when it is in a pull
    client.replica.note_stored(1)
    assert committed.wait("stored", timeout_s=0).fate is Fate.PENDING
    with pytest.raises(NotAcknowledged, match="is stored, not merged"):
        committed.wait("merged", timeout_s=0)
    edge.push()
    edge.acknowledge()
    assert committed.wait("merged", timeout_s=0).fate is Fate.SENT
    with pytest.raises(NotAcknowledged, match="is merged, not visible"):
        committed.wait("visible", timeout_s=0)
    edge.replica.apply(edge.pull())

    # then it is visible, and its position known
    visible = committed.wait("visible", timeout_s=0)
    assert (visible.fate, visible.hub_seq) == (Fate.MERGED, 1)


def test_a_wait_sees_what_another_process_exchanges(client: Client, edge: Exchange) -> None:
    # given a wait under way in a thread of its own
    committed = client.set("acme/prod/router", "/limit", 1)
    reached = []
    waiting = Thread(target=lambda: reached.append(committed.wait("visible")))
    waiting.start()

    # when an agent, with the file opened for itself, exchanges
    with Replica.open(client.replica.path) as other:
        apart = Exchange.__new__(Exchange)
        apart.replica, apart.hub, apart.incarnation = SqliteStore(other), edge.hub, edge.incarnation
        apart.exchange()
    waiting.join()

    # then
    assert [each.fate for each in reached] == [Fate.MERGED]


def test_a_change_is_found_after_its_replica_was_renamed_twice(client: Client, edge: Exchange) -> None:
    # given one change that is visible and two that wait
    first = client.set("acme/prod/router", "/limit", 1)
    edge.exchange()
    second, third = (client.set("acme/prod/router", f"/{name}", 1) for name in "ab")

    # when the replica goes on under two other incarnations, and then exchanges
    for _ in range(2):
        edge.incarnation = edge.hub.open_replica(0).incarnation
        edge.replica.adopt(edge.incarnation)
    with pytest.raises(NotAcknowledged):
        second.wait("stored", timeout_s=0)
    edge.exchange()

    # then each is found under its last dot
    reached = [each.wait("visible", timeout_s=0) for each in (first, second, third)]
    assert [each.hub_seq for each in reached] == [1, 2, 3]
    assert [each.dot.local_seq for each in reached] == [1, 1, 2]
    assert reached[1].dot.incarnation == edge.incarnation


def test_a_change_is_found_behind_what_was_offered_to_a_restored_hub(client: Client, edge: Exchange) -> None:
    # given a change that the hub has lost, and one that waits
    edge.hub.write(LIMITS, {"a": 1})
    edge.exchange()
    backup = edge.hub.backup()
    client.set("acme/prod/router", "/limit", 1)
    client.set("acme/prod/limits", "/b", 1)
    edge.exchange()
    waiting = client.set("acme/prod/router", "/limit", 2)

    # when the hub comes back from its backup, is offered what it lost, and exchanges
    past = edge.replica.standing().epoch
    edge.hub = edge.hub.restored(backup)
    edge.incarnation = edge.hub.open_replica(0).incarnation
    edge.replica.adopt(edge.incarnation)
    edge.replica.apply(edge.pull(), Reoffer(past, edge.hub.epochs.known(past), edge.hub.epoch))
    later = client.set("acme/prod/router", "/later", True)
    with pytest.raises(NotAcknowledged):
        waiting.wait("stored", timeout_s=0)
    edge.exchange()

    # then both are found where they are now: behind the two offers, and behind that
    reached = [each.wait("visible", timeout_s=0) for each in (waiting, later)]
    assert [each.dot.local_seq for each in reached] == [3, 4]
    assert [each.fate for each in reached] == [Fate.MERGED, Fate.MERGED]


def test_a_change_that_the_hub_refuses_ends_the_wait(client: Client) -> None:
    # given a hub that does not let this edge write there any more
    edge = Exchange(SqliteStore(client.replica), MemoryHub(Scope(("acme/test",)), lambda: NOW_MS))
    committed = client.set("acme/prod/router", "/limit", 1)

    # when
    edge.push()
    edge.acknowledge()
    edge.replica.apply(edge.pull())

    # then
    with pytest.raises(ChangeRefused, match="anabranch conflicts"):
        committed.wait("merged")


def test_a_write_that_changes_nothing_waits_for_what_was_before_it(client: Client, edge: Exchange) -> None:
    client.set("acme/prod/router", "/limit", 1)
    again = client.set("acme/prod/router", "/limit", 1)

    with pytest.raises(NotAcknowledged):
        again.wait("merged", timeout_s=0)
    edge.exchange()

    assert again.wait("visible", timeout_s=0).fate is Fate.MERGED


def test_a_change_that_an_older_copy_of_the_file_does_not_hold_is_reported_lost(tmp_path: Path) -> None:
    # given a change, and a copy of the file from before it in which another one was written
    with Client(create(tmp_path / "replica.db")) as client, Client(create(tmp_path / "older.db")) as older:
        committed = client.set("acme/prod/router", "/limit", 1)
        other = older.set("acme/prod/router", "/limit", 2)
        assert committed.receipt is not None
        committed.receipt._replica = older.replica  # type: ignore[attr-defined]

        # then
        assert other.dot == committed.dot
        with pytest.raises(ChangeLost, match="write it again"):
            committed.wait("stored", timeout_s=0)


def test_the_program_of_the_guide_runs(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given the guide's program that waits, which here has no agent to wait for
    guide = (Path(__file__).parents[2] / "docs/edge-guide.md").read_text("utf-8")
    (program,) = (each for each in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if ".wait(" in each)
    monkeypatch.setenv("ANABRANCH_REPLICA", str(client.replica.path))

    # when
    exec(program.replace("timeout_s=20", "timeout_s=0"), {})

    # then the write stands, and the wait says how far it has come
    assert capsys.readouterr().out == "None\n"
    assert client.get("acme/prod/limits", "/burst").value == 2.0


def test_who_waits_in_vain_hears_that_the_budget_is_used_up_and_the_way_out(client: Client) -> None:
    # given an agent that saves
    client.replica.set_budget(Budget(day_bytes=20_000))
    client.replica.spend(20_000, 0, time.time_ns() // 1_000_000)
    # when
    with client.replica.lock_agent(), pytest.raises(NotAcknowledged) as caught:
        client.set("acme/prod/router", "/limit", 1).wait("merged", timeout_s=0)
    # then
    assert "the byte budget (20,000 bytes a day) is used up until 2" in str(caught.value)
    assert "--urgent" in str(caught.value)
    assert "`anabranch link set`" in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (LinkMode(poll_ms=3_600_000), "the agent looks in each 3600 s: write it with --urgent"),
        (LinkMode(metered=True), "changes are saved up on a metered link: write it with --urgent"),
    ],
)
def test_who_waits_in_vain_hears_how_the_agent_keeps_in_touch(
    client: Client, mode: LinkMode, told: str
) -> None:
    client.replica.set_link_mode(mode)
    with client.replica.lock_agent(), pytest.raises(NotAcknowledged, match=told):
        client.set("acme/prod/router", "/limit", 1).wait("merged", timeout_s=0)


def test_who_waits_in_vain_hears_that_the_certificate_has_ended(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an edge that polls, long after
    folder = identity_folder(client.replica.path)
    folder.mkdir()
    write_identity(folder, an_identity(client.replica.tenant, client.replica.edge))
    later_s = time.time() + 7 * 86_400
    monkeypatch.setattr(time, "time", lambda: later_s)
    # then
    with client.replica.lock_agent(), pytest.raises(NotAcknowledged, match="--keep-replica"):
        client.set("acme/prod/router", "/limit", 1).wait("merged", timeout_s=0)
