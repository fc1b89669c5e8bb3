"""Courier files of earlier releases, which may have lain in a drawer, taken in by this one."""

import json
from pathlib import Path

import pytest
from anabranch.courier import import_files
from anabranch.identity import identity_folder
from anabranch.replica import Replica
from anabranch_hub.courier.answering import answer
from anabranch_hub.courier.taking import take
from anabranch_hub.store import Store
from anabranch_sync.ids import document_id
from anabranch_sync.parcel import PARCEL_BYTES_MIN, Letter, opened
from cryptography import x509

from tests.compatibility.recordings import COURIERS, unpacked
from tests.hub.store.replica import enrolled

pytestmark = pytest.mark.anyio

ROUTER, STICK = document_id("acme/prod/router"), document_id("acme/prod/stick")
CARRIED = {"by": "hand", "kinds": [None, True, 1, 1.0, "é😀"]}


@pytest.fixture(params=COURIERS)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def replica(release: str, tmp_path: Path) -> Path:
    """The edge that exported, before it was answered."""
    path = tmp_path / "replica.db"
    path.write_bytes(unpacked(release, "courier.db"))
    identity_folder(path).mkdir(mode=0o700)
    for name, text in json.loads(unpacked(release, "courier-identity.json")).items():
        (identity_folder(path) / name).write_text(text)
    return path


def letter_in(release: str, name: str, replica: Path) -> Letter:
    """The letter in a recorded file, while the certificates were valid."""
    root = x509.load_pem_x509_certificate((identity_folder(replica) / "ca.pem").read_bytes())
    sent_ms = int(root.not_valid_before_utc.timestamp() * 1000) + 3_600_000
    return opened(unpacked(release, name), root, sent_ms).letter


async def test_an_earlier_edges_file_is_decided_and_answered(release: str, replica: Path, dsn: str) -> None:
    # given
    letter = letter_in(release, "courier-there", replica)
    store = await Store.connect(dsn)
    try:
        await store.create_tenant("acme")
        edge = await enrolled(store, "acme", "stick")
        with Replica.open(replica) as recorded:
            while edge.incarnation < recorded.standing().incarnation:
                edge = await enrolled(store, "acme", "stick")

        # when
        taken = await take(store, letter, letter.made_ms)
        (back,) = await answer(store, "acme", "stick", letter.made_ms, PARCEL_BYTES_MIN)

        # then
        assert (letter.from_hub, taken.changes, taken.renewed) == (False, 2, False)
        router, stick = await store.read("acme", ROUTER), await store.read("acme", STICK)
        assert router is not None
        assert stick is not None
        assert router.content == {"limits": {"requests": 300}}
        assert stick.content == {"carried": CARRIED}
        assert (back.from_hub, back.answers) == (True, letter.export)
    finally:
        await store.close()


def test_an_earlier_hubs_answer_is_taken_in(
    release: str, replica: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    file = tmp_path / "back.parcel"
    file.write_bytes(unpacked(release, "courier-back"))
    made_ms = letter_in(release, "courier-back", replica).made_ms
    monkeypatch.setattr("anabranch.courier.time.time_ns", lambda: made_ms * 1_000_000)

    # when
    (first,) = import_files(replica, [file])
    (again,) = import_files(replica, [file])

    # then
    assert (first.acknowledged, first.known, first.complete) == (2, False, True)
    assert again.known
    with Replica.open(replica) as recorded:
        assert recorded.verify() == []
        assert recorded.facts().outbox == 0
        stick = recorded.read(STICK)
        assert stick is not None
        assert stick.content == {"carried": CARRIED}
        router = recorded.head(ROUTER)
        assert router is not None
        limits = router.content["limits"]
        assert isinstance(limits, dict)
        assert limits["requests"] == 300
