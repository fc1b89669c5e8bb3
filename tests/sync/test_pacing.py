"""Chunks as large as the link allows: what 1 MB costs over links that break."""

import random
from collections.abc import Callable, Iterator

import pytest
from anabranch_hub.simulation.memory import MemoryHub, MemoryReplica
from anabranch_sync.ids import document_id
from anabranch_sync.messages import CHUNK_BYTES_FIRST, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, WINDOW_BYTES, Batch
from anabranch_sync.pacing import BREAKS_MAX, NOTHING_LEARNED, WINDOW_BYTES_MIN, Pacing
from anabranch_sync.transfer import Receiving, Sending
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.pair import NOW_MS, Pair, new_hub, new_replica

SEEDS = range(4)
PAYLOAD_BYTES = 1_000_000
DOCUMENTS = tuple(document_id("acme/prod/router", f"r{number}") for number in range(8))


def filled(write: Callable[..., object], seed: int, payload_bytes: int = PAYLOAD_BYTES) -> int:
    """Write about so many bytes that do not compress, as text of 6 bits a letter; return how many."""
    chance = random.Random(seed)
    letters = "".join(map(chr, range(48, 112)))
    for document in DOCUMENTS:
        text = "".join(chance.choices(letters, k=payload_bytes // 6 * 8 // len(DOCUMENTS)))
        write(document, {"parts": {str(at): text[at : at + 1000] for at in range(0, len(text), 1000)}})
    return payload_bytes


def carried(replica: MemoryReplica, hub: MemoryHub, breaks: Iterator[int]) -> int:
    """Exchange until nothing is on its way, over a link that lets so many bytes pass each time."""
    learned = NOTHING_LEARNED
    total = 0
    for left in breaks:
        pair = BreakingPair(replica, hub, left, learned)
        pair.run()
        total += pair.passed_bytes
        learned = pair.edge.broken
        if pair.edge.settled:
            return total
    raise AssertionError("the link never breaks for the last time")


class BreakingPair(Pair):
    """A stream that ends in the middle of the byte after `left`, both ways together."""

    def __init__(self, replica: MemoryReplica, hub: MemoryHub, left: int, learned: Pacing) -> None:
        self.passed_bytes = 0
        self._left = left
        super().__init__(replica, hub, learned=learned)

    def _put(self, direction: str, frame: bytes) -> None:
        passing = min(len(frame), self._left - self.passed_bytes)
        self.passed_bytes += passing
        if passing == len(frame):
            super()._put(direction, frame)


def after_random_bytes(mean: int, seed: int) -> Iterator[int]:
    chance = random.Random(seed)
    while True:
        yield int(chance.expovariate(1 / mean)) + 1


def always(left: int) -> Iterator[int]:
    while True:
        yield left


@pytest.mark.parametrize(("mean", "limit"), [(15_000, 1.30), (50_000, 1.13), (200_000, 1.05)])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_megabyte_over_a_link_that_breaks_costs_little_more_than_its_bytes(
    mean: int, limit: float, way: str
) -> None:
    # given
    sent = payload = 0
    for seed in SEEDS:
        hub = new_hub()
        replica = new_replica(hub)
        if way == "down":
            payload += filled(hub.write, seed)
        else:
            payload += filled(lambda *given, to=replica: to.commit(*given, now_ms=NOW_MS), seed)

        # when
        sent += carried(replica, hub, after_random_bytes(mean, seed))

    # then
    assert 1 < sent / payload < limit, sent / payload


def test_a_cold_start_over_a_link_that_is_cut_every_64_kib_costs_a_twentieth_more() -> None:
    hub = new_hub()
    filled(hub.write, 1, 400_000)
    uncut = carried(new_replica(hub), hub, always(1_000_000))

    sent = carried(new_replica(hub), hub, always(64 * 1024))

    assert sent / uncut <= 1.05


def test_a_new_link_is_begun_with_the_first_size() -> None:
    assert NOTHING_LEARNED.chunk_bytes == CHUNK_BYTES_FIRST


def test_a_link_that_carries_much_gets_large_chunks_and_one_that_breaks_small_ones() -> None:
    good = NOTHING_LEARNED.passed(20_000_000)
    bad = NOTHING_LEARNED
    for _ in range(BREAKS_MAX):
        bad = bad.passed(10_000).broken()

    assert (good.chunk_bytes, good.window_bytes) == (CHUNK_BYTES_MAX, WINDOW_BYTES)
    assert (bad.chunk_bytes, bad.window_bytes) == (CHUNK_BYTES_MIN, WINDOW_BYTES_MIN)
    # and where it heals, that is found out
    assert bad.passed(1_000_000_000).chunk_bytes == CHUNK_BYTES_MAX


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_whatever_a_peer_claims_to_have_learned_chunks_and_windows_stay_within_their_bounds(
    passed_bytes: int, breaks: int
) -> None:
    pacing = Pacing(passed_bytes, breaks)

    assert CHUNK_BYTES_MIN <= pacing.chunk_bytes <= CHUNK_BYTES_MAX
    assert WINDOW_BYTES_MIN <= pacing.window_bytes <= WINDOW_BYTES


@pytest.mark.parametrize("allowed", [0, 1, WINDOW_BYTES_MIN - 1])
def test_whatever_a_peer_allows_a_batch_gets_there(allowed: int) -> None:
    # given a hub that allows no bytes at once, or fewer than are acknowledged together
    sealed = random.Random(1).randbytes(50_000)
    sending = Sending(sealed, chunk_bytes_max=allowed, window_bytes_max=allowed)

    # when its pieces are acknowledged as they come
    first, *waiting = sending.pieces(NOTHING_LEARNED)
    assert isinstance(first, Batch)
    receiving = Receiving(first, None)
    receiving.add(first.offset, first.piece)
    while not receiving.complete:
        for stored in receiving.acknowledgement():
            waiting += sending.stored(stored.offset, NOTHING_LEARNED)
        piece = waiting.pop(0)
        receiving.add(piece.offset, piece.piece)

    # then all of it comes
    assert receiving.sealed() == sealed
