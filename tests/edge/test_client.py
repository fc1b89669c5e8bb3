"""The SDK: what a program reads, writes and watches, with no network anywhere."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anabranch
import pytest
from anabranch.answers import Committed
from anabranch.client import Client
from anabranch.errors import (
    Denied,
    NotAnObject,
    NotFound,
    NothingCached,
    PatchFailed,
    VersionMismatch,
)
from anabranch.readings import FRESH_S, Reading, State
from anabranch.replica import Fate, Link
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.errors import (
    ChangeTooLarge,
    DocumentTooLarge,
    InvalidInput,
    InvalidName,
    InvalidPath,
    InvalidValue,
)
from anabranch_sync.ids import DocumentId
from anabranch_sync.scope import Scope

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create

ROUTER = "acme/prod/router"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    create(tmp_path / "replica.db").close()
    with anabranch.open(tmp_path / "replica.db") as client:
        yield client


@pytest.fixture
def edge(client: Client) -> Exchange:
    return Exchange(SqliteStore(client.replica), MemoryHub(SCOPE, lambda: NOW_MS))


# Reading.


def test_a_value_is_read_with_where_it_comes_from(client: Client, edge: Exchange) -> None:
    edge.hub.write(DocumentId(ROUTER, "config"), {"limits": {"requests": 100}})
    edge.exchange()

    confirmed = client.get(ROUTER, "/limits/requests")
    client.set(ROUTER, "/limits/requests", 200)
    written = client.get(ROUTER, "/limits/requests")

    assert (confirmed.value, confirmed.version, confirmed.pending, confirmed.source) == (100, 1, False, "hub")
    assert (written.value, written.version, written.pending, written.source) == (200, 2, True, "local")
    assert str(written.document) == f"{ROUTER}/config"
    assert written.path == "/limits/requests"


def test_a_reading_is_the_callers_own_copy(client: Client) -> None:
    client.set(ROUTER, "", {"list": [1], "object": {"a": 1}})

    for path in ("", "/object", "/list"):
        value = client.get(ROUTER, path).value
        assert isinstance(value, dict | list)
        value.clear()

    assert client.get(ROUTER).value == {"list": [1], "object": {"a": 1}}


def test_types_are_read_as_they_were_written(client: Client) -> None:
    content = {"int": 1, "float": 1.0, "true": True, "null": None, "big": 2**63 - 1, "text": "é\x00"}
    client.set(ROUTER, "", content)

    value = client.get(ROUTER).value

    assert isinstance(value, dict)
    assert {key: (type(each), each) for key, each in value.items()} == {
        key: (type(each), each) for key, each in content.items()
    }


def test_what_is_not_there_is_unknown_until_the_hub_was_heard_and_absent_afterwards(
    client: Client, edge: Exchange
) -> None:
    with pytest.raises(NothingCached) as unknown:
        client.get(ROUTER)
    edge.exchange()
    with pytest.raises(NotFound) as absent:
        client.get(ROUTER)

    assert (unknown.value.exit_code, absent.value.exit_code) == (7, 3)


def test_a_path_that_is_not_there_is_named_where_it_ends(client: Client) -> None:
    client.set(ROUTER, "", {"a": {"b": 1}, "list": [1]})

    for path, absent in (("/a/x/y", "/a/x"), ("/a/b/c", "/a/b/c"), ("/list/0", "/list/0")):
        with pytest.raises(NotFound, match=f"{absent} is absent"):
            client.get(ROUTER, path)


def test_a_deleted_document_is_read_no_more(client: Client, edge: Exchange) -> None:
    edge.exchange()
    client.set(ROUTER, "", {"a": 1})
    client.delete(ROUTER)

    with pytest.raises(NotFound):
        client.get(ROUTER)
    assert client.list() == []


def test_the_state_follows_the_link(client: Client, edge: Exchange) -> None:
    now_ms = time.time_ns() // 1_000_000
    client.set(ROUTER, "/a", 1)

    def state() -> State:
        return client.get(ROUTER, "/a").state

    assert state() is State.NEVER_SYNCED
    client.replica.apply(edge.pull(), now_ms)
    client.replica.heard(link=Link.UP, now_ms=now_ms)
    assert state() is State.FRESH
    client.replica.heard(link=Link.DOWN, now_ms=now_ms)
    assert state() is State.OFFLINE
    client.replica.heard(link=Link.UP, now_ms=now_ms - int(FRESH_S * 1000) - 5_000)
    reading = client.get(ROUTER, "/a")
    assert reading.state is State.STALE
    assert reading.age_s is not None
    assert reading.age_s > FRESH_S


def test_a_reading_gets_older_though_nobody_writes(
    client: Client, edge: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, steady_s = time.time(), time.monotonic()
    client.set(ROUTER, "/a", 1)
    client.replica.apply(edge.pull(), int(now_s * 1000))
    client.replica.heard(link=Link.UP, now_ms=int(now_s * 1000))

    def read(after_s: float) -> Reading:
        monkeypatch.setattr(time, "time", lambda: now_s + after_s)
        monkeypatch.setattr(time, "monotonic", lambda: steady_s + after_s)
        return client.get(ROUTER, "/a")

    for after_s in (0.0, 0.9, 1.1, 2.5, FRESH_S):
        age_s = read(after_s).age_s
        assert age_s is not None
        assert after_s - 1.0 <= age_s <= after_s + 0.1
    assert read(FRESH_S + 1.5).state is State.STALE


def test_a_clock_that_was_set_back_makes_nothing_look_fresh(
    client: Client, edge: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.set(ROUTER, "/a", 1)
    client.replica.apply(edge.pull(), time.time_ns() // 1_000_000)
    client.replica.heard(link=Link.UP, now_ms=time.time_ns() // 1_000_000)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "time_ns", lambda: 0)

    before = client.get(ROUTER, "/a")
    client.set(ROUTER, "/a", 2)
    client.set(ROUTER, "/a", 3)

    assert (before.state, before.age_s) == (State.STALE, None)
    assert client.get(ROUTER, "/a").value == 3
    walls = [line.wall_ms for line in client.log(ROUTER)]
    assert walls == sorted(walls)
    assert client.status().oldest_unsent_s == 0.0


# Writing.


def test_a_write_makes_the_document_and_the_objects_on_its_way(client: Client) -> None:
    committed = client.set(ROUTER, "/a/b/c", [1])

    assert client.get(ROUTER).value == {"a": {"b": {"c": [1]}}}
    assert committed.dot == "1:1"
    assert committed.documents == (DocumentId(ROUTER, "config"),)


def test_a_write_that_says_nothing_new_commits_nothing(client: Client) -> None:
    client.set(ROUTER, "/a", 1)

    committed = client.set(ROUTER, "/a", 1)

    assert (committed.dot, committed.documents) == ("", ())
    assert client.status().outbox == 1


def test_documents_of_one_namespace_are_told_apart_by_key(client: Client) -> None:
    client.set(ROUTER, "/a", 1)
    client.set(ROUTER, "/a", 2, key="canary")

    assert client.get(ROUTER, "/a").value == 1
    assert client.get(ROUTER, "/a", key="canary").value == 2
    assert [str(each.document) for each in client.list("acme/prod")] == [
        f"{ROUTER}/canary",
        f"{ROUTER}/config",
    ]


def test_a_path_through_something_that_is_no_object_is_refused(client: Client) -> None:
    client.set(ROUTER, "", {"list": [1], "number": 1, "null": None})

    for path, found in (("/list/0", "a list"), ("/number/x", "a number"), ("/null/x", "null")):
        with pytest.raises(NotAnObject, match=found):
            client.set(ROUTER, path, 1)
    assert client.status().outbox == 1


def test_deleting_removes_one_place_or_the_document_and_refuses_what_is_not_there(client: Client) -> None:
    client.set(ROUTER, "", {"a": {"b": 1}, "c": 2})

    client.delete(ROUTER, "/a/b")
    assert client.get(ROUTER).value == {"a": {}, "c": 2}
    with pytest.raises(NotFound):
        client.delete(ROUTER, "/a/b")
    with pytest.raises(NotFound):
        client.delete(ROUTER, "/c/d")
    client.delete(ROUTER)
    with pytest.raises(NotFound):
        client.delete(ROUTER)


@pytest.mark.parametrize(
    "namespace", ["system/schemas", "global", "global/x", "acme/product", "acme", "other/prod", "acme/dev/x"]
)
def test_a_write_outside_the_scope_is_denied_at_once(client: Client, namespace: str) -> None:
    with pytest.raises(Denied, match="acme/prod") as denied:
        client.set(namespace, "/a", 1)

    assert denied.value.exit_code == 4
    assert client.status().outbox == 0


def test_another_scope_that_the_agent_gave_the_file_holds_for_the_next_write(
    client: Client, edge: Exchange, tmp_path: Path
) -> None:
    client.set(ROUTER, "/a", 1)

    with anabranch.open(tmp_path / "replica.db") as agent:
        agent.replica.apply(edge.pull(), NOW_MS, rescoped=Scope(("acme/dev",)))

    with pytest.raises(Denied, match="acme/dev"):
        client.set(ROUTER, "/a", 2)
    client.set("acme/dev/router", "/a", 1)


def test_a_write_can_demand_the_version_it_is_based_on(client: Client) -> None:
    client.set(ROUTER, "/a", 1, if_version=0)

    with pytest.raises(VersionMismatch, match="version 1, not 0") as mismatch:
        client.set(ROUTER, "/a", 2, if_version=0)
    client.set(ROUTER, "/a", 2, if_version=client.get(ROUTER).version)
    client.delete(ROUTER, if_version=2)
    client.set(ROUTER, "/a", 3, if_version=0)

    assert mismatch.value.exit_code == 5
    assert client.get(ROUTER, "/a").value == 3


def test_a_patch_applies_whole_or_not_at_all(client: Client) -> None:
    client.set(ROUTER, "", {"a": 1})

    client.patch(
        ROUTER, [{"op": "test", "path": "/a", "value": 1}, {"op": "add", "path": "/b", "value": [2]}]
    )
    with pytest.raises(PatchFailed, match="operation 1"):
        client.patch(ROUTER, [{"op": "remove", "path": "/a"}, {"op": "test", "path": "/b", "value": "no"}])

    assert client.get(ROUTER).value == {"a": 1, "b": [2]}


@pytest.mark.parametrize(
    ("namespace", "path", "value", "error"),
    [
        (ROUTER, "/a", float("nan"), InvalidValue),
        (ROUTER, "/a", float("inf"), InvalidValue),
        (ROUTER, "/a", 2**64, InvalidValue),
        (ROUTER, "/a", "\ud800", InvalidValue),
        (ROUTER, "/a", {1: 2}, InvalidValue),
        (ROUTER, "/a", object(), InvalidValue),
        (ROUTER, "", [1], InvalidValue),
        (ROUTER, "", "text", InvalidValue),
        (ROUTER, "/a" * 65, 1, InvalidPath),
        (ROUTER, "/a" * 64, {"too": "deep"}, InvalidValue),
        (ROUTER, "no-slash", 1, InvalidPath),
        (ROUTER, "/a", "x" * 300_000, DocumentTooLarge),
        ("acme/prod/../x", "/a", 1, InvalidName),
        ("acme/prod/\n", "/a", 1, InvalidName),
        ("", "/a", 1, InvalidName),
    ],
)
def test_bad_input_is_refused_with_nothing_half_done(
    client: Client, namespace: str, path: str, value: object, error: type[InvalidInput]
) -> None:
    client.set(ROUTER, "/kept", 1)

    with pytest.raises(error) as refused:
        client.set(namespace, path, value)

    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)
    assert client.get(ROUTER).value == {"kept": 1}
    assert client.status().outbox == 1


@pytest.mark.parametrize(("author", "message"), [("a\nb", ""), ("a" * 321, ""), ("ada", "\x1b[31m")])
def test_an_author_or_message_that_fits_no_log_is_refused(client: Client, author: str, message: str) -> None:
    with pytest.raises(InvalidName):
        client.set(ROUTER, "/a", 1, author=author, message=message)
    assert client.status().outbox == 0


# Changes over several documents.


def test_a_change_is_committed_whole_when_its_block_ends(client: Client) -> None:
    with client.change("raise both", author="bob") as change:
        change.set(ROUTER, "/a", 1)
        change.patch("acme/prod/limits", [{"op": "add", "path": "/b", "value": []}])
        change.patch("acme/prod/limits", [{"op": "add", "path": "/b/-", "value": 2}])
        change.set(ROUTER, "/x", 1)
        change.delete(ROUTER, "/x")
        assert change.get(ROUTER).value == {"a": 1}
        assert client.list() == []

    assert change.committed is not None
    assert len(change.committed.documents) == 2
    assert client.get(ROUTER).value == {"a": 1}
    assert client.get("acme/prod/limits").value == {"b": [2]}
    (line,) = client.log(ROUTER)
    assert (line.author, line.message, line.fate) == ("bob", "raise both", Fate.PENDING)
    assert client.status().outbox == 1


def test_a_change_whose_block_raises_writes_nothing(client: Client) -> None:
    def fail() -> None:
        with client.change() as change:
            change.set(ROUTER, "/a", 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert client.status().outbox == 0


def test_a_change_of_which_one_part_is_denied_writes_nothing(client: Client) -> None:
    change = client.change()
    change.set(ROUTER, "/a", 1)

    with pytest.raises(Denied):
        change.set("system/schemas", "/a", 1)
    with pytest.raises(Denied):
        change.delete("system/schemas")

    assert client.list() == []


def test_what_somebody_else_writes_while_a_change_is_made_is_kept(client: Client, tmp_path: Path) -> None:
    client.set(ROUTER, "", {"mine": 0, "theirs": 0})

    with client.change() as change, anabranch.open(tmp_path / "replica.db") as other:
        change.set(ROUTER, "/mine", 1)
        other.set(ROUTER, "/theirs", 1)

    assert client.get(ROUTER).value == {"mine": 1, "theirs": 1}


def test_a_change_that_is_too_large_is_refused_whole(client: Client) -> None:
    change = client.change()
    for number in range(6):
        change.set(f"acme/prod/m{number}", "/text", str(number) * 200_000)

    with pytest.raises(ChangeTooLarge, match="several changes"), change:
        pass

    assert client.status().outbox == 0


# Watching.


def test_a_watch_yields_what_changes_whoever_changes_it(client: Client, tmp_path: Path) -> None:
    client.set("acme/prod/before", "/a", 1)
    changes: list[anabranch.Changed] = []

    def watch() -> None:
        for changed in client.watch("acme/prod", timeout_s=20):
            changes.append(changed)
            if len(changes) == 3:
                return

    watching = threading.Thread(target=watch)
    watching.start()
    time.sleep(0.2)
    with anabranch.open(tmp_path / "replica.db") as other:
        steps: list[Callable[[], Committed]] = [
            lambda: other.set(ROUTER, "/a", 1),
            lambda: client.set(ROUTER, "/a", 2),
            lambda: other.delete("acme/prod/before"),
        ]
        for step in steps:
            seen = len(changes)
            step()
            while len(changes) == seen and watching.is_alive():
                time.sleep(0.01)
    watching.join()

    first, second, third = changes
    assert first.reading is not None
    assert second.reading is not None
    assert (first.reading.value, second.reading.value) == ({"a": 1}, {"a": 2})
    assert (third.document.namespace, third.reading) == ("acme/prod/before", None)


def test_a_watch_does_not_yield_what_only_got_confirmed_nor_what_lies_elsewhere(
    client: Client, edge: Exchange
) -> None:
    edge.exchange()
    watching = client.watch(ROUTER, timeout_s=0)
    assert list(watching) == []
    client.set(ROUTER, "/a", 1)
    client.set(f"{ROUTER}x", "/a", 1)

    later = _Watch(client)
    edge.exchange()

    assert later.documents() == []
    client.set(ROUTER, "/a", 2)
    assert later.documents() == [ROUTER]


class _Watch:
    """A watch that is asked instead of waited for."""

    def __init__(self, client: Client) -> None:
        from anabranch.client import _Watcher

        self._watcher = _Watcher(client, ROUTER)

    def documents(self) -> list[str]:
        return [changed.document.namespace for changed in self._watcher.changes()]


def test_a_watch_can_be_awaited(client: Client) -> None:
    async def first() -> Reading | None:
        watching = client.awatch("acme/prod", timeout_s=20)
        asyncio.get_running_loop().call_later(0.1, client.set, ROUTER, "/a", 1)
        async for changed in watching:
            return changed.reading
        return None

    reading = asyncio.run(first())

    assert reading is not None
    assert reading.value == {"a": 1}


# The rest.


def test_status_tells_how_the_replica_stands(client: Client) -> None:
    client.set(ROUTER, "/a", 1)

    status = client.status()

    assert (status.tenant, status.edge, status.prefixes) == ("acme", "one", ("acme/prod",))
    assert (status.state, status.documents, status.unsent) == (State.NEVER_SYNCED, 1, 1)
    assert status.reserve
    assert not status.agent_running


def test_the_path_comes_from_the_environment_when_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path / "named.db").close()
    monkeypatch.setenv("ANABRANCH_REPLICA", str(tmp_path / "named.db"))

    with anabranch.open() as client:
        assert client.status().path == str(tmp_path / "named.db")


def test_importing_the_sdk_loads_nothing_heavy() -> None:
    heavy = ("grpc", "sqlite_utils", "rich", "platformdirs", "jsonpatch", "cryptography", "click")
    script = f"import sys, anabranch; print([name for name in {heavy} if name in sys.modules])"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert loaded.stdout == "[]\n"


def test_a_write_that_waits_too_long_for_another_is_told_so(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anabranch.errors import ReplicaBusy
    from anabranch.replica import file

    monkeypatch.setattr(file, "BUSY_S", 0.05)
    blocking = sqlite3.connect(tmp_path / "replica.db", isolation_level=None)
    blocking.execute("BEGIN IMMEDIATE")
    with anabranch.open(tmp_path / "replica.db") as impatient:
        with pytest.raises(ReplicaBusy, match="try again"):
            impatient.set(ROUTER, "/a", 1)
        with pytest.raises(NothingCached):
            impatient.get(ROUTER)
    blocking.execute("ROLLBACK")
    blocking.close()
    client.set(ROUTER, "/a", 1)
