"""A transfer that a break interrupts goes on where it was, at whichever hub process."""

import pytest
from anabranch_hub.store import Store
from anabranch_sync.errors import FrameTooLarge
from anabranch_sync.messages import BATCH_BYTES_MAX
from anabranch_sync.standing import Partial

from tests.hub.store.replica import ROUTER, enrolled, place

pytestmark = pytest.mark.anyio


async def test_the_head_of_a_push_is_there_for_the_next_stream(
    store: Store, tenant: str, postgres_dsn: str
) -> None:
    replica = await enrolled(store, tenant, "e1")
    incarnation = replica.incarnation
    await store.store_upload(tenant, incarnation, b"batch", 9, 0, b"abc")
    await store.store_upload(tenant, incarnation, b"batch", 9, 3, b"def")
    other = await Store.connect(postgres_dsn)

    opening = await other.open_replica(tenant, "e1", incarnation)

    await other.close()
    assert opening.upload == Partial(b"batch", 9, b"abcdef")
    assert await store.upload(tenant, incarnation) == opening.upload


async def test_repeated_pieces_and_gaps_change_nothing(store: Store, tenant: str) -> None:
    incarnation = (await enrolled(store, tenant, "e1")).incarnation

    for offset, piece in ((0, b"abc"), (0, b"abc"), (5, b"gap"), (3, b"de"), (0, b"abc"), (3, b"other")):
        await store.store_upload(tenant, incarnation, b"batch", 9, offset, piece)

    assert await store.upload(tenant, incarnation) == Partial(b"batch", 9, b"abcde")


async def test_another_batch_takes_the_place_of_one_that_was_broken_off(store: Store, tenant: str) -> None:
    incarnation = (await enrolled(store, tenant, "e1")).incarnation
    await store.store_upload(tenant, incarnation, b"one", 9, 0, b"abc")

    await store.store_upload(tenant, incarnation, b"two", 4, 0, b"xy")

    assert await store.upload(tenant, incarnation) == Partial(b"two", 4, b"xy")


async def test_what_was_decided_needs_no_resuming(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    neighbour = await enrolled(store, tenant, "e2")
    await store.store_upload(tenant, replica.incarnation, b"batch", 9, 0, b"abc")
    await store.store_upload(tenant, neighbour.incarnation, b"batch", 9, 0, b"abc")
    replica.record([(ROUTER, place("a"), 1)])

    start = replica.chain
    await replica.push()

    assert await store.upload(tenant, replica.incarnation) is None
    assert await store.upload(tenant, neighbour.incarnation) is not None
    await store.store_upload(tenant, replica.incarnation, b"again", 9, 0, b"abc")
    await store.decide(tenant, "e1", replica.outbox, start)
    assert await store.upload(tenant, replica.incarnation) is None


async def test_an_upload_beyond_the_limit_of_a_batch_is_refused(store: Store, tenant: str) -> None:
    incarnation = (await enrolled(store, tenant, "e1")).incarnation

    with pytest.raises(FrameTooLarge):
        await store.store_upload(tenant, incarnation, b"batch", BATCH_BYTES_MAX + 1, 0, b"abc")
    with pytest.raises(FrameTooLarge):
        await store.store_upload(tenant, incarnation, b"batch", 9, BATCH_BYTES_MAX, b"abc")

    assert await store.upload(tenant, incarnation) is None


async def test_a_pull_on_its_way_is_kept_until_it_was_seen(
    store: Store, tenant: str, postgres_dsn: str
) -> None:
    replica = await enrolled(store, tenant, "e1")
    body = bytes(range(256)) * 100
    await store.spool(tenant, replica.incarnation, b"old", b"old")
    await store.spool(tenant, replica.incarnation, b"new", body)
    other = await Store.connect(postgres_dsn)

    assert await other.spooled(tenant, replica.incarnation, b"new") == body
    assert await other.spooled(tenant, replica.incarnation, b"old") is None
    await other.seen(tenant, replica.incarnation, replica.cursor)
    assert await store.spooled(tenant, replica.incarnation, b"new") is None
    await other.close()
