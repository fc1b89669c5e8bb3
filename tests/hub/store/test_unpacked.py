"""What a process remembers of documents never says anything but what is stored."""

import pytest
from anabranch_hub.store import Edit, Store, unpacked
from anabranch_hub.store.unpacked import Unpacked
from anabranch_sync.columns import decode_document, encode_document
from anabranch_sync.document import Document
from anabranch_sync.register import Register, Slot, Stamp

from tests.hub.store.replica import ROUTER, enrolled

pytestmark = pytest.mark.anyio


def document(text: str) -> Document:
    return Document({Slot(("text",)): Register(text, (Stamp(1, 2, 3),))}, 1)


async def test_documents_are_decided_as_another_process_left_them(store: Store, tenant: str) -> None:
    # given two processes that remember the same document
    here, there = Store(store._pool), Store(store._pool)
    for number, process in enumerate((here, there, here), 1):
        await process.write(tenant, [Edit(ROUTER, {"n": number})], author="ops", message="")

    # when both go on, by turns
    edit = Edit(ROUTER, {"n": 4, "there": True}, if_version=3)
    await there.write(tenant, [edit], author="ops", message="")
    await here.write(tenant, [Edit(ROUTER, {"n": 5, "there": True}, if_version=4)], author="ops", message="")

    # then nothing is lost, and what an edge pulls is proved equal
    stored = await Store(store._pool).read(tenant, ROUTER)
    assert stored is not None
    assert (stored.content, stored.version) == ({"n": 5, "there": True}, 5)
    replica = await enrolled(store, tenant, "e1")
    await replica.pull()
    assert replica.read(ROUTER) == stored.content


def test_what_was_not_used_for_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # given room for two of three
    documents = [document(each * 100) for each in "abc"]
    states = [encode_document(each) for each in documents]
    monkeypatch.setattr(unpacked, "UNPACKED_BYTES_MAX", len(states[0]) * 2)
    known = Unpacked()

    # when
    for state, each in list(zip(states, documents, strict=True))[:2]:
        known.remember(state, each)
    known.get(states[0])
    known.remember(states[2], documents[2])

    # then
    assert [known.get(state) for state in states] == [documents[0], None, documents[2]]


def test_what_is_too_large_to_remember_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacked, "UNPACKED_BYTES_MAX", 10)
    known, large = Unpacked(), encode_document(document("a" * 100))

    known.remember(large, document("a" * 100))

    assert known.get(large) is None


def test_what_is_remembered_again_takes_its_room_once(monkeypatch: pytest.MonkeyPatch) -> None:
    state = encode_document(document("a" * 100))
    monkeypatch.setattr(unpacked, "UNPACKED_BYTES_MAX", len(state))
    known = Unpacked()

    for _ in range(3):
        known.remember(state, decode_document(state))

    assert known.get(state) == decode_document(state)
