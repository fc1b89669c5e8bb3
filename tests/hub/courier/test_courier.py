"""Sites that no network reaches: everything by files, on real stores."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from anabranch.identity import certificate_request, new_key
from anabranch.link import enroll
from anabranch.replica import Replica
from anabranch_hub.courier.answering import signed
from anabranch_hub.errors import CertificateUnknown, EdgeRevoked
from anabranch_sync.document import Object
from anabranch_sync.errors import (
    ParcelDamaged,
    ParcelEarly,
    ParcelError,
    ParcelForeign,
    ParcelForged,
    ParcelStray,
)
from anabranch_sync.ids import document_id
from anabranch_sync.parcel import PARCEL_BYTES_MAX, opened
from cryptography import x509

from tests.hub.api.fleet import (
    ROUTER,
    Fleet,
    Hub,
    facts_of,
    identity_of,
    invited,
    new_tenant,
    now_ms,
    read,
    write,
)
from tests.hub.courier.sticks import Stick

pytestmark = pytest.mark.anyio

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789+/ABCDEFGH"


def noise(number: int, length: int = 100_000) -> str:
    """Text that does not compress: each document fills most of a small file."""
    return "".join(random.Random(number).choices(LETTERS, k=length))


@pytest.fixture
async def stick(fleet: Fleet) -> Stick:
    return Stick(fleet, await fleet.hub.authority.courier_credentials())


def incarnation_of(replica: Path) -> int:
    with Replica.open(replica) as opened:
        return opened.standing().incarnation


async def equal(fleet: Fleet, *replicas: Path) -> bool:
    """Whether these replicas hold what the hub holds, with nothing unsent."""
    facts = [facts_of(replica) for replica in replicas]
    digests = [await fleet.hub_digest(replica) for replica in replicas]
    return all(not each.outbox for each in facts) and [each.digest for each in facts] == digests


async def test_two_edges_that_know_only_files_come_to_hold_the_same(fleet: Fleet, stick: Stick) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    write(one, {"limit": 10})
    write(two, {"limit": 10, "burst": 2}, document_id("acme/prod/other"))

    # when
    for replica in (one, two, one):
        await stick.round_trip(replica)

    # then
    assert read(two, ROUTER) == read(one, ROUTER) == {"limit": 10}
    assert await equal(fleet, one, two)


async def test_files_in_any_order_lost_and_doubled_lead_to_the_same_in_the_end(
    fleet: Fleet, stick: Stick
) -> None:
    for seed in range(3):
        # given
        chance = random.Random(seed)
        edges = [await fleet.enrol(f"edge-{seed}-{number}") for number in range(2)]
        on_the_way: list[tuple[Path, Path, bool]] = []
        refused = 0

        # when
        for step in range(60):
            replica = chance.choice(edges)
            match chance.randrange(5):
                case 0:
                    place = document_id(f"acme/prod/router{chance.randrange(3)}")
                    content: Object = {
                        "step": step,
                        "noise": noise(step, chance.choice((10, 60_000, 100_000))),
                    }
                    write(replica, content, place)
                case 1:
                    on_the_way += [(file, replica, True) for file in stick.from_edge(replica)]
                case 2 if await fleet.hub.store.parcel(fleet.tenant, replica.stem):
                    on_the_way += [(file, replica, False) for file in await stick.from_hub(replica.stem)]
                case _ if on_the_way:
                    file, whose, is_up = chance.choice(on_the_way)
                    if chance.random() < 0.5:
                        on_the_way.remove((file, whose, is_up))
                    if chance.random() < 0.2:
                        continue
                    try:
                        if is_up:
                            await stick.to_hub(file)
                        else:
                            stick.to_edge(whose, file)
                    except (ParcelEarly, ParcelStray):
                        refused += 1
        for replica in (*edges, *edges):
            await stick.round_trip(replica)
            await stick.round_trip(replica)

        # then
        assert await equal(fleet, *edges), f"seed {seed}"


async def test_a_file_that_comes_twice_changes_nothing(fleet: Fleet, stick: Stick) -> None:
    # given
    one = await fleet.enrol("one")
    write(one, {"limit": 10})
    (there,) = stick.from_edge(one)
    first = await stick.to_hub(there)
    (back,) = await stick.from_hub("one")
    (taken,) = stick.to_edge(one, back)

    # when
    again, (taken_again,) = await stick.to_hub(there), stick.to_edge(one, back)

    # then
    assert (first.changes, again.changes) == (1, 0)
    assert (taken.known, taken.acknowledged) == (False, 1)
    assert taken_again.known
    assert await equal(fleet, one)


async def test_a_part_that_comes_early_is_refused_and_may_come_again(fleet: Fleet, stick: Stick) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    for number in range(4):
        write(one, {"noise": noise(number)}, document_id(f"acme/prod/router{number}"))
    there = stick.from_edge(one)
    assert len(there) > 2

    # when, then
    with pytest.raises(ParcelEarly, match="the hub has this edge's changes up to 0"):
        await stick.to_hub(there[1])
    for file in there:
        await stick.to_hub(file)
    for file in stick.from_edge(two):
        await stick.to_hub(file)
    back = await stick.from_hub("two")
    assert len(back) > 2
    with pytest.raises(ParcelEarly, match="part 2 of"):
        stick.to_edge(two, back[1])
    assert [each.complete for each in stick.to_edge(two, back[0])] == [False]
    assert read(two, document_id("acme/prod/router0")) is None
    assert [each.complete for each in stick.to_edge(two, *reversed(back))][-1]
    assert await equal(fleet, two)


async def test_a_pull_whose_last_part_was_lost_goes_on_inside_itself(fleet: Fleet, stick: Stick) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    for number in range(4):
        write(one, {"noise": noise(number)}, document_id(f"acme/prod/router{number}"))
    await stick.round_trip(one)
    for file in stick.from_edge(two):
        await stick.to_hub(file)
    first = await stick.from_hub("two")
    stick.to_edge(two, *first[:-1])

    # when
    for file in stick.from_edge(two):
        await stick.to_hub(file)
    second = await stick.from_hub("two")
    stick.to_edge(two, *second)

    # then
    assert len(second) == 1
    assert await equal(fleet, two)


async def test_a_replica_restored_from_an_old_copy_gets_an_incarnation_by_file(
    fleet: Fleet, stick: Stick, tmp_path: Path
) -> None:
    # given
    one = await fleet.enrol("one")
    write(one, {"limit": 1})
    await stick.round_trip(one)
    old = tmp_path / "old"
    shutil.copy(one, old)
    write(one, {"limit": 2})
    await stick.round_trip(one)
    for aside in (Path(f"{one}-wal"), Path(f"{one}-shm")):
        aside.unlink(missing_ok=True)
    shutil.copy(old, one)

    # when
    write(one, {"limit": 3})
    (there,) = stick.from_edge(one)
    taken, twice = await stick.to_hub(there), await stick.to_hub(there)
    (back,) = await stick.from_hub("one")
    stick.to_edge(one, back)
    await stick.round_trip(one)
    await stick.round_trip(one)

    # then
    assert taken.renewed
    assert twice.renewed
    leased = (await fleet.hub.store.edge(fleet.tenant, "one")).incarnation
    assert leased == incarnation_of(one)
    assert read(one) == {"limit": 3}
    assert await equal(fleet, one)


async def test_an_answer_to_one_copy_of_a_replica_is_refused_by_the_other(
    fleet: Fleet, stick: Stick, tmp_path: Path
) -> None:
    # given
    one = await fleet.enrol("one")
    copy = tmp_path / "one.db"
    shutil.copy(one, copy)
    shutil.copytree(f"{one}.identity", f"{copy}.identity")
    write(one, {"limit": 1})
    write(copy, {"limit": 2})
    await stick.round_trip(one)

    # when
    (there,) = stick.from_edge(copy)
    assert (await stick.to_hub(there)).renewed
    (back,) = await stick.from_hub("one")

    # then
    with pytest.raises(ParcelStray, match="another copy"):
        stick.to_edge(one, back)
    stick.to_edge(copy, back)
    await stick.round_trip(copy)
    await stick.round_trip(copy)
    assert await equal(fleet, copy)


async def test_a_file_that_was_changed_or_cut_off_is_refused(fleet: Fleet, stick: Stick) -> None:
    # given
    one = await fleet.enrol("one")
    write(one, {"limit": 10})
    (there,) = stick.from_edge(one)
    raw = there.read_bytes()
    flipped = bytearray(raw)
    flipped[raw.index(b"one") + 1] ^= 1

    # when, then
    for damaged, refusal in (
        (raw[:-1], ParcelDamaged),
        (raw[: len(raw) // 2], ParcelDamaged),
        (b"", ParcelDamaged),
        (bytes(flipped), ParcelForged),
        (raw + b"\0", ParcelDamaged),
        (raw[:30] + bytes(PARCEL_BYTES_MAX), ParcelDamaged),
    ):
        there.write_bytes(damaged)
        with pytest.raises(refusal):
            await stick.to_hub(there)
        with pytest.raises(refusal):
            stick.to_edge(one, there)


async def test_a_file_of_another_edge_tenant_or_direction_is_refused(
    fleet: Fleet, stick: Stick, hub: Hub, tmp_path: Path
) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    foreign = Fleet(hub, await new_tenant(hub.store), tmp_path)
    stranger = await foreign.enrol("one")
    for replica in (one, two):
        write(replica, {"limit": 10})
        await stick.round_trip(replica)
    (there,) = stick.from_edge(one)
    (back,) = await stick.from_hub("one")

    # when, then
    for replica in (two, stranger):
        with pytest.raises(ParcelForeign, match="and this edge is"):
            stick.to_edge(replica, back)
    with pytest.raises(ParcelForeign, match="to the hub"):
        stick.to_edge(one, there)
    with pytest.raises(ParcelForeign, match="import it there"):
        await stick.to_hub(back)


async def test_an_edge_cannot_sign_an_answer(fleet: Fleet, stick: Stick) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    write(one, {"limit": 10})
    await stick.round_trip(one)
    folder = Path(f"{two}.identity")
    by_two = type(stick.courier)((folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes())

    # when
    (forged,) = await Stick(fleet, by_two, stick.written).from_hub("one")

    # then
    with pytest.raises(ParcelError, match="not signed by this edge's hub"):
        stick.to_edge(one, forged)


async def test_an_edge_cannot_write_in_the_name_of_another_or_of_the_hub(fleet: Fleet, stick: Stick) -> None:
    # given
    one, two = await fleet.enrol("one"), identity_of(await fleet.enrol("two"))
    write(one, {"limit": 10})
    (there,) = stick.from_edge(one)
    root = x509.load_pem_x509_certificate(await fleet.hub.authority.root_pem())
    letter = opened(there.read_bytes(), root, now_ms()).letter

    # when, then
    for forged in (letter, replace(letter, from_hub=True, edge="two")):
        there.write_bytes(signed(forged, two.key_pem + two.chain_pem))
        with pytest.raises(ParcelForeign, match="in another's name"):
            await stick.to_hub(there)


async def test_a_file_under_a_certificate_from_before_an_edge_was_enrolled_again_is_refused(
    fleet: Fleet, stick: Stick
) -> None:
    # given
    one = await fleet.enrol("one")
    write(one, {"limit": 10})
    (there,) = stick.from_edge(one)

    # when
    token = await invited(fleet.hub, fleet.tenant, "one")
    root_pem = identity_of(one).root_pem
    await enroll(fleet.hub.enrolment_address, root_pem, token.secret, certificate_request(new_key()))

    # then
    with pytest.raises(CertificateUnknown, match="enrolled again"):
        await stick.to_hub(there)


async def test_a_revoked_edge_is_neither_heard_nor_answered(fleet: Fleet, stick: Stick) -> None:
    # given
    one = await fleet.enrol("one")
    write(one, {"limit": 10})
    await stick.round_trip(one)
    (there,) = stick.from_edge(one)
    await fleet.hub.store.revoke(fleet.tenant, "one")

    # when, then
    with pytest.raises(EdgeRevoked):
        await stick.to_hub(there)
    with pytest.raises(EdgeRevoked):
        await stick.from_hub("one")


async def test_an_edge_goes_over_from_files_to_a_link_and_back(fleet: Fleet, stick: Stick) -> None:
    # given
    one = await fleet.enrol("one")
    write(one, {"limit": 1})
    await stick.round_trip(one)
    (late,) = await stick.from_hub("one")

    # when
    write(one, {"limit": 2})
    fleet.start(one)
    await fleet.comes_together(one)
    await fleet.stop(one)
    (of_the_past,) = stick.to_edge(one, late)
    write(one, {"limit": 3})
    await stick.round_trip(one)

    # then
    assert of_the_past.known
    assert read(one) == {"limit": 3}
    assert await equal(fleet, one)
