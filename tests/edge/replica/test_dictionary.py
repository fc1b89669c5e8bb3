"""What many documents have in common is stored once, and that puts none of them at risk."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anabranch.errors import ReplicaCorrupt
from anabranch.replica import Replica
from anabranch.replica.dictionary import DOCUMENTS_MIN
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.ids import DocumentId
from anabranch_sync.packing import unseal
from anabranch_sync.scope import Scope

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create, write

FEW, MANY = DOCUMENTS_MIN - 1, DOCUMENTS_MIN
SECRET = "only-the-tools-say-this"
PROMPT = "You are an assistant that answers briefly, names its sources and never invents a price. "


def _id(number: int) -> DocumentId:
    return DocumentId(f"acme/prod/{'prompts' if number % 3 else 'tools'}", f"document-{number}")


def _edge(replica: Replica, count: int) -> Exchange:
    edge = Exchange(SqliteStore(replica), MemoryHub(SCOPE, lambda: NOW_MS))
    for number in range(count):
        said = {"prompt": PROMPT} if number % 3 else {SECRET: f"{SECRET}-{number}"}
        edge.hub.write(_id(number), {"number": number, "text": PROMPT * (1 + number % 3), **said})
    edge.exchange()
    return edge


def _query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replica.db"


def _confirmed_bytes(path: Path) -> int:
    ((size_bytes,),) = _query(path, "SELECT sum(length(body)) FROM confirmed")
    return int(size_bytes)


def test_many_documents_take_less_than_by_themselves(path: Path, tmp_path: Path) -> None:
    with create(path) as replica, create(tmp_path / "few.db") as few:
        _edge(replica, MANY)
        _edge(few, FEW)
        assert [replica.read(_id(number)) for number in range(FEW)] == [
            few.read(_id(number)) for number in range(FEW)
        ]

    assert _query(tmp_path / "few.db", "SELECT body FROM dictionary") == []
    ((dictionary,),) = _query(path, "SELECT body FROM dictionary")
    assert _confirmed_bytes(path) + len(dictionary) < _confirmed_bytes(tmp_path / "few.db")


def test_what_comes_later_is_packed_behind_it_too(path: Path) -> None:
    with create(path) as replica:
        edge = _edge(replica, MANY)
        before = _confirmed_bytes(path)
        edge.hub.write(_id(MANY), {"number": MANY, "text": PROMPT * 3})
        edge.exchange()

        seen = replica.read(_id(MANY))
    assert seen is not None
    assert seen.content == {"number": MANY, "text": PROMPT * 3}
    assert _confirmed_bytes(path) - before < len(PROMPT)


@pytest.mark.parametrize("position", [0, 2, 40, -1])
def test_a_damaged_dictionary_serves_nothing_wrong_and_the_hub_heals_all(path: Path, position: int) -> None:
    with create(path) as replica:
        edge = _edge(replica, MANY)
        write(replica, _id(0), {"number": -1})
        waiting = replica.pending(0)
    ((body,),) = _query(path, "SELECT body FROM dictionary")
    damaged = bytearray(body)
    damaged[position] ^= 0x10
    _query(path, f"UPDATE dictionary SET body = x'{damaged.hex()}'")

    with Replica.open(path) as replica:
        for number in (1, MANY - 1):
            with pytest.raises(ReplicaCorrupt, match=f"document-{number}"):
                replica.read(_id(number))
        assert len(replica.equality.survey().damaged) == MANY
        assert replica.pending(0) == waiting, "own changes lean on no dictionary"
        replica.reset()
        edge.replica = SqliteStore(replica)
        edge.exchange()

        seen = [replica.read(_id(number)) for number in range(MANY)]
        assert replica.verify() == []
        assert replica.equality.survey().damaged == ()
    assert [each.content["number"] for each in seen if each is not None] == [-1, *range(1, MANY)]


def test_a_document_that_comes_behind_a_damaged_dictionary_is_whole(path: Path) -> None:
    with create(path) as replica:
        edge = _edge(replica, MANY)
    _query(path, "UPDATE dictionary SET body = x'07'")

    with Replica.open(path) as replica:
        edge.replica = SqliteStore(replica)
        edge.hub.write(_id(MANY), {"number": MANY})
        replica.apply(edge.pull(), NOW_MS)

        seen = replica.read(_id(MANY))
        assert seen is not None
        assert seen.content == {"number": MANY}
        assert len(replica.equality.survey().damaged) == MANY


def test_what_leaves_the_scope_is_in_no_dictionary(path: Path) -> None:
    with create(path) as replica:
        edge = _edge(replica, MANY + MANY)
        leaving = frozenset(_id(number) for number in range(0, MANY + MANY, 3))
        staying = {_id(number) for number in range(MANY + MANY)} - leaving
        before = {document: replica.read(document) for document in staying}
        assert SECRET in _dictionary(path)
        narrower = Scope(("acme/prod/prompts",))

        replica.apply(replace(edge.pull(), replaced=leaving), NOW_MS, None, narrower)

        assert {document: replica.read(document) for document in staying} == before
        assert not any(replica.read(document) for document in leaving)
        assert replica.verify() == []
    assert SECRET not in _dictionary(path)


def _dictionary(path: Path) -> str:
    ((body,),) = _query(path, "SELECT body FROM dictionary")
    return unseal(body).decode(errors="replace")
